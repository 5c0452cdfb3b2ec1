"""The interface of the two kinds of artifact storage: folders of the home, or a bucket."""

from pathlib import Path
from typing import Protocol

from melgraph.storage.records import Record, Reference


class Backend(Protocol):
    """Stores committed artifacts and the pointers to current versions. Callers hold the locks."""

    @property
    def root(self) -> Path:
        """The local tree `<asset>/<partition>/<version>/`; partial for a bucket."""

    def folder(self, reference: Reference) -> Path:
        """The local folder of a version, whether it exists or not."""

    def where(self, reference: Reference) -> str:
        """The address of a version, for people."""

    def read_record(self, reference: Reference) -> bytes | None:
        """The bytes of a record; None if the version is not committed."""

    def has_record(self, reference: Reference) -> bool:
        """Whether a version is committed."""

    def read(self, record: Record, name: str) -> bytes:
        """The bytes of one small file of an artifact; raises FileNotFoundError."""

    def read_pointer(self, asset: str, partition: str) -> bytes | None:
        """The content of a partition's pointer; None if there is no pointer."""

    def write_pointer(self, asset: str, partition: str, data: bytes) -> None:
        """Point a partition at a version, atomically."""

    def assets(self) -> list[str]:
        """Assets that have a pointer, sorted."""

    def partitions(self, asset: str) -> list[str]:
        """Partitions of an asset that have a pointer, sorted."""

    def commit(self, record: Record, work: Path) -> bool:
        """Store the files of the folder `work`, then the record. The record is the commit.

        Returns:
            False if another machine committed this version first. Its artifact stays.
        """
