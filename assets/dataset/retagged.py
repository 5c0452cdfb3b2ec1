"""What new file metadata means for a dataset: no track changes sides, and none may bridge two."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import polars as pl

from melgraph.assets.dataset.groups import grouped_track
from melgraph.assets.dataset.snapshot import Snapshot
from melgraph.assets.library.tracks import METADATA

MOST_EXAMPLES = 5  # pairs of paths in the facts
_SEEN = ("track_id", "path", "artists", "album", "title", "split", "left_out")


@dataclass(frozen=True)
class ParentSplits:
    """The splits of the parent snapshot.

    Attributes:
        splits: track id -> its split; None for a track that is left out.
        regrouped: the tracks that their present file metadata, or a new path, connects to others
            than in the parent.
        bridging: the tracks that the parent left out because they had bridged two splits since they
            were retagged -> that reason. They stay left out until their metadata changes again.
    """

    splits: dict[str, str | None] = field(default_factory=dict)
    regrouped: frozenset[str] = frozenset()
    bridging: dict[str, str] = field(default_factory=dict)


def read_parent(
    parents: Sequence[Snapshot], table: pl.DataFrame, rows: Sequence[Any]
) -> ParentSplits:
    """The splits of the parent snapshot, compared with the tracks as they are now.

    Args:
        parents: the parent, or none.
        table: `track_id`, `path`, `artists`, `album` and `title` of each track now.
        rows: the `ml.collections.base.Row` of each track, or None.
    """
    from melgraph.ml.recordings.grouping import gains_keys
    from melgraph.ml.splits.assignment import RETAGGED

    if not parents:
        return ParentSplits()
    before = {
        row["track_id"]: row for row in parents[0].table().select(_SEEN).iter_rows(named=True)
    }
    regrouped, bridging = set(), {}
    for now, listed in zip(table.iter_rows(named=True), rows, strict=True):
        old = before.get(now["track_id"])
        if old is None:
            continue
        if gains_keys(grouped_track(old, listed), grouped_track(now, listed)):
            regrouped.add(now["track_id"])
        elif (old["left_out"] or "").startswith(RETAGGED):
            bridging[now["track_id"]] = old["left_out"]
    splits = {track_id: old["split"] for track_id, old in before.items()}
    return ParentSplits(splits, frozenset(regrouped), bridging)


def copies_with_other_metadata(table: pl.DataFrame, others: pl.DataFrame) -> dict[str, Any]:
    """The tracks that are at several paths with different file metadata, for the facts.

    Args:
        table: the good tracks, each at its first path.
        others: the other files of the library.

    Returns:
        `tracks`: their number. `first`: some of them, as pairs of the path whose metadata is used
        and another path.
    """
    values = pl.struct(METADATA).struct.json_encode().alias("values")
    copies = others.filter(pl.col("status") == "ok").select("track_id", "path", values)
    own = table.select("track_id", "path", values)
    pairs = own.join(copies, on="track_id", suffix="_other")
    pairs = pairs.filter(pl.col("values") != pl.col("values_other")).sort("path", "path_other")
    first = pairs.unique("track_id", keep="first", maintain_order=True).head(MOST_EXAMPLES)
    return {
        "tracks": pairs["track_id"].n_unique(),
        "first": [list(pair) for pair in first.select("path", "path_other").iter_rows()],
    }
