"""The read cache of a home: artifacts of a bucket as folders of this machine.

An artifact is fetched whole when its folder is first asked for, aside, checked, then renamed into
place. When the cache holds more than `MELGRAPH_CACHE_GB`, the artifacts used longest ago go, but
none that a living process uses: each process keeps a lease, a file that lists what it uses and that
the kernel unlocks when it dies.

    cache/artifacts/<asset>/<partition>/<version>/    as in a local home, record.json among them
    cache/leases/<name>                               one a process, locked while it lives
    cache/aside/<name>/                               what that process is fetching
    cache/lock                                        held for the moments in which things move
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
    """The most the cache may hold, from `MELGRAPH_CACHE_GB`.

    Raises:
        StorageError: it is not a number from 0 up.
    """
    text = os.environ.get("MELGRAPH_CACHE_GB", str(DEFAULT_GB))
    try:
        size = float(text)
        if not 0 <= size < 1e9:
            raise ValueError
    except ValueError:
        raise StorageError(
            f"the size of the read cache {text!r} is not a number of gigabytes",
            where="MELGRAPH_CACHE_GB",
            remedy=f"give a number from 0 up, such as {DEFAULT_GB:g}",
        ) from None
    return int(size * 1e9)


class ReadCache:
    """The cache below one folder. Processes share it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.artifacts = root / "artifacts"

    def folder(self, reference: Reference) -> Path:
        """Where an artifact is, once it has been fetched."""
        return self.artifacts / reference.asset / reference.partition / reference.version

    def hold(self, record: Record, fetch: Callable[[Path], None]) -> None:
        """Have an artifact in its folder, and keep it there while this process lives.

        Args:
            record: of the artifact; a copy with other bytes is fetched anew.
            fetch: writes its files below the folder it is given, or raises.
        """
        reference = record.spec.reference
        lease, kept = _lease(self.root), self.folder(reference) / RECORD_NAME
        if lease.held.get(str(reference)) == record.digest and kept.is_file():
            return  # checked before by this process, and held since
        with self._locked():
            lease.add(record)
            if self._is_whole(record):
                os.utime(kept)
                return
        aside = lease.new_folder()
        try:
            fetch(aside)
            self.put(record, aside)
        finally:
            shutil.rmtree(aside, ignore_errors=True)

    def put(self, record: Record, folder: Path) -> None:
        """Move a folder that holds an artifact's files, checked, into place, and make room.

        This process holds it from now on. The folder must be on the cache's file system.
        """
        reference = record.spec.reference
        final, lease = self.folder(reference), _lease(self.root)
        (folder / RECORD_NAME).write_bytes(record.to_bytes())
        discarded = lease.new_folder()
        with self._locked():
            lease.add(record)
            if not self._is_whole(record):  # no other process was faster
                final.parent.mkdir(parents=True, exist_ok=True)
                if final.exists():
                    final.rename(discarded / "old")
                folder.rename(final)
        shutil.rmtree(discarded, ignore_errors=True)
        self.make_room()

    def make_room(self) -> None:
        """Remove what was used longest ago, and is not in use, until the cache is small enough."""
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
                with suppress(FileNotFoundError):  # another process was faster
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
        """What living processes hold; what dead ones left behind is removed on the way."""
        held: set[str] = set()
        for path in sorted((self.root / "leases").iterdir()):
            with path.open("rb") as file:
                if not _try_lock(file):
                    held.update(path.read_text().splitlines())
                    continue
                shutil.rmtree(self.root / "aside" / path.name, ignore_errors=True)
                path.unlink()
        return held

    @contextmanager
    def _locked(self) -> Iterator[None]:
        self.root.mkdir(parents=True, exist_ok=True)
        with (self.root / "lock").open("ab") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield


class _Lease:
    """What this process uses of a cache: one name a line, in a file locked while it lives."""

    def __init__(self, root: Path) -> None:
        self.process = os.getpid()
        self.root = root
        self.name = f"{self.process}-{uuid.uuid4().hex[:8]}"
        self.held: dict[str, str] = {}  # reference -> digest
        (root / "leases").mkdir(parents=True, exist_ok=True)
        self.file = (root / "leases" / self.name).open("a")
        fcntl.flock(self.file, fcntl.LOCK_EX)

    def add(self, record: Record) -> None:
        reference = str(record.spec.reference)
        if reference not in self.held:
            self.file.write(f"{reference}\n")
            self.file.flush()
        self.held[reference] = record.digest

    def new_folder(self) -> Path:
        folder = self.root / "aside" / self.name / uuid.uuid4().hex[:8]
        folder.mkdir(parents=True)
        return folder


_leases: dict[Path, _Lease] = {}
_one_lease = threading.Lock()


def _lease(root: Path) -> _Lease:
    with _one_lease:
        lease = _leases.get(root)
        if lease is None or lease.process != os.getpid():  # a forked child keeps its own
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
        with suppress(OSError):  # it is being removed
            sizes += path.stat().st_size if path.is_file() else 0
    return sizes
