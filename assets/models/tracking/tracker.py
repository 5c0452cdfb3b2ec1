"""MLflow: one run per training or trial, and registered models that predict from audio files.

`runs` writes what a run holds, `registry` writes the registered models. If MLflow is down, slow or
full, no training is lost: one warning is logged within a bounded time, and the artifact is
committed without a run id. `log_again` logs such a training later.
"""

import logging
import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from dagster import ConfigurableResource

from melgraph.assets.models.trained_model import TrainedModel
from melgraph.storage.artifacts import ArtifactStore, Work
from melgraph.storage.home import Home

EXPERIMENT = "melgraph"
# With MLflow's own defaults, a server that does not answer would delay a training for minutes.
PATIENCE = {
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "15",  # seconds
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
}
LONGEST_REASON = 300  # characters
_LOG = logging.getLogger("melgraph")
# MLflow's tracking URI belongs to the process, so only one thread at a time may set it.
_TRACKING_URI_LOCK = threading.RLock()

Curves = Sequence[Mapping[str, Any]]  # one mapping of figures per epoch


class UntrackedRuns:
    """A tracker that logs nothing, for reproducing an artifact from its record."""

    def log_training(
        self, store: ArtifactStore, work: Work, curves: Curves, *, seconds: float
    ) -> str | None:
        """No run."""
        return None

    def log_trial(
        self,
        store: ArtifactStore,
        work: Work,
        curves: Sequence[tuple[int, Curves]],
        figures: Mapping[str, float],
        *,
        seconds: float,
    ) -> str | None:
        """No run."""
        return None


UNTRACKED = UntrackedRuns()


class Tracker(ConfigurableResource):
    """MLflow in the home (sqlite), or at `MLFLOW_TRACKING_URI`.

    Attributes:
        tracking_uri: of the MLflow server. If it is empty, `MLFLOW_TRACKING_URI` is used, and
            without that the database of the home.
    """

    tracking_uri: str = ""

    def uri(self, home: Home) -> str:
        """The tracking URI that is used for a home."""
        configured = self.tracking_uri or os.environ.get("MLFLOW_TRACKING_URI")
        return configured or _home_uri(home)

    def log_training(
        self, store: ArtifactStore, work: Work, curves: Curves, *, seconds: float
    ) -> str | None:
        """Log a finished training, and register its model under its experiment and its dataset.

        Args:
            store: of the artifacts that it was trained on.
            work: of the trained model; its checkpoint and its facts are already written.
            curves: one mapping of figures per epoch.
            seconds: duration of the training.

        Returns:
            The MLflow run id; None if MLflow failed.
        """
        cost = _cost(work.run, seconds)
        return self._log_or_warn(work, lambda: self._log_training(store, work, curves, cost))

    def log_trial(
        self,
        store: ArtifactStore,
        work: Work,
        curves: Sequence[tuple[int, Curves]],
        figures: Mapping[str, float],
        *,
        seconds: float,
    ) -> str | None:
        """Log a trial of a study, which trained once per fold. No model is registered.

        Args:
            store: of the artifacts that it was trained on.
            work: of the trial.
            curves: (fold, one mapping of figures per epoch), logged as `fold0/train_loss`.
            figures: of the whole trial, for example `accuracy`.
            seconds: duration of all trainings together.

        Returns:
            The MLflow run id; None if MLflow failed.
        """
        from melgraph.assets.models.tracking.runs import write_run

        def log() -> str:
            with self._run(store.home, work) as (client, run_id):
                by_fold = {f"fold{fold}/": rows for fold, rows in curves}
                write_run(
                    client, run_id, store, work, by_fold, {**figures, **_cost(work.run, seconds)}
                )
            return run_id

        return self._log_or_warn(work, log)

    def log_again(self, model: TrainedModel) -> dict[str, str | None]:
        """Log a trained model that has no MLflow run, because MLflow failed when it was trained.

        A run that MLflow already has for the model is used and not written twice.

        Returns:
            `record.run` of the artifact, with the run id and experiment id that MLflow has for it
            now. The run id is None if MLflow still fails.
        """
        artifact, record = model.artifact, model.artifact.record
        run = dict(record.run)
        if run.get("mlflow"):
            return run
        work = Work(
            record.spec, artifact.folder, artifact.facts, run=run, started_at=record.started_at
        )

        def log() -> str:
            client, experiment_id = self._connect(model.store.home)
            same_record = f"tags.`melgraph.record` = '{model.reference}'"
            for logged in client.search_runs(
                [experiment_id], f"{same_record} and status = 'FINISHED'"
            ):
                work.run["mlflow_experiment"] = experiment_id
                return logged.info.run_id
            curves = model.curves().to_dicts()
            return self._log_training(model.store, work, curves, _cost(run), record.environment)

        run["mlflow"] = self._log_or_warn(work, log)
        return run

    def _log_training(
        self,
        store: ArtifactStore,
        work: Work,
        curves: Curves,
        cost: Mapping[str, float],
        recorded_environment: Mapping[str, Any] | None = None,
    ) -> str:
        """Write the run, register its model, and update the champion of the dataset."""
        from melgraph.assets.models.tracking import registry
        from melgraph.assets.models.tracking.runs import write_run

        with self._run(store.home, work) as (client, run_id):
            snapshot = write_run(
                client, run_id, store, work, {"": curves}, cost, recorded_environment
            )
            logged = registry.log_model(work)
            tags = {} if snapshot is None else registry.contender_tags(work, snapshot, curves)
            name = work.spec.partition
            registry.register(client, name, logged, run_id, tags)
            if snapshot is not None:
                dataset = snapshot.name
                if dataset != name:
                    registry.register(client, dataset, logged, run_id, tags)
                with _one_at_a_time(store.home):
                    verdict = registry.update_champion(client, dataset)
                client.set_tag(run_id, "melgraph.champion", verdict.reason)
        return run_id

    def _log_or_warn(self, work: Work, log: Callable[[], str]) -> str | None:
        """Log a run; if MLflow raises anything, log a warning, because the training must not fail.

        Returns:
            The MLflow run id; None if MLflow failed.
        """
        try:
            return log()
        except Exception as error:
            work.run.pop("mlflow_experiment", None)
            reason = (str(error).strip() or repr(error)).split("\n")[0][:LONGEST_REASON]
            _LOG.warning(
                "MLflow failed, so the artifact is committed without an MLflow run: %s", reason
            )
            return None

    def _connect(self, home: Home) -> tuple[Any, str]:
        """A client, and the id of the MLflow experiment of all runs, which is created if needed."""
        for name, value in PATIENCE.items():
            os.environ.setdefault(name, value)
        # MLflow logs every table and model that it creates; users only need the run id.
        os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "ERROR")
        from mlflow import MlflowClient
        from mlflow.utils.logging_utils import disable_logging

        disable_logging()
        logging.getLogger("mlflow").setLevel(logging.ERROR)
        # `_log_or_warn` reports a failed connection once; urllib3 would report every retry.
        logging.getLogger("urllib3.connectionpool").setLevel(logging.ERROR)
        home.mlflow.mkdir(parents=True, exist_ok=True)
        client = MlflowClient(self.uri(home))
        with _one_at_a_time(home):
            experiment = client.get_experiment_by_name(EXPERIMENT)
            if experiment is not None:
                return client, experiment.experiment_id
            home_folder = (home.mlflow / "artifacts").as_uri()
            location = home_folder if self.uri(home) == _home_uri(home) else None
            return client, client.create_experiment(EXPERIMENT, artifact_location=location)

    @contextmanager
    def _run(self, home: Home, work: Work) -> Iterator[tuple[Any, str]]:
        import mlflow

        with _TRACKING_URI_LOCK:
            client, experiment_id = self._connect(home)
            with (
                _tracking_at(self.uri(home)),
                mlflow.start_run(experiment_id=experiment_id, run_name=work.spec.partition) as run,
            ):
                work.run["mlflow_experiment"] = experiment_id
                yield client, run.info.run_id


def _home_uri(home: Home) -> str:
    return f"sqlite:///{home.mlflow / 'mlflow.db'}"


@contextmanager
def _tracking_at(uri: str) -> Iterator[None]:
    """Set MLflow's global tracking URI, and reset it afterwards.

    MLflow stores it in `MLFLOW_TRACKING_URI`, which melgraph reads as a setting of the user.
    Without the reset, the next home of this process would use the database of this one.
    """
    import mlflow

    before = os.environ.get("MLFLOW_TRACKING_URI")
    mlflow.set_tracking_uri(uri)
    try:
        yield
    finally:
        mlflow.set_tracking_uri(before)  # type: ignore[arg-type]  # None: it was not set


@contextmanager
def _one_at_a_time(home: Home) -> Iterator[None]:
    """A lock for reading and then changing MLflow, which two trainings must not do at once."""
    from filelock import FileLock

    with FileLock(home.mlflow / "registry.lock", timeout=120):
        yield


def _cost(run: Mapping[str, str | None], seconds: float | None = None) -> dict[str, float]:
    """Duration and peak memory of a training, as far as `run` (of a record) holds them."""
    recorded, peak = run.get("seconds"), run.get("peak_memory_bytes")
    if seconds is None and recorded:
        seconds = float(recorded)
    cost = {"training_seconds": seconds, "peak_memory_mb": float(peak) / 1e6 if peak else None}
    return {name: value for name, value in cost.items() if value is not None}
