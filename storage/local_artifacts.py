"""Artifacts in folders of the home: `artifacts/<asset>/<partition>/<version>/`.

The folder of an artifact is renamed into place, and its record is written last.
"""

import os
import shutil
from pathlib import Path

from melgraph.storage.files import flush
from melgraph.storage.home import sync_folder, write_aside
from melgraph.storage.records import RECORD_NAME, Record, Reference

CURRENT = "current"


class LocalArtifacts:
    """The backend of a home whose artifacts are in its own folder."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def folder(self, reference: Reference) -> Path:
        """The folder of a version, whether it exists or not."""
        return self.root / reference.asset / reference.partition / reference.version

    def where(self, reference: Reference) -> str:
        """The path of a version, for people."""
        return str(self.folder(reference))

    def read_record(self, reference: Reference) -> bytes | None:
        """The bytes of a record, or None if the version is not committed."""
        try:
            return (self.folder(reference) / RECORD_NAME).read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None

    def has_record(self, reference: Reference) -> bool:
        """Whether a version is committed."""
        return (self.folder(reference) / RECORD_NAME).is_file()

    def read(self, record: Record, name: str) -> bytes:
        """The bytes of one small file of an artifact."""
        return (self.folder(record.spec.reference) / name).read_bytes()

    def read_pointer(self, asset: str, partition: str) -> bytes | None:
        """The content of a partition's pointer, or None."""
        try:
            return (self.root / asset / partition / CURRENT).read_bytes()
        except FileNotFoundError:
            return None

    def write_pointer(self, asset: str, partition: str, data: bytes) -> None:
        """Point a partition at a version. The caller must hold the lock."""
        folder = self.root / asset / partition
        for leftover in folder.glob(f".{CURRENT}.*.aside"):  # of writers that died
            leftover.unlink(missing_ok=True)
        write_aside(folder / CURRENT, data)

    def assets(self) -> list[str]:
        """Assets that have a pointer."""
        return sorted({path.parents[1].name for path in self.root.glob(f"*/*/{CURRENT}")})

    def partitions(self, asset: str) -> list[str]:
        """Partitions of an asset that have a pointer."""
        return sorted(path.parent.name for path in (self.root / asset).glob(f"*/{CURRENT}"))

    def commit(self, record: Record, work: Path) -> bool:
        """Move a folder of files into place, then write the record, which is the commit.

        The caller must hold the lock.
        """
        data = record.to_bytes()
        final = self.folder(record.spec.reference)
        for name in record.files:
            flush(work / name)
        if final.exists():  # renamed, but without a record: not committed
            shutil.rmtree(final)
        final.parent.mkdir(parents=True, exist_ok=True)
        for folder, _, _ in os.walk(work):
            sync_folder(Path(folder))
        work.replace(final)
        for parent in (final.parent, final.parent.parent, self.root):
            sync_folder(parent)  # the two upper ones may be new
        write_aside(final / RECORD_NAME, data)
        return True
