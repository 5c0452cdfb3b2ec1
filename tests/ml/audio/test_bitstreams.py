"""Streams for a surround receiver in place of samples are quarantined, and nothing else is."""

import struct
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf

from melgraph.ml.audio import BadAudio, decode
from tests.ml.audio.odd_files import ac3_in_iec61937, dts, in_14_bits


@pytest.fixture(scope="module")
def streams(tmp_path_factory: pytest.TempPathFactory) -> dict[str, np.ndarray]:
    """Name -> int16 words."""
    folder = tmp_path_factory.mktemp("coded")
    ac3 = ac3_in_iec61937(folder / "a.spdif")
    words = np.frombuffer(dts(2048), ">i2").astype("<i2")
    small = in_14_bits(dts(1792))
    return {
        "DTS": words,
        "DTS, bytes swapped": words.byteswap(),
        "DTS, 14 bits": small,
        "DTS, 14 bits, bytes swapped": small.byteswap(),
        "AC-3": np.frombuffer(ac3[: len(ac3) // 2 * 2], "<i2"),
    }


NAMES = ("DTS", "DTS, bytes swapped", "DTS, 14 bits", "DTS, 14 bits, bytes swapped", "AC-3")


@pytest.mark.parametrize("zeros", [0, 1, 200_001])
@pytest.mark.parametrize("name", NAMES)
def test_a_coded_stream_is_quarantined(
    name: str, zeros: int, streams: dict[str, np.ndarray], tmp_path: Path
) -> None:
    path = tmp_path / "disc.wav"
    words = np.concatenate([np.zeros(zeros, "<i2"), streams[name]])
    words = words[: len(words) // 2 * 2].reshape(-1, 2)
    sf.write(path, words, 44100)
    kind = name.split(",")[0]
    with pytest.raises(BadAudio, match=rf"bitstream: the samples are a coded stream \({kind}\)"):
        decode(path)


@pytest.mark.parametrize(("container", "subtype"), [("FLAC", "PCM_16"), ("AIFF", "PCM_16"),
                                                    ("WAV", "PCM_24")])  # fmt: skip
def test_it_is_found_in_every_container_that_keeps_the_samples(
    container: str, subtype: str, streams: dict[str, np.ndarray], tmp_path: Path
) -> None:
    path = tmp_path / "disc"
    words = streams["DTS"][:100_000].reshape(-1, 2)
    sf.write(path, words, 44100, format=container, subtype=subtype)
    with pytest.raises(BadAudio) as bad:
        decode(path)
    assert bad.value.code == "bitstream"


def test_loud_music_is_no_coded_stream(tmp_path: Path) -> None:
    path = tmp_path / "loud.wav"
    t = np.arange(3 * 44100)
    square = np.where(t // 50 % 2, 32766, -32767).astype(np.int16)  # the sync words of DTS
    noise = np.random.default_rng(0).integers(-32768, 32768, (3 * 44100, 2)).astype(np.int16)
    one_sync = noise.copy()
    one_sync[:3] = np.frombuffer(
        struct.pack("<6H", 0x7FFE, 0x8001, 0xFC3C, 1, 2, 3), "<i2"
    ).reshape(3, 2)
    for samples in (square, np.stack([square, square], 1), noise, one_sync):
        sf.write(path, samples, 44100)
        assert decode(path).seconds == 3.0
