"""Grouped k-fold cross-validation, for collections whose test split is too small."""

from collections.abc import Callable

import numpy as np

from melgraph.ml.inference.tracks import predict_tracks
from melgraph.ml.models.base import Classifier
from melgraph.ml.splits.folds import grouped_folds
from melgraph.ml.training.fitting import fit
from melgraph.ml.training.loop import EpochReport
from melgraph.ml.training.setup import TrainingSetup, check_one_label


def cross_validate(
    setup: TrainingSetup,
    groups: np.ndarray,
    *,
    build: Callable[[], Classifier],
    n_folds: int,
    eligible: np.ndarray | None = None,
    progress: Callable[[int, EpochReport], None] | None = None,
) -> np.ndarray:
    """Predict every track by a model that was trained on none of its group.

    Each fold trains a fresh model for all of `config.epochs`, and its segments decide for a track
    as the experiment says (`model.aggregate`): there is no validation part to stop
    early by, and the held-out tracks must not decide when to stop.

    Args:
        setup: `training` holds all tracks; each fold trains on a part of them, without validation.
        groups: int64 `[track]`.
        build: a fresh model with initial weights.
        n_folds: number of folds.
        eligible: bool `[track]`: the tracks that may be predicted; None for all. A fold without
            such a track is not trained.
        progress: called with (fold, epoch report) after each epoch.

    Returns:
        float32 `[track, class]`, rows sum to 1; NaN for tracks that are not predicted.

    Raises:
        UserError: the tracks have tags: PR-AUC ranks all tracks by one model, and every fold has
            a model of its own.
    """
    tracks = setup.training
    check_one_label(
        tracks, "cross-validation", where="folds", remedy="evaluate tags on a test part"
    )
    fold = grouped_folds(tracks.labels, groups, n_folds=n_folds, seed=setup.seed)
    may_be_predicted = np.ones(len(tracks), bool) if eligible is None else eligible
    probabilities = np.empty((len(tracks), 0), np.float32)
    for number in range(n_folds):
        inside = np.flatnonzero(fold != number)
        held_out = np.flatnonzero((fold == number) & may_be_predicted)
        if not len(held_out):  # few large groups can leave a fold empty
            continue
        model, _ = fit(
            build,
            setup.for_fold(number, tracks.take(inside)),
            progress=None if progress is None else lambda r, n=number: progress(n, r),  # type: ignore[misc]
        )
        predictions = predict_tracks(model, tracks.take(held_out).arrays, device=setup.device)
        if not probabilities.shape[1]:
            probabilities = np.full((len(tracks), predictions.shape[1]), np.nan, np.float32)
        probabilities[held_out] = predictions
    return probabilities
