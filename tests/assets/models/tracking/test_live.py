"""MLflow while a training runs: its figures, its times, failures, and a training that resumes."""

import logging
import time
from datetime import UTC, datetime, timedelta

import pytest
from mlflow import MlflowClient

from melgraph.assets.models.tracking.live import LiveRun, fold_prefix, milliseconds
from melgraph.assets.models.tracking.tracker import Tracker
from melgraph.assets.models.tracking.untracked import UNTRACKED
from melgraph.storage.artifacts import ArtifactStore, Work
from melgraph.storage.home import Home
from melgraph.storage.records import Spec

ROWS = [{"epoch": n, "train_loss": 1 / n, "validation_accuracy": n / 10} for n in (1, 2, 3)]
CURVE = "curve/train_loss"


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> ArtifactStore:
    folder = tmp_path_factory.mktemp("live")
    return ArtifactStore(Home(folder / "home", str(folder / "songs")))


@pytest.fixture
def client(store) -> MlflowClient:
    return MlflowClient(Tracker().uri(store.home))


def work(name: str, folder) -> Work:
    return Work(Spec("trials", name, 1, (), {"a": 1}, 7), folder)


def values(client, run_id, name=CURVE) -> list[float]:
    return [metric.value for metric in client.get_metric_history(run_id, name)]


def test_the_figures_of_an_epoch_are_there_before_the_next_one(store, client, tmp_path):
    with Tracker().live_run(store, work("watched", tmp_path)) as run:
        for number, row in enumerate(ROWS, start=1):
            run.log_epoch(row)
            logged = client.get_run(run.run_id)
            assert logged.info.status == "RUNNING"
            assert logged.data.params["a"] == "1"
            assert logged.data.tags["melgraph.record"].startswith("trials/watched/")
            assert values(client, run.run_id) == [row["train_loss"] for row in ROWS[:number]]


def test_the_times_of_a_run_are_those_of_the_training(store, client, tmp_path):
    began = datetime.now(UTC) - timedelta(seconds=324)
    trial = work("long", tmp_path)
    trial.started_at = began.isoformat()
    with Tracker().live_run(store, trial) as run:
        run_id = Tracker().log_trial(store, trial, [(0, ROWS)], {}, seconds=324.0, run=run)
    info = client.get_run(run_id).info
    assert info.start_time == milliseconds(began.isoformat())
    assert info.end_time - info.start_time >= 324_000
    assert info.status == "FINISHED"
    assert values(client, run_id, "fold0/train_loss") == [row["train_loss"] for row in ROWS]


@pytest.mark.parametrize(
    ("error", "status"), [(ValueError, "FAILED"), (KeyboardInterrupt, "KILLED")]
)
def test_a_training_that_ends_early_ends_its_run(store, client, tmp_path, error, status):
    with pytest.raises(error), Tracker().live_run(store, work(status.lower(), tmp_path)) as run:
        raise error
    assert client.get_run(run.run_id).info.status == status


def test_a_killed_training_resumes_its_run(store, client, tmp_path):
    """A process that was killed leaves the run in the state `RUNNING`; the next one goes on."""
    trial = work("resumed", tmp_path)
    tracker = Tracker()
    prefix = fold_prefix(0)
    killed = tracker.live_run(store, trial)
    run = killed.__enter__()
    for row in ROWS[:2]:
        run.log_epoch(row, prefix)
    start = client.get_run(run.run_id).info.start_time
    trial.started_at = datetime.now(UTC).isoformat()
    with tracker.live_run(store, trial) as resumed:
        assert resumed.run_id == run.run_id
        for row in ROWS[1:]:  # the state on disk was older than the last epoch
            resumed.log_epoch(row, prefix)
        tracker.log_trial(store, trial, [(0, ROWS)], {}, seconds=1.0, run=resumed)
    assert values(client, run.run_id, "fold0/train_loss") == [row["train_loss"] for row in ROWS]
    assert client.get_run(run.run_id).info.start_time == start
    with tracker.live_run(store, trial) as other:  # a finished training is not resumed
        assert other.run_id != run.run_id


def test_mlflow_that_fails_during_the_training_gets_all_figures_at_its_end(
    store, client, tmp_path, caplog, monkeypatch
):
    trial = work("interrupted", tmp_path)
    calls = []

    def full(*_: object, **__: object) -> None:
        calls.append(time.monotonic())
        raise OSError(28, "No space left on device")

    with Tracker().live_run(store, trial) as run:
        run.log_epoch(ROWS[0], fold_prefix(0))
        with monkeypatch.context() as broken, caplog.at_level(logging.WARNING, "melgraph"):
            broken.setattr(MlflowClient, "log_batch", full)
            for row in ROWS[1:]:
                run.log_epoch(row, fold_prefix(0))
        assert len(calls) == 1  # a server that does not answer is asked once, not in each epoch
        assert "only at its end" in caplog.text
        run_id = Tracker().log_trial(store, trial, [(0, ROWS)], {}, seconds=1.0, run=run)
    assert run_id == run.run_id
    assert values(client, run_id, "fold0/train_loss") == [row["train_loss"] for row in ROWS]


def test_mlflow_that_fails_before_the_training_has_it_at_its_end(store, client, tmp_path):
    trial = work("late", tmp_path)
    with Tracker(tracking_uri="sqlite:////dev/null/mlflow.db").live_run(store, trial) as run:
        run.log_epoch(ROWS[0], fold_prefix(0))
        assert run.run_id is None
        run_id = Tracker().log_trial(store, trial, [(0, ROWS)], {}, seconds=1.0, run=run)
    logged = client.get_run(run_id)
    assert logged.info.start_time == milliseconds(trial.started_at)
    assert logged.data.params["a"] == "1"
    assert values(client, run_id, "fold0/train_loss") == [row["train_loss"] for row in ROWS]


def test_a_run_names_the_inputs_of_all_batches(store, client, tmp_path):
    specs = [Spec("mfcc", f"batch-00000{number}", 1) for number in (2, 1)]
    inputs = tuple(store.produce(spec, lambda work: None)[0].reference for spec in specs)
    trial = Work(Spec("trials", "batches", 1, inputs, {}, 7), tmp_path)
    with Tracker().live_run(store, trial) as run:
        tags = client.get_run(run.run_id).data.tags
    assert tags["melgraph.input.mfcc"] == ", ".join(str(r) for r in sorted(inputs))


def test_reproducing_an_artifact_logs_nothing(store, tmp_path):
    with UNTRACKED.live_run(store, work("untracked", tmp_path)) as run:
        run.log_epoch(ROWS[0])
    assert isinstance(run, LiveRun)
    assert run.run_id is None
