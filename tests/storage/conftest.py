"""A home with an empty library, and the store of its artifacts."""

from pathlib import Path

import pytest

from storage.artifacts import ArtifactStore
from storage.home import Home


@pytest.fixture
def home(tmp_path: Path) -> Home:
    library = tmp_path / "library"
    library.mkdir()
    return Home(tmp_path / "home", library).create()


@pytest.fixture
def store(home: Home) -> ArtifactStore:
    return ArtifactStore(home)
