"""Audio files made for tests, whole and broken."""

from pathlib import Path

import av
import numpy as np
import pytest
import soundfile as sf

from ml.audio import BadAudio, check, decode

RATE = 44100
SECONDS = 4


def tone(seconds: float = SECONDS, rate: int = RATE) -> np.ndarray:
    """Stereo, float32 `[sample, channel]`; the noise keeps codecs from compressing it away."""
    t = np.arange(int(seconds * rate)) / rate
    noise = 0.05 * np.random.default_rng(3).standard_normal((len(t), 2))
    return (0.3 * np.sin(2 * np.pi * 440 * t)[:, None] + noise).astype(np.float32)


def encode(path: Path, codec: str, container: str, *, rate: int = RATE, **options: str) -> Path:
    """Write `tone` with FFmpeg, or with soundfile where that is the codec."""
    if codec == "soundfile":
        sf.write(path, tone(rate=rate), rate)
        return path
    with av.open(str(path), "w", format=container, options=options) as out:
        stream = out.add_stream(codec, rate=rate, layout="stereo")
        planar = np.ascontiguousarray(tone(rate=rate).T)
        frame = av.AudioFrame.from_ndarray(planar, format="fltp", layout="stereo")
        frame.sample_rate = rate
        form = stream.codec_context.format.name
        split = av.AudioResampler(format=form, layout="stereo", rate=rate, frame_size=960)
        for piece in [*split.resample(frame), *split.resample(None)]:
            out.mux(stream.encode(piece))
        out.mux(stream.encode(None))
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
    """The code of what is wrong with the file; fails where nothing is."""
    with pytest.raises(BadAudio) as caught:
        check(decode(path))
    assert caught.value.reason
    return caught.value.code
