"""Published splits, as they are: only what leaks is taken out of them.

A published list keeps its comparability through its test split, so that one is never touched: of a
component on several sides, the tracks in `test` stay, and those in `validation` and `train` are
left out; likewise `validation` before `train`. How many components straddled is told.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from melgraph.ml.splits.assignment import TRAIN, SplitResult, leakage

KEPT_FIRST = ("test", "validation", TRAIN)


@dataclass(frozen=True)
class Published:
    """A published split without its leaks.

    Attributes:
        result: of policy `official`; it has no leaks.
        straddling: components that were on more than one side.
        removed: tracks left out for that.
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
    """The published split of each track, less what leaks and what `train` does not know.

    Args:
        labels: classes of each track, one or several.
        groups: int [n], component of each track.
        splits: `train`, `validation` or `test` as published; None for a track in no list.
        unlisted: the reason of those.
    """
    kept: list[str | None] = list(splits)
    reasons = [unlisted if split is None else None for split in splits]
    leaks = leakage(splits, groups)
    removed = 0
    for leak in leaks:
        side = next(name for name in KEPT_FIRST if name in leak.rows)
        for name, rows in leak.rows.items():
            if name == side:
                continue
            for row in rows:
                kept[row] = None
                reasons[row] = f"official split {name}, but its artist or recording is in {side}"
                removed += 1
    in_train = (one for one, split in zip(labels, kept, strict=True) if split == TRAIN)
    trained = {label for one in in_train for label in one}
    for row, one in enumerate(labels):
        if kept[row] is not None and trained.isdisjoint(one):
            lacking = " or ".join(map(repr, one))
            reasons[row] = f"official split {kept[row]}, and {TRAIN} has no {lacking}"
            kept[row] = None
    result = SplitResult(tuple(kept), tuple(reasons), "official", tuple(leakage(kept, groups)))
    return Published(result, len(leaks), removed)
