"""The vector index beside other libraries: build, memory, queries and recall. For docs/results.

    python benchmarks/similarity.py --folder FOLDER [--sizes 10000,100000,1000000] [--rounds 3]
    python benchmarks/similarity.py --folder FOLDER --print

Builds each index over synthetic vectors (`benchmarks/similarity_vectors.py`), and searches in it
with one and with two threads. Each measurement is a process of its own, so that its memory is its
own and no two large indexes are in memory together. In each round the indexes take turns. Ours has
its default settings. The breadth of each other index is raised until its recall@10 is at least .99,
and further until it is at least that of ours; of an index with two settings, the fastest pair with
that recall is taken. FOLDER receives the vectors, the indexes (about 10 KB for each of the most
vectors) and `results.jsonl`; what is in there is not measured again. Building includes writing the
file, from vectors in memory of the kernel.

A measurement waits until the machine is idle, and is repeated if other programs used more than
`--others` of the processors meanwhile, so that it can run on a machine that others use.
"""

import argparse
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.ratios import ratio_of
from benchmarks.similarity_indexes import Index, Ours, available
from benchmarks.similarity_vectors import synthetic

K, RECALL, EXACT = 10, 0.99, 0.9995
SAME_INDEX = ("index", "size", "what")
ATTEMPTS = 10
ONE_AT_A_TIME = 200
OF_A_SEARCH = ("settings", "recall", "queries_per_s", "one_per_s")
ROUNDS_OF_A_LARGE_BUILD, LARGE = 1, 500_000
Result = dict[str, Any]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--sizes", default="10000,100000,1000000")
    parser.add_argument("--threads", default="1,2")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--others", type=float, default=0.05, help="share, see above")
    parser.add_argument("--only", default="", help="a part of the names of indexes")
    parser.add_argument("--print", action="store_true", help="only print the tables")
    parser.add_argument("--child", nargs=2, metavar=("WHAT", "INDEX"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    sizes = [int(size) for size in arguments.sizes.split(",")]
    threads = [int(number) for number in arguments.threads.split(",")]
    if arguments.child:
        return print(json.dumps(child(*arguments.child, arguments.folder)))
    kinds = [kind for kind in available() if arguments.only in kind.name]
    if not arguments.print:
        for size in sizes:
            measure(arguments, size, kinds, threads)
    results = read_results(arguments.folder)
    for size in sizes:
        for number in threads:
            show(results, size, number)


# ---- measuring


def measure(
    arguments: argparse.Namespace, size: int, kinds: list[type[Index]], threads: list[int]
) -> None:
    """All measurements with one number of vectors."""
    data = arguments.folder / str(size)
    if not (data / "truth.npy").exists():
        prepare(data, size)
    for number in range(arguments.rounds):
        for n_threads in threads:
            for kind in kinds:
                if size > kind.largest:
                    continue
                key = {"index": kind.name, "size": size, "threads": n_threads, "round": number}
                built = data / folder_name(kind.name)
                if number < (ROUNDS_OF_A_LARGE_BUILD if size >= LARGE else arguments.rounds):
                    run(arguments, data, key | {"what": "build"})
                elif not built.exists():
                    raise SystemExit(f"{built} was removed; remove the results of {key} as well")
                run(arguments, data, key | {"what": "search"})


def prepare(data: Path, size: int) -> None:
    """Write the vectors, the queries and the exact answers."""
    data.mkdir(parents=True, exist_ok=True)
    vectors = synthetic(size, size, seed=3)
    queries = synthetic(1000 if size >= LARGE else 2000, size, seed=4)
    np.save(data / "vectors.npy", vectors)
    np.save(data / "queries.npy", queries)
    truth = []
    for start in range(0, len(queries), 50):
        similarity = queries[start : start + 50].astype(np.float64) @ vectors.T
        truth.append(np.argpartition(-similarity, K, axis=1)[:, :K])
    np.save(data / "truth.npy", np.concatenate(truth))


def run(arguments: argparse.Namespace, data: Path, key: Result) -> None:
    """Measure in a new process, unless the result is there, and write the result down."""
    earlier = read_results(arguments.folder)
    if any(key.items() <= result.items() for result in earlier):
        return
    settings = [r.get("settings") for r in earlier if same(r, key, *SAME_INDEX)]
    our_search = key | {"index": Ours.name, "what": "search"}
    ours = [r["recall"][0] for r in earlier if same(r, our_search, *SAME_INDEX)]
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "LOKY_MAX_CPU_COUNT")
    environment = os.environ | dict.fromkeys(names, str(key["threads"]))
    environment["SETTINGS"] = json.dumps(settings[0] if settings else None)
    environment["TARGETS"] = json.dumps([RECALL, *(r for r in ours[:1] if RECALL < r < EXACT)])
    command = [sys.executable, __file__, "--folder", data, "--child", key["what"], key["index"]]
    for attempt in range(1, ATTEMPTS + 1):
        wait_until_idle(arguments.others)
        meter = UseByOthers()
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(f"{key}:\n{done.stderr}")
        others = meter.share()
        if others <= arguments.others:
            break
        print(f"others used {others:.0%} of the processors: {key}, attempt {attempt}", flush=True)
    result = key | json.loads(done.stdout.splitlines()[-1]) | {"others": others}
    print(json.dumps(result), flush=True)
    with (arguments.folder / "results.jsonl").open("a") as file:
        file.write(json.dumps(result) + "\n")


class UseByOthers:
    """The share of the processors that other programs use from now on."""

    def __init__(self) -> None:
        self.before = self._now()

    def share(self) -> float:
        """Until now, from 0 to 1."""
        busy, total, own = (now - then for now, then in zip(self._now(), self.before, strict=True))
        return max(0.0, busy - own) / total

    def _now(self) -> tuple[float, float, float]:
        fields = [int(field) for field in Path("/proc/stat").read_text().split("\n")[0].split()[1:]]
        idle, total = fields[3] + fields[4], sum(fields[:8])
        own = resource.getrusage(resource.RUSAGE_CHILDREN)
        ticks = os.sysconf("SC_CLK_TCK")
        return (total - idle) / ticks, total / ticks, own.ru_utime + own.ru_stime


def wait_until_idle(share: float) -> None:
    """Wait until other programs use no more than this share of the processors for two seconds."""
    while True:
        meter = UseByOthers()
        time.sleep(2)
        if meter.share() <= share:
            return
        time.sleep(5)


def same(one: Result, other: Result, *names: str) -> bool:
    return all(one[name] == other[name] for name in names)


def read_results(folder: Path) -> list[Result]:
    path = folder / "results.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


# ---- in the process of one measurement


def child(what: str, name: str, data: Path) -> Result:
    """One measurement."""
    index = next(kind for kind in available() if kind.name == name)()
    index.load_library()  # before the clock starts
    folder = data / folder_name(name)
    return build(index, data, folder) if what == "build" else search(index, data, folder)


def folder_name(name: str) -> str:
    return "".join(letter if letter.isalnum() else "-" for letter in name)


def build(index: Index, data: Path, folder: Path) -> Result:
    """Build the index anew. Memory is what it needs beyond the vectors it is given."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    vectors = np.load(data / "vectors.npy", mmap_mode="r")
    np.abs(vectors).max()  # reads the file
    with peak_memory() as peak:
        began = time.perf_counter()
        index.build(vectors, folder)
        seconds = time.perf_counter() - began
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    return {"build_s": seconds, "peak_bytes": peak[0], "disk_bytes": size}


def search(index: Index, data: Path, folder: Path) -> Result:
    """Open the index, and search with the settings that reach the recall."""
    queries, truth = np.load(data / "queries.npy"), np.load(data / "truth.npy")
    n = len(np.load(data / "vectors.npy", mmap_mode="r"))
    before = anonymous_memory()
    began = time.perf_counter()
    index.open(folder)
    index.settings = next(index.ladders(n))[0]
    index.search(queries[:1], K)
    first = time.perf_counter() - began
    result = {"first_ms": 1000 * first, "held_bytes": 0} | {name: [] for name in OF_A_SEARCH}
    some = queries[:ONE_AT_A_TIME, None]
    for settings in json.loads(os.environ["SETTINGS"]) or settings_of(index, queries, truth, n):
        index.settings = settings
        recall = recall_of(index.search(queries, K), truth)
        seconds = timed(lambda: index.search(queries, K))
        one_s = timed(lambda: [index.search(query, K) for query in some])
        values = (settings, recall, len(queries) / seconds, len(some) / one_s)
        for name, value in zip(OF_A_SEARCH, values, strict=True):
            result[name].append(value)
    return result | {"held_bytes": anonymous_memory() - before}


def settings_of(index: Index, queries: np.ndarray, truth: np.ndarray, n: int) -> list[Any]:
    """The settings for each recall that is to be reached; only one if there is no choice."""
    if next(index.ladders(n), [None]) == [None]:
        return [None]
    targets = json.loads(os.environ["TARGETS"])
    return [choose(index, queries, truth, n, target) for target in targets]


def choose(index: Index, queries: np.ndarray, truth: np.ndarray, n: int, target: float) -> Any:
    """The fastest settings with the recall, or those with the highest recall."""
    reached, highest = [], (0.0, None)
    for ladder in index.ladders(n):
        for settings in ladder:
            index.settings = settings
            recall = recall_of(index.search(queries, K), truth)
            highest = max(highest, (recall, settings), key=lambda pair: pair[0])
            if recall >= target:
                seconds = timed(lambda: index.search(queries, K))
                reached.append((seconds, settings))
                break
        if len(reached) > 2 and reached[-1][0] > reached[-2][0] > reached[-3][0]:
            break  # a greater breadth does not pay any more
    return min(reached, key=lambda pair: pair[0])[1] if reached else highest[1]


def recall_of(rows: np.ndarray, truth: np.ndarray) -> float:
    pairs = zip(rows.tolist(), truth.tolist(), strict=True)
    return sum(len({*row} & {*expected}) for row, expected in pairs) / truth.size


def timed(act: Callable[[], object]) -> float:
    began = time.perf_counter()
    act()
    return time.perf_counter() - began


def anonymous_memory() -> int:
    """Bytes of memory that no file backs, so that the kernel cannot drop them."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return 1024 * int(line.split()[1])
    raise SystemExit("this kernel does not tell RssAnon")


@contextmanager
def peak_memory() -> Iterator[list[int]]:
    """Sample the anonymous memory; the list receives the highest value beyond that before."""
    before, peak, finished = anonymous_memory(), [0], threading.Event()

    def sample() -> None:
        while not finished.wait(0.005):
            peak[0] = max(peak[0], anonymous_memory() - before)

    thread = threading.Thread(target=sample)
    thread.start()
    yield peak
    finished.set()
    thread.join()


# ---- printing


def show(results: list[Result], size: int, threads: int) -> None:
    """The tables of one size and number of threads, and who is better in both rates."""
    here = [r for r in results if r["size"] == size and r["threads"] == threads]
    names = sorted({r["index"]: None for r in here}, key=lambda n: not n.startswith(Ours.name))
    show_builds(here, names, size, threads)
    print("\n| search | recall@10 | queries/s | ours / it | one at a time, queries/s |")
    print("|---|---|---|---|---|")
    for name in names:
        for number in range(len(column(here, name, "search", "settings")[0])):
            rates = values_at(here, name, "queries_per_s", number)
            ours = values_at(here, Ours.name, "queries_per_s", 0)
            print(
                f"| {name} | {values_at(here, name, 'recall', number)[0]:.4f} "
                f"| {statistics.median(rates):,.0f} | {compare(ours, rates)[1]} "
                f"| {statistics.median(values_at(here, name, 'one_per_s', number)):,.0f} |"
            )
    for title, number in (("At a recall of .99", 0), ("At the recall of ours", -1)):
        better = ", ".join(name for name in names if is_better(here, name, number)) or "none"
        print(f"\n{title} better than ours in both rates: {better}.")
    others = [r["others"] for r in here]
    print(f"Other programs used {statistics.median(others):.1%} of the processors "
          f"(median of the measurements), and at most {max(others):.1%}.")  # fmt: skip


def show_builds(here: list[Result], names: list[str], size: int, threads: int) -> None:
    print(f"\n### {size:,} vectors, {threads} thread{'s' * (threads > 1)}\n")
    print("| build | vectors/s | ours / it | memory, B a vector | disk, B a vector |"
          " held while searching, B a vector | open and first answer, ms |")  # fmt: skip
    print("|---|" + "---|" * 6)
    for name in names:
        seconds = column(here, name, "build", "build_s")
        cells = [
            name,
            f"{size / statistics.median(seconds):,.0f}",
            compare(seconds, column(here, Ours.name, "build", "build_s"))[1],
            f"{max(column(here, name, 'build', 'peak_bytes')) / size:,.0f}",
            f"{column(here, name, 'build', 'disk_bytes')[0] / size:,.0f}",
            f"{statistics.median(column(here, name, 'search', 'held_bytes')) / size:,.0f}",
            f"{statistics.median(column(here, name, 'search', 'first_ms')):,.0f}",
        ]
        print("| " + " | ".join(cells) + " |")


def is_better(here: list[Result], name: str, number: int) -> bool:
    """Whether a library builds faster and answers faster than ours.

    The last of its settings (number -1) count only if they have the recall of ours.
    """
    recall = values_at(here, name, "recall", number)[0]
    wanted = values_at(here, Ours.name, "recall", 0)[0] if number == -1 else RECALL
    if name.startswith(Ours.name) or recall < min(wanted, EXACT):
        return False
    seconds = column(here, name, "build", "build_s")
    builds = compare(seconds, column(here, Ours.name, "build", "build_s"))[0]
    ours = values_at(here, Ours.name, "queries_per_s", 0)
    return builds < 1 and compare(ours, values_at(here, name, "queries_per_s", number))[0] < 1


def of(results: list[Result], name: str, what: str) -> list[Result]:
    return [r for r in results if r["index"] == name and r["what"] == what]


def column(results: list[Result], name: str, what: str, value: str) -> list[float]:
    return [r[value] for r in of(results, name, what)]


def values_at(results: list[Result], name: str, value: str, number: int) -> list[float]:
    """A value of all rounds, with the settings of that number."""
    return [r[value][number] for r in of(results, name, "search")]


def compare(ours: list[float], other: list[float]) -> tuple[float, str]:
    """The ratio of rates of the same rounds, as a number and as text with its 95 % interval."""
    n = min(len(ours), len(other))
    if n < 2:
        return ours[0] / other[0], f"{ours[0] / other[0]:.2f}"
    if ours is other or ours == other:
        return 1.0, "1"
    ratio, low, high = ratio_of(ours[:n], other[:n])
    return ratio, f"{ratio:.2f} ({low:.2f} to {high:.2f})"


if __name__ == "__main__":
    main()
