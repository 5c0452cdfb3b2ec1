"""Searching several segments together, exactly or by their graphs."""

from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from melgraph.storage.vector_index.segments import LARGEST_CODE, Floats, Rows, Segment, unit

EXACT_BELOW = 50_000  # vectors in all segments; with fewer, an exact search is fast enough
BLOCK = 16_384  # vectors that are compared at once; bounds the memory
_QUERIES_AT_ONCE = 256
_BREADTH = 64  # candidates of a search in a graph (efSearch); at least twice k
_FEW = 0.1  # share of a segment; a search in fewer of its vectors is exact
# Similarities that BLAS computes in float32 differ by less than this from the exact ones.
_ROUNDING = 4e-6

Mask = NDArray[np.bool_]


class VectorIndex:
    """The segments of an index, searched together. Rows are numbered over all segments.

    Attributes:
        segments: in the order of the track batches.

    Raises:
        ArtifactCorrupt: a segment cannot be read.
        ValueError: the segments have vectors of different lengths.
    """

    def __init__(self, segments: Sequence[Path]) -> None:
        opened = [Segment(folder) for folder in segments]
        self.segments = [segment for segment in opened if len(segment)]
        dimensions = {segment.dimension for segment in self.segments}
        if len(dimensions) > 1:
            raise ValueError(f"segments of different dimensions: {sorted(dimensions)}")
        self._starts = np.cumsum([0, *map(len, self.segments)])

    def __len__(self) -> int:
        return int(self._starts[-1])

    @cached_property
    def track_ids(self) -> list[str]:
        """The track of each row, hexadecimal."""
        joined = b"".join(segment.ids.tobytes() for segment in self.segments).hex()
        return [joined[start : start + 32] for start in range(0, len(joined), 32)]

    def vectors(self, rows: Rows) -> Floats:
        """The vectors of some rows.

        Args:
            rows: int64 `[n]`.

        Returns:
            float32 `[n, dimension]`, of length 1.
        """
        dimension = self.segments[0].dimension if self.segments else 0
        vectors = np.empty((len(rows), dimension), np.float32)
        numbers = np.searchsorted(self._starts, rows, side="right") - 1
        for number in np.unique(numbers):
            of_segment = numbers == number
            inside = rows[of_segment] - self._starts[number]
            vectors[of_segment] = self.segments[number].vectors[inside]
        return vectors

    def blocks(self) -> Iterator[tuple[int, Floats]]:
        """All vectors in blocks of at most `BLOCK`: the first row, and float32 `[n, dimension]`."""
        for start, segment in zip(self._starts, self.segments, strict=False):
            for offset in range(0, len(segment), BLOCK):
                yield int(start) + offset, segment.vectors[offset : offset + BLOCK]

    def search(
        self, queries: NDArray[np.floating[Any]], k: int, allowed: Mask | None = None
    ) -> tuple[Rows, Floats]:
        """The `k` nearest vectors of each query by cosine similarity, nearest first.

        Equal similarities are ordered by row. The similarities are computed in float64 from the
        exact vectors. They are therefore the same for one query as for many, and for every number
        of threads.

        Args:
            queries: float `[query, dimension]`, finite.
            k: number of results.
            allowed: bool `[row]`, the rows that may be returned; None for all.

        Returns:
            Rows int64 `[query, k]` and similarities float32 `[query, k]`. The rest of a row is -1
            and NaN if there are fewer than k.

        Raises:
            ValueError: the queries have another dimension than the vectors.
        """
        queries = np.asarray(queries)
        if self.segments and queries.shape[1:] != (self.segments[0].dimension,):
            raise ValueError(
                f"queries of dimension {queries.shape[1:]} in an index of dimension "
                f"{self.segments[0].dimension}"
            )
        nearest = np.full((len(queries), k), -1, np.int64)
        similarities = np.full((len(queries), k), np.nan, np.float32)
        for start in range(0, len(queries) if len(self) else 0, _QUERIES_AT_ONCE):
            part = slice(start, start + _QUERIES_AT_ONCE)
            numbers, rows = self._candidates(unit(queries[part]), k, allowed)
            self._rank(unit(queries[part]), numbers, rows, nearest[part], similarities[part])
        return nearest, similarities

    def _candidates(self, queries: Floats, k: int, allowed: Mask | None) -> tuple[Rows, Rows]:
        """Pairs of a query's number and a row, which include the `k` nearest rows."""
        exact = len(self) < EXACT_BELOW
        pairs = []
        for start, segment in zip(self._starts, self.segments, strict=False):
            mask = None if allowed is None else allowed[start : start + len(segment)]
            if mask is not None and mask.all():
                mask = None
            few = mask is not None and np.count_nonzero(mask) < max(_FEW * len(segment), 2 * k)
            if exact or few or not segment.has_graph or 2 * k > len(segment):
                numbers, rows = _nearest_in_blocks(segment.vectors, queries, k, mask)
            else:
                numbers, rows = _nearest_by_graph(segment, queries, k, mask)
            pairs.append((numbers, rows + start))
        return (
            np.concatenate([numbers for numbers, _ in pairs]),
            np.concatenate([rows for _, rows in pairs]),
        )

    def _rank(
        self, queries: Floats, numbers: Rows, rows: Rows, best: Rows, similarities: Floats
    ) -> None:
        """Write the nearest candidates of each query into `best` and `similarities`."""
        exact = np.empty(len(rows), np.float32)
        for start in range(0, len(rows), BLOCK):
            part = slice(start, start + BLOCK)
            pair = self.vectors(rows[part]).astype(np.float64) * queries[numbers[part]]
            exact[part] = pair.sum(axis=1)
        order = np.lexsort((rows, -exact, numbers))
        numbers, rows, exact = numbers[order], rows[order], exact[order]
        first = np.searchsorted(numbers, np.arange(len(queries)))
        rank = np.arange(len(numbers)) - first[numbers]
        near = rank < best.shape[1]
        best[numbers[near], rank[near]] = rows[near]
        similarities[numbers[near], rank[near]] = exact[near]


def _nearest_in_blocks(
    vectors: Floats, queries: Floats, k: int, mask: Mask | None
) -> tuple[Rows, Rows]:
    """Pairs of query and row with a similarity not below that of the k-th row, up to rounding."""
    selection = None if mask is None else np.flatnonzero(mask)
    total = len(vectors) if selection is None else len(selection)
    numbers, rows, approximate = [], [], []
    bound = np.full(len(queries), -np.inf, np.float32)  # no row below this is among the k nearest
    for start in range(0, total, BLOCK):
        part = slice(start, start + BLOCK)
        block = vectors[part] if selection is None else vectors[selection[part]]
        products = queries @ block.T
        if products.shape[1] > k:
            kth = np.partition(products, -k, axis=1)[:, -k]
            bound = np.maximum(bound, kth)
        number, row = np.nonzero(products >= (bound - _ROUNDING)[:, None])
        numbers.append(number)
        approximate.append(products[number, row])
        row += start
        rows.append(row if selection is None else selection[row])
    if not rows:
        return np.empty(0, np.int64), np.empty(0, np.int64)
    number, row = np.concatenate(numbers), np.concatenate(rows)
    above = np.concatenate(approximate) >= (bound - _ROUNDING)[number]
    return number[above], row[above]


def _nearest_by_graph(
    segment: Segment, queries: Floats, k: int, mask: Mask | None
) -> tuple[Rows, Rows]:
    """Pairs of query and row that the graph proposes, twice k for each query."""
    import faiss

    options: dict[str, Any] = {"efSearch": max(_BREADTH, 3 * k)}
    if mask is not None:
        bits = np.packbits(mask, bitorder="little")
        options["sel"] = faiss.IDSelectorBitmap(bits)
    largest = np.abs(queries).max(axis=1, keepdims=True)
    scaled = np.rint(queries * (LARGEST_CODE / np.where(largest > 0, largest, 1)))
    _, rows = segment.graph.search(scaled, 2 * k, params=faiss.SearchParametersHNSW(**options))
    numbers = np.repeat(np.arange(len(queries)), rows.shape[1])
    known = rows.ravel() >= 0
    return numbers[known], rows.ravel()[known].astype(np.int64)
