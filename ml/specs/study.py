"""The specification of a study: its question, its arms, its control and its seeds.

Imports no torch.
"""

from collections.abc import Collection, Iterator, Mapping
from typing import Any, Literal

from pydantic import Field, ValidationError

from melgraph.ml.specs.base import TomlSpec, TomlTable, merge_tables, problems_of
from melgraph.ml.specs.experiment import ExperimentSpec

Overrides = dict[str, Any]
Policy = Literal["group", "track", "chunk", "holdout", "dataset"]
_OVERRIDABLE = ("input", "model", "training", "aggregate")
_SPLIT = (
    "group: folds over whole groups (artists, recordings); track: folds over tracks, so that an "
    "artist is in both parts; chunk: folds over chunks, so that a track is in both parts; holdout: "
    "one random part of the tracks, of share `train`, as in many papers; dataset: the dataset's "
    "own split"
)


class ArmSpec(TomlTable):
    """One arm: its differences from the study's base experiment."""

    title: str = Field("", description="one line for people")
    experiment: str | None = Field(None, description="base experiment, instead of the study's")
    dataset: str | None = Field(None, description="dataset, instead of the study's")
    split: Policy | None = Field(None, description="split, instead of the study's")
    train: float | None = Field(
        None, gt=0, lt=1, description="for split = 'holdout': share of the tracks to learn from"
    )
    seeds: tuple[int, ...] | None = Field(
        None, min_length=1, description="some of the study's seeds, for an expensive arm"
    )
    shuffle_labels: bool = Field(
        False, description="learn from shuffled labels, to measure the chance level of the pipeline"
    )
    input: Overrides = Field(default_factory=dict, description="overrides of the input")
    model: Overrides = Field(default_factory=dict, description="overrides of the model")
    training: Overrides = Field(default_factory=dict, description="overrides of the training")
    aggregate: Literal["mean", "vote"] | None = Field(
        None, description="instead of the base experiment's"
    )


class StudySpec(TomlSpec):
    """A study: a question, answered by trainings that differ only in what their arms say."""

    question: str = Field(description="the question, with a question mark")
    experiment: str = Field(description="the experiment that every arm overrides")
    dataset: str | None = Field(None, description="dataset, instead of the experiment's")
    control: str = Field(description="the arm that the others are compared with")
    seeds: tuple[int, ...] = Field(
        (0, 1, 2), min_length=1, description="each seed repeats all folds once"
    )
    folds: int = Field(5, ge=2, le=20, description="each track is held out in one of the folds")
    split: Policy = Field("group", description=_SPLIT)
    train: float = Field(
        0.8, gt=0, lt=1, description="for split = 'holdout': share of the tracks to learn from"
    )
    input: Overrides = Field(default_factory=dict, description="overrides of every arm's input")
    training: Overrides = Field(
        default_factory=dict,
        description="overrides of every arm's training: the same budget for all",
    )
    arms: dict[str, ArmSpec] = Field(min_length=1, description="by name")


class Trial(TomlTable):
    """Everything besides tracks and seed that decides the predictions of one repeat of an arm."""

    recipe: Overrides = Field(description="complete input, model, training and aggregate")
    split: Policy
    train: float | None = None
    folds: int | None = None
    shuffle_labels: bool = False


def arm_recipe(study: StudySpec, arm: ArmSpec, base: Mapping[str, Any]) -> dict[str, Any]:
    """The complete experiment of an arm.

    Args:
        study: the study.
        arm: one of its arms.
        base: the experiment that it overrides, as a complete table.
    """
    merged = {**base, "dataset": arm.dataset or study.dataset or base["dataset"]}
    for overrides in (study.model_dump(), arm.model_dump()):
        for key in _OVERRIDABLE:
            value = overrides.get(key)
            if key == "model" and value and "architecture" in value:
                # Options and weights of another architecture would not fit.
                merged[key] = {"options": {}, "weights": "none"} | value
            elif isinstance(value, dict):
                merged[key] = merge_tables(merged[key], value)
            elif value is not None:
                merged[key] = value
    return merged


def trial_of(study: StudySpec, arm: ArmSpec, recipe: Mapping[str, Any]) -> Trial:
    """The trial of an arm's complete recipe."""
    split = arm.split or study.split
    return Trial(
        recipe={key: recipe[key] for key in _OVERRIDABLE},
        split=split,
        train=(arm.train or study.train) if split == "holdout" else None,
        folds=study.folds if split in ("group", "track", "chunk") else None,
        shuffle_labels=arm.shuffle_labels,
    )


def contradictions(
    table: Mapping[str, Any], experiments: Mapping[str, Any], all_names: Collection[str]
) -> Iterator[str]:
    """Keys of a study's TOML file that cannot be used together, one line for each.

    Args:
        table: the file, with what it extends. One with invalid values is skipped, because the
            validation of `StudySpec` reports them.
        experiments: the valid experiments by name.
        all_names: the names of all experiments, valid or not.
    """
    try:
        study = StudySpec.model_validate(table)
    except ValidationError:
        return
    if study.control not in study.arms:
        yield f"control: {study.control!r} is not one of the arms: {', '.join(study.arms)}"
    for name, arm in study.arms.items():
        if not set(arm.seeds or ()) <= set(study.seeds):
            yield f"arms.{name}.seeds: {list(arm.seeds or ())} are not among {list(study.seeds)}"
        base = experiments.get(arm.experiment or study.experiment)
        if base is None:
            if arm.experiment is not None and arm.experiment not in all_names:
                choices = ", ".join(sorted(experiments)) or "(none)"
                yield f"arms.{name}.experiment: {arm.experiment!r} is not one of: {choices}"
            continue
        try:
            ExperimentSpec.model_validate(arm_recipe(study, arm, base.model_dump()))
        except ValidationError as error:
            yield from (f"arms.{name}: {problem}" for problem in problems_of(error))
