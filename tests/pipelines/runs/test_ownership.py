"""Runs whose process was killed: they are marked as failed, and hold up no other run."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from dagster import DagsterInstance, DagsterRunStatus, RunsFilter, build_sensor_context
from dagster._core.remote_origin import (
    RegisteredCodeLocationOrigin,
    RemoteJobOrigin,
    RemoteRepositoryOrigin,
)
from dagster._core.test_utils import create_run_for_test
from dagster._daemon.run_coordinator.queued_run_coordinator_daemon import QueuedRunCoordinatorDaemon

from melgraph.assets.resources import HomeResource
from melgraph.pipelines.instance import open_instance
from melgraph.pipelines.plan import Step
from melgraph.pipelines.runner import _execute
from melgraph.pipelines.runs import ownership
from melgraph.pipelines.runs.ownership import fail_dead_runs, owned_run
from melgraph.pipelines.sensors import new_tracks
from melgraph.storage.errors import ArtifactLocked
from melgraph.storage.home import Home
from tests.conftest import PATIENCE_S
from tests.pipelines.runs import slow_run

OF_THE_UI = RemoteJobOrigin(
    RemoteRepositoryOrigin(RegisteredCodeLocationOrigin("melgraph"), "repository"), "job"
)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    (tmp_path / "songs").mkdir()
    return Home(tmp_path / "home", str(tmp_path / "songs")).create()


@pytest.fixture
def instance(home: Home) -> Iterator[DagsterInstance]:
    with open_instance(home) as instance:
        yield instance


def start(home: Home, kind: str) -> subprocess.Popen:
    """A process that executes a run until it is killed."""
    return subprocess.Popen(
        [sys.executable, "-m", slow_run.__name__, str(home.root), kind],
        cwd=Path(__file__).parents[3], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def kill(process: subprocess.Popen) -> None:
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=PATIENCE_S)


def statuses(instance: DagsterInstance) -> list[DagsterRunStatus]:
    return [run.status for run in instance.get_runs()]


def launchable(instance: DagsterInstance) -> int:
    """How many queued runs Dagster's daemon would launch now."""
    daemon = QueuedRunCoordinatorDaemon(interval_seconds=1)
    return len(daemon._get_runs_to_dequeue(instance, instance.get_concurrency_config(), None))


def test_killed_runs_hold_up_no_other_run(home, instance):
    """A run of the command line, and one of a run worker of the UI."""
    instance.event_log_storage.set_concurrency_slots(slow_run.POOL, 2)
    processes = [start(home, kind) for kind in ("command", "worker")]
    try:
        for process in processes:
            assert process.stdout.readline() == "waiting\n", process.stderr.read()
        assert fail_dead_runs(instance, home) == [], "a run that lives was marked"
    finally:
        for process in processes:
            kill(process)
    assert statuses(instance) == [DagsterRunStatus.STARTED] * 2
    assert instance.event_log_storage.get_concurrency_info(slow_run.POOL).active_slot_count == 2
    create_run_for_test(instance, status=DagsterRunStatus.QUEUED, remote_job_origin=OF_THE_UI)
    assert launchable(instance) == 0
    dead = fail_dead_runs(instance, home)
    assert len(dead) == 2
    assert launchable(instance) == 1
    failed = instance.get_runs(RunsFilter(statuses=[DagsterRunStatus.FAILURE]))
    assert {run.run_id for run in failed} == set(dead)
    for run_id in dead:
        (reason,) = (
            entry.message
            for entry in instance.all_logs(run_id)
            if entry.is_dagster_event and entry.dagster_event.is_job_failure
        )
        assert "was killed" in reason
        assert reason.startswith("Process ")  # which one it was
    assert fail_dead_runs(instance, home) == []
    assert list((home.locks / ownership.RUNS).iterdir()) == []
    # Without the daemon, nobody else would free the slots: this run would wait for ever.
    assert _execute(slow_run.definitions(), instance, home, Step("quick", {})) is None


def test_a_run_that_ends_leaves_no_lock(home, instance):
    assert _execute(slow_run.definitions(), instance, home, Step("quick", {})) is None
    assert statuses(instance) == [DagsterRunStatus.SUCCESS]
    assert list((home.locks / ownership.RUNS).iterdir()) == []


def test_a_run_has_one_owner(home):
    with owned_run(home, "a"), pytest.raises(ArtifactLocked, match=r"process \d+ on"):
        owned_run(home, "a").__enter__()


def test_runs_without_a_lock_file(home, instance, monkeypatch):
    """A young run may be about to take its lock; an old one, of an older melgraph, has no owner."""
    cases = {
        (DagsterRunStatus.QUEUED, OF_THE_UI): False,  # it waits, and has no process yet
        (DagsterRunStatus.STARTING, OF_THE_UI): False,  # Dagster's own timeout covers it
        (DagsterRunStatus.STARTED, OF_THE_UI): True,
        (DagsterRunStatus.NOT_STARTED, None): True,
        (DagsterRunStatus.STARTED, None): True,
    }
    runs = {
        create_run_for_test(instance, status=status, remote_job_origin=origin).run_id: is_dead
        for (status, origin), is_dead in cases.items()
    }
    assert fail_dead_runs(instance, home) == []
    monkeypatch.setattr(ownership, "GRACE_S", -1.0)
    assert set(fail_dead_runs(instance, home)) == {run for run, is_dead in runs.items() if is_dead}


def test_a_tick_of_the_sensor_marks_dead_runs(home, instance, monkeypatch):
    """While the UI is served, nobody opens the home: the daemon must do it."""
    monkeypatch.setenv("MELGRAPH_HOME", str(home.root))
    run = create_run_for_test(instance, status=DagsterRunStatus.STARTED)
    with build_sensor_context(instance=instance, resources={"home": HomeResource()}) as context:
        with owned_run(home, run.run_id):
            new_tracks(context)
            assert statuses(instance) == [DagsterRunStatus.STARTED]
        (home.locks / ownership.RUNS / f"{run.run_id}.lock").touch()  # as after a kill
        new_tracks(context)
    assert statuses(instance) == [DagsterRunStatus.FAILURE]


def test_a_run_of_another_home_with_the_same_database_is_left_alone(home, instance, monkeypatch):
    """Its lock file lies in the other home, which this machine may not even see."""
    monkeypatch.setattr(ownership, "GRACE_S", -1.0)
    create_run_for_test(instance, status=DagsterRunStatus.STARTED)

    class PostgresRunStorage:
        pass

    server = PostgresRunStorage()
    monkeypatch.setattr(type(instance), "run_storage", property(lambda _: server))
    assert fail_dead_runs(instance, home) == []
