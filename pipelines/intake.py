"""Intake: what a scan of the library found becomes track batches in the catalogue."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from ml.audio import AUDIO_SUFFIXES
from storage.catalogue import Catalogue, LibraryFile
from storage.home import Home
from storage.locks import Lock

BATCH_SIZE = 512
SETTLE_S = 5.0  # a file younger than this may still be being written


@dataclass
class Scan:
    """What a scan of the library saw."""

    listed: int
    arrived: list[LibraryFile]  # new or changed, and settled
    unsettled: list[str]  # too young to be taken
    missing: list[str]  # gone since the last scan
    unreadable: list[str] = field(default_factory=list)  # folders and names it could not use

    def sentence(self) -> str:
        """For people."""
        parts = [f"{self.listed} audio files listed", f"{len(self.arrived)} new or changed"]
        if self.unsettled:
            parts.append(f"{len(self.unsettled)} still being written")
        if self.missing:
            parts.append(f"{len(self.missing)} gone")
        if self.unreadable:
            parts.append(f"{len(self.unreadable)} unreadable: {', '.join(self.unreadable[:5])}")
        return ", ".join(parts)


@contextmanager
def one_scanner(home: Home) -> Iterator[None]:
    """Hold this around a scan and the cut that follows it: else two cut the same files twice.

    Raises:
        ArtifactLocked: another process is at it.
    """
    lock = Lock(home, "intake", "library")
    lock.acquire()
    try:
        yield
    finally:
        lock.release()


def scan_library(home: Home, catalogue: Catalogue, *, settle_s: float = SETTLE_S) -> Scan:
    """Compare the library with the catalogue. Changes neither.

    Raises:
        StorageError: the library cannot be used.
    """
    library = home.open_library()
    library.check()
    unreadable: list[str] = []
    listing = library.list(AUDIO_SUFFIXES, unreadable=unreadable)
    changes = catalogue.changes(listing)
    now, settle_ns = time.time_ns(), int(settle_s * 1e9)

    def is_settled(file: LibraryFile) -> bool:  # one dated far ahead would else never be
        return abs(now - file.mtime_ns) >= settle_ns

    return Scan(
        listed=len(listing),
        arrived=[file for file in changes.arrived if is_settled(file)],
        unsettled=[file.path for file in changes.arrived if not is_settled(file)],
        missing=_really_gone(changes.missing, unreadable),
        unreadable=unreadable,
    )


def _really_gone(missing: list[str], unreadable: list[str]) -> list[str]:
    """A file below a folder that cannot be listed just now is not gone."""
    if "." in unreadable:
        return []
    return [p for p in missing if not any(p.startswith(f"{folder}/") for folder in unreadable)]


def cut_batches(
    catalogue: Catalogue, scan: Scan, *, batch_size: int = BATCH_SIZE, most: int | None = None
) -> list[str]:
    """Register what arrived as new batches, and note what is gone. Returns the new keys.

    Args:
        catalogue: receives the facts.
        scan: of the library, just now.
        batch_size: most files in a batch.
        most: most batches to cut now; the rest arrive again at the next scan.
    """
    catalogue.note_missing(scan.missing)
    starts = range(0, len(scan.arrived), batch_size)
    return [
        catalogue.register_batch(scan.arrived[start : start + batch_size])
        for start in list(starts)[:most]
    ]
