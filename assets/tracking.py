"""MLflow: one run per training, and a registered model that predicts from audio file paths.

A thin layer over `MlflowClient`. MLflow being down, slow or full never loses a training: the
failure is told, the artifact is committed without a run id.
"""

import logging
import os
from collections.abc import Mapping, Sequence
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
        try:
            return self._log(work, curves, seconds)
        except Exception as error:  # whatever MLflow raises, the training is kept
            _LOG.warning("MLflow did not take the run (%s); the model is kept without it", error)
            return None

    def _log(self, work: Work, curves: Sequence[Mapping[str, Any]], seconds: float) -> str:
        # MLflow narrates every table and model it makes; the run id is what a user needs.
        os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "ERROR")
        import mlflow
        from mlflow import MlflowClient
        from mlflow.entities import Metric, Param
        from mlflow.utils.logging_utils import disable_logging

        disable_logging()
        current_home().mlflow.mkdir(parents=True, exist_ok=True)
        mlflow.set_tracking_uri(self.uri())
        client = MlflowClient(self.uri())
        experiment_id = self._experiment(client)
        with mlflow.start_run(experiment_id=experiment_id, run_name=work.spec.partition) as run:
            run_id = run.info.run_id
            work.run["mlflow_experiment"] = experiment_id
            metrics = [
                Metric(name, float(value), 0, int(row["epoch"]))
                for row in curves
                for name, value in row.items()
                if isinstance(value, int | float)
                and not isinstance(value, bool)
                and name != "epoch"
            ]
            metrics.append(Metric("training_seconds", seconds, 0, 0))
            parameters = [Param(k, str(v)[:500]) for k, v in _flat(work.spec.config).items()]
            client.log_batch(run_id, metrics=metrics, params=parameters)
            for reference in work.spec.inputs:
                client.set_tag(run_id, f"melgraph.input.{reference.asset}", str(reference))
            client.set_tag(run_id, "melgraph.record", str(work.spec.reference))
            client.set_tag(run_id, "dagster.run_id", str(work.run.get("dagster")))
            self._register(client, work, run_id)
        return run_id

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
