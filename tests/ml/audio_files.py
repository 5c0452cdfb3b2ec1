"""Audio files for tests, intact and broken."""

import struct
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile as sf

from melgraph.ml.audio import BadAudio, check, decode

RATE = 44100
SECONDS = 4


LAYOUTS = {1: "mono", 2: "stereo", 3: "3.0", 4: "quad", 5: "5.0", 6: "5.1", 8: "7.1"}


def tone(seconds: float = SECONDS, rate: int = RATE, channels: int = 2) -> np.ndarray:
    """float32 `[sample, channel]`; the noise is hard to compress.

    Two channels have the same tone; with more channels, each has its own.
    """
    t = np.arange(int(seconds * rate)) / rate
    noise = 0.05 * np.random.default_rng(3).standard_normal((len(t), channels))
    pitches = 440.0 * np.ones(2) if channels == 2 else 440.0 + 110.0 * np.arange(channels)
    return (0.3 * np.sin(2 * np.pi * t[:, None] * pitches) + noise).astype(np.float32)


def encode(
    path: Path,
    codec: str,
    container: str,
    *,
    rate: int = RATE,
    samples: np.ndarray | None = None,
    bit_rate: int = 0,
    form: str = "",
    frame_size: int = 960,
    **options: str,
) -> Path:
    """Write `samples` (absent: `tone`) with FFmpeg, or with soundfile if that is the codec.

    `form` is FFmpeg's name of the sample format, if it is not the first one of the encoder.
    """
    samples = tone(rate=rate) if samples is None else samples
    if codec == "soundfile":
        sf.write(path, samples, rate)
        return path
    layout = LAYOUTS[samples.shape[1]]
    with av.open(str(path), "w", format=container, options=options) as out:
        stream = out.add_stream(codec, rate=rate, layout=layout)
        if bit_rate:
            stream.bit_rate = bit_rate
        if form:
            stream.codec_context.format = form
        form = stream.codec_context.format.name
        split = av.AudioResampler(format=form, layout=layout, rate=rate, frame_size=frame_size)
        for start in range(0, len(samples), 1 << 16):
            part = samples[start : start + (1 << 16)].reshape(1, -1)
            frame = av.AudioFrame.from_ndarray(part, format="flt", layout=layout)
            frame.sample_rate = rate
            for piece in split.resample(frame):
                out.mux(stream.encode(piece))
        for piece in split.resample(None):
            out.mux(stream.encode(piece))
        out.mux(stream.encode(None))
    return path


def wav_bytes(
    data: bytes, *, rate: int = 8000, channels: int = 1, bits: int = 16, align: int | None = None
) -> bytes:
    """A WAV file of these bytes, with any values in its header."""
    align = channels * bits // 8 if align is None else align
    form = struct.pack("<IHHIIHH", 16, 1, channels, rate, rate * align % 2**32, align, bits)
    body = b"WAVEfmt " + form + b"data" + struct.pack("<I", len(data)) + data
    return b"RIFF" + struct.pack("<I", len(body)) + body


def with_zeros_inside(path: Path, start: float, stop: float) -> Path:
    """Overwrite the part of the file between two shares of its length with zeros."""
    content = bytearray(path.read_bytes())
    begin, end = int(start * len(content)), int(stop * len(content))
    content[begin:end] = bytes(end - begin)
    path.write_bytes(content)
    return path


def cut(path: Path, share: float = 0.5) -> Path:
    """Keep only the first `share` of the file."""
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    return path


def with_total_samples(path: Path, total: int) -> Path:
    """Rewrite the 36-bit field of a FLAC's STREAMINFO."""
    content = bytearray(path.read_bytes())
    content[21] = (content[21] & 0xF0) | (total >> 32)
    content[22:26] = (total & 0xFFFFFFFF).to_bytes(4, "big")
    path.write_bytes(content)
    return path


def code_of(path: Path) -> str:
    """The error code of an unusable file; the test fails if the file is usable."""
    with pytest.raises(BadAudio) as caught:
        check(decode(path))
    assert caught.value.reason
    return caught.value.code
