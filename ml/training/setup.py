"""The setup of a training: its tracks, its recipe, where it runs, and the checks of all these."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from melgraph.ml.errors import UserError
from melgraph.ml.inference.track_set import TrackSet, width_of
from melgraph.ml.models.base import Classifier
from melgraph.ml.specs.training import TrainingConfig

SAVE_EVERY_S = 20.0


@dataclass(frozen=True)
class TrainingSetup:
    """Everything that a training needs besides the model.

    Attributes:
        training: tracks to learn from.
        config: the recipe.
        seed: decides the crops, their order, augmentation, dropout and the folds.
        validation: tracks that choose the epoch; None for none. Never the test part.
        device: torch device.
        processes: devices that the training is spread over, see `ml.training.distributed`.
        state: folder in which the training saves its state; a later call with the same setup
            resumes from there. None saves nothing.
        save_every_s: seconds between two saves.
    """

    training: TrackSet
    config: TrainingConfig
    seed: int
    validation: TrackSet | None = None
    device: str = "cpu"
    processes: int = 1
    state: Path | None = None
    save_every_s: float = SAVE_EVERY_S

    def for_fold(
        self, number: int, training: TrackSet, validation: TrackSet | None = None
    ) -> "TrainingSetup":
        """The setup of one fold: its tracks, and a seed and a folder of its own."""
        return replace(
            self,
            training=training,
            validation=validation,
            seed=self.seed + number,
            state=None if self.state is None else self.state / f"fold{number}",
        )


@dataclass(frozen=True)
class Share:
    """The part of every batch that one of several processes computes.

    Attributes:
        rank: number of this process, from 0.
        world: number of processes.
        accelerator: accelerate's `Accelerator`; None for a single process.
    """

    rank: int = 0
    world: int = 1
    accelerator: Any = None

    def rows(self, batch: np.ndarray) -> np.ndarray:
        """The rows of a batch that this process computes."""
        return batch[self.rank :: self.world]

    def sum(self, value: Tensor) -> Tensor:
        """The sum over all processes."""
        return value if self.world == 1 else self.accelerator.reduce(value, reduction="sum")

    def wrap(self, model: Classifier) -> nn.Module:
        """The model whose backward pass averages gradients over the processes."""
        return model if self.world == 1 else self.accelerator.prepare_model(model)

    def synchronise_buffers(self, model: Classifier) -> None:
        """Give all processes the running statistics of the first, so that all decide alike."""
        if self.world > 1:
            for buffer in model.buffers():
                torch.distributed.broadcast(buffer, 0)


ALONE = Share()


def check_setup(model: Classifier, setup: TrainingSetup) -> None:
    """Refuse tracks that the model cannot take.

    Raises:
        UserError: the shape or the labels of the tracks do not fit the model, or one of the
            training and validation tracks have tags and the others one label a track.
    """
    _check_tracks(model, setup.training, "train")
    if setup.validation is None:
        return
    _check_tracks(model, setup.validation, "validation")
    if setup.training.has_tags != setup.validation.has_tags:
        raise UserError(
            "only one of the training and the validation set has tags",
            where="TrackSet.labels",
            remedy="give both sets tags, float [track, class]; or both one integer a track",
        )


def check_one_label(tracks: TrackSet, what: str, *, where: str, remedy: str) -> None:
    """Refuse tags where something is defined only for one label a track.

    Args:
        tracks: the tracks to check.
        what: subject of the error message: what is not defined for tags.
        where: the setting that asks for it.
        remedy: what to do instead.

    Raises:
        UserError: the tracks have tags.
    """
    if tracks.has_tags:
        raise UserError(
            f"{what} is not defined where tracks have several labels", where=where, remedy=remedy
        )


def _check_tracks(model: Classifier, tracks: TrackSet, part: str) -> None:
    bins, channels = width_of(tracks.arrays[0])
    if (bins, channels) != (model.shape.bins, model.shape.channels):
        raise UserError(
            f"the tracks have {bins} bins and {channels} channels, the model takes {model.shape}",
            where=f"the {part} tracks",
            remedy="build the model with the shape of the tracks",
        )
    if tracks.has_tags:
        _check_tags(model, tracks, part)
        return
    lowest, highest = int(np.min(tracks.labels)), int(np.max(tracks.labels))
    if lowest < 0 or highest >= model.n_classes:
        raise UserError(
            f"labels go from {lowest} to {highest}, the model has {model.n_classes} classes",
            where=f"the {part} tracks",
            remedy="number the classes from 0, and build the model with that many classes",
        )


def _check_tags(model: Classifier, tracks: TrackSet, part: str) -> None:
    n_tags = tracks.labels.shape[1]
    if n_tags != model.n_classes:
        raise UserError(
            f"the labels have {n_tags} tags, the model has {model.n_classes} classes",
            where=f"the {part} tracks",
            remedy="give the labels one column per class of the model",
        )
    if part == "train" and (tracks.labels == tracks.labels[0]).all():
        raise UserError(
            f"all {len(tracks)} tracks have the same tags: there is nothing to tell apart",
            where=f"the {part} tracks",
            remedy="add tracks with other tags",
        )
