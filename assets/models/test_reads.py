"""Restores the register of test reads if it was lost."""

from collections.abc import Iterator

from melgraph.assets.dataset.snapshot import Snapshot
from melgraph.assets.stages import (
    CLUSTER_REPORTS,
    EVALUATIONS,
    GENERATIVE_EVALUATIONS,
    TRIALS,
)
from melgraph.storage.artifacts import ArtifactStore
from melgraph.storage.test_reads import TestRead, is_lost, part_digest, restore_register

KINDS = {
    EVALUATIONS: "evaluation",
    TRIALS: "study",
    CLUSTER_REPORTS: "clusters",
    GENERATIVE_EVALUATIONS: "generative model",
}


def restore_test_reads(store: ArtifactStore) -> int:
    """Rebuild a lost register from the current artifacts that were made with test labels.

    Reads for versions that are no longer current are not known, so the counts are then the least
    number of reads.

    Returns:
        The number of reads that were restored; 0 if the register exists.
    """
    if not is_lost(store.home):
        return 0
    reads = sorted(_known_reads(store), key=lambda read: read.at)
    if reads:
        restore_register(store.home, reads)
    return len(reads)


def _known_reads(store: ArtifactStore) -> Iterator[TestRead]:
    for stage, kind in KINDS.items():
        for partition in store.partitions(stage.name):
            artifact = store.current(stage.name, partition)
            if artifact is None:
                continue
            record = artifact.record
            for snapshot in Snapshot.inputs_of(store, record.spec):
                yield TestRead(
                    dataset=str(snapshot.reference),
                    tracks=part_digest(snapshot.track_ids("test")),
                    reader=str(artifact.reference),
                    kind=kind,
                    run=record.run.get("dagster"),
                    at=record.started_at[:19] + "+00:00",
                )
