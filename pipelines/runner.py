"""The staged runner: launches the jobs in order, shows progress, ends with a summary."""

import logging
import math
import os
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TextIO

from melgraph.assets.partitions import STUDY, TRACK_BATCH, track_batches
from melgraph.pipelines.definitions import defs
from melgraph.pipelines.instance import open_instance
from melgraph.pipelines.intake import BATCH_SIZE, cut_batches, one_scanner, reconcile, scan_library
from melgraph.pipelines.plan import Planner, Step
from melgraph.storage.artifacts import ArtifactStore
from melgraph.storage.catalogue import Catalogue
from melgraph.storage.home import Home

if TYPE_CHECKING:
    from dagster import DagsterInstance

LOOK_AGAIN_S = 0.5  # between two looks at files that are younger than a minute
DONE, THERE, SKIPPED, FAILED = "done", "already there", "skipped", "failed"


@dataclass(frozen=True)
class Outcome:
    """What became of one step."""

    title: str
    status: str
    note: str
    seconds: float


@dataclass
class Report:
    """What became of a run.

    Attributes:
        outcomes: one per step, in order.
        seconds: of the whole run.
    """

    outcomes: list[Outcome] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def failed(self) -> int:
        """How many steps failed."""
        return self.count(FAILED)

    def count(self, status: str) -> int:
        """How many steps ended so."""
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
    out: TextIO | None = None,
) -> Report:
    """Scan the library and run every stage that has something to do.

    A failed step does not stop the others: what depends on it is skipped, with the reason.

    Args:
        home: created where it is not there yet.
        experiments: which to train.
        refresh: make datasets, and all that names them, anew.
        representations: those to make that are made on demand.
        studies: those to answer.
        batch_size: most files in a new batch.
        settle_s: a file younger than this is left for the next run.
        out: where progress goes; stdout when absent.
    """
    started, out = time.monotonic(), out or sys.stdout
    report = Report()
    home = home.create()
    store, catalogue = ArtifactStore(home), Catalogue(home.catalogue)
    with open_instance(home) as instance, _quiet_libraries():
        with one_scanner(home):
            reconcile(store, catalogue)
            scan = scan_library(
                home,
                catalogue,
                settle_s=settle_s,
                look_again_s=LOOK_AGAIN_S,
                compare_bytes=math.inf,  # to read a file costs less than to decode it again
                compare_s=math.inf,
            )
            batches = cut_batches(catalogue, scan, batch_size=batch_size)
        _line(out, "scan", f"{scan.sentence()}; {len(batches)} new batch(es)", None)
        instance.add_dynamic_partitions(str(track_batches.name), catalogue.batches())
        instance.add_dynamic_partitions(STUDY, list(studies))
        planner = Planner(store, catalogue, experiments, refresh, representations, studies)
        stages = planner.stages()
        for number, (title, plan) in enumerate(stages, start=1):
            print(f"[{number}/{len(stages)}] {title}", file=out, flush=True)
            there = 0
            for step in plan():
                if step.told:
                    _line(out, " ".join(step.partition.values()), step.told, None)
                outcome = _take(step, instance)
                report.outcomes.append(outcome)
                if outcome.status == THERE and not outcome.note:
                    there += 1
                    continue
                _line(out, outcome.title, f"{outcome.status}{outcome.note}", outcome.seconds)
            if there:
                _line(out, f"({there})", THERE, None)
    report.seconds = time.monotonic() - started
    return report


def _take(step: Step, instance: "DagsterInstance") -> Outcome:
    title = " ".join(step.partition.values()) or step.job
    if step.why_not is not None:
        status = THERE if step.needless else SKIPPED
        note = "" if step.why_not == THERE else f": {step.why_not}"
        return Outcome(title, status, note, 0.0)
    started = time.monotonic()
    problem = _execute(step, instance)
    status, note = (DONE, "") if problem is None else (FAILED, f": {problem}")
    return Outcome(title, status, note, time.monotonic() - started)


def _execute(step: Step, instance: "DagsterInstance") -> str | None:
    """Run a job in this process. Returns what went wrong, None where nothing did."""
    from dagster import AssetKey

    result = defs.resolve_job_def(step.job).execute_in_process(
        instance=instance,
        partition_key=_partition_key(step.partition),
        asset_selection=[AssetKey(name) for name in step.assets] or None,
        raise_on_error=False,
        run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
    )
    if result.success:
        return None
    for event in result.all_events:
        if event.is_step_failure:
            data = event.step_failure_data
            if data.user_failure_data and data.user_failure_data.description:
                return data.user_failure_data.description
            error = data.error.cause or data.error if data.error else None
            what = error.message.strip() if error else event.message
            return f"{what} (traceback: run {result.run_id} in the Dagster UI)"
    failed = [
        f"the check {evaluation.check_name} did not pass"
        for evaluation in result.get_asset_check_evaluations()
        if not evaluation.passed
    ]
    return "; ".join(failed) or f"run {result.run_id} failed; see it in the Dagster UI"


def _partition_key(partition: dict[str, str]) -> Any:
    from dagster import MultiPartitionKey

    if not partition:
        return None
    if len(partition) == 1:
        return next(iter(partition.values()))
    assert TRACK_BATCH in partition
    return MultiPartitionKey(partition)


def _line(out: TextIO, title: str, text: str, seconds: float | None) -> None:
    took = f"  ({seconds:.1f} s)" if seconds else ""
    print(f"      {title:32} {text}{took}", file=out, flush=True)


@contextmanager
def _quiet_libraries() -> Iterator[None]:
    """Dagster, MLflow and Alembic narrate on the terminal; their words are in the UI anyway."""
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
