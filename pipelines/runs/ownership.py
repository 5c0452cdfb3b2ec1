"""The process that executes a Dagster run holds a lock; a run whose lock is free has died.

Dagster marks a run as failed only if the process that executes it lives long enough to report the
failure. A run whose process was killed stays "started" for ever, counts against the limit of
concurrent runs, and keeps its slot in a pool. Run monitoring does not help: Dagster's default
launcher cannot ask whether a process lives, and a run of the command line has no launcher at all.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from melgraph.storage.errors import ArtifactLocked
from melgraph.storage.home import Home
from melgraph.storage.locks import Lock

if TYPE_CHECKING:
    from dagster import DagsterInstance, RunRecord

RUNS = "runs"  # the folder of the locks, below the locks of the home
# A run that has started takes its lock at once. This is the time that a busy machine may need.
GRACE_S = 60.0


@contextmanager
def owned_run(home: Home, run_id: str) -> Iterator[None]:
    """Hold the lock of a run. The process that executes the run must do so until the run has ended.

    Args:
        home: the home that the run works for.
        run_id: the id of the Dagster run.

    Raises:
        ArtifactLocked: another process executes this run.
    """
    lock = Lock(home, RUNS, run_id)
    lock.acquire()
    try:
        yield
    finally:
        lock.discard()


def fail_dead_runs(instance: "DagsterInstance", home: Home) -> list[str]:
    """Mark the runs as failed whose process has died, and free their slots in the pools.

    A run belongs to a process, on this machine or another one, as long as its lock is held. The
    kernel releases the lock when the process dies, whatever kills it.

    Args:
        instance: the Dagster instance of the home.
        home: the home.

    Returns:
        The ids of the runs that were marked.
    """
    from dagster import DagsterRunStatus, RunsFilter

    unfinished = [
        DagsterRunStatus.NOT_STARTED,
        DagsterRunStatus.STARTING,
        DagsterRunStatus.STARTED,
        DagsterRunStatus.CANCELING,
    ]
    records = instance.get_run_records(RunsFilter(statuses=unfinished))
    return [
        record.dagster_run.run_id for record in records if _fail_if_dead(instance, home, record)
    ]


def _fail_if_dead(instance: "DagsterInstance", home: Home, record: "RunRecord") -> bool:
    """Mark a run as failed if nobody executes it. Returns whether it was marked."""
    lock = Lock(home, RUNS, record.dagster_run.run_id)
    if not lock.path.exists() and not _has_lost_its_lock(instance, record):
        return False
    holder = lock.holder_note()
    try:
        lock.acquire()
    except ArtifactLocked:
        return False
    try:
        # Read again: the owner releases the lock after it has reported the end of the run.
        run = instance.get_run_by_id(record.dagster_run.run_id)
        if run is None or run.is_finished:
            return False
        message = (
            f"{holder or 'The process'} executed this run and ended without a report: it was "
            "killed, or the machine stopped. Finished artifacts are kept; start the run again to "
            "continue."
        )
        instance.report_run_failed(run, message[0].upper() + message[1:])
        instance.event_log_storage.free_concurrency_slots_for_run(run.run_id)
        return True
    finally:
        lock.discard()


def _has_lost_its_lock(instance: "DagsterInstance", record: "RunRecord") -> bool:
    """Whether a run without a lock file should have one, so that nobody executes it.

    This is so only if Dagster's database lies in the home, because then each process that uses the
    database also uses the locks of the home. A database server may be shared with other homes.

    A run that is not started yet has no process that could hold a lock, unless it is a run of the
    command line. Dagster's own timeout of run monitoring covers such runs.
    """
    from dagster import DagsterRunStatus

    run = record.dagster_run
    has_process = run.status in (DagsterRunStatus.STARTED, DagsterRunStatus.CANCELING)
    is_of_command_line = run.remote_job_origin is None
    age_s = time.time() - (record.start_time or record.create_timestamp.timestamp())
    is_local = "sqlite" in type(instance.run_storage).__name__.lower()
    return is_local and age_s > GRACE_S and (has_process or is_of_command_line)
