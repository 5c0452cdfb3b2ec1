"""A home with an empty library, and the store of its artifacts."""

import sqlite3
from pathlib import Path
from typing import Any

import pytest

from storage.artifacts import ArtifactStore
from storage.home import Home


@pytest.fixture(autouse=True)
def _no_waiting_for_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """SQLite in this process flushes nothing: what outlives a power cut is not tested here."""
    connect = sqlite3.connect

    def unflushed(*args: Any, **options: Any) -> sqlite3.Connection:
        connection = connect(*args, **options)
        connection.execute("PRAGMA synchronous = OFF")
        return connection

    monkeypatch.setattr(sqlite3, "connect", unflushed)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    library = tmp_path / "library"
    library.mkdir()
    return Home(tmp_path / "home", library).create()


@pytest.fixture
def store(home: Home) -> ArtifactStore:
    return ArtifactStore(home)
