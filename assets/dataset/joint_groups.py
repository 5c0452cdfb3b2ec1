"""Groups across snapshots: which tracks of one snapshot belong to tracks of another one.

The group numbers of a snapshot mean nothing in another snapshot. The rules that make them, however,
apply to the tracks of several snapshots as to those of one.
"""

from collections.abc import Sequence

import polars as pl

from melgraph.assets.dataset import one_recording
from melgraph.assets.dataset.groups import group_rows
from melgraph.assets.dataset.snapshot import Snapshot

_COLUMNS = ("track_id", "path", "artists", "album", "title", "artist_id", "labels")


def joint_groups(snapshots: Sequence[Snapshot]) -> dict[str, int]:
    """Track id -> its component over the tracks of all snapshots together.

    Two tracks are in one component if a snapshot has them in one group, if one of the `duplicates`
    behind the snapshots has them in one cluster, or if the rules of `ml.recordings.grouping` join
    them, by the artists in the lists or by those in the file metadata.

    Args:
        snapshots: of one store. The settings of the first one decide which rules apply.
    """
    from melgraph.ml.collections.base import Row
    from melgraph.ml.recordings.components import components, edges_from_keys

    rows = pl.concat(
        s.table()
        .select(*_COLUMNS, of_snapshot=pl.format(f"{s.reference} {{}}", "group"))
        .with_columns(_artist_name(s))
        for s in snapshots
    )
    tracks = rows.unique("track_id", keep="first", maintain_order=True).with_columns(
        duplicate_cluster=pl.lit(None, dtype=pl.String)
    )
    listed = [None if name is None else Row("", artist=name) for name in tracks["artist_id"]]
    config = snapshots[0].spec.config
    joined = [group_rows(tracks, by, config).groups for by in (listed, [None] * tracks.height)]
    joined_by_id = [dict(zip(tracks["track_id"], map(str, one), strict=True)) for one in joined]
    clusters = [one_recording.input_clusters(s.store, s.spec) for s in snapshots]
    ids = rows["track_id"].to_list()
    keys = [rows["of_snapshot"].to_list()]
    keys += [
        [of_track.get(track_id) for track_id in ids] for of_track in (*joined_by_id, *clusters)
    ]
    edges = [edge for column in keys for edge in edges_from_keys(column)]
    return dict(zip(ids, components(rows.height, edges).tolist(), strict=True))


def _artist_name(snapshot: Snapshot) -> pl.Expr:
    """The artists of the lists; a number, which another collection may use too, gets a name."""
    artist = pl.col("artist_id")
    named = pl.format(f"{snapshot.label_source} {{}}", artist)
    return pl.when(artist.str.contains(r"^\d+$")).then(named).otherwise(artist).alias("artist_id")
