"""The interface of the places committed artifacts are kept in: folders of the home, or a bucket."""

from pathlib import Path
from typing import Protocol

from melgraph.storage.records import Record, Reference


class Backend(Protocol):
    """Keeps what was committed, and the pointers to what is current. The locks are the caller's."""

    @property
    def root(self) -> Path:
        """The tree `<asset>/<partition>/<version>/`, as far as it is on this machine."""

    def folder(self, reference: Reference) -> Path:
        """Where a version is, or would be, on this machine."""

    def where(self, reference: Reference) -> str:
        """The address of a version, for people."""

    def read_record(self, reference: Reference) -> bytes | None:
        """The bytes of a record; None where nothing is committed."""

    def has_record(self, reference: Reference) -> bool:
        """Whether a version is committed."""

    def read(self, record: Record, name: str) -> bytes:
        """One small file of an artifact, or FileNotFoundError."""

    def read_pointer(self, asset: str, partition: str) -> bytes | None:
        """What the pointer of a partition holds; None where there is none."""

    def write_pointer(self, asset: str, partition: str, data: bytes) -> None:
        """Point a partition at a version: whole or not at all."""

    def assets(self) -> list[str]:
        """Assets that have a pointer, sorted."""

    def partitions(self, asset: str) -> list[str]:
        """Partitions of an asset that have a pointer, sorted."""

    def commit(self, record: Record, work: Path) -> bool:
        """Take the files of a folder, then the record, which is the commit.

        Returns:
            False where another machine committed the version meanwhile: that one stays.
        """
