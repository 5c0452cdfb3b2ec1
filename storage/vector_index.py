"""The vector index: immutable segments of vectors, searched together.

A segment is one usearch file (HNSW graph, Malkov & Yashunin 2018, cosine distance) and the ids of
its rows. Segments are built by one thread, because two make different files. A search over few
vectors is exact; over many it walks the graphs.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from usearch.index import Index

from storage.errors import ArtifactCorrupt

EXACT_BELOW = 100_000  # vectors in all segments; below it, brute force is fast and never wrong
_VECTORS, _IDS = "vectors.usearch", "track_id.npy"


def write_segment(folder: Path, track_ids: Sequence[str], vectors: np.ndarray) -> None:
    """Write a segment: `vectors` float32 `[track, dimension]`, `track_ids` hexadecimal."""
    index = Index(ndim=vectors.shape[1], metric="cos", dtype="f32", connectivity=16)
    if len(vectors):
        index.add(np.arange(len(vectors)), np.ascontiguousarray(vectors, np.float32), threads=1)
    index.save(str(folder / _VECTORS))
    ids = np.frombuffer(bytes.fromhex("".join(track_ids)), np.uint8).reshape(-1, 16)
    np.save(folder / _IDS, ids)


class VectorIndex:
    """Segments opened together through memory maps.

    Raises:
        ArtifactCorrupt: a segment cannot be read.
    """

    def __init__(self, segments: Sequence[Path]) -> None:
        self._segments = []
        for folder in segments:
            try:
                index = Index.restore(str(folder / _VECTORS), view=True)
                ids = np.load(folder / _IDS, allow_pickle=False)
            except (OSError, ValueError, RuntimeError) as error:
                index, ids, problem = None, np.empty((0, 16), np.uint8), str(error)
            else:
                problem = f"{len(index)} vectors for {len(ids)} ids" if index is not None else "?"
            if index is None or len(index) != len(ids):
                raise ArtifactCorrupt(
                    f"the index segment cannot be used ({problem})",
                    where=folder,
                    remedy="run `melgraph audit` on it, then materialize the index again",
                )
            if len(ids):
                self._segments.append((index, [row.tobytes().hex() for row in ids]))

    def __len__(self) -> int:
        return sum(len(index) for index, _ in self._segments)

    def search(self, queries: np.ndarray, k: int) -> list[list[tuple[str, float]]]:
        """The `k` nearest tracks of each query, `(track_id, cosine similarity)`, nearest first.

        Args:
            queries: float32 `[query, dimension]`.
            k: how many; fewer come back when the index holds fewer.
        """
        exact = len(self) < EXACT_BELOW
        results: list[list[tuple[str, float]]] = [[] for _ in range(len(queries))]
        for index, ids in self._segments:
            matches = index.search(queries, min(k, len(ids)), exact=exact, threads=1)
            keys = np.atleast_2d(matches.keys)
            distances = np.atleast_2d(matches.distances)
            for row, (row_keys, row_distances) in enumerate(zip(keys, distances, strict=True)):
                pairs = zip(row_keys, row_distances, strict=True)
                results[row] += [(ids[int(key)], 1.0 - float(d)) for key, d in pairs]
        return [sorted(row, key=lambda hit: (-hit[1], hit[0]))[:k] for row in results]
