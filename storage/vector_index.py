"""The vector index: immutable segments of vectors, searched together.

A segment is one usearch file (HNSW graph, Malkov & Yashunin 2018, cosine distance) and the ids of
its rows. Segments are built by one thread, because several threads give different files. A search
in few vectors is exact; in many vectors it uses the graphs and is approximate.

Native code searches the graph in a memory map, and a single wrong byte can crash the process (in a
test, 20 of 300 flipped bytes did). Therefore a segment is compared with its record before it is
used, if it is a committed artifact.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from usearch.index import Index

from melgraph.storage.artifacts import file_sha256
from melgraph.storage.errors import ArtifactCorrupt, StorageError
from melgraph.storage.records import RECORD_NAME, parse_record

EXACT_BELOW = 100_000  # vectors in all segments; with fewer, an exact search is fast enough
_REMEDY = "run `melgraph audit` on it, remove its folder, and materialize the index again"
_VECTORS, _IDS = "vectors.usearch", "track_id.npy"


def write_segment(folder: Path, track_ids: Sequence[str], vectors: np.ndarray) -> None:
    """Write a segment: `vectors` float32 `[track, dimension]`, `track_ids` hexadecimal.

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
    index = Index(ndim=vectors.shape[1], metric="cos", dtype="f32", connectivity=16)
    if len(vectors):
        index.add(np.arange(len(vectors)), np.ascontiguousarray(vectors, np.float32), threads=1)
    index.save(str(folder / _VECTORS))
    ids = np.frombuffer(bytes.fromhex("".join(track_ids)), np.uint8).reshape(-1, 16)
    np.save(folder / _IDS, ids)


class VectorIndex:
    """Several segments, opened through memory maps and searched together.

    Raises:
        ArtifactCorrupt: a segment cannot be read.
    """

    def __init__(self, segments: Sequence[Path]) -> None:
        self._segments = []
        for folder in segments:
            _compare_with_record(folder)
            try:
                index = Index.restore(str(folder / _VECTORS), view=True)
                ids = np.load(folder / _IDS, allow_pickle=False)
            except (OSError, EOFError, ValueError, RuntimeError) as error:
                index, ids, problem = None, np.empty((0, 16), np.uint8), str(error)
            else:
                problem = f"{len(index)} vectors for {len(ids)} ids" if index is not None else "?"
            if index is None or len(index) != len(ids):
                raise ArtifactCorrupt(
                    f"the index segment cannot be used ({problem})",
                    where=folder,
                    remedy=_REMEDY,
                )
            if len(ids):
                self._segments.append((index, [row.tobytes().hex() for row in ids]))

    def __len__(self) -> int:
        return sum(len(index) for index, _ in self._segments)

    def search(self, queries: np.ndarray, k: int) -> list[list[tuple[str, float]]]:
        """The `k` nearest tracks of each query, `(track_id, cosine similarity)`, nearest first.

        Args:
            queries: float32 `[query, dimension]`.
            k: number of results; fewer if the index has fewer vectors.

        Raises:
            ValueError: the queries have another dimension than the vectors.
        """
        queries = np.ascontiguousarray(queries, np.float32)
        exact = len(self) < EXACT_BELOW
        results: list[list[tuple[str, float]]] = [[] for _ in range(len(queries))]
        for index, ids in self._segments:
            matches = index.search(queries, min(k, len(ids)), exact=exact, threads=1)
            for row in range(len(queries)):
                # One query returns its matches, several a batch of them. A graph may find fewer.
                hits: Any = matches if len(queries) == 1 else matches[row]
                pairs = zip(hits.keys, hits.distances, strict=True)
                results[row] += [(ids[int(key)], 1.0 - float(d)) for key, d in pairs]
        return [sorted(row, key=lambda hit: (-hit[1], hit[0]))[:k] for row in results]


def _compare_with_record(folder: Path) -> None:
    try:
        data = (folder / RECORD_NAME).read_bytes()
    except (FileNotFoundError, NotADirectoryError):  # not a committed artifact
        return
    record = parse_record(data, where=folder / RECORD_NAME)
    for name in (_VECTORS, _IDS):
        recorded, _ = record.files.get(name, (None, 0))
        path = folder / name
        if recorded is None or not path.is_file() or file_sha256(path) != recorded:
            raise ArtifactCorrupt(
                "the index segment differs from its record", where=path, remedy=_REMEDY
            )
