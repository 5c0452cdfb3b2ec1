"""The nearest rows of several queries, collected from one block of similarities after another."""

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

# Vectors that are compared at once: few as long as all of them are kept, and then so many that
# their similarities fit into the cache.
_FIRST_BLOCK, _LARGEST_BLOCK, _PAIRS_PER_BLOCK = 64, 2**15, 2**20
_RANKED_AT_ONCE = 512  # pairs whose exact similarities are computed at once
# Similarities that are computed in float32 differ by less than this from the exact ones.
_ROUNDING = 4e-6

Floats = NDArray[np.float32]
Rows = NDArray[np.int64]


class NearestRows:
    """Pairs of a query and a row that are among the `k` nearest of this query, up to rounding.

    Args:
        n_queries: number of queries.
        k: how many rows per query.
    """

    def __init__(self, n_queries: int, k: int) -> None:
        self._best = np.full((n_queries, k), -np.inf, np.float32)  # similarities, in no order
        # No row below this is among the k nearest.
        self._bound = np.full(n_queries, -np.inf, np.float32)
        self._pairs: list[tuple[Rows, Rows, Floats]] = []

    def offer(self, queries: Rows, rows: Rows, similarities: Floats) -> None:
        """Take what is near enough from a block of similarities.

        Args:
            queries: int64 `[q]`, the numbers of the queries.
            rows: int64 `[n]`, or `[q, n]` if each query has its own. No row may be offered twice.
            similarities: float32 `[q, n]`, computed in float32; -inf for rows to leave out.
        """
        bound = self._bound[queries]
        near = similarities >= np.maximum(bound - _ROUNDING, np.finfo(np.float32).min)[:, None]
        # np.nonzero of a table is ten times as slow.
        number, column = np.divmod(np.flatnonzero(near), near.shape[1] or 1)
        if not len(number):
            return
        values = similarities[number, column]
        self._pairs.append(
            (queries[number], rows[column] if rows.ndim == 1 else rows[number, column], values)
        )
        # A table of the new values beside the best ones so far. Unused places are below all.
        counts = np.bincount(number, minlength=len(queries))
        places = np.arange(len(number)) - np.repeat(np.cumsum(counts) - counts, counts)
        k = self._best.shape[1]
        table = np.full((len(queries), k + int(counts.max())), -np.inf, np.float32)
        table[:, :k] = self._best[queries]
        table[number, k + places] = values
        best = np.partition(table, -k, axis=1)[:, -k:]
        self._best[queries], self._bound[queries] = best, best[:, 0]

    def offer_blocks(
        self, vectors: Floats, queries: Floats, numbers: Rows, first: int, selection: Rows | None
    ) -> None:
        """Compare queries with all vectors, or with a selection of them.

        Args:
            vectors: float32 `[n, dimension]`.
            queries: float32 `[q, dimension]`.
            numbers: int64 `[q]`, the numbers of the queries.
            first: the row of the first vector.
            selection: int64, the vectors to compare with; None for all.
        """
        largest = min(_LARGEST_BLOCK, _PAIRS_PER_BLOCK // len(queries))
        first_block = largest if np.isfinite(self._bound[numbers]).all() else _FIRST_BLOCK
        n = len(vectors) if selection is None else len(selection)
        for part in _blocks(n, first_block, largest):
            inside = np.arange(part.start, part.stop) if selection is None else selection[part]
            block = vectors[part] if selection is None else vectors[inside]
            self.offer(numbers, inside + first, queries @ block.T)

    def ranked(self, queries: Floats, vectors: Callable[[Rows], Floats]) -> tuple[Rows, Floats]:
        """The `k` nearest rows of each query, nearest first; equal similarities by row.

        The similarities are computed in float64 from pairs of vectors, so they depend neither on
        the other queries nor on the number of threads.

        Args:
            queries: float32 `[query, dimension]`.
            vectors: from int64 `[n]` rows to their vectors, float32 `[n, dimension]`.

        Returns:
            Rows int64 `[query, k]`, -1 at the end if there are fewer; similarities float32
            `[query, k]`, NaN at the end.
        """
        nearest = np.full(self._best.shape, -1, np.int64)
        similarities = np.full(self._best.shape, np.nan, np.float32)
        numbers, rows = self._pairs_within_bounds()
        exact = np.empty(len(rows), np.float32)
        for start in range(0, len(rows), _RANKED_AT_ONCE):
            part = slice(start, start + _RANKED_AT_ONCE)
            products = vectors(rows[part]).astype(np.float64)
            products *= queries[numbers[part]]
            exact[part] = products.sum(axis=1)
        order = np.lexsort((rows, -exact, numbers))
        numbers, rows, exact = numbers[order], rows[order], exact[order]
        first = np.searchsorted(numbers, np.arange(len(queries)))
        rank = np.arange(len(numbers)) - first[numbers]
        near = rank < nearest.shape[1]
        nearest[numbers[near], rank[near]] = rows[near]
        similarities[numbers[near], rank[near]] = exact[near]
        return nearest, similarities

    def _pairs_within_bounds(self) -> tuple[Rows, Rows]:
        """Numbers of queries, and rows: more than `k` rows of a query only if rounding decides."""
        if not self._pairs:
            return np.empty(0, np.int64), np.empty(0, np.int64)
        numbers, rows, similarities = map(np.concatenate, zip(*self._pairs, strict=True))
        near = similarities >= (self._bound - _ROUNDING)[numbers]
        return numbers[near], rows[near]


def _blocks(n: int, size: int, largest: int) -> Iterator[slice]:
    """Slices of `size`, and of eight times as many each time, up to `largest`."""
    start = 0
    while start < n:
        yield slice(start, min(start + size, n))
        start, size = start + size, max(size, min(8 * size, largest))


def similarities_of_rows(vectors: Floats, queries: Floats, rows: Rows) -> Floats:
    """The similarities of each query with its own rows, in float32.

    Args:
        vectors: float32 `[n, dimension]`, contiguous.
        queries: float32 `[q, dimension]`.
        rows: int64 `[q, m]`, from -1 (nothing) to n - 1.

    Returns:
        float32 `[q, m]`; -inf where the row is -1.
    """
    import faiss

    queries, rows = np.ascontiguousarray(queries), np.ascontiguousarray(rows)
    similarities = np.empty(rows.shape, np.float32)
    faiss.fvec_inner_products_by_idx(
        *map(faiss.swig_ptr, (similarities, queries, vectors, rows)), queries.shape[1], *rows.shape
    )
    return similarities
