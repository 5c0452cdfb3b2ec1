"""A trial: one repeat of one arm of a study, every fold of it trained and every track predicted."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any

import numpy as np
from sklearn.model_selection import StratifiedShuffleSplit

from melgraph.ml.errors import UserError
from melgraph.ml.inference.track_set import TrackSet
from melgraph.ml.inference.tracks import predict_tracks
from melgraph.ml.models.base import Classifier
from melgraph.ml.specs.study import Trial
from melgraph.ml.specs.training import TrainingConfig
from melgraph.ml.splits.folds import Eligible, assign_folds
from melgraph.ml.training.fitting import fit
from melgraph.ml.training.loop import EpochReport
from melgraph.ml.training.setup import TrainingSetup, check_one_label

MOST_CHUNKS = 10  # of a track: papers cut 30 s into ten chunks of 3 s


@dataclass
class TrialResult:
    """The predictions of a trial, and what its trainings cost.

    Attributes:
        probabilities: float32 `[track, class]`; NaN for tracks that no fold predicted.
        folds: the numbers of the folds that were trained.
        curves: for each of these, one mapping of figures per epoch.
        seconds: of all trainings.
        peak_memory_bytes: of the training that took most.
        parameters: of the model.
        n_train: tracks (or chunks) that a training learned from, on average.
        crops: that a training learned from, on average.
        notes: what a reader of the figures must know, such as a halved batch.
    """

    probabilities: np.ndarray
    folds: list[int] = field(default_factory=list)
    curves: list[list[dict[str, Any]]] = field(default_factory=list)
    seconds: float = 0.0
    peak_memory_bytes: int = 0
    parameters: int = 0
    n_train: float = 0.0
    crops: float = 0.0
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Fold:
    """Rows of the training, the validation (may be empty) and the test part of a fold."""

    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray

    def only(self, eligible: Eligible | None, track_of: np.ndarray) -> "Fold":
        """The fold whose held-out parts have eligible tracks only; None means all tracks."""
        if eligible is None:
            return self
        return replace(
            self,
            validation=self.validation[eligible.validation[track_of[self.validation]]],
            test=self.test[eligible.test[track_of[self.test]]],
        )


def run_trial(
    setup: TrainingSetup,
    *,
    trial: Trial,
    groups: np.ndarray,
    parts: Sequence[str | None],
    build: Callable[[], Classifier],
    n_classes: int,
    eligible: Eligible | None = None,
    progress: Callable[[int, EpochReport], None] | None = None,
) -> TrialResult:
    """Train on each fold and predict the tracks that it holds out.

    Every fold trains for all its epochs, as there is no validation part to stop early by (except
    with the dataset's own split), and the held-out tracks must not decide when to stop.

    Args:
        setup: `training` holds all tracks with their labels, `config` is the recipe of the trial;
            each fold trains on a part of the tracks.
        trial: how the tracks are split.
        groups: int64 `[track]`: tracks of one group are never split by `split = "group"`.
        parts: of each track in the dataset's own split; used by `split = "dataset"`.
        build: a fresh model with initial weights.
        n_classes: of the dataset.
        eligible: the tracks that may be held out; None for all. A fold that would predict none is
            not trained.
        progress: called with (fold, epoch report).

    Raises:
        UserError: the tracks cannot be split so, no track may be held out, or a training raises it.
    """
    tracks = setup.training
    check_one_label(
        tracks,
        "what a study compares",
        where="dataset of the study",
        remedy="use a dataset of one label a track",
    )
    units, track_of = tracks, np.arange(len(tracks))
    if trial.split == "chunk":
        units, track_of = cut_into_chunks(tracks, build().shape.frames)
        setup = replace(setup, config=same_crops(setup.config, len(tracks), len(units)))
    planned = plan_folds(units, track_of, groups, parts, trial, setup.seed)
    restricted = [fold.only(eligible, track_of) for fold in planned]
    folds = {number: fold for number, fold in enumerate(restricted) if len(fold.test)}
    _check_held_out(folds)
    labels = shuffle(units.labels, setup.seed) if trial.shuffle_labels else units.labels
    result = TrialResult(np.full((len(tracks), n_classes), np.nan, np.float32))
    sums, counts = np.zeros((len(tracks), n_classes)), np.zeros(len(tracks))
    began = time.perf_counter()
    for number, fold in folds.items():
        training = replace(units.take(fold.train), labels=labels[fold.train])
        validation = units.take(fold.validation) if len(fold.validation) else None
        model, fitted = fit(
            build,
            setup.for_fold(number, training, validation),
            progress=None if progress is None else lambda r, n=number: progress(n, r),  # type: ignore[misc]
        )
        held_out = units.take(fold.test)
        probabilities = predict_tracks(model, held_out.arrays, device=setup.device)
        np.add.at(sums, track_of[fold.test], probabilities)
        np.add.at(counts, track_of[fold.test], 1)
        result.folds.append(number)
        result.curves.append(fitted.curves)
        result.notes += [f"fold {number}: {note}" for note in fitted.notes]
        result.peak_memory_bytes = max(result.peak_memory_bytes, fitted.peak_memory_bytes)
        result.parameters = fitted.n_parameters
        result.n_train += len(fold.train) / len(folds)
        crops = len(fold.train) * setup.config.crops_per_track * len(fitted.curves)
        result.crops += crops / len(folds)
    result.seconds = time.perf_counter() - began
    is_predicted = counts > 0
    means = sums[is_predicted] / counts[is_predicted, None]
    result.probabilities[is_predicted] = means.astype(np.float32)
    return result


def plan_folds(
    units: TrackSet,
    track_of: np.ndarray,
    groups: np.ndarray,
    parts: Sequence[str | None],
    trial: Trial,
    seed: int,
) -> list[Fold]:
    """The folds of a trial; rows are those of `units`, which are tracks, or chunks of tracks."""
    nothing = np.empty(0, np.int64)
    rows = np.arange(len(units))
    if trial.split == "dataset":
        names = np.array([part or "" for part in parts])
        fold = Fold(
            train=np.flatnonzero(names == "train"),
            validation=np.flatnonzero(names == "validation"),
            test=np.flatnonzero(names == "test"),
        )
        _check_test_part(fold)
        return [fold]
    if trial.split == "holdout":
        assert trial.train is not None
        try:
            splitter = StratifiedShuffleSplit(1, train_size=trial.train, random_state=seed)
            train, test = next(splitter.split(rows, units.labels))
        except ValueError as error:
            raise UserError(
                f"{trial.train:.0%} of {len(units)} tracks cannot be held apart: {error}",
                where="split = 'holdout' of the study",
                remedy="use more tracks of every class, or another split",
            ) from None
        return [Fold(np.sort(train), nothing, np.sort(test))]
    assert trial.folds is not None
    if trial.split == "chunk":
        n_tracks = int(track_of.max()) + 1
        n_chunks = int(np.bincount(track_of).max())
        labels = np.zeros(n_tracks, np.int64)
        labels[track_of] = units.labels
        table = assign_folds(
            "chunk", labels=labels, groups=groups, n_folds=trial.folds, seed=seed, n_chunks=n_chunks
        )
        first = np.searchsorted(track_of, np.arange(n_tracks))
        fold_of = table[track_of, rows - first[track_of]]
    else:
        fold_of = assign_folds(
            trial.split, labels=units.labels, groups=groups, n_folds=trial.folds, seed=seed
        )
    numbers = [number for number in range(trial.folds) if (fold_of == number).any()]
    return [Fold(rows[fold_of != n], nothing, rows[fold_of == n]) for n in numbers]


def cut_into_chunks(tracks: TrackSet, frames: int) -> tuple[TrackSet, np.ndarray]:
    """Each track in up to `MOST_CHUNKS` equal chunks that are no shorter than a crop.

    Returns:
        The chunks with the labels of their tracks, and int64 `[chunk]`, the row of its track.
    """
    pieces, track_of = [], []
    for row in range(len(tracks)):
        array = tracks.arrays[row]
        n = int(np.clip(len(array) // frames, 1, MOST_CHUNKS))
        edges = np.linspace(0, len(array), n + 1).astype(np.int64)
        pieces += [array[a:b] for a, b in pairwise(edges.tolist())]
        track_of += [row] * n
    owners = np.asarray(track_of, np.int64)
    groups = None if tracks.groups is None else tracks.groups[owners]
    return TrackSet(pieces, tracks.labels[owners], tracks.least_std, groups, tracks.blocks), owners


def same_crops(config: TrainingConfig, n_tracks: int, n_units: int) -> TrainingConfig:
    """As many crops in total from chunks as from whole tracks: fewer of each, then fewer epochs."""
    crops_per_unit = config.crops_per_track * config.epochs * n_tracks / n_units
    each = max(1, round(config.crops_per_track * n_tracks / n_units))
    epochs = max(1, round(crops_per_unit / each))
    return config.model_copy(update={"crops_per_track": each, "epochs": epochs})


def shuffle(labels: np.ndarray, seed: int) -> np.ndarray:
    """The labels in a random order."""
    return np.random.default_rng(seed).permutation(labels)


def _check_held_out(folds: Mapping[int, Fold]) -> None:
    if not folds:
        raise UserError(
            "the initial weights were trained on every track that would be held out, or on tracks "
            "of the same groups",
            where="model.weights of the arm",
            remedy="start from weights that were trained on other artists, or from none",
        )


def _check_test_part(fold: Fold) -> None:
    if not len(fold.test):
        raise UserError(
            "the dataset's own split has no test part",
            where="split = 'dataset' of the study",
            remedy="use split = 'group', or a dataset with a test part",
        )
