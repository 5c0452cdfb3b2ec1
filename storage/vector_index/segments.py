"""One segment of the vector index: its files, and its graph.

A segment below `GRAPH_FROM` vectors has two files, and is searched exactly:

- `vectors.npy`: float32 `[track, dimension]`, of length 1 (a vector of zeros stays zero);
- `track_id.npy`: uint8 `[track, 16]`.

A larger one has two more, for a graph of faiss over an 8-bit copy of the vectors:

- `codes.npy`: int8 `[track, dimension]`, the vectors times one factor, rounded;
- `graph.npz`: the graph as plain arrays.

All files are arrays without pickles, so that any program can read them. The native code that walks
the graph trusts it: a wrong number could end the process. Its arrays are therefore checked before
they are handed over, and a wrong byte elsewhere can only give a wrong similarity, which
`melgraph audit` detects.
"""

from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from melgraph.storage.errors import ArtifactCorrupt, StorageError
from melgraph.storage.records import RECORD_NAME, parse_record

GRAPH_FROM = 8_192  # vectors; smaller segments are searched exactly
NEIGHBOURS = 16  # of each vector in the graph, per level; twice as many in the lowest one
_BREADTH_OF_BUILD = 40  # candidates while the graph is built (efConstruction)
_LOT = 8192  # vectors that are added to a graph between two reports of progress
_VECTORS, _IDS, _CODES, _GRAPH = "vectors.npy", "track_id.npy", "codes.npy", "graph.npz"
LARGEST_CODE = 127  # of the 8-bit vectors
_REMEDY = "run `melgraph audit` on it, remove its folder, and materialize the index again"

Floats = NDArray[np.float32]
Rows = NDArray[np.int64]
Progress = Callable[[int, int], None]


def unit(vectors: NDArray[np.floating[Any]]) -> Floats:
    """Scales vectors to length 1, computed in float64. A vector of zeros stays zero.

    Args:
        vectors: float `[n, dimension]`, finite.
    """
    wide = np.asarray(vectors, np.float64)
    # Divided by the largest value first: squares of very large or small numbers would overflow.
    largest = np.abs(wide).max(axis=1, keepdims=True, initial=0.0)
    scaled = np.divide(wide, largest, out=np.zeros_like(wide), where=largest > 0)
    length = np.sqrt((scaled * scaled).sum(axis=1, keepdims=True))
    units: Floats = np.divide(scaled, length, out=scaled, where=length > 0).astype(np.float32)
    return units


def write_segment(
    folder: Path,
    track_ids: Sequence[str],
    vectors: NDArray[np.floating[Any]],
    progress: Progress | None = None,
) -> None:
    """Write a segment. Equal vectors give equal bytes: one thread builds the graph.

    Args:
        folder: receives the files.
        track_ids: hexadecimal, one for each vector.
        vectors: float `[track, dimension]`.
        progress: called with the number of vectors in the graph and of all vectors.

    Raises:
        StorageError: a vector is not finite, or the numbers of vectors and ids differ.
    """
    if len(vectors) != len(track_ids) or not np.isfinite(vectors).all():
        raise StorageError(
            f"{len(vectors)} vectors for {len(track_ids)} ids, "
            f"{np.count_nonzero(~np.isfinite(vectors))} values are not finite",
            where=folder,
            remedy="index one finite vector per track",
        )
    units = unit(vectors)
    np.save(folder / _VECTORS, units)
    ids = np.frombuffer(bytes.fromhex("".join(track_ids)), np.uint8).reshape(-1, 16)
    np.save(folder / _IDS, ids)
    if len(units) >= GRAPH_FROM:
        largest = float(np.abs(units).max())
        codes = np.rint(units * (LARGEST_CODE / largest if largest else 1.0)).astype(np.int8)
        np.save(folder / _CODES, codes)
        arrays: Any = _graph_arrays(_build_graph(codes, progress))
        np.savez(folder / _GRAPH, **arrays)


def _empty_graph(dimension: int) -> Any:
    import faiss

    signed_bytes = faiss.ScalarQuantizer.QT_8bit_direct_signed
    graph = faiss.IndexHNSWSQ(dimension, signed_bytes, NEIGHBOURS, faiss.METRIC_INNER_PRODUCT)
    graph.hnsw.efConstruction = _BREADTH_OF_BUILD
    return graph


def _build_graph(codes: NDArray[np.int8], progress: Progress | None) -> Any:
    """A graph of faiss over 8-bit vectors."""
    import faiss

    graph = _empty_graph(codes.shape[1])
    n_threads = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1)  # several threads would give other graphs each time
    try:
        for start in range(0, len(codes), _LOT):
            graph.add(codes[start : start + _LOT].astype(np.float32))
            if progress is not None:
                progress(min(start + _LOT, len(codes)), len(codes))
    finally:
        faiss.omp_set_num_threads(n_threads)
    return graph


def _graph_arrays(graph: Any) -> dict[str, NDArray[Any]]:
    """The graph as arrays: `levels` of each vector, `neighbours` level by level, `entry_point`."""
    import faiss

    hnsw = graph.hnsw
    return {
        "levels": faiss.vector_to_array(hnsw.levels).astype(np.int8),
        "neighbours": faiss.vector_to_array(hnsw.neighbors),
        "entry_point": np.array(hnsw.entry_point, np.int64),
    }


class Segment:
    """A segment, opened through memory maps. The graph is read at the first search.

    Attributes:
        folder: its files.
        vectors: float32 `[track, dimension]`, mapped.
        ids: uint8 `[track, 16]`, mapped.

    Raises:
        ArtifactCorrupt: a file is missing, has another size than its record says, or cannot be
            read as an array.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        _compare_sizes_with_record(folder)
        self.vectors: Floats = self._map(_VECTORS, np.dtype(np.float32))
        self.ids: NDArray[np.uint8] = self._map(_IDS, np.dtype(np.uint8))
        if self.ids.shape[1:] != (16,) or len(self.ids) != len(self.vectors):
            raise self._unusable(f"{len(self.vectors)} vectors for {len(self.ids)} ids")

    def __len__(self) -> int:
        return len(self.vectors)

    @property
    def dimension(self) -> int:
        """Length of a vector."""
        return int(self.vectors.shape[1])

    @property
    def has_graph(self) -> bool:
        """Whether it is large enough for a graph."""
        return len(self) >= GRAPH_FROM

    @cached_property
    def graph(self) -> Any:
        """The graph of faiss, from arrays that were checked.

        Raises:
            ArtifactCorrupt: an array names a vector or a level that does not exist.
        """
        import faiss

        codes = self._map(_CODES, np.dtype(np.int8))
        if codes.shape != self.vectors.shape:
            raise self._unusable(f"codes of shape {codes.shape} for {self.vectors.shape}")
        graph = _empty_graph(self.dimension)
        try:
            with np.load(self.folder / _GRAPH, allow_pickle=False) as arrays:
                levels, neighbours = arrays["levels"], arrays["neighbours"]
                entry_point = int(arrays["entry_point"])
            offsets = _check_graph(graph, levels, neighbours, entry_point, len(self))
        except Exception as error:  # as above, and zipfile has errors of its own
            raise self._unusable(str(error)) from None
        hnsw, storage = graph.hnsw, faiss.downcast_index(graph.storage)
        faiss.copy_array_to_vector(neighbours, hnsw.neighbors)
        faiss.copy_array_to_vector(levels.astype(np.int32), hnsw.levels)
        faiss.copy_array_to_vector(offsets, hnsw.offsets)
        hnsw.entry_point, hnsw.max_level = entry_point, int(levels.max()) - 1
        unsigned = (codes.view(np.uint8) ^ 128).ravel()  # faiss stores value + 128
        faiss.copy_array_to_vector(unsigned, storage.codes)
        graph.ntotal = storage.ntotal = len(self)
        return graph

    def _map(self, name: str, dtype: np.dtype[Any]) -> NDArray[Any]:
        try:
            array: NDArray[Any] = np.load(self.folder / name, mmap_mode="r", allow_pickle=False)
        except Exception as error:  # numpy raises a SyntaxError too, for a wrong byte in a header
            raise self._unusable(f"{name}: {error}") from None
        if array.ndim != 2 or array.dtype != dtype or not array.flags.c_contiguous:
            raise self._unusable(f"{name} holds {array.dtype} {array.shape}")
        return array

    def _unusable(self, problem: str) -> ArtifactCorrupt:
        return ArtifactCorrupt(
            f"the index segment cannot be used ({problem})", where=self.folder, remedy=_REMEDY
        )


def _check_graph(
    graph: Any,
    levels: NDArray[np.int8],
    neighbours: NDArray[np.int32],
    entry_point: int,
    n_vectors: int,
) -> NDArray[np.uint64]:
    """Where the neighbours of each vector start, if every number is within its bounds.

    Raises:
        ValueError: a number is not.
    """
    if levels.shape != (n_vectors,) or levels.dtype != np.int8 or levels.min() < 1:
        raise ValueError(f"{levels.size} levels for {n_vectors} vectors")
    import faiss

    per_level = faiss.vector_to_array(graph.hnsw.cum_nneighbor_per_level).astype(np.int64)
    if levels.max() >= len(per_level) or not 0 <= entry_point < n_vectors:
        raise ValueError("a level or the entry point of the graph is out of bounds")
    offsets = np.concatenate([[0], np.cumsum(per_level[levels])])
    if neighbours.dtype != np.int32 or neighbours.shape != (offsets[-1],):
        raise ValueError(f"{neighbours.size} neighbours instead of {offsets[-1]}")
    if neighbours.min() < -1 or neighbours.max() >= n_vectors:
        raise ValueError("a neighbour in the graph does not exist")
    if levels[entry_point] != levels.max():
        raise ValueError("the entry point of the graph is not on its highest level")
    for level in range(1, int(levels.max())):  # a neighbour on a level must have this level itself
        members = np.flatnonzero(levels > level)
        columns = np.arange(per_level[level], per_level[level + 1])
        near = neighbours[offsets[members][:, None] + columns]
        if (levels[near[near >= 0]] <= level).any():
            raise ValueError(f"a neighbour is not on level {level} of the graph")
    return offsets.astype(np.uint64)


def _compare_sizes_with_record(folder: Path) -> None:
    """Compare the sizes of the files with the record, if the folder is a committed artifact.

    The bytes are compared by `melgraph audit`. To hash them here would take longer than the search.
    """
    try:
        data = (folder / RECORD_NAME).read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return
    record = parse_record(data, where=folder / RECORD_NAME)
    for name, (_, size) in record.files.items():
        path = folder / name
        if not path.is_file() or path.stat().st_size != size:
            raise ArtifactCorrupt(
                "a file of the index segment is missing or has another size than its record says",
                where=path,
                remedy=_REMEDY,
            )
