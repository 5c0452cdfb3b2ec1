"""What an experiment is, as its TOML says it. Imports no torch."""

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from melgraph.ml.errors import UserError
from melgraph.ml.specs.augmentation import misfits
from melgraph.ml.specs.base import Spec
from melgraph.ml.specs.model_input import InputSpec
from melgraph.ml.specs.training import TrainingConfig


class ModelSpec(BaseModel):
    """Which architecture, with which options."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    architecture: str = Field(description="a name of ml.models.names()")
    options: dict[str, int | float | str | bool | list[int]] = Field(default_factory=dict)
    weights: str = Field(
        "none",
        description="initial weights: none, imagenet, the path or URL of a file, or the name of "
        "another experiment, whose trained body is taken over",
    )


class ExperimentSpec(Spec):
    """A named training recipe on a named dataset."""

    dataset: str = Field(description="name of a dataset spec")
    input: InputSpec = Field(default_factory=InputSpec)
    model: ModelSpec
    aggregate: Literal["mean", "vote"] = Field(
        "mean", description="how the answers to a track's segments become the track's"
    )
    by_default: bool = Field(
        True, description="whether a run trains it without naming it: --experiment NAME"
    )
    folds: int = Field(
        5,
        ge=0,
        le=20,
        description="grouped folds over all tracks, where the test split has fewer than ten groups "
        "and says too little; each costs one more training; 0: never",
    )
    training: TrainingConfig = Field(default_factory=TrainingConfig)
    seed: int = Field(0, ge=0, description="seed of weights, crops and order")

    @model_validator(mode="after")
    def _augmentations_fit(self) -> Self:
        if wrong := misfits(self.training.augment, self.input.representation):
            raise ValueError("training.augment: " + "; ".join(wrong))
        return self


def for_tags(experiment: ExperimentSpec, name: str) -> ExperimentSpec:
    """The experiment as it is done on a dataset with several labels a track.

    The training is that of `TrainingConfig.for_tags`, and there are no folds: figures of tags are
    not cross-validated, as scores of different models make no ranking together.

    Args:
        experiment: as its TOML says it.
        name: of the experiment, for messages.

    Raises:
        UserError: it asks for what is defined for one label a track alone.
    """
    if experiment.aggregate == "vote":
        raise UserError(
            "a vote of the segments is not defined where tracks have several labels",
            where=f"experiment {name}: aggregate",
            remedy='set aggregate = "mean", or name a dataset of one label a track',
        )
    if experiment.training.drop > 0:
        raise UserError(
            "which tracks of a class are hardest is not defined where tracks have several labels",
            where=f"experiment {name}: training.drop",
            remedy="set drop = 0, or name a dataset of one label a track",
        )
    return experiment.model_copy(update={"training": experiment.training.for_tags(), "folds": 0})
