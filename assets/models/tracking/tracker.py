"""MLflow: one run per training or trial, and registered models that predict from audio files.

A thin layer over `MlflowClient`; `mlflow_runs` says what a run holds, `registry` which models there
are. MLflow being down, slow or full never loses a training: the failure is told once, within a
bounded time, and the artifact is committed without a run id. `log_again` makes up for it.
"""

import logging
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from dagster import ConfigurableResource

from melgraph.assets.settings import current_home
from melgraph.storage.artifacts import Artifact, Work
from melgraph.storage.tables import read_table

EXPERIMENT = "melgraph"
# MLflow's own retries hold a training up for minutes where a server does not answer.
PATIENCE = {
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "15",  # seconds
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
}
LONGEST_REASON = 300  # characters
_LOG = logging.getLogger("melgraph")

Curves = Sequence[Mapping[str, Any]]  # one mapping of figures per epoch


class UntrackedRuns:
    """Tracks nothing: for remaking an artifact from its record."""

    def log_training(self, work: Work, curves: Curves, *, seconds: float) -> str | None:
        """No run."""
        return None

    def log_trial(
        self,
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
        tracking_uri: of the MLflow server; empty for `MLFLOW_TRACKING_URI`, and where that is not
            set for the home's own database.
    """

    tracking_uri: str = ""

    def uri(self) -> str:
        """The tracking URI in use."""
        named = self.tracking_uri or os.environ.get("MLFLOW_TRACKING_URI")
        return named or _home_uri()

    def log_training(self, work: Work, curves: Curves, *, seconds: float) -> str | None:
        """Log a finished training, and register its model by its experiment and its dataset.

        Args:
            work: the trained model in the making; its checkpoint and its facts are written.
            curves: one mapping of figures per epoch.
            seconds: what the training took.

        Returns:
            The MLflow run id; None where MLflow could not take it.
        """
        return self._kept(work, lambda: self._log_training(work, curves, _cost(work.run, seconds)))

    def log_trial(
        self,
        work: Work,
        curves: Sequence[tuple[int, Curves]],
        figures: Mapping[str, float],
        *,
        seconds: float,
    ) -> str | None:
        """Log a trial of a study (an arm with a seed) that trained once per fold; no model.

        Args:
            work: the trial in the making.
            curves: (fold, one mapping of figures per epoch), logged as `fold0/train_loss`.
            figures: of the whole trial, `accuracy` for one.
            seconds: what the trainings took together.

        Returns:
            The MLflow run id; None where MLflow could not take it.
        """
        from melgraph.assets.models.tracking.runs import write_run

        def log() -> str:
            with self._run(work) as (client, run_id):
                by_fold = {f"fold{fold}/": rows for fold, rows in curves}
                write_run(client, run_id, work, by_fold, {**figures, **_cost(work.run, seconds)})
            return run_id

        return self._kept(work, log)

    def log_again(self, artifact: Artifact) -> dict[str, str | None]:
        """Log a trained model that MLflow did not take when it was made; once.

        Args:
            artifact: of `trained_models`.

        Returns:
            As `record.run` of the artifact, with the run id and experiment id that MLflow has for
            it now; as it was where MLflow still cannot be had.
        """
        record = artifact.record
        run = dict(record.run)
        if run.get("mlflow"):
            return run
        work = Work(
            record.spec, artifact.folder, artifact.facts, run=run, started_at=record.started_at
        )

        def log() -> str:
            client, experiment_id = self._connect()
            tagged = f"tags.`melgraph.record` = '{artifact.reference}'"
            for known in client.search_runs([experiment_id], f"{tagged} and status = 'FINISHED'"):
                work.run["mlflow_experiment"] = experiment_id
                return known.info.run_id
            curves = read_table(artifact.folder / "curves.parquet").to_dicts()
            return self._log_training(work, curves, _cost(run), record.environment)

        run["mlflow"] = self._kept(work, log)
        return run

    def _log_training(
        self,
        work: Work,
        curves: Curves,
        cost: Mapping[str, float],
        made_in: Mapping[str, Any] | None = None,
    ) -> str:
        from melgraph.assets.models.tracking import registry
        from melgraph.assets.models.tracking.runs import write_run

        with self._run(work) as (client, run_id):
            snapshot = write_run(client, run_id, work, {"": curves}, cost, made_in)
            logged = registry.log_model(work)
            tags = {} if snapshot is None else registry.contender_tags(work, snapshot, curves)
            name = work.spec.partition
            registry.register(client, name, logged, run_id, tags)
            if snapshot is not None:
                dataset = snapshot.reference.partition
                if dataset != name:
                    registry.register(client, dataset, logged, run_id, tags)
                with _one_at_a_time():
                    verdict = registry.crown(client, dataset)
                client.set_tag(run_id, "melgraph.champion", verdict.reason)
        return run_id

    def _kept(self, work: Work, log: Callable[[], str]) -> str | None:
        """Whatever MLflow raises is told, and what was trained is kept."""
        try:
            return log()
        except Exception as error:
            work.run.pop("mlflow_experiment", None)
            told = (str(error).strip() or repr(error)).split("\n")[0][:LONGEST_REASON]
            _LOG.warning("MLflow did not take the run (%s); the model is kept without it", told)
            return None

    def _connect(self) -> tuple[Any, str]:
        """A client, and the id of the experiment that all runs are of."""
        for name, value in PATIENCE.items():
            os.environ.setdefault(name, value)
        # MLflow narrates every table and model it makes; the run id is what a user needs.
        os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "ERROR")
        from mlflow import MlflowClient
        from mlflow.utils.logging_utils import disable_logging

        disable_logging()
        logging.getLogger("mlflow").setLevel(logging.ERROR)
        logging.getLogger("urllib3.connectionpool").setLevel(logging.ERROR)  # we tell it, once
        current_home().mlflow.mkdir(parents=True, exist_ok=True)
        client = MlflowClient(self.uri())
        with _one_at_a_time():
            found = client.get_experiment_by_name(EXPERIMENT)
            if found is not None:
                return client, found.experiment_id
            own = (current_home().mlflow / "artifacts").as_uri()
            location = own if self.uri() == _home_uri() else None
            return client, client.create_experiment(EXPERIMENT, artifact_location=location)

    @contextmanager
    def _run(self, work: Work) -> Iterator[tuple[Any, str]]:
        import mlflow

        client, experiment_id = self._connect()
        with (
            _tracking_at(self.uri()),
            mlflow.start_run(experiment_id=experiment_id, run_name=work.spec.partition) as run,
        ):
            work.run["mlflow_experiment"] = experiment_id
            yield client, run.info.run_id


def _home_uri() -> str:
    return f"sqlite:///{current_home().mlflow / 'mlflow.db'}"


@contextmanager
def _tracking_at(uri: str) -> Iterator[None]:
    """MLflow's global tracking URI for a while: it sets `MLFLOW_TRACKING_URI`, which is a user's
    setting to us, and would bind the next home of this process to this one's database.
    """
    import mlflow

    before = os.environ.get("MLFLOW_TRACKING_URI")
    mlflow.set_tracking_uri(uri)
    try:
        yield
    finally:
        mlflow.set_tracking_uri(before)  # type: ignore[arg-type]  # None: it was not set


@contextmanager
def _one_at_a_time() -> Iterator[None]:
    """What two trainings of one home must not do at once: look, and then act upon it."""
    from filelock import FileLock

    with FileLock(current_home().mlflow / "registry.lock", timeout=120):
        yield


def _cost(run: Mapping[str, str | None], seconds: float | None = None) -> dict[str, float]:
    """Seconds, and the most memory in use while training, where the run (as of a record) knows."""
    told, peak = run.get("seconds"), run.get("peak_memory_bytes")
    if seconds is None and told:
        seconds = float(told)
    cost = {"training_seconds": seconds, "peak_memory_mb": float(peak) / 1e6 if peak else None}
    return {name: value for name, value in cost.items() if value is not None}
