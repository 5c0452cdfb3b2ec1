"""Finding and decoding the songs that sounds are generated from."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from melgraph.assets.generation.sources import Source, TrackFile, open_track
from melgraph.assets.library.identity import identity_of
from melgraph.ml.errors import UserError
from melgraph.storage.files import file_sha256
from melgraph.storage.home import Home
from tests.conftest import write_song


@pytest.fixture
def home(tmp_path: Path) -> Home:
    (tmp_path / "library" / "rock").mkdir(parents=True)
    write_song(tmp_path / "library" / "rock" / "a.wav")
    return Home(tmp_path / "home", str(tmp_path / "library")).create()


def track_id_of(path: Path) -> str:
    return identity_of(path, file_sha256(path)).track_id


def test_a_track_is_at_its_path(home: Home) -> None:
    path = Path(home.library) / "rock" / "a.wav"
    with open_track(home, track_id_of(path), "rock/a.wav") as file:
        assert file == TrackFile(path, "rock/a.wav", file_sha256(path))


def test_a_missing_file_and_another_sound_are_no_track(home: Home) -> None:
    path = Path(home.library) / "rock" / "a.wav"
    track_id = track_id_of(path)
    with open_track(home, track_id, "rock/b.wav") as file:
        assert file is None
    shutil.copy(__file__, path)
    with open_track(home, track_id, "rock/a.wav") as file:
        assert file is None


def test_an_error_of_the_work_with_the_file_is_not_taken_for_a_missing_file(home: Home) -> None:
    track_id = track_id_of(Path(home.library) / "rock" / "a.wav")

    def fill_the_disk() -> None:
        with open_track(home, track_id, "rock/a.wav") as file:
            assert file is not None
            raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        fill_the_disk()


def test_an_excerpt_shorter_than_a_frame_is_refused() -> None:
    samples = np.zeros((50, 1), np.float32)
    with pytest.raises(UserError, match=r"50 samples \(50.0 ms\).*shorter than a frame") as refusal:
        Source({"path": "rock/a.wav"}, samples, 1000, "00" * 32).check_length()
    assert refusal.value.where == "rock/a.wav"
    Source({"path": "rock/a.wav"}, np.zeros((100, 1), np.float32), 1000, "00" * 32).check_length()
