"""Searching several segments together, exactly or by their cells."""

from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from melgraph.storage.vector_index.cells import CellFilter, Mask
from melgraph.storage.vector_index.nearest import Floats, NearestRows, Rows, similarities_of_rows
from melgraph.storage.vector_index.segments import Segment, unit
from melgraph.storage.vector_index.threads import in_threads, one_blas_thread, parts_of

EXACT_BELOW = 50_000  # vectors in all segments; with fewer, an exact search is fast enough
BLOCK = 16_384  # vectors that `VectorIndex.blocks` returns at once
_QUERIES_AT_ONCE, _QUERIES_PER_THREAD = 512, 64  # the latter at least
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
        segments_with_empty = [Segment(folder) for folder in segments]
        self.segments = [segment for segment in segments_with_empty if len(segment)]
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

        Equal similarities are ordered by row. That of a query of zeros is 0 with all vectors. The
        similarities are computed in float64 from the exact vectors. The answer is therefore the
        same for one query as for many, and for every number of threads.

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
        first = np.arange(min(k, len(self))) if allowed is None else np.flatnonzero(allowed)[:k]

        def answer(part: slice) -> None:
            units = unit(queries[part])
            near = NearestRows(len(units), k)
            is_silent = ~units.any(axis=1)
            for search in searches if not is_silent.all() else []:
                search.collect(units, np.flatnonzero(~is_silent), near)
            nearest[part], similarities[part] = near.ranked(units, self.vectors)
            # All rows are equally near, and would all be compared exactly.
            nearest[part][is_silent, : len(first)] = first
            similarities[part][is_silent, : len(first)] = 0

        largest = min(_QUERIES_AT_ONCE, max(1, _PAIRS_AT_ONCE // k))
        parts = parts_of(len(queries), min(_QUERIES_PER_THREAD, largest), largest)
        by_cells = any(search.by_cells for search in searches)
        with one_blas_thread() if by_cells else nullcontext():
            deque(in_threads(answer, parts), maxlen=0)
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
        # What the cells propose shortens the exact searches after them.
        return sorted(searches, key=lambda search: not search.by_cells)


class _SegmentSearch:
    """The search in one segment.

    Attributes:
        by_cells: whether only the nearest cells are searched.

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
        self._mask = None if n == len(segment) else mask
        few = _FEW * len(segment)
        self.by_cells = by_cells and n > few > self._n_candidates
        self._filter: CellFilter | None = None
        if self.by_cells and self._mask is not None:
            self._filter = segment.cells.filter(self._mask)

    def collect(self, queries: Floats, numbers: Rows, near: NearestRows) -> None:
        """Offer the nearest rows of the segment.

        Args:
            queries: float32 `[query, dimension]`, of length 1.
            numbers: int64, the queries to search for; at least one.
            near: receives the rows.
        """
        if self.by_cells:
            segment, units = self._segment, queries[numbers]
            rows = segment.cells.candidates(units, self._k, self._n_candidates, self._filter)
            enough = (rows >= 0).sum(axis=1) >= self._n_needed
            similarities = similarities_of_rows(segment.vectors, units[enough], rows[enough])
            near.offer(numbers[enough], rows[enough] + self._start, similarities)
            numbers = numbers[~enough]  # nearly empty cells only: no cheap answer
        if len(numbers):
            selection = None if self._mask is None else np.flatnonzero(self._mask)
            near.offer_blocks(
                self._segment.vectors, queries[numbers], numbers, self._start, selection
            )
