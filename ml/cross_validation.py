"""Grouped k-fold cross-validation: what a recipe is worth where one test split is too small."""

import warnings
from collections.abc import Callable

import numpy as np
from sklearn.model_selection import StratifiedGroupKFold

from ml.errors import UserError
from ml.fitting import fit
from ml.inference import predict_tracks
from ml.models.base import Classifier
from ml.track_set import TrackSet
from ml.training import EpochReport
from ml.training_config import TrainingConfig


def grouped_folds(labels: np.ndarray, groups: np.ndarray, *, n_folds: int, seed: int) -> np.ndarray:
    """The fold each track is held out in: int64 `[track]`, 0 .. n_folds - 1.

    Groups stay whole, classes are spread as evenly as whole groups allow.

    Args:
        labels: int `[track]`.
        groups: int `[track]`; no group is in two folds.
        n_folds: at least 2.
        seed: of the shuffling.

    Raises:
        UserError: there are fewer groups than folds.
    """
    largest_class = int(np.bincount(labels).max()) if len(labels) else 0
    n_groups = len(np.unique(groups))
    if min(n_groups, largest_class) < n_folds:
        raise UserError(
            f"{n_groups} groups and at most {largest_class} tracks a class cannot be held out "
            f"in {n_folds} folds",
            where="folds of the experiment",
            remedy="use fewer folds, or a library of more artists",
        )
    splitter = StratifiedGroupKFold(n_folds, shuffle=True, random_state=seed)
    fold = np.empty(len(labels), np.int64)
    with warnings.catch_warnings():
        # Classes with fewer tracks than folds are absent from some folds: that is no fault here.
        warnings.filterwarnings("ignore", message="The least populated class")
        for number, (_, held_out) in enumerate(splitter.split(labels, labels, groups)):
            fold[held_out] = number
    return fold


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
    """
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
