"""Audio files: decode them, check whether they are usable, and read the metadata inside them.

Decode a file to samples with `decode`, or block by block with `open_audio`. Then mix the channels
down and change the sample rate:

    >>> import numpy as np
    >>> from melgraph.ml.audio import resample, to_mono
    >>> stereo = np.zeros((44_100, 2), np.float32)  # one second, [sample, channel]
    >>> resample(to_mono(stereo), 44_100, 22_050).shape
    (22050,)
"""

from melgraph.ml.audio.containers.suffixes import AUDIO_SUFFIXES, describe_ignored
from melgraph.ml.audio.decoding import Decoded, check, check_levels, decode
from melgraph.ml.audio.metadata import read_file_metadata
from melgraph.ml.audio.signal import (
    Levels,
    Resampler,
    check_sound,
    levels,
    resample,
    to_mono,
    within_full_scale,
)
from melgraph.ml.audio.source import BadAudio
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
    "check_sound",
    "decode",
    "describe_ignored",
    "levels",
    "open_audio",
    "read_file_metadata",
    "resample",
    "to_mono",
    "within_full_scale",
]
