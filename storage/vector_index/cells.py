"""The cells of a large segment: an inverted file over 4-bit vectors, which faiss scans.

The vectors of a segment are divided into cells, each around a centroid. A search compares a query
with the centroids, and then with the vectors in the nearest cells only (the inverted file of Jegou,
Douze and Schmid 2011, "Product quantization for nearest neighbor search", section IV). Of a vector,
a cell holds the difference from its centroid, with 4 bits per dimension. Such codes are compared by
tables that fit into the registers of a processor (Andre, Kermarrec and Le Scouarnec 2015, "Cache
locality is not enough", section 4). Their similarities are approximate: they propose candidates.

Two files hold the cells:

- `codes.npy`: uint8 `[track, dimension / 2]`, two dimensions per byte, the first one in the lower
  four bits, cell by cell;
- `cells.npz`: `centroids` float32 `[cell, dimension]`; `steps` float32 `[dimension]`, the width of
  one level of the codes; `sizes` int64 `[cell]`; `rows` int32 `[track]`, the row of each code;
  `breadth` int64, how many cells a search for ten vectors must look into. It is measured when the
  cells are built, because it depends on how the vectors of an encoder are spread.

Every byte of `codes.npy` is valid, and the other arrays are checked before native code gets them.
"""

import math
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from melgraph.storage.vector_index.nearest import Floats, NearestRows, Rows
from melgraph.storage.vector_index.threads import in_threads, one_faiss_thread

CODES, CELLS = "codes.npy", "cells.npz"
# docs/decisions/0014-the-vector-index.md says how these were chosen.
_CELLS_PER_ROOT = 1.5  # cells, as a multiple of the square root of the number of vectors
_SAMPLE = 32  # vectors per cell from which the centroids are computed
_ITERATIONS = 6  # of k-means
_SEED = 1
_LEVELS = 16  # of a code of 4 bits
# Width of a level in standard deviations: the best one for 16 equal levels of a normal distribution
# (Max 1960, "Quantizing for minimum distortion", table II).
_STEP = 0.3352
_LOT = 8192  # vectors that are encoded at once
_TRIALS, _NEIGHBOURS = 512, 10  # vectors whose neighbours decide the breadth
_IN_REACH = 0.995  # share of these neighbours that must be in the nearest cells
_WIDER = 0.1  # power of the number of results by which the breadth grows
_TO_ONE = 10  # a search compares with at least ten vectors for each candidate
_COMPLETE = 0.9  # share of the vectors in the nearest cells that a filter may leave

Mask = NDArray[np.bool_]
Progress = Callable[[int, int], None]


def write_cells(folder: Path, units: Floats, progress: Progress | None = None) -> None:
    """Divide vectors into cells, and write them. Equal vectors give equal bytes.

    The centroids are computed by one thread, and the codes in lots that do not depend on each
    other, so the bytes do not depend on the number of threads.

    Args:
        folder: receives the files.
        units: float32 `[track, dimension]`, of length 1 or 0, at least one.
        progress: called with the number of encoded vectors and of all vectors.
    """
    n, dimension = len(units), int(units.shape[1])
    n_cells = min(n, round(_CELLS_PER_ROOT * n**0.5))
    sample = units[np.linspace(0, n - 1, min(n, _SAMPLE * n_cells)).astype(np.int64)]
    with one_faiss_thread():
        centroids = _centroids(sample, n_cells)
        nearest = _nearest_centroids(centroids)
        steps = (_STEP * (sample - centroids[nearest(sample)]).std(axis=0)).astype(np.float32)
    divisors = np.where(steps > 0, steps, 1)
    cells = np.empty(n, np.int64)
    codes = np.empty((n, (dimension + 1) // 2), np.uint8)

    def encode(start: int) -> int:
        lot = slice(start, min(start + _LOT, n))
        cells[lot] = nearest(units[lot])
        levels = (units[lot] - centroids[cells[lot]]) / divisors + _LEVELS // 2
        codes[lot] = _pack(levels.clip(0, _LEVELS - 1).astype(np.uint8))
        return lot.stop

    for n_encoded in in_threads(encode, range(0, n, _LOT)):
        if progress is not None:
            progress(n_encoded, n)
    rows = np.argsort(cells, kind="stable")
    ordered = np.lib.format.open_memmap(folder / CODES, "w+", np.uint8, codes.shape)
    for start in range(0, n, _LOT):
        ordered[start : start + _LOT] = codes[rows[start : start + _LOT]]
    ordered.flush()
    arrays: dict[str, NDArray[Any]] = {
        "centroids": centroids,
        "steps": steps,
        "sizes": np.bincount(cells, minlength=n_cells),
        "rows": rows.astype(np.int32),
        "breadth": np.array(_breadth(units, centroids, cells), np.int64),
    }
    np.savez(folder / CELLS, **arrays)  # type: ignore[arg-type]


def _centroids(sample: Floats, n_cells: int) -> Floats:
    """The centroids of spherical k-means: of length 1, so that no cell is near to all queries."""
    import faiss

    means = faiss.Kmeans(
        sample.shape[1], n_cells, niter=_ITERATIONS, seed=_SEED, spherical=True,
        min_points_per_centroid=1, max_points_per_centroid=len(sample),
    )  # fmt: skip
    means.train(sample)
    return np.asarray(means.centroids, np.float32)


def _nearest_centroids(centroids: Floats) -> Callable[[Floats], Rows]:
    """A function from vectors to the numbers of their cells."""
    import faiss

    coarse = faiss.IndexFlatIP(centroids.shape[1])
    coarse.add(centroids)

    def nearest(vectors: Floats) -> Rows:
        numbers: Rows = coarse.search(vectors, 1)[1][:, 0]
        return numbers

    return nearest


def _breadth(units: Floats, centroids: Floats, cells: Rows) -> int:
    """In how many of the nearest cells nearly all neighbours of a vector are.

    The share of neighbours in these cells is a mean over few vectors. It must exceed the wanted one
    by its standard error, so that it is not reached by chance.
    """
    trials = np.unique(np.linspace(0, len(units) - 1, _TRIALS).astype(np.int64))
    near = NearestRows(len(trials), min(_NEIGHBOURS + 1, len(units)))
    near.offer_blocks(units, units[trials], np.arange(len(trials)), 0, None)
    rows, _ = near.ranked(units[trials], units.__getitem__)
    to_centroids = units[trials] @ centroids.T
    to_own = np.take_along_axis(to_centroids, cells[rows], axis=1)
    ranks = (to_centroids[:, None] > to_own[..., None]).sum(axis=2) + 1
    is_other = rows != trials[:, None]
    n_others = is_other.sum(axis=1)
    for breadth in np.unique(ranks[is_other]).tolist():
        share = ((ranks <= breadth) & is_other).sum(axis=1) / np.maximum(n_others, 1)
        if share.mean() - share.std() / len(share) ** 0.5 >= _IN_REACH:
            return int(breadth)
    return int(ranks.max())


def _pack(levels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Two levels per byte."""
    packed = levels[:, 0::2].copy()
    packed[:, : levels.shape[1] // 2] |= levels[:, 1::2] << 4
    return packed


class Cells:
    """The cells of a segment, ready to be searched.

    Attributes:
        breadth: how many cells a search for ten vectors looks into.

    Args:
        folder: of the segment.
        n_vectors: in the segment.
        dimension: of a vector.
        codes: uint8 `[track, dimension / 2]`, as in `codes.npy`.

    Raises:
        ValueError: the arrays do not fit together, or a number is out of bounds.
    """

    def __init__(
        self, folder: Path, n_vectors: int, dimension: int, codes: NDArray[np.uint8]
    ) -> None:
        with np.load(folder / CELLS, allow_pickle=False) as arrays:
            centroids, steps = arrays["centroids"], arrays["steps"]
            sizes, rows, breadth = arrays["sizes"], arrays["rows"], arrays["breadth"]
        _check("centroids", centroids, np.float32, (len(centroids), dimension))
        _check("steps", steps, np.float32, (dimension,))
        _check("sizes", sizes, np.int64, (len(centroids),))
        _check("rows", rows, np.int32, (n_vectors,))
        _check("breadth", breadth, np.int64, ())
        _check("codes", codes, np.uint8, (n_vectors, (dimension + 1) // 2))
        if not ((np.abs(centroids) <= 1.01).all() and (np.abs(steps) <= 1).all()):  # NaN neither
            raise ValueError("a centroid or a step is too large for vectors of length 1")
        if sizes.min(initial=0) < 0 or sizes.max(initial=0) > n_vectors or sizes.sum() != n_vectors:
            raise ValueError("the sizes of the cells do not add up to the number of vectors")
        if rows.min() < 0 or rows.max() >= n_vectors or np.bincount(rows).max() > 1:
            raise ValueError("the cells do not hold each row once")
        if not 1 <= breadth <= len(sizes):
            raise ValueError(f"a breadth of {breadth} in {len(sizes)} cells")
        self._centroids: Floats = centroids
        self._sizes: Rows = sizes
        self._rows: Rows = rows.astype(np.int64)
        self.breadth = int(breadth)
        self._scanner, self._coarse = _scanner(centroids, steps, sizes, self._rows, codes)

    def __len__(self) -> int:
        return len(self._sizes)

    def candidates(
        self, queries: Floats, k: int, n: int, filter_: "CellFilter | None" = None
    ) -> Rows:
        """The rows that are probably nearest to each query, in no particular order.

        What is returned for a query does not depend on the other queries.

        Args:
            queries: float32 `[query, dimension]`, of length 1.
            k: how many of the candidates are wanted in the end.
            n: how many candidates per query.
            filter_: of these cells; only its rows are returned.

        Returns:
            int64 `[query, n]`; -1 where the cells hold fewer vectors.
        """
        import faiss

        breadth = self.breadth * max(k / _NEIGHBOURS, 1) ** _WIDER
        breadth = max(breadth, _TO_ONE * n * len(self) / len(self._rows))
        n_cells = min(len(self), math.ceil(breadth))
        rows: Rows
        if filter_ is None:
            parameters = faiss.SearchParametersIVF(nprobe=n_cells)
            rows = self._scanner.search(queries, n, params=parameters)[1]
            return rows
        rows = np.empty((len(queries), n), np.int64)
        needed = self._cells_needed(queries, n_cells, filter_)
        for n_probed in np.unique(needed):
            of_these = np.flatnonzero(needed == n_probed)
            parameters = faiss.SearchParametersIVF(nprobe=int(n_probed), sel=filter_.selector)
            rows[of_these] = self._scanner.search(queries[of_these], n, params=parameters)[1]
        return rows

    def _cells_needed(self, queries: Floats, n_cells: int, filter_: "CellFilter") -> Rows:
        """How many cells of each query must be searched under a filter.

        The filter may leave few vectors in the nearest cells, for example if it excludes the genre
        of the query. Then more cells are searched, until they hold nearly as many allowed vectors
        as the nearest cells hold vectors. The number is doubled until it suffices, so that there
        are few different ones.
        """
        order = np.argsort(-(queries @ self._centroids.T), axis=1, kind="stable")
        sizes = self._sizes[order].cumsum(axis=1)
        allowed = filter_.counts[order].cumsum(axis=1)
        enough = np.minimum(_COMPLETE * sizes[:, n_cells - 1], allowed[:, -1])
        needed = (allowed < enough[:, None]).sum(axis=1) + 1
        doublings = np.ceil(np.log2(np.maximum(needed / n_cells, 1)))
        cells: Rows = np.minimum(len(self), n_cells * 2**doublings).astype(np.int64)
        return cells

    def filter(self, allowed: Mask) -> "CellFilter":
        """A filter for searches that return some rows only.

        Args:
            allowed: bool `[track]`.
        """
        return CellFilter(allowed, self._rows, self._sizes)


class CellFilter:
    """The rows of a segment that a search may return.

    Attributes:
        counts: int64 `[cell]`, how many of them are in each cell.
    """

    def __init__(self, allowed: Mask, rows: Rows, sizes: Rows) -> None:
        self._allowed = allowed
        until = np.concatenate([[0], np.cumsum(allowed[rows])])
        ends = np.cumsum(sizes)
        self.counts: Rows = until[ends] - until[ends - sizes]

    @cached_property
    def selector(self) -> Any:
        """The rows as faiss wants them."""
        import faiss

        return faiss.IDSelectorBitmap(np.packbits(self._allowed, bitorder="little"))


def _check(name: str, array: NDArray[Any], dtype: type, shape: tuple[int, ...]) -> None:
    if array.dtype != dtype or array.shape != shape:
        raise ValueError(f"{name} of {array.dtype} {array.shape} instead of {shape}")


def _scanner(
    centroids: Floats, steps: Floats, sizes: Rows, rows: Rows, codes: NDArray[np.uint8]
) -> tuple[Any, Any]:
    """An index of faiss over checked arrays, and the one over centroids that it refers to."""
    import faiss

    n_cells, dimension = centroids.shape
    coarse = faiss.IndexFlatIP(dimension)
    coarse.add(centroids)
    cells = faiss.IndexIVFPQ(coarse, dimension, n_cells, dimension, 4, faiss.METRIC_INNER_PRODUCT)
    levels = (np.arange(_LEVELS) - (_LEVELS - 1) / 2) * steps[:, None]
    faiss.copy_array_to_vector(levels.astype(np.float32).ravel(), cells.pq.centroids)
    cells.is_trained = True
    ends = np.cumsum(sizes)
    for cell in np.flatnonzero(sizes).tolist():
        part = slice(int(ends[cell] - sizes[cell]), int(ends[cell]))
        row_part, code_part = rows[part], np.ascontiguousarray(codes[part])
        cells.invlists.add_entries(
            cell, len(row_part), faiss.swig_ptr(row_part), faiss.swig_ptr(code_part)
        )
    cells.ntotal = len(rows)
    scanner = faiss.IndexIVFPQFastScan(cells, 32)
    scanner.referenced_objects = [coarse]  # and not `cells`, which holds the codes in other bytes
    return scanner, coarse
