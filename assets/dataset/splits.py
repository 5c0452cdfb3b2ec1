"""Which track of a dataset is in which split, and why the others are in none."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import polars as pl


@dataclass
class Sides:
    """The split of each row, or the reason it has none.

    Attributes:
        splits: per row; None for a track that is left out.
        reasons: why; None for a track with a split.
        labels: of each row, less the classes that are too small.
        unusable: why nothing can be learned from the dataset; None where something can.
        straddling: components that a published split had on more than one side.
        removed: tracks left out of it for that.
    """

    splits: list[str | None]
    reasons: list[str | None]
    labels: list[tuple[str, ...]]
    unusable: str | None = None
    straddling: int = 0
    removed: int = 0


def take_sides(
    table: pl.DataFrame,
    groups: Any,
    reasons: list[str | None],
    config: Mapping[str, Any],
    parent: Mapping[str, str | None],
) -> Sides:
    """Split the rows of a table by the policy of its config.

    Args:
        table: `track_id`, `labels` and `official_split` of each track.
        groups: int [n], component of each track.
        reasons: why a track takes no part from the start; None for the others.
        config: of the dataset.
        parent: track id -> split in the parent snapshot.
    """
    from melgraph.ml.splits.label_classes import large_classes

    official = config["split"] == "official"
    labels = [
        tuple(one) if reason is None else ()
        for one, reason in zip(table["labels"].to_list(), reasons, strict=True)
    ]
    kept, too_small, unusable = large_classes(
        labels,
        groups,
        # a published split has its classes: nothing is taken from it for being small
        min_tracks=1 if official else config["min_tracks_per_class"],
        min_groups=1 if official else config["min_groups_per_class"],
        multi_label=config["multi_label"],
    )
    sides = Sides(
        [None] * table.height,
        [own or small for own, small in zip(reasons, too_small, strict=True)],
        kept,
        unusable,
    )
    rows = [row for row, reason in enumerate(sides.reasons) if reason is None]
    if rows and unusable is None:
        place = _by_lists if official else _by_quotas
        place(sides, rows, table, groups, config, parent)
    return sides


def _by_quotas(
    sides: Sides,
    rows: list[int],
    table: pl.DataFrame,
    groups: Any,
    config: Mapping[str, Any],
    parent: Mapping[str, str | None],
) -> None:
    from melgraph.ml.splits.assignment import grouped_split, random_split

    policy = random_split if config["split"] == "leaky" else grouped_split
    ids = table["track_id"].to_list()
    answer = policy(
        [sides.labels[row] for row in rows],
        groups[rows],
        track_ids=[ids[row] for row in rows],
        fractions={part: config[part] for part in ("train", "validation", "test")},
        seed=config["seed"],
        parent=parent,
    )
    _put(sides, rows, answer)


def _by_lists(
    sides: Sides,
    rows: list[int],
    table: pl.DataFrame,
    groups: Any,
    config: Mapping[str, Any],
    parent: Mapping[str, str | None],
) -> None:
    """The parent has no say: the lists decide alone."""
    from melgraph.ml.splits.published import published_split

    listed = table["official_split"].to_list()
    answer = published_split(
        [sides.labels[row] for row in rows], groups[rows], [listed[row] for row in rows]
    )
    _put(sides, rows, answer.result)
    sides.straddling, sides.removed = answer.straddling, answer.removed
    trained = {label for row in rows if sides.splits[row] == "train" for label in sides.labels[row]}
    empty = [part for part in ("train", "validation", "test") if part not in sides.splits]
    if len(trained) < 2:
        sides.unusable = f"the official split has {len(trained)} classes to train with here"
    elif empty:
        sides.unusable = f"of the official split, no {' and no '.join(empty)} track is here"


def _put(sides: Sides, rows: list[int], answer: Any) -> None:
    for row, split, reason in zip(rows, answer.splits, answer.reasons, strict=True):
        sides.splits[row], sides.reasons[row] = split, reason
