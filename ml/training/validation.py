"""The figures of an epoch: the validation tracks predicted whole, as they are later in use."""

import math
from dataclasses import dataclass

import numpy as np

from melgraph.ml.errors import UserError
from melgraph.ml.inference.track_set import TrackSet
from melgraph.ml.inference.tracks import predict_tracks
from melgraph.ml.metrics.tag_scores import macro
from melgraph.ml.models.base import Classifier
from melgraph.ml.specs.training import TrainingConfig
from melgraph.ml.training.setup import TrainingSetup


@dataclass(frozen=True)
class ValidationFigures:
    """Figures of an epoch on the validation tracks; all None without such tracks."""

    loss: float | None = None  # negative log-likelihood, nats; of tags, the mean over them
    accuracy: float | None = None  # None of tags
    roc_auc: float | None = None  # of tags: the mean over those that some have, and some have not
    pr_auc: float | None = None


def validate(
    model: Classifier, tracks: TrackSet | None, config: TrainingConfig, device: str
) -> ValidationFigures:
    """Predict the validation tracks and compare the predictions with their labels.

    Args:
        model: left in the mode it was in.
        tracks: None for none.
        config: how many segments of each track are predicted, and how many at a time.
        device: torch device.
    """
    if tracks is None:
        return ValidationFigures()
    probabilities = predict_tracks(
        model,
        tracks.arrays,
        batch_size=config.batch_size,
        max_segments=config.validation_segments,
        device=device,
    )
    if tracks.has_tags:
        return _of_tags(probabilities, np.asarray(tracks.labels, bool))
    of_truth = probabilities[np.arange(len(tracks)), tracks.labels].astype(np.float64)
    loss = float(-np.log(np.maximum(of_truth, 1e-12)).mean())
    return ValidationFigures(
        loss=loss, accuracy=float((probabilities.argmax(axis=1) == tracks.labels).mean())
    )


def _of_tags(probabilities: np.ndarray, truth: np.ndarray) -> ValidationFigures:
    wide = probabilities.astype(np.float64)
    of_truth = np.where(truth, wide, 1 - wide)
    loss = float(-np.log(np.maximum(of_truth, 1e-12)).mean())
    if not np.isfinite(wide).all():  # `check_finite` reports the loss; scikit-learn would raise
        return ValidationFigures(loss=float("nan"))
    roc_auc, pr_auc = macro(wide, truth)
    return ValidationFigures(loss=loss, roc_auc=roc_auc, pr_auc=pr_auc)


def check_finite(
    train_loss: float, validation_loss: float | None, epoch: int, setup: TrainingSetup
) -> None:
    """Stop a training whose loss is not finite, and look for the track that caused it.

    Raises:
        UserError: naming the track, or the epoch and the learning rate.
    """
    if math.isfinite(train_loss) and math.isfinite(validation_loss or 0.0):
        return
    for part, tracks in (("train", setup.training), ("validation", setup.validation)):
        for row, array in enumerate(tracks.arrays if tracks is not None else ()):
            if not np.isfinite(array[:]).all():
                raise UserError(
                    f"track {row} of the {part} tracks holds values that are not finite",
                    where=f"epoch {epoch}",
                    remedy="materialize its representation again, or leave the track out",
                )
    raise UserError(
        f"training diverged: the loss is {train_loss} (validation: {validation_loss})",
        where=f"epoch {epoch}, learning_rate = {setup.config.learning_rate}",
        remedy="lower learning_rate, or raise warmup",
    )
