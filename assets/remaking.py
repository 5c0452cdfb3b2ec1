"""Computes an artifact again from its record alone, for `melgraph reproduce` and the tests."""

from pathlib import Path

from melgraph.assets.stages import STAGES
from melgraph.storage.artifacts import Artifact, ArtifactStore, Work, file_digests


def remake(store: ArtifactStore, artifact: Artifact, folder: Path) -> list[str]:
    """Compute an artifact again from its record alone, in another folder, and compare the bytes.

    Torch uses the number of threads given in the record, because another number can change the
    last bit of a sum.

    Args:
        store: the store that holds the inputs.
        artifact: the artifact to compute again; it stays unchanged.
        folder: an empty folder for the new files.

    Returns:
        The files that differ, are new or are missing; empty if every byte is equal.
    """
    spec = artifact.record.spec
    if threads := artifact.record.run.get("torch_threads"):
        import torch

        torch.set_num_threads(int(threads))
    STAGES[spec.asset].write(store, Work(spec, folder))
    remade, recorded = file_digests(folder), dict(artifact.record.files)
    names = remade.keys() | recorded
    return sorted(name for name in names if remade.get(name) != recorded.get(name))
