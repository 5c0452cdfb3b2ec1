"""Sheets of samples: what a generative model made at the end of an epoch, as a picture."""

from collections.abc import Sequence
from textwrap import shorten
from typing import TYPE_CHECKING, Any

import numpy as np

from melgraph.assets.library.inputs import TrackInputs
from melgraph.ml.specs.generative_model import GenerativeSpec

if TYPE_CHECKING:
    from melgraph.ml.generative.base import GenreTracks, Samples


SAMPLES_PER_GENRE = 2  # that are drawn


def sheet(
    described: GenerativeSpec,
    inputs: TrackInputs,
    genres: Sequence[str],
    samples: "Samples",
    validation: "GenreTracks",
    epoch: int,
) -> bytes:
    """The first samples of each genre as a PNG file, each below what it was made from.

    Args:
        described: the specification of the model.
        inputs: the representation that it learns from.
        genres: names of the genres.
        samples: of the epoch.
        validation: the recordings that samples are made from.
        epoch: its number, for the title.
    """
    from melgraph.ml.plots.generative import sample_sheet

    chosen = [
        number
        for genre in range(len(genres))
        for number in np.flatnonzero(samples.genres == genre)[:SAMPLES_PER_GENRE].tolist()
    ]
    values = [in_units(described, samples.values[n].astype(np.float32)) for n in chosen]
    crops = [
        None if track < 0 else in_units(described, crop_of(validation, track, start, frames))
        for frames in [samples.values.shape[1]]
        for track, start in zip(samples.tracks[chosen], samples.starts[chosen], strict=True)
    ]
    titles = [genres[samples.genres[number]] for number in chosen]
    if described.kind == "cyclegan":
        titles = [f"to {title}" for title in titles]
    is_mfcc = described.kind == "recreation"
    return sample_sheet(
        values,
        [shorten(title, 22, placeholder="…") for title in titles],
        unit="MFCC, dB" if is_mfcc else "dB",
        originals=None if all(crop is None for crop in crops) else crops,
        title=f"epoch {epoch}",
        scale="signed" if is_mfcc else "loudest",
        first_bin=1 if is_mfcc else 0,
        ylabel="coefficient" if is_mfcc else "row" if described.kind == "cyclegan" else "mel band",
        frames_per_second=inputs.frames_per_second,
    )


def crop_of(tracks: "GenreTracks", track: int, start: int, frames: int) -> np.ndarray:
    """A crop of a recording: float32 `[frame, bin]`; repeated if the recording is shorter."""
    array: Any = tracks.arrays[track]
    piece = np.asarray(array[start : start + frames], np.float32)
    if len(piece) < frames:
        whole = np.asarray(array[:], np.float32)
        piece = np.resize(whole, (frames, *whole.shape[1:]))
    return piece.reshape(frames, -1)


def in_units(described: GenerativeSpec, values: np.ndarray) -> np.ndarray:
    """Values as people read them: images of an amplitude in dB instead of pixels."""
    if described.kind != "cyclegan":
        return values
    from melgraph.ml.representations.images import ImageMapping

    mapping = ImageMapping()
    decibels: np.ndarray = mapping.low_db + values * (mapping.high_db - mapping.low_db)
    return decibels
