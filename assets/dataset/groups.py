"""The groups of a dataset: which tracks a split keeps together, and what that rests on."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import polars as pl

from melgraph.assets.dataset.snapshot import Snapshot

if TYPE_CHECKING:
    from melgraph.ml.recordings.grouping import GroupedTrack, Grouping, Parent

GROUPING = "grouping"  # a key of the facts of a snapshot
MOST_EXAMPLES = 20  # names in the facts
_PUBLISHED = ("gtzan", "fma", "mtg_jamendo")  # collections whose folders name no artists


def group_rows(
    table: pl.DataFrame,
    rows: Sequence[Any],
    config: Mapping[str, Any],
    parents: Sequence[Snapshot] = (),
) -> "Grouping":
    """Group the tracks of a dataset by the rules of `ml.recordings.grouping`.

    Args:
        table: `track_id`, `path`, `artists`, `album`, `title`, `duplicate_cluster` and `labels` of
            each track.
        rows: the `ml.collections.base.Row` of each track, or None.
        config: the configuration of the dataset.
        parents: the parent snapshot, if there is one.
    """
    from melgraph.ml.recordings.grouping import group_tracks
    from melgraph.ml.specs.dataset import DatasetSpec

    tracks = [
        grouped_track(track, row)
        for track, row in zip(table.iter_rows(named=True), rows, strict=True)
    ]
    key = "guess_groups"
    return group_tracks(
        tracks,
        label_level=config["label_level"] if config["labels"] == "folder" else None,
        labels=set(table["labels"].explode().drop_nulls().to_list()),
        folders=config["labels"] not in _PUBLISHED,
        guesses=config.get(key, DatasetSpec.model_fields[key].default),
        parent=_parent(parents[0], table) if parents else None,
    )


def _parent(snapshot: Snapshot, table: pl.DataFrame) -> "Parent":
    """What the parent snapshot decided about the tracks of a table."""
    from melgraph.ml.recordings.grouping import PART, Parent

    splits = snapshot.splits()
    facts = snapshot.facts[GROUPING]
    # A series of numbered files that was too large for parts of one recording stays separate, too.
    series = {PART} if facts["n_numbered_series"] else set[str]()
    return Parent(
        [splits.get(track_id) for track_id in table["track_id"]], series | {*facts["dropped"]}
    )


def grouped_track(track: Mapping[str, Any], row: Any) -> "GroupedTrack":
    """A track as the rules see it.

    Args:
        track: `path`, `artists`, `album` and `title`, and `duplicate_cluster` if it is known.
        row: the `ml.collections.base.Row` of the track, or None.
    """
    from melgraph.ml.recordings.grouping import GroupedTrack

    return GroupedTrack(
        track["path"],
        tuple(track["artists"] or ()),
        track["album"],
        track["title"],
        row.artist if row else None,
        row.group if row else None,
        track.get("duplicate_cluster"),
    )


def grouping_facts(grouping: "Grouping", splits: Sequence[str | None]) -> dict[str, Any]:
    """What the groups of a snapshot rest on, for its facts.

    Args:
        grouping: the groups.
        splits: the split of each track; None if it has none.
    """
    counts = Counter(one for evidence in grouping.evidence for one in evidence)
    return {
        "artist_known": sum(
            known for known, split in zip(grouping.artist_known, splits, strict=True) if split
        ),
        GROUPING: {
            "largest_share": round(grouping.largest_share, 4),
            "evidence": dict(sorted(counts.items())),
            "guessed_groups": grouping.guessed_groups,
            "dropped": grouping.dropped,
            "connected_pairs": [list(p) for p in grouping.connected_pairs[:MOST_EXAMPLES]],
            "n_connected_pairs": len(grouping.connected_pairs),
            "numbered_series": list(grouping.numbered_series[:MOST_EXAMPLES]),
            "n_numbered_series": len(grouping.numbered_series),
        },
    }
