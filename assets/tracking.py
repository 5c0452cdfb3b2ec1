"""MLflow: one run per training, and a registered model that predicts from audio file paths.

A thin layer over `MlflowClient`. MLflow being down, slow or full never loses a training: the
failure is told, the artifact is committed without a run id.
"""

import logging
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

from dagster import ConfigurableResource

from assets.settings import current_home
from storage.artifacts import Work

EXPERIMENT = "melgraph"
# What predicting from a file takes, beside MLflow.
REQUIREMENTS = ("av", "mutagen", "numpy", "pydantic", "safetensors", "scipy", "soundfile", "soxr",
                "torch", "torchaudio")  # fmt: skip
_LOG = logging.getLogger("melgraph")


class UntrackedRuns:
    """Tracks nothing: for remaking an artifact from its record."""

    def log_training(
        self, work: Work, curves: Sequence[Mapping[str, Any]], *, seconds: float
    ) -> str | None:
        """No run."""
        return None

    def log_trial(
        self,
        work: Work,
        curves: Sequence[tuple[int, Sequence[Mapping[str, Any]]]],
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
        tracking_uri: of the MLflow server; empty for the home's own database.
    """

    tracking_uri: str = ""

    def uri(self) -> str:
        """The tracking URI in use."""
        return self.tracking_uri or f"sqlite:///{current_home().mlflow / 'mlflow.db'}"

    def log_training(
        self, work: Work, curves: Sequence[Mapping[str, Any]], *, seconds: float
    ) -> str | None:
        """Log a finished training, and register its model under the experiment's name.

        Args:
            work: the trained model in the making; its checkpoint is written.
            curves: one mapping of figures per epoch.
            seconds: what the training took.

        Returns:
            The MLflow run id; None where MLflow could not take it.
        """
        return self._kept(work, lambda: self._log(work, curves, seconds))

    def log_trial(
        self,
        work: Work,
        curves: Sequence[tuple[int, Sequence[Mapping[str, Any]]]],
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
        return self._kept(work, lambda: self._log_trial(work, curves, figures, seconds))

    def _kept(self, work: Work, log: Callable[[], str]) -> str | None:
        """Whatever MLflow raises is told, and what was trained is kept."""
        try:
            return log()
        except Exception as error:
            _LOG.warning("MLflow did not take the run (%s); the model is kept without it", error)
            return None

    def _log_trial(
        self,
        work: Work,
        curves: Sequence[tuple[int, Sequence[Mapping[str, Any]]]],
        figures: Mapping[str, float],
        seconds: float,
    ) -> str:
        with self._run(work) as (client, run_id):
            metrics = [m for fold, rows in curves for m in _metrics(rows, f"fold{fold}/")]
            totals = {**figures, "training_seconds": seconds}
            self._write(client, run_id, work, metrics, totals)
        return run_id

    def _log(self, work: Work, curves: Sequence[Mapping[str, Any]], seconds: float) -> str:
        with self._run(work) as (client, run_id):
            self._write(client, run_id, work, _metrics(curves), {"training_seconds": seconds})
            self._register(client, work, run_id)
        return run_id

    @contextmanager
    def _run(self, work: Work) -> Iterator[tuple[Any, str]]:
        # MLflow narrates every table and model it makes; the run id is what a user needs.
        os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "ERROR")
        import mlflow
        from mlflow import MlflowClient
        from mlflow.utils.logging_utils import disable_logging

        disable_logging()
        current_home().mlflow.mkdir(parents=True, exist_ok=True)
        mlflow.set_tracking_uri(self.uri())
        client = MlflowClient(self.uri())
        experiment_id = self._experiment(client)
        with mlflow.start_run(experiment_id=experiment_id, run_name=work.spec.partition) as run:
            work.run["mlflow_experiment"] = experiment_id
            yield client, run.info.run_id

    def _write(
        self,
        client: Any,
        run_id: str,
        work: Work,
        metrics: Sequence[Any],
        totals: Mapping[str, float],
    ) -> None:
        from mlflow.entities import Metric, Param

        ends = [Metric(name, float(value), 0, 0) for name, value in totals.items()]
        parameters = [Param(k, str(v)[:500]) for k, v in _flat(work.spec.config).items()]
        client.log_batch(run_id, metrics=[*metrics, *ends], params=parameters)
        for reference in work.spec.inputs:
            client.set_tag(run_id, f"melgraph.input.{reference.asset}", str(reference))
        client.set_tag(run_id, "melgraph.record", str(work.spec.reference))
        client.set_tag(run_id, "dagster.run_id", str(work.run.get("dagster")))

    def _experiment(self, client: Any) -> str:
        found = client.get_experiment_by_name(EXPERIMENT)
        if found is not None:
            return found.experiment_id
        location = (current_home().mlflow / "artifacts").as_uri() if not self.tracking_uri else None
        return client.create_experiment(EXPERIMENT, artifact_location=location)

    def _register(self, client: Any, work: Work, run_id: str) -> None:
        """Models from code: no pickle is written, and the code that predicts goes with it."""
        import mlflow

        import ml

        here = Path(__file__).parent
        logged = mlflow.pyfunc.log_model(
            name="model",
            python_model=str(here / "genre_classifier.py"),
            artifacts={"checkpoint": str(work.folder / "checkpoint")},
            code_paths=[str(Path(ml.__file__).parent)],
            pip_requirements=[f"{name}=={_public_version(name)}" for name in REQUIREMENTS],
        )
        name = work.spec.partition
        if not client.search_registered_models(f"name = '{name}'"):
            client.create_registered_model(name)
        client.create_model_version(name, logged.model_uri, run_id, model_id=logged.model_id)


def _metrics(curves: Sequence[Mapping[str, Any]], prefix: str = "") -> list[Any]:
    """The numbers of each epoch, as MLflow's metrics."""
    from mlflow.entities import Metric

    return [
        Metric(prefix + name, float(value), 0, int(row["epoch"]))
        for row in curves
        for name, value in row.items()
        if isinstance(value, int | float) and not isinstance(value, bool) and name != "epoch"
    ]


def _public_version(name: str) -> str:
    """Without the local part, which no index has: `2.11.0`, not `2.11.0+cpu`."""
    return version(name).partition("+")[0]


def _flat(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in config.items():
        if isinstance(value, Mapping):
            flat.update(_flat(value, f"{prefix}{key}."))
        else:
            flat[prefix + key] = value
    return flat
