"""Searching several segments together, exactly or by their cells."""

from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from melgraph.storage.vector_index.cells import Mask
from melgraph.storage.vector_index.nearest import BLOCK, NearestRows, similarities_of_rows
from melgraph.storage.vector_index.segments import Floats, Rows, Segment, unit

EXACT_BELOW = 50_000  # vectors in all segments; with fewer, an exact search is fast enough
_QUERIES_AT_ONCE = 256
_PAIRS_AT_ONCE = 2**22  # of a query and a row; bounds the memory where k is very large
_CANDIDATES, _PER_RESULT = 20, 3  # from the cells of a segment: 20 and 3 k
_FEW = 0.1  # share of a segment; a search in fewer of its vectors is exact


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
        exact vectors. The answer is therefore the same for one query as for many, and for every
        number of threads.

        Args:
            queries: float `[query, dimension]`, finite.
            k: number of results.
            allowed: bool `[row]`, the rows that may be returned; None for all.

        Returns:
            Rows int64 `[query, k]` and similarities float32 `[query, k]`. The rest of a row is -1
            and NaN if there are fewer than k.

        Raises:
            ValueError: the queries have another dimension than the vectors, or `allowed` is not
                about all rows.
        """
        queries = np.asarray(queries)
        if self.segments and queries.shape[1:] != (self.segments[0].dimension,):
            raise ValueError(
                f"queries of dimension {queries.shape[1:]} in an index of dimension "
                f"{self.segments[0].dimension}"
            )
        if allowed is not None and allowed.shape != (len(self),):
            raise ValueError(f"a filter of {allowed.shape} for {len(self)} rows")
        nearest = np.full((len(queries), k), -1, np.int64)
        similarities = np.full((len(queries), k), np.nan, np.float32)
        if not nearest.size or not len(self):
            return nearest, similarities
        searches = self._searches(k, allowed)
        at_once = min(_QUERIES_AT_ONCE, max(1, _PAIRS_AT_ONCE // k))
        for start in range(0, len(queries), at_once):
            part = slice(start, start + at_once)
            units = unit(queries[part])
            near = NearestRows(len(units), k)
            for search in searches:
                search.collect(units, near)
            numbers, rows = near.pairs()
            self._rank(units, numbers, rows, nearest[part], similarities[part])
        return nearest, similarities

    def _searches(self, k: int, allowed: Mask | None) -> list["_SegmentSearch"]:
        """How each segment is searched. Segments without an allowed row are not."""
        searches = []
        for start, segment in zip(self._starts, self.segments, strict=False):
            mask = None if allowed is None else allowed[start : start + len(segment)]
            n = len(segment) if mask is None else int(np.count_nonzero(mask))
            if n:
                by_cells = len(self) >= EXACT_BELOW and segment.has_cells
                searches.append(_SegmentSearch(segment, int(start), k, n, mask, by_cells))
        return searches

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


class _SegmentSearch:
    """The search in one segment.

    Args:
        segment: to be searched.
        start: the row of its first vector.
        k: number of results.
        n: how many of its rows are allowed, at least one.
        mask: bool `[track]`, the allowed rows of the segment; None for all.
        by_cells: whether its cells may be searched, if this is faster.
    """

    def __init__(
        self, segment: Segment, start: int, k: int, n: int, mask: Mask | None, by_cells: bool
    ) -> None:
        self._segment, self._start, self._k = segment, start, k
        self._n_needed = min(k, n)
        self._n_candidates = _CANDIDATES + _PER_RESULT * k
        if n == len(segment):
            mask = None
        few = min(n, _FEW * len(segment))
        self._by_cells = by_cells and n > few and self._n_candidates <= few
        self._selection = None if mask is None else np.flatnonzero(mask)
        self._filter = segment.cells.filter(mask) if self._by_cells and mask is not None else None

    def collect(self, queries: Floats, near: NearestRows) -> None:
        """Offer the nearest rows of the segment.

        Args:
            queries: float32 `[query, dimension]`, of length 1.
            near: receives them.
        """
        numbers = np.arange(len(queries))
        if self._by_cells:
            segment = self._segment
            rows = segment.cells.candidates(queries, self._k, self._n_candidates, self._filter)
            enough = (rows >= 0).sum(axis=1) >= self._n_needed
            similarities = similarities_of_rows(segment.vectors, queries[enough], rows[enough])
            near.offer(numbers[enough], rows[enough] + self._start, similarities)
            numbers = numbers[~enough]  # nearly empty cells only: no cheap answer
        if len(numbers):
            near.offer_blocks(
                self._segment.vectors, queries[numbers], numbers, self._start, self._selection
            )
