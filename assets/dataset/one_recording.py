"""How a dataset treats duplicates: one split per recording, and each recording evaluated once.

The asset `duplicates` decides which files contain the same recording.
"""

from collections.abc import Mapping, Sequence

import polars as pl

from melgraph.assets.library.recording_clusters import RecordingClusters
from melgraph.assets.stage import ONE
from melgraph.assets.stages import DUPLICATES, TRACKS
from melgraph.storage.artifacts import ArtifactStore
from melgraph.storage.records import Reference, Spec

REPEATED = "duplicate of "


def duplicates_reference(store: ArtifactStore) -> tuple[Reference, ...]:
    """The current `duplicates`, as an input of a spec; empty if there are none."""
    reference = store.current_reference(DUPLICATES.name, ONE)
    return () if reference is None else (reference,)


def input_clusters(store: ArtifactStore, spec: Spec) -> dict[str, str]:
    """Track id -> its recording cluster, from the `duplicates` among the inputs of a spec."""
    clusters: dict[str, str] = {}
    for duplicates in RecordingClusters.inputs_of(store, spec):
        clusters = duplicates.clusters()
    return clusters


def batches_not_searched(store: ArtifactStore, spec: Spec) -> int:
    """The number of track batches that were not searched for duplicates."""
    searched: set[Reference] = set()
    for duplicates in RecordingClusters.inputs_of(store, spec):
        searched |= duplicates.searched_tracks
    return sum(TRACKS.owns(r) and r not in searched for r in spec.inputs)


def leave_out_repeats(
    table: pl.DataFrame,
    splits: list[str | None],
    reasons: list[str | None],
    parent: Mapping[str, str | None],
) -> None:
    """Leave out copies, so that a recording counts once in validation and test.

    Args:
        table: track_id, path, duration_s and duplicate_cluster of each track.
        splits: the split of each track; changed in place.
        reasons: the reason to leave each track out; changed in place.
        parent: track id -> split in the parent snapshot.
    """
    from melgraph.ml.recordings.duplicates import find_redundant_copies

    representatives = find_redundant_copies(
        splits,
        table["duplicate_cluster"].to_list(),
        track_ids=table["track_id"].to_list(),
        durations_s=table["duration_s"].to_list(),
        parent=parent,
    )
    for row, representative in representatives.items():
        splits[row], reasons[row] = None, f"{REPEATED}{table['path'][representative]}"


def count_reasons(reasons: Sequence[str | None]) -> dict[str, int]:
    """Reason -> the number of tracks that were left out for it. All duplicates are one reason."""
    counts: dict[str, int] = {}
    for reason in sorted(reason for reason in reasons if reason is not None):
        name = f"{REPEATED}another" if reason.startswith(REPEATED) else reason
        counts[name] = counts.get(name, 0) + 1
    return counts


def count_leaking_recordings(table: pl.DataFrame, clusters: Mapping[str, str]) -> int:
    """The number of recording clusters with tracks in more than one split.

    Args:
        table: track_id and split of each track. Tracks without a split are ignored.
        clusters: track id -> its cluster.
    """
    splits: dict[str, set[str]] = {}
    for track_id, split in table.drop_nulls("split").select("track_id", "split").iter_rows():
        if track_id in clusters:
            splits.setdefault(clusters[track_id], set()).add(split)
    return sum(len(names) > 1 for names in splits.values())
