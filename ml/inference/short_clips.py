"""Clips that are shorter than the segments of a model: what was repeated, and what is too short.

A model takes segments of one length. A shorter clip is repeated from its beginning until it fills
one (`ml.inference.tracks.crop_batch`). The model then answers as it always does, although it has
heard little. So the repetition is stated, and a very short clip is refused.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from melgraph.ml.audio import BadAudio
from melgraph.ml.inference.model_input import input_of_file

# Musicnn names the genre that it names for the whole 30 s in 52 % of clips of 0.6 s, 68 % of 1 s,
# 82 % of 3 s (its segment) and 95 % of 10 s, and by chance in at most 34 % (44 recordings of
# Emotify; `python benchmarks/short_clips.py DATA` prints it).
LEAST_S = 1.0  # seconds of a clip
LEAST_SHARE = 0.1  # of a segment


@dataclass(frozen=True)
class Clip:
    """An audio file as a model is given it.

    Attributes:
        array: the input of the model, as `input_of_file` returns it.
        caution: how short the clip is, and how often it was repeated; None if it fills a segment.
    """

    array: Any
    caution: str | None


def read_clip(
    path: Path,
    described: Mapping[str, Any],
    segment_frames: int,
    read: Callable[[Path], Any] | None = None,
) -> Clip:
    """Read an audio file for a model.

    Args:
        path: of the audio file.
        described: `input` of a checkpoint's meta.
        segment_frames: length of a segment, `model.shape.frames`.
        read: reads the input of the model, see `model_input.file_reader`; None for one that needs
            no networks.

    Raises:
        BadAudio: the file cannot be used, or is shorter than a second or a tenth of a segment.
    """
    array = input_of_file(path, described) if read is None else read(path)
    return Clip(array, caution_of(len(array), segment_frames, described["crop_s"]))


def caution_of(n_frames: int, segment_frames: int, segment_s: float) -> str | None:
    """What to say about a clip that does not fill a segment; None if it does.

    >>> caution_of(1500, 3000, 3.0)
    'the clip has 1.50 s and the model takes 3.00 s: 50% of what it was given is a repetition'

    Args:
        n_frames: of the clip.
        segment_frames: of a segment.
        segment_s: length of a segment in seconds.

    Raises:
        BadAudio: the clip is shorter than `LEAST_S`, or than `LEAST_SHARE` of a segment.
    """
    if n_frames >= segment_frames:
        return None
    clip_s = segment_s * n_frames / segment_frames
    least_s = min(segment_s, max(LEAST_S, LEAST_SHARE * segment_s))
    if clip_s < least_s - 1e-6:
        raise BadAudio(
            "too-short",
            f"{clip_s:.2f} s, and at least {least_s:.2f} s are needed for a model that takes "
            f"{segment_s:.2f} s",
        )
    return (
        f"the clip has {clip_s:.2f} s and the model takes {segment_s:.2f} s: "
        f"{1 - clip_s / segment_s:.0%} of what it was given is a repetition"
    )
