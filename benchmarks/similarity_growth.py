"""What a hundred new tracks cost in a large index, and how fast it opens. For docs/results.

    python benchmarks/similarity_growth.py [--sizes 10000,100000,1000000] [--folder FOLDER]

Builds the segments of homes that grew by batches of 512 tracks, from synthetic vectors
(`benchmarks/similarity_vectors.py`), in a temporary folder or in FOLDER (about 1 KB a vector), and
prints Markdown. An index opens in a process of its own. The lists of a million tracks take some
minutes.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.similarity_indexes import grown_segments
from benchmarks.similarity_vectors import synthetic
from melgraph.ml.similarity import lists as neighbour_lists
from melgraph.ml.similarity.lists import NeighbourLists, build_lists, update_lists
from melgraph.storage.vector_index import VectorIndex, search, segments_of_batches, write_segment

NEW, BATCH, K = 100, 512, 10
TRACKS_FEW = 12
SAMPLE = 20_000  # lists that are compared with rebuilt ones
T = TypeVar("T")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", default="10000,100000,1000000")
    parser.add_argument("--folder", type=Path, help="where to write; default: a temporary folder")
    parser.add_argument("--open", nargs="+", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.open:
        return print(json.dumps(first_answer(arguments.open)))
    sizes = [int(size) for size in arguments.sizes.split(",")]
    with tempfile.TemporaryDirectory(dir=arguments.folder) as name:
        homes = {size: write_home(Path(name) / str(size), size) for size in (TRACKS_FEW, *sizes)}
        show_opening(homes)
        show_written(Path(name), sizes[-1])
        for size in sizes:
            show_addition(homes[size], size)


def write_home(folder: Path, size: int) -> list[Path]:
    """The segments of `size` tracks, and one more with the new tracks. Returns the folders."""
    vectors = synthetic(size + NEW, size, seed=3)
    paths, start = [], 0
    for number, n in enumerate([*grown_segments(size), NEW]):
        paths.append(folder / f"{number:02d}")
        paths[-1].mkdir(parents=True)
        rows = range(start, start + n)
        write_segment(paths[-1], [f"{row:032x}" for row in rows], vectors[start : start + n])
        start += n
    return paths


# ---- opening


def first_answer(segments: list[Path]) -> tuple[float, float, float]:
    """Milliseconds until an index is open, of its first answer, and of a later one."""
    query = synthetic(1, 1000, seed=5)
    open_ms, index = timed(lambda: VectorIndex(segments))
    first_ms, _ = timed(lambda: index.search(query, K))
    later = [timed(lambda: index.search(query, K))[0] for _ in range(20)]
    return 1000 * open_ms, 1000 * first_ms, 1000 * statistics.median(later)


def show_opening(homes: dict[int, list[Path]]) -> None:
    print("### Opening\n\n| tracks | segments | open, ms | first answer, ms | later answers, ms |")
    print("|---|---|---|---|---|")
    for size, paths in homes.items():
        command = [sys.executable, __file__, "--open", *paths[:-1]]
        answers = [
            json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
            for _ in range(5)
        ]
        medians = (f"{statistics.median(values):.1f}" for values in zip(*answers, strict=True))
        print(f"| {size:,} | {len(paths) - 1} | " + " | ".join(medians) + " |")


# ---- writing


def show_written(folder: Path, size: int) -> None:
    """How many vectors a new batch writes, over the life of a home, and how long that takes."""
    n_batches = 4 ** round(np.emath.logn(4, size / BATCH))
    written, before = Counter[int](), set[tuple[int, int]]()
    for n in range(1, n_batches + 1):
        parts = segments_of_batches([BATCH] * n)
        spans = {(part.start, part.stop) for part in parts}
        written[sum(BATCH * (stop - start) for start, stop in spans - before)] += 1
        before = spans
    total = sum(n * count for n, count in written.items())
    print(f"\n### Segments that a batch of {BATCH} writes, of the first {n_batches:,} batches\n")
    print("| vectors written | batches | seconds |\n|---|---|---|")
    vectors = synthetic(max(written), max(written), seed=3)
    for n, count in sorted(written.items()):
        seconds = seconds_to_write(folder / f"written-{n}", vectors[:n])
        print(f"| {n:,} | {count:,} | {seconds:.3f} |", flush=True)
    print(f"\nEach vector was written {total / (n_batches * BATCH):.1f} times on average.")


def seconds_to_write(folder: Path, vectors: np.ndarray) -> float:
    """Median over three segments, or one large one."""
    folder.mkdir()
    ids = [f"{row:032x}" for row in range(len(vectors))]
    rounds = 3 if len(vectors) < 100_000 else 1
    seconds = [timed(lambda: write_segment(folder, ids, vectors))[0] for _ in range(rounds)]
    return statistics.median(seconds)


# ---- answers and lists


def show_addition(paths: list[Path], size: int) -> None:
    """Answers and lists after the new tracks, beside those of an index and lists built anew."""
    print(f"\n### {NEW} tracks added to {size:,}\n\n| | |\n|---|---|")
    index = VectorIndex(paths)
    vectors = index.vectors(np.arange(len(index)))
    print(f"| segments before | {len(paths) - 1} |")
    with tempfile.TemporaryDirectory(dir=paths[0].parent) as name:
        ids = index.track_ids
        seconds, _ = timed(lambda: write_segment(Path(name), ids[-NEW:], vectors[-NEW:]))
        print(f"| the segment of the new tracks, s | {seconds:.3f} |")
        seconds, _ = timed(lambda: write_segment(Path(name), ids, vectors))
        print(f"| an index built anew, as one segment, s | {seconds:.1f} |")
        show_answers(index, VectorIndex([Path(name)]), size)
    show_lists(index, size)


def show_answers(grown: VectorIndex, rebuilt: VectorIndex, size: int) -> None:
    """Recall of both indexes, and how many of the answers they share."""
    queries = np.concatenate(
        [synthetic(900, size, seed=4), grown.vectors(np.arange(-NEW, 0) + len(grown))]
    )
    below, search.EXACT_BELOW = search.EXACT_BELOW, len(grown) + 1
    exact, _ = grown.search(queries, K)
    search.EXACT_BELOW = below
    answers = {"the grown index": grown, "an index built anew": rebuilt}
    rows = {name: index.search(queries, K)[0] for name, index in answers.items()}
    for name, near in rows.items():
        print(f"| recall@10 of {name} | {overlap(near, exact):.4f} |")
    one, other = rows.values()
    print(f"| answers that both have in common | {overlap(one, other):.4f} |", flush=True)


def show_lists(index: VectorIndex, size: int) -> None:
    """The update of the lists, beside building them anew."""
    n, recordings = len(index), np.arange(len(index))
    live_before = np.arange(n) < size
    build_s, before = timed(lambda: build_lists(index, live_before, recordings, K))
    print(f"| lists built anew, s | {build_s:,.1f} |", flush=True)
    live = np.ones(n, bool)
    update_s, (after, n_changed) = timed(
        lambda: update_lists(index, live, recordings, before, recordings)
    )
    print(f"| lists updated, s | {update_s:,.2f} ({build_s / update_s:,.0f} times as fast) |")
    print(f"| lists that changed, with those of the new tracks | {n_changed:,} |")
    changed = np.flatnonzero((after.rows != before.rows).any(axis=1))
    some = np.unique(np.linspace(0, n - 1, min(SAMPLE, n)).astype(np.int64))
    for name, rows in (("changed lists", changed), (f"{len(some):,} lists of all", some)):
        anew = with_scales(index, after, rows)
        share = overlap(after.rows[rows], anew.rows[rows])
        same = (after.rows[rows] == anew.rows[rows]).all(axis=1).mean()
        print(f"| {name}: tracks in common with lists built anew with the same scales | "
              f"{share:.4f}, {same:.1%} of the lists equal |", flush=True)  # fmt: skip


def with_scales(index: VectorIndex, lists: NeighbourLists, rows: np.ndarray) -> NeighbourLists:
    """Some lists, searched anew with the scales that the tracks have."""
    anew = NeighbourLists(*(array.copy() for array in vars(lists).values()))
    everything, recordings = np.ones(len(index), bool), np.arange(len(index))
    return neighbour_lists._search_lists(index, everything, recordings, anew, rows, None)


def overlap(rows: np.ndarray, expected: np.ndarray) -> float:
    """The share of the expected rows that are among the rows."""
    pairs = zip(rows.tolist(), expected.tolist(), strict=True)
    n_expected = int((expected >= 0).sum())
    return sum(len({*a} & {*b} - {-1}) for a, b in pairs) / max(n_expected, 1)


def timed(act: Callable[[], T]) -> tuple[float, T]:
    """Seconds, and what was returned."""
    began = time.perf_counter()
    result = act()
    return time.perf_counter() - began, result


if __name__ == "__main__":
    main()
