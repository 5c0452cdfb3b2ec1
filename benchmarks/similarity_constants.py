"""How the constants of the vector index were chosen. For docs/decisions/0014-the-vector-index.md.

    export OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1
    python benchmarks/similarity_constants.py [--size 100000] [--only TEXT] [--thresholds]

Builds one segment of synthetic vectors (`benchmarks/similarity_vectors.py`) with one constant
changed at a time, and prints its build rate, its query rate and its recall@10 and @100. The rates
are those of one thread, by its processor time, so that other programs hardly matter. With
`--only`, only constants with this text in their description are changed. With
`--thresholds`, prints instead how fast an exact search and a search by cells are, by size.
"""

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from unittest import mock

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.similarity_vectors import synthetic
from melgraph.storage.vector_index import VectorIndex, cells, search, segments, write_segment

QUERIES = 1000
CHANGES: list[tuple[str, object, str, list[float]]] = [
    ("cells, as a multiple of √n", cells, "_CELLS_PER_ROOT", [0.75, 1, 1.5, 2, 3, 4]),
    ("vectors per cell for the centroids", cells, "_SAMPLE", [16, 32, 64]),
    ("iterations of k-means", cells, "_ITERATIONS", [3, 6, 12]),
    ("width of a level, deviations", cells, "_STEP", [0.2, 0.27, 0.3352, 0.4, 0.5]),
    ("share of the neighbours in reach", cells, "_IN_REACH", [0.98, 0.99, 0.995, 0.998]),
    ("candidates beside 3 k", search, "_CANDIDATES", [0, 10, 20, 40, 200]),
    ("candidates per result", search, "_PER_RESULT", [1, 2, 3, 5]),
]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=100_000)
    parser.add_argument("--only", default="", metavar="TEXT")
    parser.add_argument("--thresholds", action="store_true")
    arguments = parser.parse_args()
    if not os.environ.get("OMP_NUM_THREADS") == os.environ.get("OPENBLAS_NUM_THREADS") == "1":
        raise SystemExit("set OMP_NUM_THREADS and OPENBLAS_NUM_THREADS to 1 first")
    if arguments.thresholds:
        return show_thresholds()
    vectors = synthetic(arguments.size, arguments.size, seed=3)
    queries = synthetic(QUERIES, arguments.size, seed=4)
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder), vectors)
        with mock.patch.object(search, "EXACT_BELOW", arguments.size + 1):
            exact, _ = VectorIndex([Path(folder)]).search(queries, 100)
    print("| constant | value | cells searched | build, vectors/s | queries/s | recall@10 |"
          " recall@100 |\n|---|---|---|---|---|---|---|")  # fmt: skip
    for title, module, constant, values in CHANGES:
        if arguments.only not in title:
            continue
        for value in values:
            mark = "**" if value == getattr(module, constant) else ""
            with mock.patch.object(module, constant, value):
                cells_of_row = measure(vectors, queries, exact)
            print(
                f"| {title} | {mark}{value}{mark} | " + " | ".join(cells_of_row) + " |", flush=True
            )


def measure(vectors: np.ndarray, queries: np.ndarray, exact: np.ndarray) -> list[str]:
    """Cells searched, build rate, query rate, and both recalls."""
    with tempfile.TemporaryDirectory() as name, mock.patch.object(search, "EXACT_BELOW", 0):
        build_s = write(Path(name), vectors)
        index = VectorIndex([Path(name)])
        recalls = [recall(index.search(queries, k)[0], exact[:, :k]) for k in (10, 100)]
        seconds = fastest(lambda: index.search(queries, 10))
        return [
            str(index.segments[0].cells.breadth),
            f"{len(vectors) / build_s:,.0f}",
            f"{len(queries) / seconds:,.0f}",
            *(f"{value:.4f}" for value in recalls),
        ]


def show_thresholds() -> None:
    """One table: an exact search, and a search by cells."""
    print("| vectors | exact, queries/s | one, ms | by cells, queries/s | one, ms | recall@10 |"
          "\n|---|---|---|---|---|---|")  # fmt: skip
    for size in (2048, 4096, 8192, 16_384, 32_768, 50_000, 65_536, 131_072):
        vectors, queries = synthetic(size, size, seed=3), synthetic(QUERIES, size, seed=4)
        with tempfile.TemporaryDirectory() as folder, mock.patch.object(segments, "CELLS_FROM", 0):
            write(Path(folder), vectors)
            index = VectorIndex([Path(folder)])
            with mock.patch.object(search, "EXACT_BELOW", size + 1):
                exact, *figures = rates(index, queries)
            with mock.patch.object(search, "EXACT_BELOW", 0):
                rows, *more = rates(index, queries)
        columns = [f"{size:,}", *figures, *more, f"{recall(rows, exact):.4f}"]
        print("| " + " | ".join(columns) + " |", flush=True)


def rates(index: VectorIndex, queries: np.ndarray) -> tuple[np.ndarray, str, str]:
    """Rows of the answers, queries per second, and milliseconds of one query alone."""
    rows, _ = index.search(queries, 10)
    seconds = fastest(lambda: index.search(queries, 10))
    one_s = fastest(lambda: [index.search(query, 10) for query in queries[:50, None]])
    return rows, f"{len(queries) / seconds:,.0f}", f"{1000 * one_s / 50:.2f}"


def write(folder: Path, vectors: np.ndarray) -> float:
    """Write a segment. Returns seconds of all threads."""
    began = time.process_time()
    write_segment(folder, [f"{row:032x}" for row in range(len(vectors))], vectors)
    return time.process_time() - began


def fastest(act: Callable[[], object]) -> float:
    """Seconds of this thread, in the fastest of three calls."""
    seconds = []
    for _ in range(3):
        began = time.thread_time()
        act()
        seconds.append(time.thread_time() - began)
    return min(seconds)


def recall(rows: np.ndarray, expected: np.ndarray) -> float:
    pairs = zip(rows.tolist(), expected.tolist(), strict=True)
    return sum(len({*row} & {*best}) for row, best in pairs) / expected.size


if __name__ == "__main__":
    main()
