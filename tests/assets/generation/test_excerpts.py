"""The part of a recording that a sound is generated from on request."""

import os

import numpy as np
import pytest
import soundfile

from melgraph.assets.generation import excerpts
from melgraph.assets.generation.excerpts import (
    Excerpt,
    cut_recording,
    excerpt_spec,
    write_cut,
    write_excerpt,
)
from melgraph.ml.errors import UserError
from melgraph.storage.artifacts import ArtifactStore, Work
from melgraph.storage.errors import ArtifactCorrupt
from melgraph.storage.home import Home
from melgraph.storage.outside import outside_path, remember_place
from tests.conftest import write_song

RATE = 22050


@pytest.fixture
def store(tmp_path):
    (tmp_path / "library").mkdir()
    return ArtifactStore(Home(tmp_path / "home", str(tmp_path / "library")).create())


@pytest.fixture
def song(tmp_path):
    path = tmp_path / "Ünï code? #1 50 %.wav"
    write_song(path)
    return path


def cut(path, start_s=1.0, seconds=1.5):
    return cut_recording(path, start_s, seconds, where=path.name)


def produce(store, path, start_s=1.0, seconds=1.5):
    track = {"track_id": "ab" * 16, "path": outside_path(path), "title": None, "artist": None}
    part = cut(path, start_s, seconds)
    spec = excerpt_spec(track, excerpts.file_sha256(path), part)
    return store.produce(spec, lambda work: write_cut(work, part))


def test_a_part_is_cut_to_the_sample(song):
    whole, _ = soundfile.read(song, dtype="float32")
    part = cut(song)
    start = RATE
    assert np.array_equal(part.samples, whole[start : start + round(1.5 * RATE)])
    assert (part.start_s, part.seconds, part.whole_s, part.cautions) == (1.0, 1.5, 4.0, ())


def test_a_part_ends_with_the_recording(song):
    part = cut(song, 3.0, 10.0)
    assert (part.start_s, part.seconds, part.whole_s) == (3.0, 1.0, 4.0)


def test_only_the_part_of_a_long_recording_is_kept_in_memory(tmp_path, monkeypatch):
    """Three hours are not decoded: neither what follows the part, nor is what precedes it kept."""
    path = tmp_path / "long.flac"
    second = np.random.default_rng(0).normal(0, 0.1, 8000).astype(np.float32)
    with soundfile.SoundFile(path, "w", 8000, 1) as file:
        for _ in range(3 * 3600):
            file.write(second)
    part = cut(path, 30.0, 2.0)
    assert part.samples.base is None or part.samples.base.size <= 2 * 8000
    assert (part.seconds, part.whole_s) == (2.0, 3 * 3600.0)


@pytest.mark.parametrize(
    ("samples", "message"),
    [
        (np.zeros((RATE, 1)), "silent"),
        (np.full((1000, 1), 0.1), "too-short: 0.045 s, at least 0.1 s"),
        (np.full((RATE, 9), 0.1), "9 channels, and FLAC holds 8"),
    ],
    ids=["silent", "short", "channels"],
)
def test_what_no_sound_can_be_made_from_is_refused(tmp_path, samples, message):
    soundfile.write(tmp_path / "a.wav", samples, RATE)
    with pytest.raises(UserError, match=message) as caught:
        cut(tmp_path / "a.wav", 0.0)
    assert caught.value.where == "a.wav"


def test_a_start_after_the_end_is_refused(song):
    with pytest.raises(UserError, match=r"the recording is 4.0 s long.*start at 100 s"):
        cut(song, 100.0)


def test_no_audio_and_no_file(tmp_path):
    (tmp_path / "a.mp3").write_text("words")
    with pytest.raises(UserError, match="undecodable"):
        cut(tmp_path / "a.mp3")
    with pytest.raises(UserError, match="vanished"):
        cut(tmp_path / "b.mp3")
    os.mkfifo(tmp_path / "pipe.wav")
    with pytest.raises(UserError, match="not a regular file"):
        cut(tmp_path / "pipe.wav")


def test_a_clipped_recording_is_used_with_a_caution(tmp_path):
    noise = np.random.default_rng(0).normal(0, 1, (RATE, 2)).astype(np.float32)
    soundfile.write(tmp_path / "loud.wav", noise, RATE, subtype="FLOAT")
    part = cut(tmp_path / "loud.wav", 0.0)
    assert np.abs(part.samples).max() == 1.0
    (caution,) = part.cautions
    assert "of its samples are at full scale" in caution


def test_an_excerpt_is_kept_in_24_bits_and_names_no_folder(store, song):
    artifact, _ = produce(store, song)
    source = Excerpt(store, artifact).source({"label": "rock"})
    assert np.abs(source.samples - cut(song).samples).max() < 2**-22
    assert (source.label, source.start_s, source.sample_rate) == ("rock", 1.0, RATE)
    assert source.track["path"] == f".../{song.name}"
    assert source.sha256 == excerpts.file_sha256(song)
    record = (artifact.folder / "record.json").read_text()
    assert str(song.parent) not in record
    (recording,) = artifact.record.recordings
    assert recording.path == f".../{song.name}"


def test_an_excerpt_is_made_again_where_its_recording_was(store, song, tmp_path):
    artifact, _ = produce(store, song, 0.7, 1.1)
    spec = artifact.record.spec
    with pytest.raises(ArtifactCorrupt, match="no longer there"):  # nobody knows where it is
        write_excerpt(store, Work(spec, tmp_path))
    remember_place(store.home, spec.config["sha256"], song)
    again = tmp_path / "again"
    again.mkdir()
    write_excerpt(store, Work(spec, again))
    assert (again / "excerpt.flac").read_bytes() == (artifact.folder / "excerpt.flac").read_bytes()
    song.write_bytes(b"another sound")
    with pytest.raises(ArtifactCorrupt, match="its excerpt is kept"):
        write_excerpt(store, Work(spec, again))


def test_a_damaged_or_foreign_excerpt_is_refused(store, song, tmp_path):
    """Another recording in its place would be heard in the sounds of all recipes."""
    artifact, _ = produce(store, song)
    other, _ = produce(store, song, 2.0)
    (artifact.folder / "excerpt.flac").write_bytes((other.folder / "excerpt.flac").read_bytes())
    with pytest.raises(ArtifactCorrupt, match="the excerpt is damaged") as caught:
        Excerpt(store, artifact).source({})
    assert caught.value.where == str(artifact.location)
    (artifact.folder / "excerpt.flac").unlink()
    with pytest.raises(ArtifactCorrupt, match="the excerpt is damaged"):
        Excerpt(store, artifact).source({})


def test_a_pipe_where_the_recording_was_is_not_read(store, song, tmp_path):
    artifact, _ = produce(store, song)
    remember_place(store.home, artifact.record.spec.config["sha256"], song)
    song.unlink()
    os.mkfifo(song)
    with pytest.raises(ArtifactCorrupt, match="no longer there"):
        write_excerpt(store, Work(artifact.record.spec, tmp_path))
