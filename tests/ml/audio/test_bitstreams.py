"""Streams for a surround receiver in place of samples are quarantined, and nothing else is."""

import struct
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile as sf

from melgraph.ml.audio import BadAudio, decode
from tests.ml.audio_files import LAYOUTS, tone


def _dts(frame_bytes: int) -> bytes:
    """Sixty frames with the head of DTS (ETSI TS 102 114, 5.3.1) and noise: no encoder is at hand.

    The fields behind the sync word: normal frame, 32 samples a block, no checksum, 16 blocks, size,
    2 channels, 44.1 kHz, 1411 kbit/s.
    """
    fields = ((1, 1), (31, 5), (0, 1), (15, 7), (frame_bytes - 1, 14), (2, 6), (8, 4), (22, 5))
    bits = "".join(f"{value:0{width}b}" for value, width in fields) + "00000"
    head = b"\x7f\xfe\x80\x01" + int(bits, 2).to_bytes(len(bits) // 8, "big")
    random = np.random.default_rng(7)
    return b"".join(head + random.bytes(frame_bytes - len(head)) for _ in range(60))


def _ac3(path: Path) -> bytes:
    """Two seconds of AC-3 in frames of IEC 61937."""
    with av.open(str(path), "w", format="spdif") as out:
        stream = out.add_stream("ac3", rate=48000, layout="stereo")
        form = stream.codec_context.format.name
        split = av.AudioResampler(format=form, layout=LAYOUTS[2], rate=48000, frame_size=1536)
        samples = tone(2.0, 48000).reshape(1, -1)
        frame = av.AudioFrame.from_ndarray(samples, format="flt", layout="stereo")
        frame.sample_rate = 48000
        for piece in split.resample(frame):
            out.mux(stream.encode(piece))
        out.mux(stream.encode(None))
    return path.read_bytes()


def _in_14_bits(data: bytes) -> np.ndarray:
    """DTS as on a CD: 14 bits in each sample, so that it is less loud."""
    bits = np.unpackbits(np.frombuffer(data, np.uint8))
    bits = bits[: len(bits) // 14 * 14].reshape(-1, 14)
    values = bits.astype(np.int32) @ (1 << np.arange(13, -1, -1))
    return np.where(values & 0x2000, values - 0x4000, values).astype("<i2")


@pytest.fixture(scope="module")
def streams(tmp_path_factory: pytest.TempPathFactory) -> dict[str, np.ndarray]:
    """Name -> int16 words."""
    folder = tmp_path_factory.mktemp("coded")
    ac3 = _ac3(folder / "a.spdif")
    words = np.frombuffer(_dts(2048), ">i2").astype("<i2")
    small = _in_14_bits(_dts(1792))
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
    with pytest.raises(BadAudio, match=f"bitstream: the samples are .* {kind} stream"):
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
