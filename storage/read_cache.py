"""The read cache of a home: artifacts of a bucket, as local folders.

When the folder of an artifact is first used, the whole artifact is downloaded to a temporary
folder, checked and renamed into place. If the cache is larger than `MELGRAPH_CACHE_GB`, the least
recently used artifacts are removed. Artifacts in use are not: each process has a lease, a locked
file that lists the artifacts it uses. The kernel unlocks the file when the process dies.

    cache/artifacts/<asset>/<partition>/<version>/    as in a local home, with record.json
    cache/leases/<name>                               one per process, locked while it lives
    cache/aside/<name>/                               downloads of that process
    cache/lock                                        held while folders are renamed
"""

import fcntl
import os
import shutil
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from melgraph.storage.errors import StorageError
from melgraph.storage.records import RECORD_NAME, Record, Reference

DEFAULT_GB = 50.0


def limit_bytes() -> int:
    """The maximal size of the cache in bytes, from `MELGRAPH_CACHE_GB`.

    Raises:
        StorageError: the setting is not a number of at least 0.
    """
    text = os.environ.get("MELGRAPH_CACHE_GB", str(DEFAULT_GB))
    try:
        size = float(text)
        if not 0 <= size < 1e9:
            raise ValueError
    except ValueError:
        raise StorageError(
            f"the size of the read cache, {text!r}, is not a number of gigabytes",
            where="MELGRAPH_CACHE_GB",
            remedy=f"set it to a number of at least 0, such as {DEFAULT_GB:g}",
        ) from None
    return int(size * 1e9)


class ReadCache:
    """The cache in one folder. All processes share it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.artifacts = root / "artifacts"

    def folder(self, reference: Reference) -> Path:
        """The folder of an artifact after it was fetched."""
        return self.artifacts / reference.asset / reference.partition / reference.version

    def hold(self, record: Record, fetch: Callable[[Path], None]) -> None:
        """Fetch an artifact into its folder, unless it is there, and lease it for this process.

        Args:
            record: of the artifact. A cached copy with another record is fetched again.
            fetch: writes the files of the artifact into a folder, or raises.
        """
        reference = record.spec.reference
        lease, record_path = _lease(self.root), self.folder(reference) / RECORD_NAME
        if lease.digests.get(str(reference)) == record.digest and record_path.is_file():
            return  # this process checked it before, and leases it
        with self._locked():
            lease.add(record)
            if self._is_whole(record):
                os.utime(record_path)
                return
        aside = lease.new_folder()
        try:
            fetch(aside)
            self.put(record, aside)
        finally:
            shutil.rmtree(aside, ignore_errors=True)

    def put(self, record: Record, folder: Path) -> None:
        """Move a folder with the verified files of an artifact into place, and make room.

        This process leases the artifact. The folder must be on the file system of the cache.
        """
        reference = record.spec.reference
        final, lease = self.folder(reference), _lease(self.root)
        (folder / RECORD_NAME).write_bytes(record.to_bytes())
        discarded = lease.new_folder()
        with self._locked():
            lease.add(record)
            if not self._is_whole(record):  # no other process did it first
                final.parent.mkdir(parents=True, exist_ok=True)
                if final.exists():
                    final.rename(discarded / "old")
                folder.rename(final)
        shutil.rmtree(discarded, ignore_errors=True)
        self.make_room()

    def make_room(self) -> None:
        """Remove the least recently used artifacts that are not in use, until the cache fits."""
        limit = limit_bytes()
        entries = sorted(
            (_mtime_ns(path), path.parent, _size(path.parent))
            for path in self.artifacts.glob(f"*/*/*/{RECORD_NAME}")
        )
        excess = sum(size for *_, size in entries) - limit
        if excess <= 0:
            return
        discarded = _lease(self.root).new_folder()
        with self._locked():
            in_use = self._in_use()
            for number, (_, folder, size) in enumerate(entries):
                if excess <= 0:
                    break
                if "/".join(folder.parts[-3:]) in in_use:
                    continue
                with suppress(FileNotFoundError):  # another process removed it
                    folder.rename(discarded / str(number))
                    excess -= size
        shutil.rmtree(discarded, ignore_errors=True)

    def _is_whole(self, record: Record) -> bool:
        folder = self.folder(record.spec.reference)
        try:
            return (folder / RECORD_NAME).read_bytes() == record.to_bytes() and all(
                (folder / name).stat().st_size == size for name, (_, size) in record.files.items()
            )
        except OSError:
            return False

    def _in_use(self) -> set[str]:
        """References leased by living processes. Leases of dead processes are removed."""
        references: set[str] = set()
        for path in sorted((self.root / "leases").iterdir()):
            with path.open("rb") as file:
                if not _try_lock(file):
                    references.update(path.read_text().splitlines())
                    continue
                shutil.rmtree(self.root / "aside" / path.name, ignore_errors=True)
                path.unlink()
        return references

    @contextmanager
    def _locked(self) -> Iterator[None]:
        self.root.mkdir(parents=True, exist_ok=True)
        with (self.root / "lock").open("ab") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield


class _Lease:
    """The artifacts that this process uses: one reference per line, in a locked file."""

    def __init__(self, root: Path) -> None:
        self.process = os.getpid()
        self.root = root
        self.name = f"{self.process}-{uuid.uuid4().hex[:8]}"
        self.digests: dict[str, str] = {}  # reference -> content digest
        (root / "leases").mkdir(parents=True, exist_ok=True)
        self.file = (root / "leases" / self.name).open("a")
        fcntl.flock(self.file, fcntl.LOCK_EX)

    def add(self, record: Record) -> None:
        reference = str(record.spec.reference)
        if reference not in self.digests:
            self.file.write(f"{reference}\n")
            self.file.flush()
        self.digests[reference] = record.digest

    def new_folder(self) -> Path:
        folder = self.root / "aside" / self.name / uuid.uuid4().hex[:8]
        folder.mkdir(parents=True)
        return folder


_leases: dict[Path, _Lease] = {}
_one_lease = threading.Lock()


def _lease(root: Path) -> _Lease:
    with _one_lease:
        lease = _leases.get(root)
        if lease is None or lease.process != os.getpid():  # a forked child needs its own
            lease = _leases[root] = _Lease(root)
        return lease


def _try_lock(file: IO[bytes]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _mtime_ns(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except FileNotFoundError:
        return 0


def _size(folder: Path) -> int:
    sizes = 0
    for path in folder.rglob("*"):
        with suppress(OSError):  # another process is removing it
            sizes += path.stat().st_size if path.is_file() else 0
    return sizes
