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
    progress: Callable[[int, EpochReport], None] | None = None,
) -> np.ndarray:
    """Predict every track by a model that was trained on none of its group.

    Each fold trains a fresh model for all of `config.epochs`: there is no validation part to stop
    early by, and the held-out tracks must not decide when to stop.

    Args:
        setup: `training` holds all tracks; each fold trains on a part of them, without validation.
        groups: int64 `[track]`.
        build: a fresh model with initial weights.
        n_folds: number of folds.
        progress: called with (fold, epoch report) after each epoch.

    Returns:
        float32 `[track, class]`, rows sum to 1.

    Raises:
        UserError: the tracks have tags: PR-AUC ranks all tracks by one model, and every fold has
            a model of its own.
    """
    tracks = setup.training
    check_one_label(
        tracks, "cross-validation", where="folds", remedy="evaluate tags on a test part"
    )
    fold = grouped_folds(tracks.labels, groups, n_folds=n_folds, seed=setup.seed)
    predictions = []
    for number in range(n_folds):
        inside = np.flatnonzero(fold != number)
        held_out = np.flatnonzero(fold == number)
        if not len(held_out):  # few large groups can leave a fold empty
            continue
        model, _ = fit(
            build,
            setup.for_fold(number, tracks.take(inside)),
            progress=None if progress is None else lambda r, n=number: progress(n, r),  # type: ignore[misc]
        )
        arrays = tracks.take(held_out).arrays
        predictions.append((held_out, predict_tracks(model, arrays, device=setup.device)))
    probabilities = np.empty((len(tracks), predictions[0][1].shape[1]), np.float32)
    for rows, of_rows in predictions:
        probabilities[rows] = of_rows
    return probabilities
