import hashlib
from pathlib import Path

import numpy as np
import pytest

from melgraph.ml.sample_library import STYLES, SampleLibrary, render_track, write_sample_library

ARTISTS, TRACKS, SECONDS, RATE = 3, 2, 2.0, 22050
SMALL = {
    "styles": ["jazz", "metal"],
    "artists_per_style": 2,
    "tracks_per_artist": 2,
    "duration_s": 1.0,
    "workers": 1,
}


def write_small(folder: Path, **changes: object) -> SampleLibrary:
    """Eight tracks of one second, as few as two workers are started for."""
    return write_sample_library(folder, **{**SMALL, **changes})  # type: ignore[arg-type]


def hashes(folder: Path) -> dict[str, str]:
    """Path below `folder` -> SHA-256, of every file."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(f.relative_to(folder)): hashlib.sha256(f.read_bytes()).hexdigest() for f in files}


@pytest.fixture(scope="session")
def small_library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small library with its faults. Read only."""
    return write_small(tmp_path_factory.mktemp("small") / "library").folder


@pytest.fixture(scope="session")
def tracks() -> dict[tuple[str, int, int], np.ndarray]:
    """(style, artist, track) -> float32 [sample, channel]: three artists of every style."""
    return {
        (style, artist, track): render_track(
            style, artist, track, seed=7, duration_s=SECONDS, sample_rate=RATE
        )
        for style in STYLES
        for artist in range(ARTISTS)
        for track in range(TRACKS)
    }
