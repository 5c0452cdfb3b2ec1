"""Decode a whole audio file, and check whether it holds anything worth analysing.

`ml.audio.stream` does the same block by block in bounded memory. Both give the same samples and
raise the same errors.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from melgraph.ml.audio.signal import Levels
from melgraph.ml.audio.source import BadAudio
from melgraph.ml.audio.stream import open_audio

_SILENCE_DBFS = -80.0
_LOUDEST = 8.0  # +18 dBFS: lossy codecs exceed full scale a little, unscaled floats by far more


@dataclass(frozen=True)
class Decoded:
    """A decoded file.

    `samples` is float32 `[sample, channel]` with full scale 1.0. Integer formats stay within
    [-1, 1]; a lossy codec may exceed that slightly.
    """

    samples: np.ndarray
    sample_rate: int  # Hz
    codec: str  # 'FLAC/PCM_16', 'MP3', 'AAC'
    container: str  # 'FLAC', 'WAV', 'MOV'
    warning: str | None = None  # the file is usable, but a person may want to look at it

    @property
    def seconds(self) -> float:
        """Duration in seconds."""
        return len(self.samples) / self.sample_rate


def decode(path: Path, *, max_seconds: float | None = None, max_hours: float = 24.0) -> Decoded:
    """Decode a whole file into one array.

    >>> import soundfile
    >>> soundfile.write("second.wav", np.zeros(44_100), 44_100)
    >>> decode(Path("second.wav")).seconds
    1.0

    Args:
        path: the file. If it has several audio streams, the first is decoded.
        max_seconds: decode at most this many seconds from the start.
        max_hours: refuse a longer file.

    Raises:
        BadAudio: vanished, unreadable, empty, encrypted, undecodable, bitstream, no-audio,
            truncated, damaged or too-long.
    """
    with open_audio(path, max_seconds=max_seconds, max_hours=max_hours) as audio:
        empty = np.zeros((0, audio.channels), dtype=np.float32)
        samples = np.concatenate([empty, *audio.pieces()])
        return Decoded(samples, audio.sample_rate, audio.codec, audio.container, audio.warning)


def check(decoded: Decoded, *, min_seconds: float = 0.5) -> None:
    """Raise unless the file holds anything worth analysing.

    Raises:
        BadAudio: as `check_levels`.
    """
    measured = Levels()
    measured.add(decoded.samples)
    check_levels(measured, decoded.sample_rate, min_seconds=min_seconds)


def check_levels(measured: Levels, sample_rate: int, *, min_seconds: float = 0.5) -> None:
    """Raise unless a stream holds anything worth analysing.

    Args:
        measured: the levels of all blocks of the stream.
        sample_rate: Hz.
        min_seconds: the shortest duration that is accepted.

    Raises:
        BadAudio: empty (no samples), undecodable (NaN or infinity), out-of-range (peak above
            +18 dBFS, so the floats were probably never scaled), too-short (below `min_seconds`) or
            silent (peak below -80 dBFS).
    """
    if not measured.samples:
        raise BadAudio("empty", "a valid file of 0 samples")
    if measured.not_finite:
        raise BadAudio("undecodable", f"{measured.not_finite} samples are not numbers")
    if measured.peak > _LOUDEST:
        raise BadAudio(
            "out-of-range", f"the peak is {measured.peak:.6g}, full scale is 1: not scaled?"
        )
    seconds = measured.samples / sample_rate
    if seconds < min_seconds:
        raise BadAudio("too-short", f"{seconds:.3f} s, at least {min_seconds:g} s needed")
    peak_dbfs = measured.peak_dbfs
    if peak_dbfs < _SILENCE_DBFS:
        raise BadAudio("silent", f"the peak is {peak_dbfs:.1f} dBFS, below {_SILENCE_DBFS:g} dBFS")
