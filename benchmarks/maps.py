"""Seconds that two-dimensional maps and clusters take, for given numbers of vectors.

    python benchmarks/maps.py [--tracks 1000 10000] [--dims 64] [--rounds 1]

Runs on one thread, as the pipeline does. The vectors are noise around ten random centres. The first
UMAP of a process is timed alone, because it loads the code that numba has compiled, or compiles it.
"""

import argparse
import hashlib
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from melgraph.ml.embeddings.clusterers import cluster, density_clusters
from melgraph.ml.embeddings.maps import project


def clouds(tracks: int, dims: int) -> np.ndarray:
    """Vectors `[track, dim]` around ten centres."""
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(10, dims))
    return centres[np.arange(tracks) % 10] + rng.normal(size=(tracks, dims))


def timed(work: Callable[[], np.ndarray], rounds: int) -> tuple[float, str]:
    """Median seconds, and a digest of the bytes; all rounds must give the same."""
    seconds, digests = [], set()
    for _ in range(rounds):
        start = time.perf_counter()
        result = work()
        seconds.append(time.perf_counter() - start)
        digests.add(hashlib.sha256(result.tobytes()).hexdigest()[:12])
    if len(digests) > 1:
        raise SystemExit(f"the same vectors and seed gave different bytes: {sorted(digests)}")
    return statistics.median(seconds), digests.pop()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tracks", type=int, nargs="+", default=[1000, 10_000])
    parser.add_argument("--dims", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=1)
    options = parser.parse_args()
    first, _ = timed(lambda: project(clouds(50, 8), method="umap", seed=0), 1)
    print(f"first UMAP of the process: {first:.1f} s")
    for tracks in options.tracks:
        vectors = clouds(tracks, options.dims)
        steps: dict[str, Callable[[], np.ndarray]] = {
            "PCA": lambda v=vectors: project(v, method="pca", seed=0),
            "t-SNE": lambda v=vectors: project(v, method="tsne", seed=0),
            "UMAP": lambda v=vectors: project(v, method="umap", seed=0),
            "k-means": lambda v=vectors: cluster(v, n_clusters=10, seed=0).labels,
            "Gaussian mixture": lambda v=vectors: (
                cluster(v, n_clusters=10, seed=0, method="mixture").labels
            ),
            "HDBSCAN": lambda v=vectors: density_clusters(v, seed=0),
        }
        for name, work in steps.items():
            seconds, digest = timed(work, options.rounds)
            print(f"{tracks:>7,} vectors  {name:<17} {seconds:>7.1f} s   bytes {digest}")


if __name__ == "__main__":
    main()
