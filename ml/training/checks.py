"""What can be wrong with a training, told so that it can be mended."""

import math

import numpy as np
import torch

from melgraph.ml.errors import UserError
from melgraph.ml.inference.track_set import TrackSet, width_of
from melgraph.ml.models.base import Classifier
from melgraph.ml.specs.training import TrainingConfig


def check_fit(model: Classifier, tracks: TrackSet, part: str) -> None:
    """Refuse tracks that the model cannot take.

    Raises:
        UserError: their shape or their labels do not fit.
    """
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
    low, high = int(np.min(tracks.labels)), int(np.max(tracks.labels))
    if low < 0 or high >= model.n_classes:
        raise UserError(
            f"labels go from {low} to {high}, the model has {model.n_classes} classes",
            where=f"the {part} tracks",
            remedy="number the classes from 0, and build the model with as many",
        )


def _check_tags(model: Classifier, tracks: TrackSet, part: str) -> None:
    n_tags = tracks.labels.shape[1]
    if n_tags != model.n_classes:
        raise UserError(
            f"the labels have {n_tags} tags, the model has {model.n_classes} classes",
            where=f"the {part} tracks",
            remedy="give a column per class, and build the model with as many",
        )
    if part == "train" and (tracks.labels == tracks.labels[0]).all():
        raise UserError(
            f"all {len(tracks)} tracks have the same tags: there is nothing to tell apart",
            where=f"the {part} tracks",
            remedy="give tracks of which some have a tag, and some have it not",
        )


def check_same_kind(train: TrackSet, validation: TrackSet) -> None:
    """Refuse to learn tags and to validate single labels, or the other way round.

    Raises:
        UserError: one has tags, and the other one label a track.
    """
    if train.has_tags != validation.has_tags:
        raise UserError(
            "of the training and the validation tracks, only some have tags",
            where="TrackSet.labels",
            remedy="give both as tags, float [track, class]; or both as one integer a track",
        )


def one_label_only(tracks: TrackSet, what: str, *, where: str, remedy: str) -> None:
    """Refuse tags where something is defined for one label a track alone.

    Args:
        tracks: to look at.
        what: is not defined for tags; begins the sentence.
        where: of the setting that asks for it.
        remedy: what to do instead.

    Raises:
        UserError: the tracks have tags.
    """
    if tracks.has_tags:
        raise UserError(
            f"{what} is not defined where tracks have several labels", where=where, remedy=remedy
        )


def check_finite(
    train_loss: float,
    validation_loss: float | None,
    epoch: int,
    config: TrainingConfig,
    train: TrackSet,
    validation: TrackSet | None,
) -> None:
    """Refuse to go on with a loss that is not finite, and look for the track that made it so.

    Raises:
        UserError: naming the track, or the epoch and the learning rate.
    """
    if math.isfinite(train_loss) and math.isfinite(validation_loss or 0.0):
        return
    for part, tracks in (("train", train), ("validation", validation)):
        for row in range(len(tracks) if tracks is not None else 0):
            if not np.isfinite(tracks.arrays[row][:]).all():  # type: ignore[union-attr]
                raise UserError(
                    f"track {row} of the {part} tracks holds values that are not finite",
                    where=f"epoch {epoch}",
                    remedy="materialize its representation again, or leave the track out",
                )
    raise UserError(
        f"training diverged: the loss is {train_loss} (validation: {validation_loss})",
        where=f"epoch {epoch}, learning_rate = {config.learning_rate}",
        remedy="lower learning_rate, or raise warmup",
    )


def out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory ran out, on a GPU or on the CPU."""
    told = str(error)
    return (
        isinstance(error, torch.OutOfMemoryError | MemoryError)
        or "can't allocate memory" in told
        or "not enough memory" in told
        or "out of memory" in told
    )
