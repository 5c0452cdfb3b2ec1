"""`melgraph reproduce ARTIFACT`: make an artifact again from its record, and compare the bytes."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import TYPE_CHECKING

from melgraph.pipelines.commands import audit
from melgraph.pipelines.terminal import printable

if TYPE_CHECKING:
    from melgraph.storage.artifacts import Artifact, ArtifactStore

SUMMARY = "Make an artifact again from its record and compare the bytes."
DESCRIPTION = """\
Make an artifact again in a temporary folder, with the inputs, the configuration
and the seed of its record, and compare every file with the recorded bytes. The
artifact itself stays as it is. The exit status is 1 if a file differs."""
EXAMPLES = """\
examples:
  melgraph reproduce dreams/deep-dream
  melgraph reproduce trained_models/small-cnn --home ~/music-results"""

DIFFERS = 1


def add_arguments(parser: ArgumentParser) -> None:
    """The artifact."""
    audit.add_artifact_argument(parser)


def run(options: Namespace) -> int:
    """Make an artifact again and compare. Returns 1 if a byte differs.

    Raises:
        StorageError: there is no such artifact, or one of its inputs is gone.
    """
    import tempfile

    from melgraph.ml.errors import UserError
    from melgraph.pipelines.instance import prepare
    from melgraph.storage.artifacts import ArtifactStore
    from melgraph.storage.errors import StorageError

    home = audit.home_of(options.artifact)
    store = ArtifactStore(home)
    artifact, _ = audit.find_named_artifact(store, options.artifact)
    prepare(home)
    from melgraph.assets.remaking import remake

    print(f"making {artifact.reference} again in a temporary folder")
    n_files = len(artifact.record.files)
    try:
        with tempfile.TemporaryDirectory(prefix="melgraph-") as folder:
            different = remake(store, artifact, Path(folder))
    except (StorageError, UserError):
        if _print_lost_sources(store, artifact):
            return DIFFERS
        raise
    if different:
        print(f"{len(different)} of {n_files} file(s) differ:")
        print("\n".join(f"  {name}" for name in different))
        if not _print_lost_sources(store, artifact) and not _print_older_code(artifact):
            print(
                f"recorded on: {artifact.record.environment}\n"
                "(another processor or other package versions can change the last bits of numbers)"
            )
        return DIFFERS
    print(f"all {n_files} file(s) have the recorded bytes")
    return 0


def _print_older_code(artifact: Artifact) -> bool:
    """Say so if the artifact was made by older code, whose bytes are others. Returns whether."""
    from melgraph.assets.stages import STAGES

    recorded, now = artifact.record.spec.stage, STAGES[artifact.reference.asset].number
    if recorded == now:
        return False
    print(
        f"the code has changed since: the artifact was made by stage {recorded} of "
        f"{artifact.reference.asset}, and this is stage {now}"
    )
    return True


def _print_lost_sources(store: ArtifactStore, artifact: Artifact) -> bool:
    """Print the recordings that the artifact is made from and that are no longer as recorded.

    Returns:
        Whether there are any. Artifacts that are made from other artifacts need no recording.
    """
    record = artifact.record
    parents = [store.get(reference).record.spec for reference in record.spec.inputs]
    if not record.recordings and any(parent.inputs for parent in parents):
        return False
    chain = audit.trace_artifact(store, artifact)
    lost = [source for source in chain.sources if source.since or source.problem]
    if lost:
        print(f"it cannot be made again: {len(lost)} source recording(s) are not as recorded")
    for source in lost:
        since = f"{source.recording.path}: {source.since} since"
        print(f"  {printable(source.problem or since)}")
    return bool(lost)
