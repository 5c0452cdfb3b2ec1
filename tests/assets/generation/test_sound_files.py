"""The files of a generated sound: their loudness, their post-processing and their provenance."""

import errno
from pathlib import Path

import numpy as np
import pytest
import soundfile
from mutagen.flac import FLAC

from melgraph.assets.generation.sound_files import Generated, SoundWriter
from melgraph.assets.generation.sources import Source
from melgraph.ml.audio.loudness import loudness_lufs
from melgraph.storage.artifacts import Work
from melgraph.storage.records import Reference, Spec

RATE = 22050
MODEL = Reference("trained_models", "tiny", "0" * 32)
VGG = {"of": "vgg16", "sha256": "ab" * 32, "weights": "x", "data": "y", "commercial_use": "unclear"}


def song(name: str, level: float, seed: int) -> Source:
    noise = np.random.default_rng(seed).normal(0, level, (2 * RATE, 2)).astype(np.float32)
    return Source({"path": f"{name}.wav", "track_id": f"{seed:032x}"}, noise, RATE, f"{seed:064x}")


def write(folder, guide=None, **config):
    spec = Spec("dreams", "tiny", 1, (MODEL,), {"method": "echo", "title": "t", **config})
    work = Work(spec, folder)
    work.licences.append(VGG)

    def make(source, guide):
        return Generated(source.samples / 2, b"PNG", {"figure": 1.0})

    writer = SoundWriter(work, make, "echo", "an echo", "a licence")
    return work, writer.write(1, song("Straße %", 0.05, 1), guide)


def test_each_file_has_its_loudness(tmp_path):
    _, row = write(tmp_path)
    assert set(row["files"]) == {"original", "echo", "picture"}
    for key, lufs in row["loudness_lufs"].items():
        samples, rate = soundfile.read(tmp_path / row["files"][key])
        assert lufs == pytest.approx(loudness_lufs(samples, rate), abs=0.05)
    assert row["loudness_lufs"]["original"] - row["loudness_lufs"]["echo"] == pytest.approx(
        6.02, abs=0.02
    )


def test_the_file_metadata_name_the_source_the_guide_and_the_network(tmp_path):
    work, row = write(tmp_path, song("guide", 0.1, 2))
    tags = FLAC(tmp_path / row["files"]["echo"])
    assert tags["melgraph_source"] == ["Straße %.wav"]
    assert tags["melgraph_guide"] == ["guide.wav"]
    assert tags["melgraph_guide_track_id"] == [f"{2:032x}"]
    assert tags["melgraph_method"] == ["echo"]
    assert tags["melgraph_network"] == [f"{MODEL}, vgg16 (sha256 {'ab' * 32})"]
    assert tags["melgraph_record"] == [str(work.spec.reference)]
    assert tags["melgraph_file"] == [row["files"]["echo"]]
    (term,) = tags["digital_source_type"]
    assert term.endswith("/compositeWithTrainedAlgorithmicMedia")
    excerpt = FLAC(tmp_path / row["files"]["guide"])
    assert excerpt["melgraph_source"] == ["guide.wav"]
    assert "melgraph_network" not in excerpt
    assert "digital_source_type" not in excerpt  # an excerpt is not synthetic
    names = {recording.path: recording.files for recording in work.recordings}
    assert set(names["guide.wav"]) == {row["files"]["echo"], row["files"]["guide"]}
    assert row["files"]["guide"] not in names["Straße %.wav"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_a_full_disk_is_named_as_the_cause(tmp_path):
    (tmp_path / "01-strasse.echo.flac").symlink_to("/dev/full")
    with pytest.raises(OSError, match="No space left") as caught:
        write(tmp_path)
    assert caught.value.errno == errno.ENOSPC
