"""Hubness of neighbour lists, and a rescaled similarity that reduces it.

In a space of many dimensions, a few tracks (the hubs) are near to very many others, and many tracks
are in no neighbour list at all (Radovanovic, Nanopoulos and Ivanovic 2010, "Hubs in space", section
3), so that they are never recommended. Local scaling divides the distance of two tracks by the
distances that are usual around each of them (Zelnik-Manor and Perona 2004, "Self-tuning spectral
clustering", section 2; against hubs: Schnitzer, Flexer, Schedl and Widmer 2012, "Local and global
scaling reduce hubs in space", section 3.1).

`docs/results/hubness.md` compares it with other methods on real collections.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

# The scale of a track is its distance to this neighbour.
NEIGHBOUR = 20
# Cosines are computed in float32: smaller distances are rounding errors. The floor also keeps the
# scale of a track above 0 if all its neighbours are duplicates of it.
SMALLEST_DISTANCE = 1e-6


@dataclass(frozen=True)
class HubnessFigures:
    """How evenly the tracks of a catalogue are spread over the top-k lists of its tracks.

    The k-occurrence of a track is the number of top-k lists that it is in.

    Attributes:
        coverage: the share of the catalogue that is in at least one list, 0 to 1. NaN if the
            catalogue is empty.
        skewness: the third standardised moment of the k-occurrence; 0 if all tracks are in equally
            many lists. NaN if the catalogue is empty.
        largest_hub: the largest k-occurrence; 0 if all lists are empty.
        largest_hub_row: the row of the track that has it, the first one of several; None if all
            lists are empty.
    """

    coverage: float
    skewness: float
    largest_hub: int
    largest_hub_row: int | None


def hubness(neighbours: NDArray[np.integer], n_tracks: int) -> HubnessFigures:
    """Coverage of the catalogue, and the skewness of the k-occurrence (Radovanovic et al. 2010).

    Args:
        neighbours: int [n_query, k], the rows of the tracks in the list of each query; -1 where a
            list has fewer than k tracks.
        n_tracks: the size of the catalogue. Rows are numbers from 0 to `n_tracks` - 1.

    Raises:
        ValueError: a row is not in the catalogue.

    >>> hubness(np.array([[1, 2], [0, 2], [0, 1], [0, -1]]), 4)
    HubnessFigures(coverage=0.75, skewness=-0.6520236646847543, largest_hub=3, largest_hub_row=0)
    """
    rows = np.asarray(neighbours, dtype=np.int64).ravel()
    rows = rows[rows != -1]
    if len(rows) and not 0 <= rows.min() <= rows.max() < n_tracks:
        raise ValueError(
            f"neighbours in rows {rows.min()} to {rows.max()} of a catalogue of {n_tracks} tracks"
        )
    if not n_tracks:
        return HubnessFigures(float("nan"), float("nan"), 0, None)
    occurrence = np.bincount(rows, minlength=n_tracks)
    deviation = occurrence - occurrence.mean()
    spread = float(np.sqrt(np.square(deviation).mean()))
    hub = int(occurrence.argmax())
    return HubnessFigures(
        coverage=float((occurrence > 0).mean()),
        skewness=float((deviation**3).mean() / spread**3) if spread > 0 else 0.0,
        largest_hub=int(occurrence[hub]),
        largest_hub_row=hub if len(rows) else None,
    )


def scales(similarities: NDArray[np.floating]) -> NDArray[np.float32]:
    """The scale of each track: its cosine distance to the 20th of its candidates.

    If a track has fewer than 40 candidates, the one in the middle of the list is used: in a small
    catalogue, the 20th is far away and says nothing about the surroundings of the track.

    A scale depends on nothing but the candidates of its own track, so that the scales of older
    tracks remain usable when new tracks arrive. They become too large as the catalogue grows, which
    makes hubs of the older tracks: compute all scales again when it has grown by half.

    Args:
        similarities: float [n, c], cosines of each track with its candidates, nearest first,
            without the track itself; NaN at the end of a row that has fewer than c candidates. Give
            40 candidates or more where the catalogue has them.

    Returns:
        float32 [n], above 0. NaN for a track without candidates; `rescaled` accepts it.
    """
    cosines = np.asarray(similarities, dtype=np.float64)
    number = (~np.isnan(cosines)).sum(axis=1)
    rank = np.minimum(NEIGHBOUR, (number + 1) // 2)
    scale = np.full(len(cosines), np.nan)
    rows = np.flatnonzero(rank)
    scale[rows] = np.maximum(1.0 - cosines[rows, rank[rows] - 1], SMALLEST_DISTANCE)
    return scale.astype(np.float32)


def rescaled(
    similarity: ArrayLike, query_scale: ArrayLike, track_scales: ArrayLike
) -> NDArray[np.float64]:
    """The rescaled similarity of a query with tracks: a larger score means a nearer track.

    The score is minus the cosine distance, divided by the geometric mean of both scales. Its square
    is the exponent of local scaling, so both give the same order. The arguments are broadcast
    against each other, so that one call can serve many queries. A missing scale (NaN) is replaced
    with the scale of the other track; if both are missing, the score is minus the distance.

    Args:
        similarity: float [t], cosines of the query with tracks.
        query_scale: float, the scale of the query.
        track_scales: float [t], the scales of the tracks.

    Returns:
        float64 [t], at most 0; 0 for a copy of the query. NaN where the similarity is NaN.

    >>> rescaled([0.9, 0.9], 0.1, [0.1, 0.4]).round(3)
    array([-1. , -0.5])
    """
    distance = np.maximum(1.0 - np.asarray(similarity, dtype=np.float64), 0.0)
    query, tracks = np.broadcast_arrays(
        np.asarray(query_scale, dtype=np.float64), np.asarray(track_scales, dtype=np.float64)
    )
    product = np.where(np.isnan(query), tracks, query) * np.where(np.isnan(tracks), query, tracks)
    return np.asarray(-distance / np.sqrt(np.where(np.isnan(product), 1.0, product)))
