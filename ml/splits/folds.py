"""Assign tracks to cross-validation folds, by group, by track or by chunk."""

import warnings
from dataclasses import dataclass
from typing import Literal, Self

import numpy as np
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

from melgraph.ml.errors import UserError

Policy = Literal["group", "track", "chunk"]


@dataclass(frozen=True)
class Eligible:
    """The tracks that may be held out. All others may still be trained on.

    Initial weights that were trained on a track, or on another track of its group, know it already.

    Attributes:
        test: bool `[track]`: tracks that may be predicted.
        validation: bool `[track]`: tracks that may choose the epoch.
    """

    test: np.ndarray
    validation: np.ndarray

    @classmethod
    def all_of(cls, n_tracks: int) -> Self:
        """Every track may be held out."""
        return cls(np.ones(n_tracks, bool), np.ones(n_tracks, bool))


def assign_folds(
    policy: Policy,
    *,
    labels: np.ndarray,
    groups: np.ndarray,
    n_folds: int,
    seed: int,
    n_chunks: int | None = None,
) -> np.ndarray:
    """The fold in which each track, or each chunk of a track, is held out.

    >>> labels, groups = np.array([0, 0, 1, 1]), np.array([0, 1, 2, 2])
    >>> assign_folds("group", labels=labels, groups=groups, n_folds=2, seed=0).tolist()
    [0, 1, 0, 0]

    Args:
        policy: `group`: each group is in one fold. `track`: each track is in one fold, but an
            artist may be in several. `chunk`: the chunks of a track are spread over all folds,
            which leaks.
        labels: int `[track]`, class of each track.
        groups: int `[track]`, group of each track.
        n_folds: number of folds, at least 2.
        seed: seed of the shuffling.
        n_chunks: chunks per track; the policy `chunk` needs it.

    Returns:
        int64 `[track]`, or `[track, chunk]` for the policy `chunk`; 0 to n_folds - 1.

    Raises:
        UserError: there is only one class, or there are fewer groups or tracks than folds.
        ValueError: the policy `chunk` has no number of chunks.
    """
    if len(np.unique(labels)) < 2:
        raise UserError(
            "all tracks are of one class: there is nothing to tell apart",
            where="folds",
            remedy="use a dataset of at least two classes with enough tracks",
        )
    if policy == "group":
        return grouped_folds(labels, groups, n_folds=n_folds, seed=seed)
    if policy == "track":
        return _stratified(labels, n_folds=n_folds, seed=seed)
    if n_chunks is None or n_chunks < 1:
        raise ValueError(f"the policy 'chunk' needs the number of chunks, got {n_chunks}")
    rng = np.random.default_rng(seed)
    first = rng.integers(
        0, n_folds, len(labels)
    )  # a random start, so that every fold gets as many chunks
    order = np.stack([rng.permutation(n_chunks) for _ in labels])
    return ((first[:, None] + order) % n_folds).astype(np.int64)


def grouped_folds(labels: np.ndarray, groups: np.ndarray, *, n_folds: int, seed: int) -> np.ndarray:
    """The fold in which each track is held out: int64 `[track]`, 0 to n_folds - 1.

    Each group is in one fold. Classes are spread as evenly as that allows.

    Args:
        labels: int `[track]`, class of each track.
        groups: int `[track]`, group of each track.
        n_folds: number of folds, at least 2.
        seed: seed of the shuffling.

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
            remedy="use fewer folds, or a library with more artists",
        )
    splitter = StratifiedGroupKFold(n_folds, shuffle=True, random_state=seed)
    return _numbered(splitter.split(labels, labels, groups), len(labels))


def _stratified(labels: np.ndarray, *, n_folds: int, seed: int) -> np.ndarray:
    largest_class = int(np.bincount(labels).max())
    if largest_class < n_folds:
        raise UserError(
            f"at most {largest_class} tracks a class cannot be held out in {n_folds} folds",
            where="folds",
            remedy="use fewer folds, or more tracks",
        )
    splitter = StratifiedKFold(n_folds, shuffle=True, random_state=seed)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The least populated class")
        return _numbered(splitter.split(labels, labels), len(labels))


def _numbered(splits: object, n: int) -> np.ndarray:
    fold = np.empty(n, np.int64)
    with warnings.catch_warnings():
        # A class with fewer tracks than folds is absent from some folds, which is acceptable here.
        warnings.filterwarnings("ignore", message="The least populated class")
        for number, (_, held_out) in enumerate(splits):  # type: ignore[arg-type,var-annotated]
            fold[held_out] = number
    return fold
