"""The post-processing of a recipe: the sound with and without it, and what each step measured."""

import numpy as np
import pytest
import soundfile

from melgraph.assets.generation.sound_files import Generated, SoundWriter
from melgraph.assets.generation.sounds import Sounds
from melgraph.assets.generation.sources import Source
from melgraph.ml.audio.loudness import loudness_lufs
from melgraph.storage.artifacts import Work
from melgraph.storage.records import Spec

RATE = 22050
TRACK = {"track_id": "ab" * 16, "path": "rock/a b?.flac", "title": "A b", "artist": None}
POST = [
    {"step": "loudness", "target_lufs": -20.0, "max_gain_db": 20.0},
    {"step": "true_peak_limiter", "ceiling_db": -1.0, "lookahead_ms": 5.0, "release_db_s": 50.0},
]


@pytest.fixture
def source():
    noise = np.random.default_rng(0).normal(0, 0.02, (2 * RATE, 2)).astype(np.float32)
    return Source(TRACK, noise, RATE, "00" * 32, 1.5)


def write(tmp_path, source, config, guide=None):
    work = Work(Spec("dreams", "r", 1, (), {"method": "deep_dream", **config}, 0), tmp_path)
    made = Generated(source.samples * np.float32(0.5), b"png", {"figure": 1})
    writer = SoundWriter(work, lambda _source, _guide: made, "dream", "dream", "")
    return work, writer.write(1, source, guide)


def test_the_sound_with_and_without_post_processing(tmp_path, source):
    work, row = write(tmp_path, source, {"post": POST})
    assert sorted(row["files"]) == ["dream", "original", "picture", "unprocessed"]
    assert Sounds.new_file(row) == row["files"]["dream"] == "01-a-b.dream.flac"
    processed, rate = soundfile.read(tmp_path / row["files"]["dream"])
    unprocessed, _ = soundfile.read(tmp_path / row["files"]["unprocessed"])
    assert np.abs(unprocessed - source.samples * 0.5).max() < 1e-4
    assert loudness_lufs(processed, rate) == pytest.approx(-20.0, abs=0.1)
    assert row["loudness_lufs"]["dream"] == pytest.approx(-20.0, abs=0.1)
    assert [step["step"] for step in row["post"]] == ["loudness", "true_peak_limiter"]
    (recording,) = work.recordings
    assert set(recording.files) == set(row["files"].values())


def test_without_steps_there_is_one_sound(tmp_path, source):
    _, row = write(tmp_path, source, {})
    assert sorted(row["files"]) == ["dream", "original", "picture"]
    assert "post" not in row
    assert (row["start_s"], row["seconds"], row["figure"]) == (1.5, 2.0, 1)


def test_the_guide_is_kept_and_named(tmp_path, source):
    guide = Source({**TRACK, "track_id": "cd" * 16, "path": "pop/g.flac", "label": "pop"},
                   source.samples[:RATE], RATE, "11" * 32)  # fmt: skip
    work, row = write(tmp_path, source, {}, guide)
    assert row["guide"]["path"] == "pop/g.flac"
    assert row["guide"]["label"] == "pop"
    assert row["files"]["guide"] == "01-a-b.guide.flac"
    assert [recording.path for recording in work.recordings] == ["rock/a b?.flac", "pop/g.flac"]
    from mutagen.flac import FLAC

    assert FLAC(tmp_path / row["files"]["dream"])["melgraph_guide"] == ["pop/g.flac"]


def test_silence_has_no_loudness(tmp_path, source):
    silence = Source(TRACK, np.zeros_like(source.samples), RATE, "00" * 32)
    _, row = write(tmp_path, silence, {})
    assert row["loudness_lufs"] == {"original": None, "dream": None}
