"""Runs to be killed: a parent that has imported everything, and a fork of it for each run.

Usage: python -m tests.pipelines.killed_process, then a line of JSON on stdin for each run (the
fields of `Order`); a line of JSON on stdout says how it ended. The run is that of `melgraph run`,
planned by its planner, without Dagster around the assets and without what is trained or drawn.
"""

import gc
import json
import math
import mmap
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

from melgraph.assets.context import Context
from melgraph.assets.library.ingest import representation_spec, write_batch
from melgraph.assets.recommendations.indexes import segment_specs
from melgraph.assets.stage import ONE
from melgraph.assets.stages import (
    AUDIO_FINGERPRINTS,
    BY_DEFAULT,
    INDEX_SEGMENTS,
    STAGES,
    TRACKS,
    Stage,
    stages_of,
)
from melgraph.ml import workers
from melgraph.ml.specs import Specs, load_specs
from melgraph.pipelines.intake import cut_batches, one_scanner, reconcile, scan_library
from melgraph.pipelines.plan import Planner, Step
from melgraph.storage.artifacts import Production
from melgraph.storage.home import Home
from melgraph.storage.records import Spec, partition_name
from tests.pipelines.fault_points import FaultPoints

BATCH_SIZE = 3
BOARD_BYTES = 1 << 19
LAST_POINT = 256  # bytes of the board
HANGS_S = 1800  # a run that takes longer hangs
# Functions of a run import these. A fork that had to do it would take twice as long.
LATE_MODULES = (
    "ml.audio.payload",
    "ml.collections",
    "ml.inference.model_input",
    "ml.inference.tagging",
    "ml.inference.tracks",
    "ml.inference.vectors",
    "ml.recordings.components",
    "ml.recordings.cue_sheets",
    "ml.recordings.duplicates",
    "ml.recordings.file_names",
    "ml.recordings.fingerprints",
    "ml.recordings.grouping",
    "ml.recordings.matching",
    "ml.representations.analysis",
    "ml.representations.images",
    "ml.sample_library",
    "ml.splits.assignment",
    "ml.splits.label_classes",
    "ml.weights.checkpoints",
    "ml.weights.licences",
)
# They come with the import of polars and pyarrow, sleep, and hold no lock that a fork would miss.
HARMLESS_THREADS = {"jemalloc_bg_thd", "polars-ooc-clea"}


@dataclass(frozen=True)
class Order:
    """A run, and when to kill it.

    Attributes:
        home, library: folders.
        point, occurrence: kill at a named point.
        delay_s: kill so many seconds after the start; None: not at a moment.
        after: begin to count when the home has a path that fits this pattern.
        workers: decode in worker processes, as users do; else in this one, which is quicker.
    """

    home: str
    library: str
    point: str = ""
    occurrence: int = 1
    delay_s: float | None = None
    after: str = ""
    workers: int = 0


@dataclass
class Ending:
    """How a run ended.

    Attributes:
        status: exit status; negative: the signal.
        seconds: from the start.
        last: the last point it passed.
        trace: the points it passed, in order; nothing of one that was killed.
        left: steps that a plan finds to do when it had ended.
        process: its id, which is that of its session too.
    """

    status: int
    seconds: float
    last: str
    trace: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    process: int = 0


# -- the run --------------------------------------------------------------------------------------


def run(home: Home, specs: Specs) -> list[str]:
    """Scan, and take every step of the plan that is not trained or drawn. Returns what is left."""
    home = home.create()
    context = Context.open(home, specs)
    with one_scanner(home):
        reconcile(context.store, context.catalogue)
        scan = scan_library(
            home,
            context.catalogue,
            settle_s=0.0,
            look_again_s=0.0,
            compare_bytes=math.inf,
            compare_s=math.inf,
        )
        cut_batches(context.catalogue, scan, batch_size=BATCH_SIZE)
    for step in steps(context):
        JOBS[step.job](context, step)
    return [f"{step.job} {step.partition}" for step in steps(context)]


def steps(context: Context) -> Iterator[Step]:
    """What `melgraph run --refresh` would run now, of the jobs there are here."""
    for _, plan in Planner(context, [], refresh=True).parts():
        yield from (step for step in plan() if step.why_not is None and step.job in JOBS)


def _partition(step: Step) -> str:
    return partition_name(step.partition) if step.partition else ONE


def _produce(context: Context, stage: Stage, spec: Spec) -> None:
    context.store.produce(spec, partial(stage.write, context.store))


def _make_all(context: Context, step: Step) -> None:
    """As the assets of the job do it."""
    for stage in stages_of(step.job):
        _produce(context, stage, stage.plan(context, _partition(step)))


def _ingest(context: Context, step: Step) -> None:
    """As the assets `ingest_batch` and `audio_fingerprints` do it."""
    batch = _partition(step)
    tracks = TRACKS.plan(context, batch)
    representations = [
        representation_spec(stage, context, tracks.reference) for stage in BY_DEFAULT
    ]
    with Production(context.store, [tracks, *representations]) as production:
        if production.missing:
            write_batch(context.store, production.missing)
    recordings = production.artifacts[TRACKS.name].record.recordings
    context.catalogue.identify(batch, recordings)
    _produce(context, AUDIO_FINGERPRINTS, AUDIO_FINGERPRINTS.plan(context, batch))


def _recommend(context: Context, step: Step) -> None:
    """As the assets `recommendation_indexes` and `recommendations` do it."""
    for segment in segment_specs(context, _partition(step)):
        _produce(context, INDEX_SEGMENTS, segment)
    _make_all(context, step)


JOBS: dict[str, Callable[[Context, Step], None]] = {
    "ingest": _ingest,
    "deduplication": _make_all,
    "dataset": _make_all,
    "encoding": _make_all,
    "embedding": _make_all,
    "recommending": _recommend,
}


# -- the processes --------------------------------------------------------------------------------


def map_here(points: FaultPoints) -> Callable[..., Iterator[workers.Outcome]]:
    """In place of `ml.workers.isolated_map`: the same in this process."""

    def one_by_one(function: Callable, items: Any, **_: Any) -> Iterator[workers.Outcome]:
        for item in items:
            points.here("tracks: before decoding a file")
            yield workers.Outcome(item, function(item))

    return one_by_one


def child(order: Order, board: mmap.mmap, specs: Specs) -> None:
    """Run in a fork; never returns."""
    status = 1
    try:
        signal.alarm(HANGS_S)
        os.setsid()  # so that its workers are found

        def passed(name: str) -> None:
            board[:LAST_POINT] = name.encode().ljust(LAST_POINT)

        points = FaultPoints(Path(order.home), order.point, order.occurrence, passed)
        points.install()
        if order.workers:
            os.environ["MELGRAPH_WORKERS"] = str(order.workers)
            # A worker imports what its parent ran as `__main__`: all of this, here.
            sys.modules["__main__"].__spec__ = sys.modules["__main__"].__file__ = None
        else:
            workers.isolated_map = map_here(points)  # type: ignore[assignment]
        left = run(Home(Path(order.home), order.library), specs)
        told = json.dumps({"trace": points.trace, "left": left}).encode()
        board[LAST_POINT : LAST_POINT + len(told)] = told
        status = 0
    except BaseException:
        traceback.print_exc()
        sys.stderr.flush()
    finally:
        os._exit(status)


def threads() -> set[str]:
    """Names of the threads of this process, but for the first."""
    others = set(Path("/proc/self/task").iterdir()) - {Path(f"/proc/self/task/{os.getpid()}")}
    return {(thread / "comm").read_text().strip() for thread in others}


def carry_out(order: Order, specs: Specs) -> Ending:
    """Fork, wait, or kill at the moment."""
    assert not threads() - HARMLESS_THREADS, "a process with threads at work cannot be forked"
    board = mmap.mmap(-1, BOARD_BYTES)
    started = time.monotonic()
    process = os.fork()
    if process == 0:
        child(order, board, specs)
    status = await_end(process, order, started)
    seconds = time.monotonic() - started
    last, rest = board[:LAST_POINT], board[LAST_POINT:].rstrip(b"\0")
    told = json.loads(rest) if rest else {}
    last_point = last.rstrip(b"\0 ").decode()
    return Ending(os.waitstatus_to_exitcode(status), seconds, last_point, process=process, **told)


def await_end(process: int, order: Order, started: float) -> int:
    """The wait status of a run, killed or not."""
    if order.delay_s is not None:
        while order.after and not any(Path(order.home).glob(order.after)):
            ended, status = os.waitpid(process, os.WNOHANG)
            if ended:
                return status
            started = time.monotonic()
        time.sleep(max(0.0, started + order.delay_s - time.monotonic()))
        os.kill(process, signal.SIGKILL)
    return os.waitpid(process, 0)[1]


def prepare() -> None:
    """Import all that a run imports, and start no thread: a fork of one would hang."""
    import torch

    torch.set_num_threads(1)
    import faiss  # noqa: F401
    import mutagen
    import sklearn.neighbors  # noqa: F401

    for stage in STAGES.values():  # the planner asks all of them
        import_module(f"melgraph.assets.{stage.module}")
    for name in LATE_MODULES:
        import_module(f"melgraph.{name}")

    from melgraph.storage import artifacts, environment

    mutagen.File(__file__)  # imports all it knows, once
    known = environment.environment()  # asks git, once
    artifacts.environment = lambda: known


def main() -> None:
    """Carry out orders until stdin ends."""
    prepare()
    specs = load_specs()  # once: no home that is killed has TOML files of its own
    gc.disable()  # a collection in a fork would touch, and so copy, every page
    gc.freeze()
    for line in sys.stdin:
        print(json.dumps(asdict(carry_out(Order(**json.loads(line)), specs))), flush=True)


if __name__ == "__main__":
    main()
