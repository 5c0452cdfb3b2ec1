"""Runs all jobs of `melgraph run` in order, and prints their progress."""

import logging
import math
import os
import signal
import socket
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, TextIO

from melgraph.assets.context import Context
from melgraph.assets.models.test_reads import restore_test_reads
from melgraph.assets.resources import HomeResource
from melgraph.assets.stage import STUDY, TRACK_BATCH
from melgraph.assets.ui import progress_on_terminal
from melgraph.pipelines.deployment import build_definitions
from melgraph.pipelines.instance import open_instance
from melgraph.pipelines.intake import (
    BATCH_SIZE,
    cut_batches,
    one_scanner,
    reconcile,
    restore,
    scan_library,
)
from melgraph.pipelines.plan import Part, Planner, Step
from melgraph.pipelines.runs.announcements import announce
from melgraph.pipelines.runs.ownership import fail_dead_runs, owned_run
from melgraph.storage.home import Home

if TYPE_CHECKING:
    from dagster import DagsterInstance, Definitions

LOOK_AGAIN_S = 0.5  # time between the two checks of a file that is younger than a minute
DONE, THERE, SKIPPED, FAILED = "done", "already there", "skipped", "failed"


@dataclass(frozen=True)
class Outcome:
    """The result of one step."""

    title: str
    status: str
    note: str
    seconds: float


@dataclass
class Report:
    """The result of a run.

    Attributes:
        outcomes: one for each step, in order.
        seconds: duration of the run.
    """

    outcomes: list[Outcome] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def failed(self) -> int:
        """Number of steps that failed."""
        return self.count(FAILED)

    def count(self, status: str) -> int:
        """Number of steps with a status."""
        return sum(outcome.status == status for outcome in self.outcomes)


def run_stages(
    home: Home,
    *,
    experiments: list[str],
    refresh: bool = False,
    representations: Sequence[str] = (),
    studies: Sequence[str] = (),
    batch_size: int = BATCH_SIZE,
    settle_s: float = 0.0,
    accept_deletions: bool = False,
    out: TextIO | None = None,
) -> Report:
    """Scan the library, and run the jobs of all artifacts that are missing or stale.

    A failed step does not stop the others. Steps that depend on it are skipped, with the reason.

    Args:
        home: the home; created if it does not exist.
        experiments: names of the experiments to train.
        refresh: whether to make new snapshots of datasets, and new results from them.
        representations: names of further representations to compute.
        studies: names of the studies to answer.
        batch_size: largest number of files in a new track batch.
        settle_s: a file younger than this is left for the next run, in seconds.
        accept_deletions: as of `scan_library`.
        out: where to print progress; stdout if None.
    """
    started, out = time.monotonic(), out or sys.stdout
    report = Report()
    home = home.create()
    context = Context.open(home)
    definitions = build_definitions(context.specs, HomeResource(root=str(home.root)))
    with open_instance(home) as instance, _quiet_libraries(), progress_on_terminal():
        if dead := fail_dead_runs(instance, home):
            _line(out, "dead runs", f"{len(dead)} marked as failed: their process had died", None)
        with one_scanner(home):
            if n_restored := restore(context.store, context.catalogue):
                note = f"it was lost; rebuilt from the artifacts of {n_restored} track batch(es)"
                _line(out, "catalogue", note, None)
            if n_reads := restore_test_reads(context.store):
                note = f"it was lost; rebuilt from the artifacts, with at least {n_reads} read(s)"
                _line(out, "register of test reads", note, None)
            reconcile(context.store, context.catalogue)
            scan = scan_library(
                home,
                context.catalogue,
                settle_s=settle_s,
                look_again_s=LOOK_AGAIN_S,
                compare_bytes=math.inf,  # reading a file is faster than decoding it again
                compare_s=math.inf,
                accept_deletions=accept_deletions,
            )
            batches = cut_batches(context.catalogue, scan, batch_size=batch_size)
        _line(out, "scan", f"{scan.sentence()}; {len(batches)} new track batch(es)", None)
        announce(instance, context, report=lambda sentence: _line(out, "Dagster", sentence, None))
        instance.add_dynamic_partitions(TRACK_BATCH, context.catalogue.batches())
        instance.add_dynamic_partitions(STUDY, list(studies))
        planner = Planner(context, experiments, refresh, representations, studies)
        execute = partial(_execute, definitions, instance, home)
        report.outcomes += _run_parts(planner.parts(), execute, out)
    report.seconds = time.monotonic() - started
    return report


def run_parts(
    context: Context, choose: Callable[[Planner], list[Part]], out: TextIO | None = None
) -> Report:
    """Run some parts of `melgraph run`. The library is not scanned.

    Args:
        context: of an existing home.
        choose: the parts, each with its title.
        out: where to print progress; stdout if None.
    """
    started, out, home = time.monotonic(), out or sys.stdout, context.home
    definitions = build_definitions(context.specs, HomeResource(root=str(home.root)))
    with open_instance(home) as instance, _quiet_libraries(), progress_on_terminal():
        fail_dead_runs(instance, home)
        announce(instance, context, report=lambda sentence: _line(out, "Dagster", sentence, None))
        execute = partial(_execute, definitions, instance, home)
        outcomes = list(_run_parts(choose(Planner(context, ())), execute, out))
    return Report(outcomes, time.monotonic() - started)


def _run_parts(
    parts: Sequence[Part], execute: Callable[[Step], str | None], out: TextIO
) -> Iterator[Outcome]:
    for number, (title, plan) in enumerate(parts, start=1):
        print(f"[{number}/{len(parts)}] {title}", file=out, flush=True)
        yield from _run_part(plan(), execute, out)


def _run_part(
    steps: Iterator[Step], execute: Callable[[Step], str | None], out: TextIO
) -> Iterator[Outcome]:
    """Run the steps of one part, and print a line for each. Current ones share one line."""
    n_current = 0
    for step in steps:
        if step.announcement:
            _line(out, " ".join(step.partition.values()), step.announcement, None)
        outcome = _run_step(step, execute)
        yield outcome
        if outcome.status == THERE and not outcome.note:
            n_current += 1
            continue
        _line(out, outcome.title, f"{outcome.status}{outcome.note}", outcome.seconds)
    if n_current:
        _line(out, f"({n_current})", THERE, None)


def _run_step(step: Step, execute: Callable[[Step], str | None]) -> Outcome:
    title = " ".join(step.partition.values()) or step.job
    if step.why_not is not None:
        status = THERE if step.needless else SKIPPED
        note = "" if step.why_not == THERE else f": {step.why_not}"
        return Outcome(title, status, note, 0.0)
    started = time.monotonic()
    problem = execute(step)
    status, note = (DONE, "") if problem is None else (FAILED, f": {problem}")
    return Outcome(title, status, note, time.monotonic() - started)


def _execute(
    definitions: "Definitions", instance: "DagsterInstance", home: Home, step: Step
) -> str | None:
    """Run a job in this process. Returns the error message, or None if it succeeded.

    Raises:
        KeyboardInterrupt: the process was interrupted or told to terminate.
    """
    from dagster import AssetKey

    run_id = str(uuid.uuid4())
    with owned_run(home, run_id), noted_interrupts() as was_interrupted:
        result = definitions.resolve_job_def(step.job).execute_in_process(
            instance=instance,
            run_id=run_id,
            partition_key=_partition_key(step.partition),
            asset_selection=[AssetKey(name) for name in step.assets] or None,
            raise_on_error=False,
            run_config={
                "loggers": {"console": {"config": {"log_level": "CRITICAL"}}},
                "ops": {op: {"config": dict(config)} for op, config in step.config.items()},
            },
        )
        if not result.success and was_interrupted():
            raise KeyboardInterrupt  # Ctrl-C and SIGTERM end the run, not only this step
    if result.success:
        return None
    for event in result.all_events:
        if event.is_step_failure:
            data = event.step_failure_data
            if data.error and data.error.cls_name == "DagsterExecutionInterruptedError":
                raise KeyboardInterrupt  # it was raised in another way than by a signal
            if data.user_failure_data and data.user_failure_data.description:
                return data.user_failure_data.description
            error = data.error.cause or data.error if data.error else None
            what = error.message.strip() if error else event.message
            return f"{what} (the Dagster UI shows the traceback in run {result.run_id})"
    failures = [
        f"the asset check {evaluation.check_name} did not pass"
        for evaluation in result.get_asset_check_evaluations()
        if not evaluation.passed
    ]
    return (
        "; ".join(failures)
        or f"the run failed; the Dagster UI shows the reason in run {result.run_id}"
    )


@contextmanager
def noted_interrupts() -> Iterator[Callable[[], bool]]:
    """A function that says whether SIGINT or SIGTERM has arrived in this block.

    Dagster raises an error at the line that is being executed. A library that catches all errors
    there can replace it by one of its own (matplotlib does), and the step then only seems to have
    failed. Python notes each signal in the wake-up socket, whatever becomes of the error. Only the
    main thread receives signals.
    """
    if threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return
    reader, writer = socket.socketpair()
    with reader, writer:
        reader.setblocking(False)
        writer.setblocking(False)
        before = signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)

        def was_interrupted() -> bool:
            with suppress(BlockingIOError):
                return bool({signal.SIGINT, signal.SIGTERM} & set(reader.recv(4096)))
            return False

        try:
            yield was_interrupted
        finally:
            signal.set_wakeup_fd(before)


def _partition_key(partition: dict[str, str]) -> Any:
    from dagster import MultiPartitionKey

    if not partition:
        return None
    if len(partition) == 1:
        return next(iter(partition.values()))
    assert TRACK_BATCH in partition
    return MultiPartitionKey(partition)


def _line(out: TextIO, title: str, text: str, seconds: float | None) -> None:
    duration = f"  ({seconds:.1f} s)" if seconds else ""
    print(f"      {title:32} {text}{duration}", file=out, flush=True)


@contextmanager
def _quiet_libraries() -> Iterator[None]:
    """Hide messages of Dagster, MLflow and Alembic on the terminal; the Dagster UI shows them."""
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    names = ("dagster", "mlflow", "alembic", "sqlalchemy")
    loggers = [logging.getLogger(name) for name in names]
    before = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)
