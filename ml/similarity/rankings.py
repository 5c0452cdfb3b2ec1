"""Rankings of a whole catalogue for a query: by the cosine, and as recommendations order it.

Recommendations put the nearest tracks by cosine in order of the rescaled similarity
(`ml/similarity/lists.py`). A ranking of the whole catalogue continues such a list with all other
tracks, so that average precision can be measured.
"""

import numpy as np
from numpy.typing import NDArray

from melgraph.ml.similarity.hubness import rescaled
from melgraph.ml.similarity.lists import CANDIDATES


def rankings(
    vectors: NDArray[np.float32],
    queries: NDArray[np.integer],
    scales: NDArray[np.floating] | None = None,
    *,
    candidates: int = CANDIDATES,
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """All other tracks of a catalogue for each query, nearest first, in two orders.

    Args:
        vectors: float32 `[track, dimension]`, of length 1.
        queries: int `[query]`, rows of the queries.
        scales: float `[track]`, the scales of local scaling, see `hubness.scales`; NaN where a
            track has none. None for no rescaling: both orders are then the same.
        candidates: how many of the nearest tracks by cosine come first in the second order.

    Returns:
        Two arrays int64 `[query, track - 1]`: by cosine; and as recommendations order the tracks:
        the candidates by their rescaled similarity, then all others by theirs. Equal similarities
        are ordered by row.

    >>> two = np.array([[1, 0], [0.8, 0.6], [0.6, 0.8]], np.float32)
    >>> by_cosine, recommended = rankings(two, np.array([0]), np.array([0.1, 0.1, 0.9]))
    >>> by_cosine.tolist(), recommended.tolist()
    ([[1, 2]], [[2, 1]])
    """
    cosines = (vectors[queries] @ vectors.T).astype(np.float64)
    cosines[np.arange(len(queries)), queries] = -np.inf  # the query itself is last
    by_cosine = np.argsort(-cosines, axis=1, kind="stable")[:, :-1]
    if scales is None:
        return by_cosine, by_cosine
    cosines = np.take_along_axis(cosines, by_cosine, axis=1)
    scores = rescaled(cosines, scales[queries][:, None], scales[by_cosine])
    recommended = by_cosine.copy()
    for part in (slice(0, candidates), slice(candidates, None)):
        order = np.lexsort((by_cosine[:, part], -scores[:, part]), axis=1)
        recommended[:, part] = np.take_along_axis(by_cosine[:, part], order, axis=1)
    return by_cosine, recommended
