"""A trial: one repeat of one arm of a study, every fold of it trained and every track predicted."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.model_selection import StratifiedShuffleSplit

from melgraph.ml.errors import UserError
from melgraph.ml.inference.track_set import TrackSet
from melgraph.ml.inference.tracks import Aggregate, predict_tracks
from melgraph.ml.models.base import Classifier
from melgraph.ml.specs.study import Trial
from melgraph.ml.specs.training import TrainingConfig
from melgraph.ml.splits.folds import assign_folds
from melgraph.ml.training.checks import one_label_only
from melgraph.ml.training.fitting import fit
from melgraph.ml.training.train import EpochReport

MOST_CHUNKS = 10  # of a track: papers cut 30 s into ten pieces of 3 s


@dataclass
class TrialResult:
    """What a trial answered.

    Attributes:
        probabilities: float32 `[track, class]`; NaN for tracks that no fold predicted.
        curves: per fold, one mapping of figures per epoch.
        seconds: of all trainings.
        peak_memory_bytes: the most that any training took.
        parameters: of the model.
        n_train: tracks (or chunks) that a training learned from, on average.
        crops: that a training saw, on average.
        notes: what a reader must know of, such as a halved batch.
    """

    probabilities: np.ndarray
    curves: list[list[dict[str, Any]]] = field(default_factory=list)
    seconds: float = 0.0
    peak_memory_bytes: int = 0
    parameters: int = 0
    n_train: float = 0.0
    crops: float = 0.0
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Fold:
    """Rows to learn from, to choose the epoch by (may be none), and to predict."""

    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray


def run_trial(
    tracks: TrackSet,
    *,
    groups: np.ndarray,
    parts: Sequence[str | None],
    trial: Trial,
    build: Callable[[], Classifier],
    n_classes: int,
    seed: int,
    device: str = "cpu",
    progress: Callable[[int, EpochReport], None] | None = None,
    state: Path | None = None,
    processes: int = 1,
) -> TrialResult:
    """Train on each fold and predict what it holds out.

    Every fold trains for all its epochs: there is no validation part to stop early by (but with
    the dataset's own split), and the held-out tracks must not decide when to stop.

    Args:
        tracks: all of them, with their labels.
        groups: int64 `[track]`: what must not be on both sides.
        parts: of each track in the dataset's own split; used by `split = "dataset"`.
        trial: what is done.
        build: a fresh model with initial weights.
        n_classes: of the dataset.
        seed: of folds, order and crops.
        device: torch device.
        progress: called with (fold, epoch report).
        state: a folder in which a killed training is taken up again.
        processes: devices that a training is spread over.

    Raises:
        UserError: the tracks cannot be split so, or a training fails for the user's reasons.
    """
    one_label_only(
        tracks,
        "what a study compares",
        where="dataset of the study",
        remedy="use a dataset of one label a track",
    )
    config = TrainingConfig.model_validate(trial.recipe["training"])
    aggregate: Aggregate = trial.recipe["aggregate"]
    units, track_of = tracks, np.arange(len(tracks))
    if trial.split == "chunk":
        units, track_of = cut_into_chunks(tracks, build().shape.frames)
        config = same_crops(config, len(tracks), len(units))
    folds = plan_folds(units, track_of, groups, parts, trial, seed)
    labels = shuffled(units.labels, seed) if trial.shuffle_labels else units.labels
    result = TrialResult(np.full((len(tracks), n_classes), np.nan, np.float32))
    sums, counts = np.zeros((len(tracks), n_classes)), np.zeros(len(tracks))
    began = time.perf_counter()
    for number, fold in enumerate(folds):
        learned = TrackSet(units.take(fold.train).arrays, labels[fold.train], units.least_std)
        model, trained = fit(
            build,
            learned,
            units.take(fold.validation) if len(fold.validation) else None,
            config=config,
            seed=seed + number,
            device=device,
            progress=None if progress is None else lambda r, n=number: progress(n, r),  # type: ignore[misc]
            state=state / f"fold{number}" if state is not None else None,
            processes=processes,
        )
        held_out = units.take(fold.test)
        answers = predict_tracks(model, held_out.arrays, aggregate=aggregate, device=device)
        np.add.at(sums, track_of[fold.test], answers)
        np.add.at(counts, track_of[fold.test], 1)
        result.curves.append(trained.curves)
        result.notes += [f"fold {number}: {note}" for note in trained.notes]
        result.peak_memory_bytes = max(result.peak_memory_bytes, trained.peak_memory_bytes)
        result.parameters = trained.n_parameters
        result.n_train += len(fold.train) / len(folds)
        seen = len(fold.train) * config.crops_per_track * len(trained.curves)
        result.crops += seen / len(folds)
    result.seconds = time.perf_counter() - began
    asked = counts > 0
    result.probabilities[asked] = (sums[asked] / counts[asked, None]).astype(np.float32)
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
        sides = np.array([part or "" for part in parts])
        train, validation, test = (np.flatnonzero(sides == s) for s in _PARTS)
        return [Fold(train, validation, _some(test))]
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
        fold = table[track_of, rows - first[track_of]]
    else:
        fold = assign_folds(
            trial.split, labels=units.labels, groups=groups, n_folds=trial.folds, seed=seed
        )
    numbers = [number for number in range(trial.folds) if (fold == number).any()]
    return [Fold(rows[fold != n], nothing, rows[fold == n]) for n in numbers]


def cut_into_chunks(tracks: TrackSet, frames: int) -> tuple[TrackSet, np.ndarray]:
    """Each track in up to `MOST_CHUNKS` equal chunks of at least a crop, and whose each is."""
    pieces, track_of = [], []
    for row in range(len(tracks)):
        array = tracks.arrays[row]
        n = int(np.clip(len(array) // frames, 1, MOST_CHUNKS))
        edges = np.linspace(0, len(array), n + 1).astype(np.int64)
        pieces += [array[a:b] for a, b in pairwise(edges.tolist())]
        track_of += [row] * n
    owners = np.asarray(track_of, np.int64)
    return TrackSet(pieces, tracks.labels[owners], tracks.least_std), owners


def same_crops(config: TrainingConfig, n_tracks: int, n_units: int) -> TrainingConfig:
    """As many crops in all from chunks as from whole tracks: fewer of each, then fewer epochs."""
    wanted = config.crops_per_track * config.epochs * n_tracks / n_units  # of each chunk
    each = max(1, round(config.crops_per_track * n_tracks / n_units))
    epochs = max(1, round(wanted / each))
    return config.model_copy(update={"crops_per_track": each, "epochs": epochs})


def shuffled(labels: np.ndarray, seed: int) -> np.ndarray:
    """The labels in a random order."""
    return np.random.default_rng(seed).permutation(labels)


_PARTS = ("train", "validation", "test")


def _some(rows: np.ndarray) -> np.ndarray:
    if not len(rows):
        raise UserError(
            "the dataset's own split has no test part",
            where="split = 'dataset' of the study",
            remedy="use split = 'group', or a dataset with a test part",
        )
    return rows
