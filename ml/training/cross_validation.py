"""Grouped k-fold cross-validation: what a recipe is worth where one test split is too small."""

from collections.abc import Callable

import numpy as np

from melgraph.ml.inference.track_set import TrackSet
from melgraph.ml.inference.tracks import predict_tracks
from melgraph.ml.models.base import Classifier
from melgraph.ml.specs.training import TrainingConfig
from melgraph.ml.splits.folds import grouped_folds
from melgraph.ml.training.checks import one_label_only
from melgraph.ml.training.fitting import fit
from melgraph.ml.training.train import EpochReport


def cross_validate(
    tracks: TrackSet,
    groups: np.ndarray,
    *,
    build: Callable[[], Classifier],
    config: TrainingConfig,
    n_folds: int,
    seed: int,
    device: str = "cpu",
    progress: Callable[[int, EpochReport], None] | None = None,
) -> np.ndarray:
    """Predict every track by a model that was trained on none of its group.

    Each fold trains anew, for all of `config.epochs`: there is no validation part to stop early by,
    and the held-out tracks must not decide when to stop.

    Args:
        tracks: all of them.
        groups: int64 `[track]`.
        build: a fresh model with initial weights.
        config: the recipe.
        n_folds: how many.
        seed: of folds and training.
        device: torch device.
        progress: called with (fold, epoch report) after each epoch.

    Returns:
        float32 `[track, class]`, rows sum to 1.

    Raises:
        UserError: tracks with tags: PR-AUC is of one ranking, and each fold's model has its own.
    """
    one_label_only(tracks, "cross-validation", where="folds", remedy="evaluate tags on a test part")
    fold = grouped_folds(tracks.labels, groups, n_folds=n_folds, seed=seed)
    parts = []
    for number in range(n_folds):
        inside = np.flatnonzero(fold != number)
        held_out = np.flatnonzero(fold == number)
        if not len(held_out):  # few large groups can leave a fold empty
            continue
        model, _ = fit(
            build,
            tracks.take(inside),
            None,
            config=config,
            seed=seed + number,
            device=device,
            progress=None if progress is None else lambda r, n=number: progress(n, r),  # type: ignore[misc]
        )
        answers = predict_tracks(model, tracks.take(held_out).arrays, device=device)
        parts.append((held_out, answers))
    probabilities = np.empty((len(tracks), parts[0][1].shape[1]), np.float32)
    for rows, answers in parts:
        probabilities[rows] = answers
    return probabilities
