"""A path from one track to another through the nearest tracks of an index."""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from melgraph.storage.vector_index import VectorIndex

if TYPE_CHECKING:
    from melgraph.ml.similarity.paths import Path

_BETWEEN = 20  # nearest tracks to a point of the straight line between both


def path_rows(
    index: VectorIndex, allowed: NDArray[np.bool_], start: int, goal: int, length: int | None
) -> "Path":
    """The rows of a path, and how it differs from the requested one.

    Args:
        index: the opened index.
        allowed: bool `[row]`, the rows that may be on the path.
        start: row of the first track.
        goal: row of the last track.
        length: number of tracks between both; None for as many as it takes.

    Raises:
        UserError: the length is out of range.
    """
    from melgraph.ml.similarity.paths import path

    def neighbours_of(rows: list[int], k: int) -> list[tuple[list[int], list[float]]]:
        vectors = index.vectors(np.array(rows, np.int64))
        near, similarities = index.search(vectors, k + 1, allowed)
        lists = []
        for row, others, cosines in zip(rows, near, similarities, strict=True):
            keep = (others >= 0) & (others != row)
            lists.append((others[keep][:k].tolist(), cosines[keep][:k].tolist()))
        return lists

    first, last = index.vectors(np.array([start, goal]))

    def between(share: float) -> list[int]:
        near, _ = index.search(((1 - share) * first + share * last)[None], _BETWEEN, allowed)
        return [row for row in near[0].tolist() if row >= 0]

    return path(start, goal, neighbours_of, length, between=between)
