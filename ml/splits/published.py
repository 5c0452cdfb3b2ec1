"""Apply a published split unchanged, except that leaking tracks are left out.

Results stay comparable through the published test split, so no track is removed from it. If a
component has tracks in several splits, those in `test` stay, and those in `validation` and `train`
are left out; likewise `validation` takes precedence over `train`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from melgraph.ml.splits.assignment import TRAIN, SplitResult, leakage

PRECEDENCE = ("test", "validation", TRAIN)


@dataclass(frozen=True)
class Published:
    """A published split without its leaks.

    Attributes:
        result: the splits, with the policy `official` and without leaks.
        straddling: number of components that had tracks in several splits.
        removed: number of tracks that were left out for that reason.
    """

    result: SplitResult
    straddling: int
    removed: int


def published_split(
    labels: Sequence[tuple[str, ...]],
    groups: NDArray[np.int64],
    splits: Sequence[str | None],
    *,
    unlisted: str = "in no list of the official split",
) -> Published:
    """The published split of each track.

    Tracks that leak are left out, and so are tracks whose classes `train` lacks.

    Args:
        labels: one or several classes of each track.
        groups: int [n], component of each track.
        splits: `train`, `validation` or `test` as published; None for a track in no list.
        unlisted: the reason for leaving out a track in no list.
    """
    sides: list[str | None] = list(splits)
    reasons = [unlisted if split is None else None for split in splits]
    leaks = leakage(splits, groups)
    removed = 0
    for leak in leaks:
        side = next(name for name in PRECEDENCE if name in leak.rows)
        for name, rows in leak.rows.items():
            if name == side:
                continue
            for row in rows:
                sides[row] = None
                reasons[row] = f"official split {name}, but its artist or recording is in {side}"
                removed += 1
    in_train = (one for one, split in zip(labels, sides, strict=True) if split == TRAIN)
    trained = {label for one in in_train for label in one}
    for row, one in enumerate(labels):
        if sides[row] is not None and trained.isdisjoint(one):
            lacking = " or ".join(map(repr, one))
            reasons[row] = f"official split {sides[row]}, and {TRAIN} has no {lacking}"
            sides[row] = None
    result = SplitResult(tuple(sides), tuple(reasons), "official", tuple(leakage(sides, groups)))
    return Published(result, len(leaks), removed)
