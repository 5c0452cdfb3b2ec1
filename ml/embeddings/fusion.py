"""Fusions: the vectors of several encoders joined, so that their similarities are averaged.

Encoders have different dimensions, units and lengths of vectors. Each part is therefore
standardised by the mean and the deviation of a set of tracks, scaled to length 1, and multiplied by
the square root of its share. The joined vector has the length 1, and the cosine similarity of two
tracks is the mean of the cosine similarities of their parts, weighted by the shares. So a part
cannot outweigh the others because it has more dimensions, or because a track is unusual in it.

This is late fusion by the sum rule (Kittler, Hatef, Duin and Matas 1998, "On combining
classifiers", section 2.2), with similarities instead of probabilities, and with weights.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from melgraph.ml.moments import Moments
from melgraph.ml.similarity.neighbours import normalise

# A dimension is divided by at least this share of the typical deviation of its part. Otherwise, a
# unit of a network that is 0 for nearly all tracks would dominate where it is not 0.
LEAST_DEVIATION = 0.1
BLOCK = 1 << 14  # rows that are joined at once: bounds the memory


@dataclass(frozen=True)
class TrackVectors:
    """The vectors of tracks and of their segments.

    The segments of track `t` are the rows from `segment_offsets[t]` to `segment_offsets[t + 1]`.

    Attributes:
        vectors: float32 [track, dim].
        segment_vectors: float32 [segment, dim].
        segment_offsets: int64 [track + 1].
        segment_starts: float64 [segment], seconds from the beginning of the track; ascending within
            a track.
    """

    vectors: NDArray[np.float32]
    segment_vectors: NDArray[np.float32]
    segment_offsets: NDArray[np.int64]
    segment_starts: NDArray[np.float64]

    def of_tracks(self, rows: NDArray[np.int64]) -> "TrackVectors":
        """The vectors of some tracks, in the order of their row numbers, int64 [n]."""
        counts = np.diff(self.segment_offsets)[rows]
        offsets = np.cumsum([0, *counts], dtype=np.int64)
        # Of each segment: the row of the first segment of its track, and its place among them.
        firsts = np.repeat(self.segment_offsets[rows], counts)
        segments = firsts + np.arange(offsets[-1]) - np.repeat(offsets[:-1], counts)
        return TrackVectors(
            self.vectors[rows],
            self.segment_vectors[segments],
            offsets,
            self.segment_starts[segments],
        )


@dataclass(frozen=True)
class PartScaling:
    """How the vectors of a part are standardised.

    Attributes:
        mean: float64 [dim].
        deviation: float64 [dim], positive.
    """

    mean: NDArray[np.float64]
    deviation: NDArray[np.float64]


def scaling_of(moments: Moments) -> PartScaling:
    """The scaling of a part, from the moments of its track vectors.

    A deviation is at least `LEAST_DEVIATION` of the root mean square of all deviations. If no
    dimension varies, each is divided by 1.

    Args:
        moments: of float [track, dim], at least one track.
    """
    deviation = np.sqrt(moments.variance)
    typical = float(np.sqrt(moments.variance.mean()))
    # The deviation of a constant vector is a rounding error of its values.
    rounding = float(np.finfo(np.float32).eps) * float(np.abs(moments.mean).max())
    if typical <= rounding:
        return PartScaling(moments.mean, np.ones_like(deviation))
    return PartScaling(moments.mean, np.maximum(deviation, LEAST_DEVIATION * typical))


def fuse(
    parts: Sequence[NDArray[np.floating]],
    scalings: Sequence[PartScaling],
    shares: Sequence[float],
    rows: Sequence[NDArray[np.int64]] | None = None,
) -> NDArray[np.float32]:
    """Join the vectors of several parts.

    Args:
        parts: of each part float [row, dim of the part], finite.
        scalings: of each part.
        shares: of each part: positive, with the sum 1.
        rows: of each part int64 [n]: the rows that belong together; None: row i of all parts.

    Returns:
        float32 [n, sum of the dimensions]. Rows have the length 1. A row is shorter if its vector
        by a part equals the mean of this part, because this part is then a vector of zeros.

    Raises:
        UserError: a value is NaN or infinite.

    >>> moments = Moments()
    >>> moments.add(np.array([[0.0, 0.0], [2.0, 20.0]]))
    >>> scaling = scaling_of(moments)
    >>> fuse([np.array([[3.0, 10.0]])], [scaling], [1.0])
    array([[1., 0.]], dtype=float32)
    """
    n = len(parts[0]) if rows is None else len(rows[0])
    joined = np.empty((n, sum(part.shape[1] for part in parts)), np.float32)
    for first in range(0, n, BLOCK):
        block = slice(first, min(first + BLOCK, n))
        column = 0
        for number, (part, scaling, share) in enumerate(zip(parts, scalings, shares, strict=True)):
            piece = np.asarray(part[block if rows is None else rows[number][block]], np.float64)
            unit = normalise((piece - scaling.mean) / scaling.deviation)
            joined[block, column : column + part.shape[1]] = np.sqrt(share) * unit
            column += part.shape[1]
    return joined


def fuse_tracks(
    parts: Sequence[TrackVectors],
    scalings: Sequence[PartScaling],
    shares: Sequence[float],
    *,
    segments_of: int,
    segment_s: float,
) -> TrackVectors:
    """Join the vectors of several parts, of tracks and of segments.

    The parts cut a track into segments of different lengths. The joined segments are those of one
    part. Each other part gives the segment that covers the middle of it.

    Args:
        parts: of the same tracks in the same order; each track has a segment in each part.
        scalings: of each part, for its tracks and its segments alike.
        shares: of each part: positive, with the sum 1.
        segments_of: number of the part that gives the segments.
        segment_s: length of its segments, seconds.

    Raises:
        UserError: a value is NaN or infinite.
    """
    leading = parts[segments_of]
    middles = leading.segment_starts + segment_s / 2
    rows = [
        np.arange(len(middles))
        if part is leading
        else _covering_segments(part, leading.segment_offsets, middles)
        for part in parts
    ]
    return TrackVectors(
        vectors=fuse([part.vectors for part in parts], scalings, shares),
        segment_vectors=fuse([part.segment_vectors for part in parts], scalings, shares, rows),
        segment_offsets=leading.segment_offsets,
        segment_starts=leading.segment_starts,
    )


def _covering_segments(
    part: TrackVectors, offsets: NDArray[np.int64], times: NDArray[np.float64]
) -> NDArray[np.int64]:
    """The row of the segment of a part that covers each time: the last one that starts by then.

    Args:
        part: the part.
        offsets: int64 [track + 1]: the times of each track.
        times: float64 [time], seconds from the beginning of the track.

    Returns:
        int64 [time].
    """
    rows = np.zeros(len(times), np.int64)
    for track, first in enumerate(part.segment_offsets[:-1]):
        starts = part.segment_starts[first : part.segment_offsets[track + 1]]
        of_track = slice(offsets[track], offsets[track + 1])
        at = np.searchsorted(starts, times[of_track], side="right") - 1
        rows[of_track] = first + np.maximum(at, 0)
    return rows
