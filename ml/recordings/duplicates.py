"""Clusters of tracks that are of one recording, and what follows for counting them."""

from collections.abc import Mapping, Sequence

import numpy as np

from melgraph.ml.recordings.components import components


def cluster_names(track_ids: Sequence[str], links: Sequence[tuple[str, str]]) -> dict[str, str]:
    """The cluster of every track that is linked to another: its smallest track id.

    Args:
        track_ids: the tracks that there are, no two alike.
        links: pairs found to be of one recording; one that names another track is ignored.
    """
    rows = {track_id: row for row, track_id in enumerate(sorted(track_ids))}
    edges = [(rows[a], rows[b]) for a, b in links if a in rows and b in rows and a != b]
    names = list(rows)
    groups = components(len(rows), edges)
    firsts = [names[row] for row in np.unique(groups, return_index=True)[1]] if names else []
    linked = sorted({row for edge in edges for row in edge})
    return {names[row]: firsts[groups[row]] for row in linked}


def chained_clusters(clusters: Mapping[str, str], links: Sequence[tuple[str, str]]) -> set[str]:
    """Clusters of which some two tracks were not found alike themselves, only by way of others.

    A long mix holds two songs that have nothing in common; or one copy is too poor.
    """
    pairs = {frozenset(link) for link in links if link[0] != link[1]}
    found: dict[str, int] = {}
    for pair in pairs:
        names = {clusters.get(track_id) for track_id in pair}
        if len(names) == 1 and (name := names.pop()) is not None:
            found[name] = found.get(name, 0) + 1
    sizes: dict[str, int] = {}
    for name in clusters.values():
        sizes[name] = sizes.get(name, 0) + 1
    return {name for name, size in sizes.items() if found.get(name, 0) < size * (size - 1) // 2}


def counted_once(
    splits: Sequence[str | None],
    clusters: Sequence[str | None],
    *,
    track_ids: Sequence[str],
    durations_s: Sequence[float],
    parent: Mapping[str, str | None],
    counted: Sequence[str] = ("validation", "test"),
) -> dict[int, int]:
    """Which tracks to leave out, so that a recording counts once in each split that measures.

    The member of a cluster that was counted in the parent snapshot stays; else the longest; of
    equally long ones that with the smallest id. Training on all of them does no harm.

    Args:
        splits: the split of each track, None for one that is left out already.
        clusters: its cluster of duplicates, None for one without duplicates.
        track_ids: their ids.
        durations_s: their lengths, seconds.
        parent: track id -> split in the parent snapshot.
        counted: the splits that measure.

    Returns:
        Row to leave out -> row that is kept in its stead.
    """

    def rank(row: int) -> tuple[bool, float, str]:
        was_counted = parent.get(track_ids[row]) == splits[row]
        return (not was_counted, -durations_s[row], track_ids[row])

    members: dict[tuple[str, str], list[int]] = {}
    for row, (split, cluster) in enumerate(zip(splits, clusters, strict=True)):
        if split in counted and split is not None and cluster is not None:
            members.setdefault((split, cluster), []).append(row)
    kept = {key: min(rows, key=rank) for key, rows in members.items()}
    return {row: kept[key] for key, rows in members.items() for row in rows if row != kept[key]}
