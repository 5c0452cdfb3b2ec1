"""`melgraph reproduce ARTIFACT`: make an artifact again from its record, and compare the bytes."""

from argparse import ArgumentParser, Namespace
from pathlib import Path

from melgraph.pipelines.commands import audit

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
    audit.add_arguments(parser)


def run(options: Namespace) -> int:
    """Make an artifact again and compare. Returns 1 if a byte differs.

    Raises:
        StorageError: there is no such artifact, or one of its inputs is gone.
    """
    import tempfile

    from melgraph.pipelines.instance import prepare
    from melgraph.storage.artifacts import ArtifactStore

    home = audit.home_of(options.artifact)
    store = ArtifactStore(home)
    artifact, _ = audit.find_named_artifact(store, options.artifact)
    prepare(home)
    from melgraph.assets.stages import remake

    print(f"making {artifact.reference} again in a temporary folder")
    with tempfile.TemporaryDirectory(prefix="melgraph-") as folder:
        different = remake(store, artifact, Path(folder))
    n_files = len(artifact.record.files)
    if different:
        print(f"{len(different)} of {n_files} file(s) differ:")
        print("\n".join(f"  {name}" for name in different))
        print(
            f"recorded on: {artifact.record.environment}\n"
            "(another processor or other package versions can change the last bits of numbers)"
        )
        return DIFFERS
    print(f"all {n_files} file(s) have the recorded bytes")
    return 0
