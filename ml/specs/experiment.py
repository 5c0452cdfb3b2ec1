"""The specification of an experiment. Imports no torch."""

from typing import Literal, Self

from pydantic import Field, model_validator

from melgraph.ml.errors import UserError
from melgraph.ml.specs.augmentation import misfits
from melgraph.ml.specs.base import LicenceSpec, TomlSpec, TomlTable, later_key
from melgraph.ml.specs.model_input import InputSpec
from melgraph.ml.specs.training import TrainingConfig

PROBE = "probe"  # the architecture that is fitted by logistic regression, not by gradient steps


class ModelSpec(TomlTable):
    """The architecture, its options and its initial weights."""

    architecture: str = Field(description="a name of ml.models.names()")
    options: dict[str, int | float | str | bool | list[int] | list[float]] = Field(
        default_factory=dict
    )
    weights: str = Field(
        "none",
        description="initial weights: none, imagenet, the path or URL of a file, or the name of "
        "another experiment, whose trained body is taken over",
    )
    weights_licence: LicenceSpec | None = later_key(
        None,
        since="0.2",
        description="the licence of a file of initial weights; absent: as melgraph knows it by the "
        "SHA-256, else not stated",
    )


class ExperimentSpec(TomlSpec):
    """An experiment: a model that is trained on a dataset."""

    dataset: str = Field(description="name of a dataset")
    input: InputSpec = Field(default_factory=InputSpec)
    model: ModelSpec
    aggregate: Literal["mean", "vote"] = Field(
        "mean", description="how the predictions for a track's segments become one for the track"
    )
    by_default: bool = Field(
        True, description="whether a run trains it when no --experiment NAME is given"
    )
    fallback_for: str | None = later_key(
        None,
        since="0.2",
        description="name of an experiment: by default, this one is trained in its place where the "
        "weights of its taggers are missing",
    )
    folds: int = Field(
        5,
        ge=0,
        le=20,
        description="number of grouped folds over all tracks, for cross-validation where the test "
        "split has fewer than ten groups; each costs one more training; 0: never",
    )
    training: TrainingConfig = Field(default_factory=TrainingConfig)
    seed: int = Field(0, ge=0, description="seed of the weights, the crops and their order")

    @model_validator(mode="after")
    def _phase_is_no_wrapped_angle(self) -> Self:
        if self.input.has_wrapped_phase():
            raise ValueError(
                "input.channels: networks average neighbouring values, and the mean of wrapped "
                "phases means nothing; set input.image = 512, for example"
            )
        return self

    @model_validator(mode="after")
    def _probe_fits(self) -> Self:
        if self.model.architecture == PROBE:
            if self.model.weights != "none":
                raise ValueError("model.weights: a probe has no body that weights could initialise")
            if self.training.drop > 0 and self.training.drop_by == "forgetting":
                raise ValueError("training.drop_by: a probe has no epochs in which it could forget")
        return self

    @model_validator(mode="after")
    def _augmentations_fit(self) -> Self:
        if problems := misfits(self.training.augment, self.input.representation):
            raise ValueError("training.augment: " + "; ".join(problems))
        return self


def for_tags(experiment: ExperimentSpec, name: str) -> ExperimentSpec:
    """The experiment as it is run on a dataset whose tracks have several labels.

    The training is that of `TrainingConfig.for_tags`. There are no folds: ROC-AUC and PR-AUC rank
    tracks by score, and scores of different models cannot be ranked together.

    Args:
        experiment: as its TOML file has it.
        name: of the experiment, for messages.

    Raises:
        UserError: it has a setting that is defined for one label per track only.
    """
    if experiment.aggregate == "vote":
        raise UserError(
            "a vote of the segments is not defined where tracks have several labels",
            where=f"experiment {name}: aggregate",
            remedy='set aggregate = "mean", or name a dataset with one label per track',
        )
    if experiment.training.drop > 0:
        raise UserError(
            "the hardest tracks of a class are not defined where tracks have several labels",
            where=f"experiment {name}: training.drop",
            remedy="set drop = 0, or name a dataset with one label per track",
        )
    return experiment.model_copy(update={"training": experiment.training.for_tags(), "folds": 0})
