"""Assign the tracks of a dataset to splits, and give a reason for each track that is left out."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import polars as pl

from melgraph.assets.dataset.retagged import ParentSplits
from melgraph.ml.specs.base import SPLITS

SPLIT_ANEW = "split_anew"  # a key of the configuration, and of the facts
SPLIT_ANEW_SENTENCE = (
    "the snapshot before was grouped by other rules, so that its splits may leak: all tracks were "
    "split anew, and results on the two snapshots cannot be compared"
)


@dataclass
class SplitAssignment:
    """The split of each row, or the reason to leave it out.

    Attributes:
        splits: the split of each row; None if the track is left out.
        reasons: why each track is left out; None if it has a split.
        labels: the labels of each row, without classes that are too small.
        unusable: why no model can be trained on the dataset; None if one can.
        straddling: the number of components with tracks in several parts of a published split.
        removed: the number of tracks that are left out for that reason.
    """

    splits: list[str | None]
    reasons: list[str | None]
    labels: list[tuple[str, ...]]
    unusable: str | None = None
    straddling: int = 0
    removed: int = 0


def assign_splits(
    table: pl.DataFrame,
    groups: Any,
    reasons: list[str | None],
    config: Mapping[str, Any],
    parent: ParentSplits,
) -> SplitAssignment:
    """Split the rows of a table by the split policy of the configuration.

    Args:
        table: `track_id`, `labels` and `official_split` of each track.
        groups: int64 `[track]`, the component of each track.
        reasons: why a track is excluded before the split; None for all others.
        config: the configuration of the dataset.
        parent: the splits of the parent snapshot.
    """
    from melgraph.ml.splits.label_classes import remove_small_classes

    official = config["split"] == "official"
    labels = [
        tuple(one) if reason is None else ()
        for one, reason in zip(table["labels"].to_list(), reasons, strict=True)
    ]
    usable_labels, size_reasons, unusable = remove_small_classes(
        labels,
        groups,
        # no class is removed from a published split for its size
        min_tracks=1 if official else config["min_tracks_per_class"],
        min_groups=1 if official else config["min_groups_per_class"],
        multi_label=config["multi_label"],
    )
    assignment = SplitAssignment(
        [None] * table.height,
        [own or by_size for own, by_size in zip(reasons, size_reasons, strict=True)],
        usable_labels,
        unusable,
    )
    rows = [row for row, reason in enumerate(assignment.reasons) if reason is None]
    if rows and unusable is None:
        split = _split_by_lists if official else _split_by_fractions
        split(assignment, rows, table, groups, config, parent)
    return assignment


def _split_by_fractions(
    assignment: SplitAssignment,
    rows: list[int],
    table: pl.DataFrame,
    groups: Any,
    config: Mapping[str, Any],
    parent: ParentSplits,
) -> None:
    from melgraph.ml.splits.assignment import grouped_split, random_split

    policy = random_split if config["split"] == "leaky" else grouped_split
    ids = table["track_id"].to_list()
    result = policy(
        [assignment.labels[row] for row in rows],
        groups[rows],
        track_ids=[ids[row] for row in rows],
        fractions={part: config[part] for part in SPLITS if config[part] > 0},
        seed=config["seed"],
        parent=parent.splits,
        regrouped=parent.regrouped,
    )
    _store_result(assignment, rows, result)


def _split_by_lists(
    assignment: SplitAssignment,
    rows: list[int],
    table: pl.DataFrame,
    groups: Any,
    config: Mapping[str, Any],
    parent: ParentSplits,
) -> None:
    """Only the lists decide; the parent snapshot is ignored."""
    from melgraph.ml.splits.published import published_split

    official_splits = table["official_split"].to_list()
    published = published_split(
        [assignment.labels[row] for row in rows],
        groups[rows],
        [official_splits[row] for row in rows],
    )
    _store_result(assignment, rows, published.result)
    assignment.straddling, assignment.removed = published.straddling, published.removed
    train_labels = {
        label
        for row in rows
        if assignment.splits[row] == "train"
        for label in assignment.labels[row]
    }
    empty = [part for part in ("train", "validation", "test") if part not in assignment.splits]
    if len(train_labels) < 2:
        assignment.unusable = (
            f"the official split has {len(train_labels)} classes to train with here"
        )
    elif empty:
        assignment.unusable = f"of the official split, no {' and no '.join(empty)} track is here"


def _store_result(assignment: SplitAssignment, rows: list[int], result: Any) -> None:
    for row, split, reason in zip(rows, result.splits, result.reasons, strict=True):
        assignment.splits[row], assignment.reasons[row] = split, reason
