"""Which fold each track is held out in, by what must not be on both sides."""

import warnings
from typing import Literal

import numpy as np
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

from melgraph.ml.errors import UserError

Policy = Literal["group", "track", "chunk"]


def assign_folds(
    policy: Policy,
    *,
    labels: np.ndarray,
    groups: np.ndarray,
    n_folds: int,
    seed: int,
    n_chunks: int | None = None,
) -> np.ndarray:
    """The fold that each track, or each chunk of it, is held out in.

    Args:
        policy: `group`: no group is in two folds; `track`: by track, so that an artist is on both
            sides; `chunk`: the chunks of one track are spread over the folds, the leaky way.
        labels: int `[track]`.
        groups: int `[track]`.
        n_folds: at least 2.
        seed: of the shuffling.
        n_chunks: chunks per track, of the policy `chunk`.

    Returns:
        int64 `[track]`, or `[track, chunk]` of the policy `chunk`; 0 to n_folds - 1.

    Raises:
        UserError: one class only, or fewer groups or tracks than folds.
    """
    if len(np.unique(labels)) < 2:
        raise UserError(
            "all tracks are of one class: there is nothing to tell apart",
            where="folds",
            remedy="give the dataset at least two classes with enough tracks",
        )
    if policy == "group":
        return grouped_folds(labels, groups, n_folds=n_folds, seed=seed)
    if policy == "track":
        return _stratified(labels, n_folds=n_folds, seed=seed)
    if n_chunks is None or n_chunks < 1:
        raise ValueError(f"the policy 'chunk' needs the number of chunks, got {n_chunks}")
    rng = np.random.default_rng(seed)
    first = rng.integers(0, n_folds, len(labels))  # so that every fold gets of every track alike
    order = np.stack([rng.permutation(n_chunks) for _ in labels])
    return ((first[:, None] + order) % n_folds).astype(np.int64)


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
        # Classes with fewer tracks than folds are absent from some folds: that is no fault here.
        warnings.filterwarnings("ignore", message="The least populated class")
        for number, (_, held_out) in enumerate(splits):  # type: ignore[arg-type,var-annotated]
            fold[held_out] = number
    return fold
