"""Connected components of a graph, and edges between rows of equal key."""

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components


def components(n: int, edges: Iterable[tuple[int, int]]) -> NDArray[np.int64]:
    """Connected components of `n` tracks.

    >>> components(4, [(0, 2), (2, 3)]).tolist()
    [0, 1, 0, 0]

    Args:
        n: number of tracks.
        edges: pairs of rows that belong together; repeated pairs and self-loops have no effect.

    Returns:
        int64 [n]: the component of each row. Components are numbered from 0 in the order of their
        smallest row.

    Raises:
        ValueError: an edge names a row outside of 0 to n - 1.
    """
    pairs = np.array(list(edges), dtype=np.int64).reshape(-1, 2)
    if pairs.size and (pairs.min() < 0 or pairs.max() >= n):
        raise ValueError(f"edges name rows {pairs.min()}..{pairs.max()}, there are {n} tracks")
    if n == 0:
        return np.zeros(0, dtype=np.int64)
    graph = coo_array(
        (np.ones(len(pairs), dtype=np.int8), (pairs[:, 0], pairs[:, 1])), shape=(n, n)
    )
    _, component = connected_components(graph, directed=False)
    _, first, inverse = np.unique(component, return_index=True, return_inverse=True)
    rank = np.empty(len(first), dtype=np.int64)
    rank[np.argsort(first)] = np.arange(len(first))
    return rank[inverse]


def edges_from_keys(keys: Sequence[str | None]) -> list[tuple[int, int]]:
    """Edges between rows of equal key (artist, duplicate cluster, ...); None connects nothing.

    >>> edges_from_keys(["Ada", "Bob", "Ada", None, None])
    [(0, 2)]
    """
    first: dict[str, int] = {}
    edges = []
    for row, key in enumerate(keys):
        if key is not None:
            anchor = first.setdefault(key, row)
            if anchor != row:
                edges.append((anchor, row))
    return edges
