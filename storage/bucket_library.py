"""A library in a bucket: it is listed page by page, and files are fetched one at a time."""

import errno
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path, PurePosixPath

from melgraph.storage.bucket import Bucket, StoredObject
from melgraph.storage.catalogue import LibraryFile
from melgraph.storage.errors import BucketTrouble, UnusableKey
from melgraph.storage.listing import MARKER_FILE, Omissions, is_excluded


@dataclass(frozen=True)
class BucketLibrary:
    """The objects below `s3://bucket/prefix`."""

    location: str

    @property
    def bucket(self) -> Bucket:
        """The connection. It stays open as long as the process lives."""
        return _connection(self.location)

    @property
    def name(self) -> str:
        """The last part of the prefix, or the bucket's name."""
        return PurePosixPath(self.location).name

    def where(self, path: str) -> str:
        """The object's address."""
        return self.bucket.where(path)

    def check(self) -> None:
        """Check that the bucket can be used.

        Raises:
            BucketTrouble: it does not exist, cannot be reached, or may not be listed.
        """
        self.bucket.check()

    def list(
        self,
        suffixes: Iterable[str],
        *,
        exclude: Sequence[str] = (),
        omissions: Omissions | None = None,
    ) -> list[LibraryFile]:
        """Every audio object, sorted by path. Its modification time is the time of the upload.

        If a key is not a valid path (`a//b`, `..`, a control character), the folder that contains
        it is reported as unreadable, and the rest is listed folder by folder.
        """
        suffixes, omissions = frozenset(suffixes), omissions or Omissions()
        try:
            objects = [*self.bucket.objects()]
        except UnusableKey:
            objects = _walk(self.bucket, omissions.unreadable)
        # Web consoles create the object `album.mp3/` as a folder; obstore omits its slash.
        folders = {parent for item in objects for parent in _parents(item.key)}
        marked = {
            item.key.rpartition("/")[0] or "."
            for item in objects
            if PurePosixPath(item.key).name == MARKER_FILE
        }
        omissions.excluded += sorted(
            folder
            for folder in folders | marked
            if folder in marked or is_excluded(folder, exclude)
        )
        files = []
        for item in objects:
            suffix = PurePosixPath(item.key).suffix.lower()
            is_hidden = any(part.startswith(".") for part in item.key.split("/"))
            if item.key in folders or is_hidden or omissions.excludes(item.key):
                continue
            if is_excluded(item.key, exclude):
                omissions.excluded.append(item.key)
            elif suffix in suffixes:
                files.append(LibraryFile(item.key, item.bytes, item.mtime_ns))
            else:
                omissions.others[suffix] += 1
        return sorted(files)

    @contextmanager
    def local(self, path: str) -> Iterator[Path]:
        """A temporary file in TMPDIR with the bytes of the object."""
        suffix = PurePosixPath(path).suffix
        with tempfile.TemporaryDirectory(prefix="melgraph-") as folder:
            file = Path(folder) / f"recording{suffix}"
            with self._one_object(path):
                self.bucket.download(path, file)
            yield file

    def sha256(self, path: str) -> str:
        """SHA-256 of an object, hexadecimal. The object is streamed and not stored."""
        with self._one_object(path):
            return self.bucket.sha256(path)

    def exists(self, path: str) -> bool:
        """Whether there is such an object."""
        return self.look(path) is not None

    def look(self, path: str) -> LibraryFile | None:
        """Size and time of an object; None if it does not exist."""
        try:
            with self._one_object(path):
                item = self.bucket.status(path)
        except FileNotFoundError:
            return None
        return LibraryFile(path, item.bytes, item.mtime_ns)

    @contextmanager
    def _one_object(self, path: str) -> Iterator[None]:
        """Raise OSError for a problem of one object, BucketTrouble for one of the whole bucket.

        Without this distinction an outage, or keys that expire during a run, would quarantine the
        whole library.
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


def _walk(bucket: Bucket, unreadable: list[str]) -> list[StoredObject]:
    """Every object, folder by folder. Folders that contain an unusable key are left out."""
    all_objects: list[StoredObject] = []
    pending = [""]
    while pending:
        folder = pending.pop()
        try:
            folders, objects = bucket.level(folder)
        except UnusableKey:
            unreadable.append(folder or ".")
            continue
        pending += folders
        all_objects += objects
    return all_objects


def _parents(key: str) -> Iterator[str]:
    while "/" in key:
        key = key.rpartition("/")[0]
        yield key
