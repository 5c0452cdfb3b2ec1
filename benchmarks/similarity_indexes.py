"""The indexes that `benchmarks/similarity.py` compares: how each is built, stored and searched."""

import math
import pickle
from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

CELLS_PER_ROOT = 1.5  # as ours
BREADTHS = (4, 6, 8, 12, 16, 20, 24, 28, 32, 40, 48, 56, 64, 80, 96, 128, 160, 192, 256, 384, 512)


class Index(ABC):
    """An index of unit vectors."""

    name: ClassVar[str]
    largest: ClassVar[int] = 10**7  # vectors; it is not measured with more
    settings: Any = None  # of a search: the breadth, or what belongs to it

    @abstractmethod
    def build(self, vectors: np.ndarray, folder: Path) -> None:
        """Build it, and write it into a folder."""

    @abstractmethod
    def open(self, folder: Path) -> None:
        """Read it."""

    @abstractmethod
    def search(self, queries: np.ndarray, k: int) -> np.ndarray:
        """Rows int64 `[query, k]`."""

    def load_library(self) -> None:
        """Import what it is made of."""
        import faiss  # noqa: F401

    def ladders(self, n: int) -> Iterator[list[Any]]:
        """Settings in the order of their recall, in one or several lists."""
        yield [None]


class Ours(Index):
    name = "melgraph"

    def load_library(self) -> None:
        import melgraph.storage.vector_index  # noqa: F401

    def build(self, vectors: np.ndarray, folder: Path) -> None:
        from melgraph.storage.vector_index import write_segment

        write_segment(folder, [f"{row:032x}" for row in range(len(vectors))], vectors)

    def open(self, folder: Path) -> None:
        from melgraph.storage.vector_index import VectorIndex

        self.index = VectorIndex(self.segments(folder))

    def segments(self, folder: Path) -> list[Path]:
        return [folder]

    def search(self, queries: np.ndarray, k: int) -> np.ndarray:
        return self.index.search(queries, k)[0]


class OursGrown(Ours):
    """As a home has it that grew by batches of 512 tracks."""

    name = "melgraph, batches of 512"

    def build(self, vectors: np.ndarray, folder: Path) -> None:
        start = 0
        for number, size in enumerate(grown_segments(len(vectors))):
            path = folder / f"{number:02d}"
            path.mkdir(parents=True)
            super().build(vectors[start : start + size], path)
            start += size

    def segments(self, folder: Path) -> list[Path]:
        return sorted(folder.iterdir())


def grown_segments(n: int, batch: int = 512) -> list[int]:
    """The sizes of the segments of `n` vectors that arrived in batches."""
    from melgraph.storage.vector_index import segments_of_batches

    sizes = [batch] * (n // batch) + [n % batch] * (n % batch > 0)
    return [sum(sizes[part]) for part in segments_of_batches(sizes)]


class Faiss(Index):
    """An index of faiss, by its factory string."""

    factory: ClassVar[str]

    def build(self, vectors: np.ndarray, folder: Path) -> None:
        import faiss

        dimension = vectors.shape[1]
        text = self.factory.format(
            cells=self.n_cells(len(vectors)), half=dimension // 2, whole=dimension
        )
        self.index = faiss.index_factory(dimension, text, faiss.METRIC_INNER_PRODUCT)
        if not self.index.is_trained:
            cells = faiss.extract_index_ivf(self.index)
            cells.cp.niter, cells.cp.max_points_per_centroid = 6, 32  # as ours
            cells.cp.min_points_per_centroid = 1
            step = max(1, len(vectors) // (32 * cells.nlist))
            self.index.train(np.ascontiguousarray(vectors[::step]))
        self.index.add(vectors)
        faiss.write_index(self.index, str(folder / "index.faiss"))

    def open(self, folder: Path) -> None:
        import faiss

        self.index = faiss.read_index(str(folder / "index.faiss"))

    def search(self, queries: np.ndarray, k: int) -> np.ndarray:
        if self.settings is not None:
            self.apply(self.settings)
        return self.index.search(queries, k)[1]

    def n_cells(self, n: int) -> int:
        """Number of cells of an inverted file."""
        return round(CELLS_PER_ROOT * math.sqrt(n))

    def apply(self, settings: Any) -> None:
        """Set the breadth of the next searches."""


class Flat(Faiss):
    name, factory = "faiss Flat (exact)", "Flat"


class Hnsw(Faiss):
    name, factory = "faiss HNSW16", "HNSW16"

    def ladders(self, n: int) -> Iterator[list[int]]:
        yield [breadth for breadth in (*BREADTHS, 768, 1024) if breadth >= 10]

    def apply(self, settings: int) -> None:
        self.index.hnsw.efSearch = settings


class InvertedFile(Faiss):
    name, factory = "faiss IVF-Flat, 1.5 √n cells", "IVF{cells},Flat"

    def ladders(self, n: int) -> Iterator[list[int]]:
        yield [breadth for breadth in BREADTHS if breadth <= self.n_cells(n)]

    def apply(self, settings: int) -> None:
        self.index.nprobe = settings


class ManyCells(InvertedFile):
    name = "faiss IVF-Flat, 4 √n cells"

    def n_cells(self, n: int) -> int:
        return round(4 * math.sqrt(n))


class FastScan(Faiss):
    name = "faiss IVF-PQ FastScan, 2 bits a dimension, 1.5 √n cells"
    factory = "IVF{cells},PQ{half}x4fsr,RFlat"

    def ladders(self, n: int) -> Iterator[list[tuple[int, int]]]:
        """Pairs of the cells and the candidates per result that are compared exactly."""
        for breadth in BREADTHS:
            if 12 <= breadth <= self.n_cells(n):
                yield [(breadth, factor) for factor in (2, 4, 6, 8, 12, 16, 24, 32, 40, 64)]

    def apply(self, settings: tuple[int, int]) -> None:
        import faiss

        faiss.extract_index_ivf(self.index).nprobe = settings[0]
        self.index.k_factor = settings[1]


class FastScanManyCells(FastScan):
    name = "faiss IVF-PQ FastScan, 2 bits a dimension, 4 √n cells"

    def n_cells(self, n: int) -> int:
        return round(4 * math.sqrt(n))


class FastScanFine(FastScan):
    name = "faiss IVF-PQ FastScan, 4 bits a dimension, 1.5 √n cells"
    factory = "IVF{cells},PQ{whole}x4fsr,RFlat"


class ScikitLearn(Index):
    name, largest = "scikit-learn, brute (exact)", 100_000

    def load_library(self) -> None:
        import sklearn.neighbors  # noqa: F401

    def build(self, vectors: np.ndarray, folder: Path) -> None:
        from sklearn.neighbors import NearestNeighbors

        model = NearestNeighbors(algorithm="brute").fit(vectors)
        with (folder / "model.pickle").open("wb") as file:
            pickle.dump(model, file, protocol=5)

    def open(self, folder: Path) -> None:
        with (folder / "model.pickle").open("rb") as file:
            self.model = pickle.load(file)

    def search(self, queries: np.ndarray, k: int) -> np.ndarray:
        return self.model.kneighbors(queries, k, return_distance=False)


class Usearch(Index):
    name, largest = "usearch, int8 (formerly ours)", 100_000

    def build(self, vectors: np.ndarray, folder: Path) -> None:
        from usearch.index import Index as UsearchIndex

        index = UsearchIndex(ndim=vectors.shape[1], metric="cos", dtype="i8")
        index.add(np.arange(len(vectors)), vectors, threads=n_threads())
        index.save(str(folder / "index.usearch"))

    def open(self, folder: Path) -> None:
        from usearch.index import Index as UsearchIndex

        self.index = UsearchIndex.restore(str(folder / "index.usearch"))
        self.vectors = np.load(folder.parent / "vectors.npy", mmap_mode="r")

    def ladders(self, n: int) -> Iterator[list[int]]:
        yield [breadth for breadth in BREADTHS if breadth >= 32]

    def search(self, queries: np.ndarray, k: int) -> np.ndarray:
        from melgraph.storage.vector_index.nearest import similarities_of_rows

        # Three times as many, and then exactly, because its codes are rougher than the recall.
        self.index.expansion_search = self.settings
        keys = self.index.search(queries, 3 * k, threads=n_threads()).keys
        rows = np.asarray(keys, np.int64).reshape(len(queries), -1)
        exact = similarities_of_rows(self.vectors, queries, rows)
        return np.take_along_axis(rows, np.argsort(-exact, axis=1)[:, :k], axis=1)


def n_threads() -> int:
    import faiss

    return int(faiss.omp_get_max_threads())


def available() -> list[type[Index]]:
    """All indexes whose library is installed, ours first."""
    kinds: list[type[Index]] = [
        Ours, OursGrown, Flat, ScikitLearn, Hnsw, InvertedFile, ManyCells,
        FastScan, FastScanManyCells, FastScanFine,
    ]  # fmt: skip
    try:
        import usearch  # noqa: F401

        kinds.append(Usearch)
    except ImportError:
        print("usearch is not installed, and is left out\n")
    return kinds
