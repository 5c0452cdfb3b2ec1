"""Which seconds of one track sound most like which seconds of another."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from melgraph.ml.similarity.neighbours import normalise

_BLOCK = 1024  # segments of the query that are compared at once: bounds the memory


@dataclass(frozen=True)
class Moment:
    """A segment of the query and the segment of a track that sounds like it.

    Attributes:
        query_start_s: where the segment of the query starts, seconds.
        track_start_s: where the segment of the track starts, seconds.
        similarity: cosine similarity of both, -1 .. 1.
    """

    query_start_s: float
    track_start_s: float
    similarity: float


def closest_moments(
    query_segments: NDArray[np.floating],
    query_starts_s: Sequence[float] | NDArray[np.floating],
    track_segments: NDArray[np.floating],
    track_starts_s: Sequence[float] | NDArray[np.floating],
    n: int = 1,
    *,
    segment_s: float = 0.0,
) -> list[Moment]:
    """The pairs of segments of highest similarity, the most similar first.

    No two moments overlap, neither in the query nor in the track. Of equal pairs, the earliest
    segment of the query comes first, then the earliest of the track.

    Args:
        query_segments: float [m, d], finite; of any length.
        query_starts_s: [m] seconds.
        track_segments: float [n, d], finite.
        track_starts_s: [n] seconds.
        n: number of moments. The result has fewer if all other pairs overlap with one of them.
        segment_s: length of a segment, seconds. Segments whose starts differ by less overlap; with
            0, only equal starts do.

    Returns:
        Empty if one of them has no segments.

    Raises:
        UserError: vectors are not finite.
        ValueError: the numbers of segments and of starts, or the dimensions, differ.
    """
    query_starts = np.asarray(query_starts_s, np.float64).reshape(-1)
    track_starts = np.asarray(track_starts_s, np.float64).reshape(-1)
    if len(query_segments) != len(query_starts) or len(track_segments) != len(track_starts):
        raise ValueError("each segment needs a start")
    if not len(query_starts) or not len(track_starts):
        return []
    # Sorted by start, so that the first of equal pairs is the earliest.
    query_order = np.argsort(query_starts, kind="stable")
    track_order = np.argsort(track_starts, kind="stable")
    query_starts, track_starts = query_starts[query_order], track_starts[track_order]
    query = normalise(np.asarray(query_segments)[query_order])
    track = normalise(np.asarray(track_segments)[track_order])
    moments: list[Moment] = []
    while len(moments) < n and len(query) and len(track):
        row, column, similarity = _most_similar(query, track)
        moments.append(Moment(float(query_starts[row]), float(track_starts[column]), similarity))
        in_query = _apart(query_starts, query_starts[row], segment_s)
        in_track = _apart(track_starts, track_starts[column], segment_s)
        query, query_starts = query[in_query], query_starts[in_query]
        track, track_starts = track[in_track], track_starts[in_track]
    return moments


def _apart(starts: NDArray[np.float64], start: np.float64, segment_s: float) -> NDArray[np.bool_]:
    """Which segments do not overlap with the one that starts there."""
    # Starts are rounded to frames: a segment that starts where another one ends is apart from it.
    return np.abs(starts - start) >= max(segment_s * 0.99, 1e-9)


def _most_similar(query: NDArray[np.float32], track: NDArray[np.float32]) -> tuple[int, int, float]:
    """Row, column and value of the highest similarity; of equal ones, the first."""
    best = (0, 0, -np.inf)
    for at in range(0, len(query), _BLOCK):
        # Rounded, so that equal pairs have equal similarities whatever the order of the additions.
        similarities = np.round(query[at : at + _BLOCK] @ track.T, 6)
        place = int(np.argmax(similarities))
        row, column = divmod(place, len(track))
        if similarities[row, column] > best[2]:
            best = (at + row, column, float(similarities[row, column]))
    return best[0], best[1], float(np.clip(best[2], -1.0, 1.0))
