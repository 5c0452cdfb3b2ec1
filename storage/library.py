"""The library: the user's music, in a folder or in a bucket. Read-only to us, always.

One interface, two kinds: `open_library` returns the one a location means. Both are picklable, so
that worker processes open their own.
"""

import os
import stat
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from melgraph.storage.bucket_library import BucketLibrary
from melgraph.storage.catalogue import LibraryFile
from melgraph.storage.errors import StorageError
from melgraph.storage.files import file_sha256
from melgraph.storage.location import is_bucket


class Library(Protocol):
    """Music to read. Paths are relative to it, with `/`, as the catalogue keeps them.

    Reading raises FileNotFoundError where a file has vanished, PermissionError or another OSError
    where it cannot be read; StorageError where it is the whole library that cannot.
    """

    @property
    def location(self) -> str:
        """The folder's absolute path, or `s3://bucket/prefix`."""

    @property
    def name(self) -> str:
        """What to call it: the last part of its location."""

    def check(self) -> None:
        """Refuse a library that cannot be used, before anything is written.

        Raises:
            StorageError: it is not there, or cannot be listed.
        """

    def list(
        self,
        suffixes: Iterable[str],
        *,
        unreadable: list[str] | None = None,
        others: Counter[str] | None = None,
    ) -> list[LibraryFile]:
        """Every audio file, by path; hidden files and folders are skipped.

        Args:
            suffixes: the lower-case file suffixes that count as audio.
            unreadable: receives the folders that could not be listed and the names that cannot
                be used.
            others: receives how many files of which other suffixes there are.
        """

    def local(self, path: str) -> AbstractContextManager[Path]:
        """A file of the library as a file on this machine, for the length of the `with` block.

        In a folder it is the file itself; from a bucket it is fetched into a temporary file of the
        same suffix, in bounded memory, and removed afterwards.
        """

    def sha256(self, path: str) -> str:
        """SHA-256 of a file, hexadecimal."""

    def exists(self, path: str) -> bool:
        """Whether there is such a file."""

    def look(self, path: str) -> LibraryFile | None:
        """A file as a listing would show it now; None where it is not there."""

    def where(self, path: str) -> str:
        """The address of a file, for people."""


def open_library(location: str) -> Library:
    """The library at a location. Touches nothing yet."""
    return BucketLibrary(location) if is_bucket(location) else FolderLibrary(location)


@dataclass(frozen=True)
class FolderLibrary:
    """A folder of this machine."""

    location: str

    @property
    def folder(self) -> Path:
        """The folder."""
        return Path(self.location)

    @property
    def name(self) -> str:
        """The folder's own name."""
        return self.folder.name

    def where(self, path: str) -> str:
        """The file's absolute path."""
        return str(self.folder / path)

    @contextmanager
    def local(self, path: str) -> Iterator[Path]:
        """The file itself."""
        yield self.folder / path

    def sha256(self, path: str) -> str:
        """SHA-256 of a file, hexadecimal."""
        return file_sha256(self.folder / path)

    def exists(self, path: str) -> bool:
        """Whether there is such a file."""
        return (self.folder / path).is_file()

    def look(self, path: str) -> LibraryFile | None:
        """Its size and time; None where it is not there."""
        try:
            status = (self.folder / path).stat()
        except OSError:
            return None
        return LibraryFile(path, status.st_size, status.st_mtime_ns)

    def check(self) -> None:
        """Refuse a library that cannot be used before anything is written.

        Raises:
            StorageError: it does not exist, is not a folder, or cannot be listed.
        """
        remedy = "name an existing folder of audio: --library FOLDER, or MELGRAPH_LIBRARY"
        try:
            with os.scandir(self.folder) as entries:
                next(entries, None)
        except FileNotFoundError:
            raise StorageError(
                "the library does not exist", where=self.folder, remedy=remedy
            ) from None
        except NotADirectoryError:
            raise StorageError(
                "the library is not a folder", where=self.folder, remedy=remedy
            ) from None
        except PermissionError:
            raise StorageError(
                "the library cannot be listed: permission denied",
                where=self.folder,
                remedy="give this user read and search permission on the folder",
            ) from None
        except OSError as error:
            raise StorageError(
                f"the library cannot be listed: {error.strerror}",
                where=self.folder,
                remedy="check that its disk or network share is mounted and healthy",
            ) from None

    def list(
        self,
        suffixes: Iterable[str],
        *,
        unreadable: list[str] | None = None,
        others: Counter[str] | None = None,
    ) -> list[LibraryFile]:
        """Every audio file below the folder, by path.

        Hidden files and folders are skipped, AppleDouble `._*` among them, and so is what is not a
        plain file (reading a pipe waits for ever). Symbolic links to files are followed, to folders
        are not (they can form loops). Names that are not Unicode are reported as unreadable.
        """
        suffixes = frozenset(suffixes)
        found, pending = [], [""]
        while pending:
            relative = pending.pop()
            try:
                with os.scandir(self.folder / relative) as listing:
                    entries = [*listing]
            except OSError:
                if unreadable is not None:
                    unreadable.append(relative or ".")
                continue
            for entry in entries:
                path = f"{relative}/{entry.name}" if relative else entry.name
                if entry.name.startswith("."):
                    continue
                if not _is_unicode(entry.name):  # no record or table could spell it
                    if unreadable is not None:
                        unreadable.append(path.encode(errors="backslashreplace").decode())
                    continue
                if entry.is_dir(follow_symlinks=False):
                    pending.append(path)
                elif (suffix := Path(entry.name).suffix.lower()) not in suffixes:
                    if others is not None:
                        others[suffix] += 1
                else:
                    try:
                        status = entry.stat()
                    except OSError:  # gone since it was listed, or a dangling link
                        continue
                    if stat.S_ISREG(status.st_mode):
                        found.append(LibraryFile(path, status.st_size, status.st_mtime_ns))
        return sorted(found)


def _is_unicode(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True
