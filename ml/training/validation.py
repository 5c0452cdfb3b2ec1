"""What an epoch is judged by: whole validation tracks, answered as they are later in use."""

from dataclasses import dataclass

import numpy as np

from melgraph.ml.inference.track_set import TrackSet
from melgraph.ml.inference.tracks import predict_tracks
from melgraph.ml.models.base import Classifier
from melgraph.ml.specs.training import TrainingConfig


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
    """Answer the validation tracks and hold the answers against their labels.

    Args:
        model: left in the mode it was in.
        tracks: None for none.
        config: how many segments of each are heard, and how many at a time.
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
    from melgraph.ml.metrics.tag_scores import macro

    wide = probabilities.astype(np.float64)
    of_truth = np.where(truth, wide, 1 - wide)
    loss = float(-np.log(np.maximum(of_truth, 1e-12)).mean())
    if not np.isfinite(wide).all():  # the loss tells; scikit-learn would refuse to
        return ValidationFigures(loss=float("nan"))
    roc_auc, pr_auc = macro(wide, truth)
    return ValidationFigures(loss=loss, roc_auc=roc_auc, pr_auc=pr_auc)
