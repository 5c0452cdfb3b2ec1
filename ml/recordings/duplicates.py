"""Clusters of tracks of the same recording, and which of them an evaluation counts."""

from collections.abc import Mapping, Sequence

import numpy as np

from melgraph.ml.recordings.components import components


def cluster_names(track_ids: Sequence[str], links: Sequence[tuple[str, str]]) -> dict[str, str]:
    """The cluster of every track that is linked to another.

    A cluster is named after the smallest of its track ids.

    Args:
        track_ids: ids of the existing tracks, without repetition.
        links: pairs of ids of the same recording; a pair with an unknown id is ignored.
    """
    rows = {track_id: row for row, track_id in enumerate(sorted(track_ids))}
    edges = [(rows[a], rows[b]) for a, b in links if a in rows and b in rows and a != b]
    names = list(rows)
    groups = components(len(rows), edges)
    firsts = [names[row] for row in np.unique(groups, return_index=True)[1]] if names else []
    linked = sorted({row for edge in edges for row in edge})
    return {names[row]: firsts[groups[row]] for row in linked}


def chained_clusters(clusters: Mapping[str, str], links: Sequence[tuple[str, str]]) -> set[str]:
    """Clusters in which some two tracks are connected only through other tracks.

    This happens if a long mix contains two different songs, or if one copy has a poor quality.

    Args:
        clusters: track id -> name of its cluster, as of `cluster_names`.
        links: pairs of ids of the same recording.
    """
    pairs = {frozenset(link) for link in links if link[0] != link[1]}
    n_links: dict[str, int] = {}
    for pair in pairs:
        names = {clusters.get(track_id) for track_id in pair}
        if len(names) == 1 and (name := names.pop()) is not None:
            n_links[name] = n_links.get(name, 0) + 1
    sizes: dict[str, int] = {}
    for name in clusters.values():
        sizes[name] = sizes.get(name, 0) + 1
    return {name for name, size in sizes.items() if n_links.get(name, 0) < size * (size - 1) // 2}


def find_redundant_copies(
    splits: Sequence[str | None],
    clusters: Sequence[str | None],
    *,
    track_ids: Sequence[str],
    durations_s: Sequence[float],
    parent: Mapping[str, str | None],
    counted: Sequence[str] = ("validation", "test"),
) -> dict[int, int]:
    """Which tracks to leave out, so that each recording counts once in each evaluation split.

    Of each cluster, the track stays that was in this split of the parent snapshot; otherwise the
    longest one; of equally long ones the one with the smallest id. All copies may stay in the
    training split.

    Args:
        splits: split of each track; None for a track that is left out already.
        clusters: cluster of duplicates of each track; None for a track without duplicates.
        track_ids: id of each track.
        durations_s: duration of each track, seconds.
        parent: track id -> split in the parent snapshot.
        counted: names of the evaluation splits.

    Returns:
        Row to leave out -> row that stays instead.
    """

    def rank(row: int) -> tuple[bool, float, str]:
        was_counted = parent.get(track_ids[row]) == splits[row]
        return (not was_counted, -durations_s[row], track_ids[row])

    members: dict[tuple[str, str], list[int]] = {}
    for row, (split, cluster) in enumerate(zip(splits, clusters, strict=True)):
        if split in counted and split is not None and cluster is not None:
            members.setdefault((split, cluster), []).append(row)
    best = {key: min(rows, key=rank) for key, rows in members.items()}
    return {row: best[key] for key, rows in members.items() for row in rows if row != best[key]}
