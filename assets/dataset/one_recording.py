"""What a dataset makes of `duplicates`: one side for a recording, and counted once where it counts.

Leaves to `duplicates` which files are of one recording.
"""

from collections.abc import Mapping, Sequence

import polars as pl

from melgraph.assets.library import ingest
from melgraph.assets.library.duplicates import DUPLICATES, EVERYTHING, clusters_of
from melgraph.assets.materialize import inputs_of
from melgraph.storage.artifacts import ArtifactStore
from melgraph.storage.records import Reference, Spec

REPEATED = "duplicate of "


def duplicates_reference(store: ArtifactStore) -> tuple[Reference, ...]:
    """The current `duplicates`, as an input of a spec; nothing where none were looked for."""
    found = store.current(DUPLICATES, EVERYTHING)
    return (found.reference,) if found else ()


def known_clusters(store: ArtifactStore, spec: Spec) -> dict[str, str]:
    """The cluster of each track that is in one, as the `duplicates` among the inputs say."""
    found: dict[str, str] = {}
    for artifact in inputs_of(store, spec, DUPLICATES):
        found = clusters_of(artifact)
    return found


def batches_not_searched(store: ArtifactStore, spec: Spec) -> int:
    """How many of the track batches were not searched for duplicates."""
    searched: set[Reference] = set()
    for artifact in inputs_of(store, spec, DUPLICATES):
        searched |= set(artifact.record.spec.inputs)
    return sum(r.asset == ingest.TRACKS and r not in searched for r in spec.inputs)


def leave_out_repeats(
    table: pl.DataFrame,
    splits: list[str | None],
    reasons: list[str | None],
    parent: Mapping[str, str | None],
) -> None:
    """Take the split from what would count a recording again in validation or test, and say so.

    Args:
        table: track_id, path, duration_s and duplicate_cluster of each track.
        splits, reasons: of each track; changed in place.
        parent: track id -> split in the parent snapshot.
    """
    from melgraph.ml.recordings.duplicates import counted_once

    repeated = counted_once(
        splits,
        table["duplicate_cluster"].to_list(),
        track_ids=table["track_id"].to_list(),
        durations_s=table["duration_s"].to_list(),
        parent=parent,
    )
    for row, kept in repeated.items():
        splits[row], reasons[row] = None, f"{REPEATED}{table['path'][kept]}"


def counted_reasons(reasons: Sequence[str | None]) -> dict[str, int]:
    """How many tracks were left out for each reason; all duplicates are one."""
    found: dict[str, int] = {}
    for reason in sorted(reason for reason in reasons if reason is not None):
        name = f"{REPEATED}another" if reason.startswith(REPEATED) else reason
        found[name] = found.get(name, 0) + 1
    return found


def recordings_on_two_sides(table: pl.DataFrame, clusters: Mapping[str, str]) -> int:
    """How many clusters have tracks in more than one split.

    Args:
        table: track_id and split of each track; a track without a split is on no side.
        clusters: track id -> its cluster.
    """
    sides: dict[str, set[str]] = {}
    for track_id, split in table.drop_nulls("split").select("track_id", "split").iter_rows():
        if track_id in clusters:
            sides.setdefault(clusters[track_id], set()).add(split)
    return sum(len(found) > 1 for found in sides.values())
