"""What a study is, as its TOML says it: a question, its arms, its control, its seeds.

Imports no torch.
"""

from collections.abc import Collection, Iterator, Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from melgraph.ml.specs.base import Spec
from melgraph.ml.specs.experiment import ExperimentSpec

Overrides = dict[str, Any]
Policy = Literal["group", "track", "chunk", "holdout", "dataset"]
_OVERRIDABLE = ("input", "model", "training", "aggregate")
_SPLIT = (
    "group: folds over whole groups (artists, recordings); track: folds over tracks, artists on "
    "both sides; chunk: folds over chunks of tracks, the leaky one; holdout: one random part of "
    "the tracks by `train`, as many papers do; dataset: the dataset's own split"
)


class ArmSpec(BaseModel):
    """One arm: what differs from the study's base experiment."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    title: str = Field("", description="one line for people")
    experiment: str | None = Field(None, description="another base than the study's")
    dataset: str | None = Field(None, description="another dataset than the study's")
    split: Policy | None = Field(None, description="another split than the study's")
    train: float | None = Field(
        None, gt=0, lt=1, description="of split = 'holdout': share of the tracks to learn from"
    )
    seeds: tuple[int, ...] | None = Field(
        None, min_length=1, description="fewer than the study's, for an arm that costs much"
    )
    shuffle_labels: bool = Field(
        False, description="learn from shuffled labels: what the pipeline answers by chance alone"
    )
    input: Overrides = Field(default_factory=dict, description="overrides of the input")
    model: Overrides = Field(default_factory=dict, description="overrides of the model")
    training: Overrides = Field(default_factory=dict, description="overrides of the training")
    aggregate: Literal["mean", "vote"] | None = Field(None, description="another way than the base")


class StudySpec(Spec):
    """A question, answered by training the same way, but for what the arms say."""

    question: str = Field(description="what is asked, with a question mark")
    experiment: str = Field(description="the experiment that every arm overrides")
    dataset: str | None = Field(None, description="another dataset than the experiment's")
    control: str = Field(description="the arm that the others are held against")
    seeds: tuple[int, ...] = Field(
        (0, 1, 2), min_length=1, description="one repeat of all folds each"
    )
    folds: int = Field(5, ge=2, le=20, description="each track is held out in one of them")
    split: Policy = Field("group", description=_SPLIT)
    train: float = Field(0.8, gt=0, lt=1, description="of split = 'holdout'")
    input: Overrides = Field(default_factory=dict, description="overrides of every arm's input")
    training: Overrides = Field(
        default_factory=dict, description="overrides of every arm's training: the equal budget"
    )
    arms: dict[str, ArmSpec] = Field(min_length=1, description="by name")


class Trial(BaseModel):
    """All that decides what one repeat of one arm answers, but for the tracks."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    recipe: Overrides = Field(description="input, model, training and aggregate, complete")
    split: Policy
    train: float | None = None
    folds: int | None = None
    shuffle_labels: bool = False


def arm_recipe(study: StudySpec, arm: ArmSpec, base: Mapping[str, Any]) -> dict[str, Any]:
    """The complete experiment of an arm.

    Args:
        study: the study.
        arm: one of its arms.
        base: the experiment it overrides, as a complete table.
    """
    merged = {**base, "dataset": arm.dataset or study.dataset or base["dataset"]}
    for overrides in (study.model_dump(), arm.model_dump()):
        for key in _OVERRIDABLE:
            value = overrides.get(key)
            if key == "model" and value and "architecture" in value:
                merged[key] = {
                    "options": {},
                    "weights": "none",
                } | value  # options of another fit ill
            elif isinstance(value, dict):
                merged[key] = _merged(merged[key], value)
            elif value is not None:
                merged[key] = value
    return merged


def trial_of(study: StudySpec, arm: ArmSpec, recipe: Mapping[str, Any]) -> Trial:
    """The trial of an arm's complete recipe."""
    split = arm.split or study.split
    kept = {key: recipe[key] for key in _OVERRIDABLE}
    return Trial(
        recipe=kept,
        split=split,
        train=(arm.train or study.train) if split == "holdout" else None,
        folds=study.folds if split in ("group", "track", "chunk") else None,
        shuffle_labels=arm.shuffle_labels,
    )


def contradictions(
    table: Mapping[str, Any], experiments: Mapping[str, Any], named: Collection[str]
) -> Iterator[str]:
    """What makes a study's table unusable: `key: what` each.

    Args:
        table: of the TOML, extended.
        experiments: the experiment specs by name, those that could be read.
        named: the names of all.
    """
    try:
        study = StudySpec.model_validate(table)
    except ValidationError:
        return  # told where it stands
    if study.control not in study.arms:
        yield f"control: {study.control!r} is not one of the arms: {', '.join(study.arms)}"
    for name, arm in study.arms.items():
        if not set(arm.seeds or ()) <= set(study.seeds):
            yield f"arms.{name}.seeds: {list(arm.seeds or ())} are not among {list(study.seeds)}"
        base = experiments.get(arm.experiment or study.experiment)
        if base is None:
            if arm.experiment is not None and arm.experiment not in named:
                known = ", ".join(sorted(experiments)) or "(none)"
                yield f"arms.{name}.experiment: {arm.experiment!r} is not one of: {known}"
            continue
        try:
            ExperimentSpec.model_validate(arm_recipe(study, arm, base.model_dump()))
        except ValidationError as error:
            for item in error.errors():
                key = ".".join(str(part) for part in item["loc"])
                got = "" if item["type"] == "missing" else f" (got {item['input']!r})"
                yield f"arms.{name}: {key}: {item['msg']}{got}"


def _merged(base: Mapping[str, Any], override: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in override.items():
        both = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = _merged(merged[key], value) if both else value
    return merged
