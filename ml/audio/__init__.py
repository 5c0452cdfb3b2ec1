"""Audio files: decoded, identified, and described by their own metadata.

Decode a file to samples, mix it down and resample it:

    >>> import numpy as np
    >>> from melgraph.ml.audio import resample, to_mono
    >>> stereo = np.zeros((44_100, 2), np.float32)  # one second, [sample, channel]
    >>> resample(to_mono(stereo), 44_100, 22_050).shape
    (22050,)
"""

from melgraph.ml.audio.decoding import (
    AUDIO_SUFFIXES,
    BadAudio,
    Decoded,
    Levels,
    Resampler,
    check,
    check_levels,
    decode,
    levels,
    open_audio,
    read_tags,
    resample,
    to_mono,
)

__all__ = [
    "AUDIO_SUFFIXES",
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
