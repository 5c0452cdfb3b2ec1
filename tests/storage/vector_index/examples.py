"""Segments of random vectors, and the exact answer to a search in them."""

from pathlib import Path

import numpy as np

from melgraph.storage.vector_index import write_segment

DIMENSION = 16


def vectors(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(count, DIMENSION)).astype(np.float32)


def track_ids(count: int, seed: int = 0) -> list[str]:
    return [f"{seed:02x}{row:030x}" for row in range(count)]


def segment(folder: Path, count: int, seed: int = 0) -> Path:
    folder.mkdir()
    write_segment(folder, track_ids(count, seed), vectors(count, seed))
    return folder


def brute_force(queries: np.ndarray, rows: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows and similarities of the nearest vectors, equal ones in the order of the rows."""
    rows = rows.astype(np.float64) / np.linalg.norm(rows.astype(np.float64), axis=1, keepdims=True)
    queries = queries / np.linalg.norm(queries, axis=1, keepdims=True)
    similarity = queries.astype(np.float64) @ rows.T
    best = np.argsort(-similarity, axis=1, kind="stable")[:, :k]
    return best, np.take_along_axis(similarity, best, axis=1)
