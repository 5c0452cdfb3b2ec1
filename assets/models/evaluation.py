"""The reader of a committed evaluation: predictions on the test split, and their figures."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import polars as pl

from melgraph.assets.models.trained_model import TrainedModel
from melgraph.assets.readers import Reader
from melgraph.assets.stage import Stage
from melgraph.assets.stages import DATASETS, EVALUATIONS, TRAINED_MODELS
from melgraph.storage.records import Reference
from melgraph.storage.tables import read_table

PREDICTIONS, REPORT = "predictions.parquet", "report.json"
CONFUSION, RELIABILITY, TAG_CHART = "confusion_matrix.png", "reliability.png", "tags.png"
FOLD_PREDICTIONS, FOLD_REPORT = "fold_predictions.parquet", "fold_report.json"


class Evaluation(Reader):
    """A committed `evaluations`."""

    stage: ClassVar[Stage] = EVALUATIONS

    @property
    def model_reference(self) -> Reference:
        """The version of the model that was evaluated."""
        (reference,) = filter(TRAINED_MODELS.owns, self.spec.inputs)
        return reference

    @property
    def model(self) -> TrainedModel:
        """The model that was evaluated."""
        return TrainedModel.at(self.store, self.model_reference)

    @property
    def snapshot_reference(self) -> Reference:
        """The snapshot whose test split was predicted."""
        (reference,) = filter(DATASETS.owns, self.spec.inputs)
        return reference

    def predictions(self) -> pl.DataFrame:
        """A row per test track: its label, the prediction, and `p_<class>` for every class."""
        return read_table(self.artifact.folder / PREDICTIONS)

    def correct(self) -> pl.DataFrame:
        """A row per test track: `track_id`, `group`, and `right` if the prediction is the label."""
        right = pl.col("prediction") == pl.col("label")
        return self.predictions().select("track_id", "group", right=right)

    @property
    def figures(self) -> dict[str, float]:
        """All figures of the test split by name, such as `accuracy`, with interval and chance."""
        return _numbers(self.facts)

    @property
    def fold_figures(self) -> dict[str, float]:
        """All figures of the cross-validation by name; empty if there was none."""
        return _numbers(self.facts.get("cross_validation") or {})

    @property
    def multi_label(self) -> bool:
        """Whether tracks have several tags; the figures are then areas, not accuracies."""
        return bool(self.facts.get("multi_label"))

    @property
    def split_policy(self) -> str:
        """How the dataset was split."""
        policy: str = self.facts["split_policy"]
        return policy

    @property
    def per_tag(self) -> list[dict[str, Any]]:
        """The figures of each tag."""
        rows: list[dict[str, Any]] = self.facts["per_tag"]
        return rows

    @property
    def wrong_answers(self) -> list[dict[str, Any]]:
        """The tracks that were misclassified with the highest probability, and their pictures.

        The list is empty for an evaluation that an older melgraph wrote.
        """
        rows: list[dict[str, Any]] = self.facts.get("wrong", [])
        return rows

    def picture(self, name: str) -> Path:
        """The path of one of its PNG files."""
        return self.artifact.folder / name


def _numbers(facts: Mapping[str, Any]) -> dict[str, float]:
    """The facts that are numbers."""
    numbers = {name: value for name, value in facts.items() if isinstance(value, int | float)}
    return {name: float(v) for name, v in numbers.items() if not isinstance(v, bool)}
