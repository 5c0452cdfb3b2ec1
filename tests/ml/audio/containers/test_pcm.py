"""Headers that state less sound than there is: all of it is used, with a warning."""

import struct
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf

from melgraph.ml.audio import BadAudio, check, decode
from melgraph.ml.audio.containers import pcm
from melgraph.ml.audio.containers.part import Part
from tests.ml.audio.odd_files import SIZES, with_size
from tests.ml.audio_files import RATE, tone


@pytest.mark.parametrize("share", [0.0, 0.5])
@pytest.mark.parametrize("kind", SIZES)
def test_all_sound_behind_a_size_that_is_too_small(kind: str, share: float, tmp_path: Path) -> None:
    path = tmp_path / f"tone.{kind}"
    sf.write(path, tone(2.0), RATE, format=kind.upper())
    content, samples = path.read_bytes(), decode(path).samples
    path.write_bytes(with_size(content, kind, share))
    decoded = decode(path)
    check(decoded)
    np.testing.assert_array_equal(decoded.samples[: len(samples)], samples)
    assert len(decoded.samples) - len(samples) < 16  # the chunk behind the sound
    assert "are there: all are used" in str(decoded.warning)


def test_a_recorder_that_lost_power(tmp_path: Path) -> None:
    """Both sizes are 0, and the last sample is cut."""
    path = tmp_path / "zoom.wav"
    sf.write(path, tone(5.0), RATE)
    content = bytearray(path.read_bytes())
    at = content.index(b"data") + 4
    content[4:8] = content[at : at + 4] = bytes(4)
    path.write_bytes(content[:-3])
    decoded = decode(path)
    assert len(decoded.samples) == 5 * RATE - 1
    assert str(decoded.warning).startswith("the header states 0 bytes of sound, 881997 are there")


def _chunk(name: bytes, data: bytes) -> bytes:
    return name + struct.pack("<I", len(data)) + data


BEHIND = {
    "known chunks": _chunk(b"LIST", bytes(8000)) + _chunk(b"id3 ", bytes(100)),
    "an unknown chunk": _chunk(b"XyZ1", np.random.default_rng(1).bytes(9000)),
    "a chunk that is cut": _chunk(b"bext", bytes(9000))[:6000],
    "a tag": b"ID3\x04\0\0\0\0\x7f\x00" + bytes(9000),
    "space that was reserved": bytes(20_000),
    "a few bytes": np.random.default_rng(1).bytes(3000),
}


@pytest.mark.parametrize("behind", BEHIND)
def test_what_else_follows_the_sound_is_no_sound(behind: str, tmp_path: Path) -> None:
    path = tmp_path / "tone.wav"
    sf.write(path, tone(1.0), RATE)
    samples = decode(path).samples
    path.write_bytes(path.read_bytes() + BEHIND[behind])
    decoded = decode(path)
    np.testing.assert_array_equal(decoded.samples, samples)
    assert decoded.warning is None


def test_truly_empty_and_broken_headers(tmp_path: Path) -> None:
    path = tmp_path / "tone.wav"
    sf.write(path, tone(0.1)[:0], RATE)
    with pytest.raises(BadAudio, match="empty: a valid file of 0 samples"):
        check(decode(path))
    for kind in SIZES:
        sf.write(path, tone(0.5), RATE, format=kind.upper())
        content = path.read_bytes()
        for length in (0, 3, 11, 30, 50, 200, 5000):
            path.write_bytes(content[:length])
            with path.open("rb", buffering=0) as file:
                part = Part(file)
                assert pcm.with_all_sound(part) == (part, None)
                assert pcm.next_file(part) is None
