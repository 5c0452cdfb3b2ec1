"""Groups across snapshots: which tracks of one snapshot belong to tracks of another one.

The group numbers of a snapshot mean nothing in another snapshot. The rules that make them, however,
apply to the tracks of several snapshots as to those of one.
"""

from collections.abc import Sequence

import polars as pl

from melgraph.assets.dataset import one_recording
from melgraph.assets.dataset.labels import artist_key
from melgraph.assets.dataset.snapshot import Snapshot

_COLUMNS = ("track_id", "path", "artist", "artist_id", "group")


def joint_groups(snapshots: Sequence[Snapshot]) -> dict[str, int]:
    """Track id -> its component over the tracks of all snapshots together.

    Two tracks are in one component if they are the same track, if a snapshot has them in one group,
    if one of the `duplicates` behind the snapshots has them in one cluster, or if they have the
    same artist or names of which one extends the other.

    Args:
        snapshots: of one store.
    """
    from melgraph.ml.recordings.components import components, edges_from_keys, name_edges

    table = pl.concat(
        snapshot.table().select(
            *_COLUMNS,
            of_snapshot=pl.format(f"{snapshot.reference} {{}}", "group"),
            of_collection=pl.format(f"{snapshot.label_source} {{}}", "artist_id"),
        )
        for snapshot in snapshots
    )
    ids = table["track_id"].to_list()
    clusters = [one_recording.input_clusters(s.store, s.spec) for s in snapshots]
    keys: list[list[str | None]] = [
        ids,
        table["of_snapshot"].to_list(),
        table["of_collection"].to_list(),
        [artist_key(name) for name in table["artist"]],
        *([of_track.get(track_id) for track_id in ids] for of_track in clusters),
    ]
    edges = [edge for column in keys for edge in edges_from_keys(column)]
    numbers = components(table.height, [*edges, *name_edges(table["path"].to_list())])
    return dict(zip(ids, numbers.tolist(), strict=True))
