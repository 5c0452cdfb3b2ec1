"""MLflow: one run per training or trial, and registered models that predict from audio files.

`runs` writes what a run holds, `live` the figures of a training that is under way, `results` those
of its evaluation, and `registry` the registered models. If MLflow is down, slow or full, no
training is lost: a warning is logged within a bounded time, and the artifact is committed without
a run id. `log_again` logs such a training later.
"""

import logging
import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from dagster import ConfigurableResource

from melgraph.assets.models.evaluation import Evaluation
from melgraph.assets.models.tracking.live import (
    CURVE,
    LiveRun,
    first_line,
    fold_prefix,
    logged_runs,
    milliseconds,
    now_ms,
)
from melgraph.assets.models.tracking.runs import (
    describe_run,
    kept_figures,
    log_environment,
    log_figures,
    snapshot_of,
)
from melgraph.assets.models.trained_model import CURVES_PICTURE, TrainedModel
from melgraph.storage.artifacts import ArtifactStore, Work
from melgraph.storage.home import Home
from melgraph.storage.relocation import EXPERIMENT, artifact_root
from melgraph.storage.urls import sqlite_url

# With MLflow's own defaults, a server that does not answer would delay a training for minutes.
PATIENCE = {
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "15",  # seconds
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
}
_LOG = logging.getLogger("melgraph")
# MLflow's tracking URI belongs to the process, so only one thread at a time may set it.
_TRACKING_URI_LOCK = threading.RLock()

Curves = Sequence[Mapping[str, Any]]  # one mapping of figures per epoch


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

    @contextmanager
    def live_run(self, store: ArtifactStore, work: Work) -> Iterator[LiveRun]:
        """Begin the MLflow run of a training or trial, which shows its figures while it runs.

        The run of a training that was killed is resumed. If the training fails or is interrupted,
        its run gets the status `FAILED` or `KILLED`.
        """
        run = LiveRun()
        try:
            client, experiment_id = self._connect(store.home)
            run.begin(client, experiment_id, work)
            self._describe(client, run, store, work)
            run.follow(client)
        except Exception as error:  # whatever MLflow raises: the training must go on
            run.stop(error)
        try:
            yield run
        except BaseException as error:
            run.end("FAILED" if isinstance(error, Exception) else "KILLED")
            raise

    def log_training(
        self,
        store: ArtifactStore,
        work: Work,
        curves: Curves,
        *,
        seconds: float,
        run: LiveRun | None = None,
    ) -> str | None:
        """Log a finished training, and register its model under its experiment and its dataset.

        Args:
            store: of the artifacts that it was trained on.
            work: of the trained model; its checkpoint and its facts are already written.
            curves: one mapping of figures per epoch.
            seconds: duration of the training.
            run: the run that was begun with the training; None if none was.

        Returns:
            The MLflow run id; None if MLflow failed.
        """
        training = _Training(work, curves, _cost(work.run, seconds))
        return self._log_or_warn(
            work, lambda: self._log_training(store, training, run or LiveRun())
        )

    def log_trial(
        self,
        store: ArtifactStore,
        work: Work,
        curves: Sequence[tuple[int, Curves]],
        figures: Mapping[str, float],
        *,
        seconds: float,
        run: LiveRun | None = None,
    ) -> str | None:
        """Log a trial of a study, which trained once per fold. No model is registered.

        Args:
            store: of the artifacts that it was trained on.
            work: of the trial.
            curves: (fold, one mapping of figures per epoch), logged as `fold0/train_loss`.
            figures: of the whole trial, for example `accuracy`.
            seconds: duration of all trainings together.
            run: the run that was begun with the trial; None if none was.

        Returns:
            The MLflow run id; None if MLflow failed.
        """
        rows_by_prefix = {fold_prefix(fold): rows for fold, rows in curves}
        return self._log_curves(
            store, work, rows_by_prefix, {**figures, **_cost(work.run, seconds)}, run or LiveRun()
        )

    def log_generative_model(
        self, store: ArtifactStore, work: Work, curves: Curves, *, seconds: float, run: LiveRun
    ) -> str | None:
        """Log the training of a generative model. Arguments and result are as for a trial."""
        last = kept_figures(curves, len(curves))
        figures = {**last, **_cost(work.run, seconds)}
        return self._log_curves(store, work, {CURVE: curves}, figures, run)

    def _log_curves(
        self,
        store: ArtifactStore,
        work: Work,
        curves: Mapping[str, Curves],
        figures: Mapping[str, float],
        run: LiveRun,
    ) -> str | None:
        """Log a training without a registered model. Returns the run id; None if MLflow failed."""

        def log() -> str:
            with self._finishing(store, work, run) as (client, run_id):
                run.log_curves(client, curves)
                log_figures(client, run_id, figures, now_ms())
                log_environment(client, run_id, work)
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
            for logged in logged_runs(client, experiment_id, model.reference):
                work.run["mlflow_experiment"] = experiment_id
                return str(logged.info.run_id)
            training = _Training(
                work,
                model.curves().to_dicts(),
                _cost(run),
                milliseconds(record.finished_at),
                record.environment,
            )
            return self._log_training(model.store, training, LiveRun())

        run["mlflow"] = self._log_or_warn(work, log)
        return run

    def log_evaluation(self, evaluation: Evaluation, summary: str) -> dict[str, str | None]:
        """Log an evaluation to the MLflow run of its model, unless the run has it already.

        Args:
            evaluation: the evaluation.
            summary: its result in one line.

        Returns:
            `mlflow` and `mlflow_experiment` of the run, as in `record.run`; empty if MLflow failed,
            or has no run of the model.
        """
        from melgraph.assets.models.tracking.results import log_results

        try:
            client, experiment_id = self._connect(evaluation.store.home)
            for logged in logged_runs(client, experiment_id, evaluation.model_reference)[:1]:
                log_results(client, logged, evaluation, summary)
                return {"mlflow": logged.info.run_id, "mlflow_experiment": experiment_id}
        except Exception as error:
            _LOG.warning("MLflow failed, so it lacks an evaluation: %s", first_line(error))
        return {}

    def _log_training(self, store: ArtifactStore, training: "_Training", run: LiveRun) -> str:
        """Write the run, register its model, and update the champion of the dataset."""
        from melgraph.assets.models.tracking import registry

        work, curves = training.work, training.curves
        end_ms = training.end_ms
        with self._finishing(store, work, run, end_ms) as (client, run_id):
            run.log_curves(client, {CURVE: curves}, end_ms or now_ms())
            figures = {**kept_figures(curves, work.facts["best_epoch"]), **training.cost}
            log_figures(client, run_id, figures, end_ms or now_ms())
            log_environment(client, run_id, work, training.environment)
            client.log_artifact(run_id, str(work.folder / CURVES_PICTURE))
            logged = registry.log_model(work)
            snapshot = snapshot_of(store, work)
            tags = {} if snapshot is None else registry.contender_tags(work, snapshot, curves)
            name = work.spec.partition
            version = registry.register(client, name, logged, run_id, tags)
            if snapshot is not None:
                dataset = snapshot.name
                if dataset != name:
                    version = registry.register(client, dataset, logged, run_id, tags)
                with _one_at_a_time(store.home):
                    registry.update_champion(client, dataset, version)
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
            _LOG.warning(
                "MLflow failed, so the artifact is committed without an MLflow run: %s",
                first_line(error),
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
            in_home = self.uri(home) == _home_uri(home)
            location = artifact_root(home.mlflow) if in_home else None
            return client, client.create_experiment(EXPERIMENT, artifact_location=location)

    def _describe(self, client: Any, run: LiveRun, store: ArtifactStore, work: Work) -> None:
        """Log the settings, tags and dataset of a run, once."""
        if not run.is_described:
            assert run.run_id is not None, "a run was begun"
            describe_run(client, run.run_id, store, work)
            run.is_described = True

    @contextmanager
    def _finishing(
        self, store: ArtifactStore, work: Work, run: LiveRun, end_ms: int | None = None
    ) -> Iterator[tuple[Any, str]]:
        """The run of a training that is over, which ends with the block; begun if it was not yet.

        Args:
            store: of the artifacts that it was trained on.
            work: of the trained model or trial.
            run: the run that was begun with the training.
            end_ms: when the training ended, in milliseconds; None for now.
        """
        import mlflow

        with _TRACKING_URI_LOCK:
            client, experiment_id = self._connect(store.home)
            run_id = run.begin(client, experiment_id, work)
            with _tracking_at(self.uri(store.home)), mlflow.start_run(run_id):
                self._describe(client, run, store, work)
                work.run["mlflow_experiment"] = experiment_id
                yield client, run_id
            if end_ms is not None:
                client.set_terminated(run_id, "FINISHED", end_ms)


@dataclass(frozen=True)
class _Training:
    """A training that is over.

    Attributes:
        work: of the trained model.
        curves: one mapping of figures per epoch.
        cost: duration and peak memory.
        end_ms: when it ended, in milliseconds; None for now.
        environment: in which it was trained; None for the current one.
    """

    work: Work
    curves: Curves
    cost: Mapping[str, float]
    end_ms: int | None = None
    environment: Mapping[str, Any] | None = None


def _home_uri(home: Home) -> str:
    return sqlite_url(home.mlflow / "mlflow.db")


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
