"""A committed artifact: where its files are, and its record."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from melgraph.storage.records import Record, Reference

if TYPE_CHECKING:
    from melgraph.storage.bucket_artifacts import BucketArtifacts


@dataclass(frozen=True)
class Artifact:
    """A committed artifact: a folder of files and its record.

    Attributes:
        kept: its folder on this machine; of a bucket's artifact, once it was fetched.
        record: what it is.
        bucket: where it is fetched from; None where the folder itself is the artifact.
    """

    kept: Path
    record: Record
    bucket: "BucketArtifacts | None" = field(default=None, compare=False, repr=False)

    @property
    def folder(self) -> Path:
        """Its files, on this machine. Those of a bucket are fetched when this is first asked for.

        Raises:
            ArtifactCorrupt: a file in the bucket is gone, or is not the one that was committed.
        """
        if self.bucket is not None:
            self.bucket.fetch(self.record)
        return self.kept

    @property
    def location(self) -> str:
        """Where it is kept, for people. Fetches nothing."""
        return self.bucket.where(self.reference) if self.bucket is not None else str(self.kept)

    @property
    def reference(self) -> Reference:
        """`asset/partition/version`."""
        return self.record.spec.reference

    @property
    def facts(self) -> dict[str, Any]:
        """The summary its record holds."""
        return dict(self.record.facts)
