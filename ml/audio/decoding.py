"""The first door of the pipeline: audio files to samples, samples to the mono signal we analyse.

Either as a stream, in bounded memory (`open_audio`, `Levels`, `Resampler`), or whole (`decode`,
`check`, `levels`, `resample`): the samples and the verdicts are the same.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from melgraph.ml.audio.errors import BadAudio
from melgraph.ml.audio.metadata import read_tags
from melgraph.ml.audio.signal import Levels, Resampler, levels, resample, to_mono
from melgraph.ml.audio.stream import AudioStream, open_audio

__all__ = [
    "AUDIO_SUFFIXES",
    "AudioStream",
    "BadAudio",
    "Decoded",
    "Levels",
    "Resampler",
    "check",
    "check_levels",
    "decode",
    "levels",
    "open_audio",
    "read_tags",
    "resample",
    "to_mono",
]

# What a scanner takes for audio; the decoder then goes by content, not by name.
_LIBSNDFILE_SUFFIXES = (
    ".wav .wave .w64 .rf64 .aif .aiff .aifc .au .snd .caf .flac .ogg .oga .opus .mp3"
)
_FFMPEG_SUFFIXES = ".m4a .m4b .aac .webm .mka .wma .wv"
AUDIO_SUFFIXES = frozenset(f"{_LIBSNDFILE_SUFFIXES} {_FFMPEG_SUFFIXES}".split())

_SILENCE_DBFS = -80.0
_LOUDEST = 8.0  # +18 dBFS; lossy codecs overshoot full scale a little, unscaled floats by far more


@dataclass(frozen=True)
class Decoded:
    """A decoded file.

    `samples` is float32 `[sample, channel]`, full scale 1.0: within [-1, 1] for integer formats,
    slightly beyond where a lossy codec overshoots.
    """

    samples: np.ndarray
    sample_rate: int  # Hz
    codec: str  # 'FLAC/PCM_16', 'MP3', 'AAC'
    container: str  # 'FLAC', 'WAV', 'MOV'
    warning: str | None = None  # accepted, but a person may want to know

    @property
    def seconds(self) -> float:
        """Duration."""
        return len(self.samples) / self.sample_rate


def decode(path: Path, *, max_seconds: float | None = None, max_hours: float = 24.0) -> Decoded:
    """Decode a file whole: all the blocks of `open_audio` in one.

    Args:
        path: the file; of several audio streams the first is taken.
        max_seconds: decode no more than this from the start.
        max_hours: a longer file is refused.

    Raises:
        BadAudio: vanished, unreadable, empty, undecodable, no-audio, truncated, damaged or
            too-long.
    """
    with open_audio(path, max_seconds=max_seconds, max_hours=max_hours) as audio:
        empty = np.zeros((0, audio.channels), dtype=np.float32)
        samples = np.concatenate([empty, *audio.pieces()])
        return Decoded(samples, audio.sample_rate, audio.codec, audio.container, audio.warning)


def check(decoded: Decoded, *, min_seconds: float = 0.5) -> None:
    """Is there anything worth analysing?

    Raises:
        BadAudio: as `check_levels`.
    """
    found = Levels()
    found.add(decoded.samples)
    check_levels(found, decoded.sample_rate, min_seconds=min_seconds)


def check_levels(found: Levels, sample_rate: int, *, min_seconds: float = 0.5) -> None:
    """Is there anything worth analysing in a stream that has been measured to its end?

    Args:
        found: of all its blocks.
        sample_rate: Hz.
        min_seconds: what is shorter says too little.

    Raises:
        BadAudio: empty (no samples), undecodable (NaN or infinity), out-of-range (peak above
            +18 dBFS: floats that were never scaled), too-short (below `min_seconds`), silent (peak
            below -80 dBFS).
    """
    if not found.samples:
        raise BadAudio("empty", "a valid file of 0 samples")
    if found.not_finite:
        raise BadAudio("undecodable", f"{found.not_finite} samples are not numbers")
    if found.peak > _LOUDEST:
        raise BadAudio(
            "out-of-range", f"the peak is {found.peak:.6g}, full scale is 1: not scaled?"
        )
    seconds = found.samples / sample_rate
    if seconds < min_seconds:
        raise BadAudio("too-short", f"{seconds:.3f} s, at least {min_seconds:g} s needed")
    peak_dbfs = found.peak_dbfs
    if peak_dbfs < _SILENCE_DBFS:
        raise BadAudio("silent", f"the peak is {peak_dbfs:.1f} dBFS, below {_SILENCE_DBFS:g} dBFS")
