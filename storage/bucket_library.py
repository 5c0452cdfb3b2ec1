"""A library in a bucket: listed page by page, its files fetched one at a time."""

import errno
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path, PurePosixPath

from melgraph.storage.bucket import Bucket, StoredObject
from melgraph.storage.catalogue import LibraryFile
from melgraph.storage.errors import BucketTrouble, UnusableKey


@dataclass(frozen=True)
class BucketLibrary:
    """The objects below `s3://bucket/prefix`."""

    location: str

    @property
    def bucket(self) -> Bucket:
        """The connection, kept for the life of the process."""
        return _connection(self.location)

    @property
    def name(self) -> str:
        """The last part of the prefix, or the bucket's name."""
        return PurePosixPath(self.location).name

    def where(self, path: str) -> str:
        """The object's address."""
        return self.bucket.where(path)

    def check(self) -> None:
        """Refuse a bucket that is not there, cannot be reached or may not be listed.

        Raises:
            BucketTrouble: which of these it is.
        """
        self.bucket.check()

    def list(
        self,
        suffixes: Iterable[str],
        *,
        unreadable: list[str] | None = None,
        others: Counter[str] | None = None,
    ) -> list[LibraryFile]:
        """Every audio object, by path; its time is when it was put.

        A key that is no path (`a//b`, `..`, a control character) makes the level it is on
        unreadable; the rest is listed folder by folder.
        """
        suffixes = frozenset(suffixes)
        try:
            found = [*self.bucket.objects()]
        except UnusableKey:
            found = _walk(self.bucket, unreadable)
        # `album.mp3/` is how consoles mark a folder; it comes without its slash.
        folders = {parent for item in found for parent in _parents(item.key)}
        shown = [
            (item, PurePosixPath(item.key).suffix.lower())
            for item in found
            if item.key not in folders
            and not any(part.startswith(".") for part in item.key.split("/"))
        ]
        if others is not None:
            others.update(suffix for _, suffix in shown if suffix not in suffixes)
        return sorted(
            LibraryFile(item.key, item.bytes, item.mtime_ns)
            for item, suffix in shown
            if suffix in suffixes
        )

    @contextmanager
    def local(self, path: str) -> Iterator[Path]:
        """A temporary file with the bytes of the object, below TMPDIR."""
        suffix = PurePosixPath(path).suffix
        with tempfile.TemporaryDirectory(prefix="melgraph-") as folder:
            file = Path(folder) / f"recording{suffix}"
            with self._one_object(path):
                self.bucket.download(path, file)
            yield file

    def sha256(self, path: str) -> str:
        """SHA-256 of an object, hexadecimal; streamed, nothing is kept."""
        with self._one_object(path):
            return self.bucket.sha256(path)

    def exists(self, path: str) -> bool:
        """Whether there is such an object."""
        return self.look(path) is not None

    def look(self, path: str) -> LibraryFile | None:
        """Its size and time; None where it is not there."""
        try:
            with self._one_object(path):
                found = self.bucket.status(path)
        except FileNotFoundError:
            return None
        return LibraryFile(path, found.bytes, found.mtime_ns)

    @contextmanager
    def _one_object(self, path: str) -> Iterator[None]:
        """Trouble with one object is that file's; with the whole bucket it is everybody's.

        Else an outage, or keys that expire in the middle of a run, would quarantine a library.
        """
        try:
            yield
        except BucketTrouble as error:
            self.check()
            number = errno.EACCES if error.refused else errno.EIO
            raise OSError(number, error.what, self.where(path)) from None


@cache
def _connection(location: str) -> Bucket:
    return Bucket(location)


def _walk(bucket: Bucket, unreadable: list[str] | None) -> list[StoredObject]:
    """Every object, folder by folder; levels that hold an unusable key are left out."""
    found: list[StoredObject] = []
    pending = [""]
    while pending:
        folder = pending.pop()
        try:
            folders, objects = bucket.level(folder)
        except UnusableKey:
            if unreadable is not None:
                unreadable.append(folder or ".")
            continue
        pending += folders
        found += objects
    return found


def _parents(key: str) -> Iterator[str]:
    while "/" in key:
        key = key.rpartition("/")[0]
        yield key
