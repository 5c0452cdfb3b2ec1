"""The reader of a committed trained model: checkpoint, curves, dataset and cost."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import polars as pl

from melgraph.assets.dataset.snapshot import Snapshot
from melgraph.assets.readers import Reader
from melgraph.assets.stage import Stage
from melgraph.assets.stages import TRAINED_MODELS
from melgraph.storage.tables import read_table

CHECKPOINT, CURVES, CURVES_PICTURE = "checkpoint", "curves.parquet", "curves.png"


class TrainedModel(Reader):
    """A committed `trained_models`."""

    stage: ClassVar[Stage] = TRAINED_MODELS

    @property
    def checkpoint_folder(self) -> Path:
        """The folder with the weights and their description."""
        return self.artifact.folder / CHECKPOINT

    def load(self) -> tuple[Any, dict[str, Any]]:
        """The network on the device of this machine, and the description in its checkpoint.

        Raises:
            UserError: the checkpoint is missing or was altered.
        """
        from melgraph.ml.weights import checkpoints

        return checkpoints.load(self.checkpoint_folder, device())

    @property
    def recipe(self) -> Mapping[str, Any]:
        """The settings of the experiment that it was trained with."""
        return self.spec.config

    @property
    def snapshot(self) -> Snapshot:
        """The dataset snapshot that it was trained on."""
        return Snapshot.input_of(self.store, self.spec)

    def curves(self) -> pl.DataFrame:
        """A row per epoch: losses and scores, without times."""
        return read_table(self.artifact.folder / CURVES)

    @property
    def curves_picture(self) -> Path:
        """The PNG file with the curves."""
        return self.artifact.folder / CURVES_PICTURE

    @property
    def classes(self) -> list[str]:
        """The classes or tags that it predicts, in the order of its outputs."""
        classes: list[str] = self.facts["classes"]
        return classes

    @property
    def multi_label(self) -> bool:
        """Whether it predicts several tags per track."""
        return bool(self.facts.get("multi_label"))

    @property
    def n_parameters(self) -> int:
        """Number of trainable parameters."""
        return int(self.facts["parameters"])

    @property
    def n_train(self) -> int:
        """Number of training tracks."""
        return int(self.facts["n_train"])

    @property
    def training_seconds(self) -> float | None:
        """Duration of the training in seconds; None if it was not measured."""
        return _number(self.artifact.record.run.get("seconds"))

    @property
    def peak_memory_bytes(self) -> float | None:
        """Peak memory during the training in bytes; None if it was not measured."""
        return _number(self.artifact.record.run.get("peak_memory_bytes"))

    @property
    def training_device(self) -> str | None:
        """The device that it was trained on: `cpu` or `cuda`."""
        return self.artifact.record.run.get("device")

    @property
    def mlflow_run(self) -> str | None:
        """The id of its MLflow run; None if MLflow did not accept the run."""
        return self.artifact.record.run.get("mlflow")


def _number(text: str | None) -> float | None:
    return None if text is None else float(text)


def device() -> str:
    """`cuda` if this machine has a CUDA device, else `cpu`."""
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def device_count() -> int:
    """The number of devices that a training uses: all CUDA devices, or one CPU."""
    import torch

    return max(1, torch.cuda.device_count()) if torch.cuda.is_available() else 1
