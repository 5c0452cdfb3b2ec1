"""Which classes of a dataset are large enough to be learned and split.

One label a track: a track of a small class is left out. Several labels: the small classes are
taken off the tracks, and a track that keeps none is left out.
"""

from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from melgraph.ml.errors import UserError
from melgraph.ml.splits.assignment import min_groups_per_class

NO_CLASSES = "fewer than two classes can be split"


def large_classes(
    labels: Sequence[tuple[str, ...]],
    groups: NDArray[np.int64],
    *,
    min_tracks: int,
    min_groups: int,
    multi_label: bool,
) -> tuple[list[tuple[str, ...]], list[str | None], str | None]:
    """The labels that stay on each track, why a track has none left, and what is wrong overall.

    Args:
        labels: of each track; none for a track that takes no part.
        groups: int [n], component of each track.
        min_tracks: tracks a class needs.
        min_groups: components a class needs.
        multi_label: whether a track may have several.

    Returns:
        Labels kept per track; the reason per track that lost all it had, else None; why nothing
        can be learned, or None.
    """
    sizes = Counter(label for one in labels for label in one)
    kept = [tuple(label for label in one if sizes[label] >= min_tracks) for one in labels]
    reasons = [_too_small(before, sizes, min_tracks) if before and not after else None
               for before, after in zip(labels, kept, strict=True)]  # fmt: skip
    pairs = [(row, label) for row, one in enumerate(kept) for label in one]
    if not pairs:
        none_large = f"no class has {min_tracks} tracks or more" if sizes else None
        return kept, reasons, none_large
    rows = [row for row, _ in pairs]
    try:
        verdicts = min_groups_per_class(
            [label for _, label in pairs], np.asarray(groups)[rows], minimum=min_groups
        )
    except UserError as error:
        nothing = [reason or (NO_CLASSES if one else None)
                   for reason, one in zip(reasons, kept, strict=True)]  # fmt: skip
        return kept, nothing, error.what
    dropped: dict[int, list[str]] = {}
    for (row, label), verdict in zip(pairs, verdicts, strict=True):
        if verdict is not None:
            kept[row] = tuple(other for other in kept[row] if other != label)
            dropped.setdefault(row, []).append(verdict)
    for row, said in dropped.items():
        if not kept[row]:
            reasons[row] = said[0] if not multi_label else "all its labels are of small classes"
    return kept, reasons, None


def _too_small(labels: tuple[str, ...], sizes: Counter[str], needed: int) -> str:
    if len(labels) == 1:
        return f"class {labels[0]!r} has {sizes[labels[0]]} tracks, {needed} are needed"
    return "all its labels are of small classes"
