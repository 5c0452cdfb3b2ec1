"""Decide which classes of a dataset are large enough to be learned and split.

If each track has one label, tracks of small classes are left out. If tracks may have several
labels, small classes are removed from them, and tracks without any remaining label are left out.
"""

from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from melgraph.ml.errors import UserError

NO_CLASSES = "fewer than two classes can be split"


def explain_small_classes(
    labels: Sequence[str],
    groups: NDArray[np.int64],
    *,
    minimum: int = 3,
    where: str = "the labels of the dataset",
) -> list[str | None]:
    """Which tracks must be left out, because their class has too few components to be split.

    Args:
        labels: class of each track.
        groups: int [n], component of each track.
        minimum: number of components that a class needs: the number of splits.
        where: the place to name in an error.

    Returns:
        The reason for each track; None for a track that can stay.

    Raises:
        UserError: fewer than two classes remain, so there is nothing to classify.
    """
    members: dict[str, set[int]] = {}
    for label, group in zip(labels, np.asarray(groups).tolist(), strict=True):
        members.setdefault(label, set()).add(group)
    large = sorted(label for label in members if len(members[label]) >= minimum)
    if len(large) < 2:
        counts = (f"{label}: {len(members[label])}" for label in sorted(members))
        table = ", ".join(counts) or "no tracks"
        raise UserError(
            f"{len(large)} of {len(members)} classes can be split: each needs {minimum} "
            f"independent groups of tracks, found {table}",
            where=where,
            remedy="add recordings of other artists to the small classes, or use a coarser label",
        )
    return [
        None
        if label in large
        else f"class {label!r} has {len(members[label])} independent groups, {minimum} are needed"
        for label in labels
    ]


def remove_small_classes(
    labels: Sequence[tuple[str, ...]],
    groups: NDArray[np.int64],
    *,
    min_tracks: int,
    min_groups: int,
    multi_label: bool,
) -> tuple[list[tuple[str, ...]], list[str | None], str | None]:
    """Remove the labels of small classes from all tracks.

    Args:
        labels: labels of each track; an empty tuple for a track that takes no part.
        groups: int [n], component of each track.
        min_tracks: number of tracks that a class needs.
        min_groups: number of components that a class needs.
        multi_label: whether a track may have several labels.

    Returns:
        1. The remaining labels of each track.
        2. For each track that lost all its labels, the reason; otherwise None.
        3. Why nothing can be learned from the dataset, or None.
    """
    sizes = Counter(label for one in labels for label in one)
    remaining = [tuple(label for label in one if sizes[label] >= min_tracks) for one in labels]
    reasons = [_too_small(before, sizes, min_tracks) if before and not after else None
               for before, after in zip(labels, remaining, strict=True)]  # fmt: skip
    pairs = [(row, label) for row, one in enumerate(remaining) for label in one]
    if not pairs:
        none_large = f"no class has {min_tracks} tracks or more" if sizes else None
        return remaining, reasons, none_large
    rows = [row for row, _ in pairs]
    try:
        verdicts = explain_small_classes(
            [label for _, label in pairs], np.asarray(groups)[rows], minimum=min_groups
        )
    except UserError as error:
        nothing = [reason or (NO_CLASSES if one else None)
                   for reason, one in zip(reasons, remaining, strict=True)]  # fmt: skip
        return remaining, nothing, error.what
    dropped: dict[int, list[str]] = {}
    for (row, label), verdict in zip(pairs, verdicts, strict=True):
        if verdict is not None:
            remaining[row] = tuple(other for other in remaining[row] if other != label)
            dropped.setdefault(row, []).append(verdict)
    for row, causes in dropped.items():
        if not remaining[row]:
            reasons[row] = causes[0] if not multi_label else "all its labels are of small classes"
    return remaining, reasons, None


def _too_small(labels: tuple[str, ...], sizes: Counter[str], needed: int) -> str:
    if len(labels) == 1:
        return f"class {labels[0]!r} has {sizes[labels[0]]} tracks, {needed} are needed"
    return "all its labels are of small classes"
