"""The library: the user's music, in a folder or in a bucket. melgraph never writes to it.

`open_library` returns the implementation for a location. Both implementations are picklable, so
that worker processes can open their own.
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
    """The interface of a library. Paths are relative to it, with `/`, as in the catalogue.

    Reading raises FileNotFoundError if the file does not exist, PermissionError or another OSError
    if the file cannot be read, and StorageError if the whole library cannot be read.
    """

    @property
    def location(self) -> str:
        """The folder's absolute path, or `s3://bucket/prefix`."""

    @property
    def name(self) -> str:
        """The last part of its location."""

    def check(self) -> None:
        """Check that the library can be used, before anything is written.

        Raises:
            StorageError: it does not exist or cannot be listed.
        """

    def list(
        self,
        suffixes: Iterable[str],
        *,
        unreadable: list[str] | None = None,
        others: Counter[str] | None = None,
    ) -> list[LibraryFile]:
        """Every audio file, sorted by path. Hidden files and folders are skipped.

        Args:
            suffixes: lower-case file suffixes that count as audio.
            unreadable: receives the folders that cannot be listed and the names that cannot be
                used.
            others: receives the number of files of every other suffix.
        """

    def local(self, path: str) -> AbstractContextManager[Path]:
        """The path of a local file with the bytes of a library file, within a `with` block.

        In a folder this is the file itself. From a bucket the file is fetched into a temporary file
        with the same suffix, in bounded memory, and removed afterwards.
        """

    def sha256(self, path: str) -> str:
        """SHA-256 of a file, hexadecimal."""

    def exists(self, path: str) -> bool:
        """Whether the file exists."""

    def look(self, path: str) -> LibraryFile | None:
        """Size and modification time of a file now; None if it does not exist."""

    def where(self, path: str) -> str:
        """The address of a file, for people."""


def open_library(location: str) -> Library:
    """The library at a location. Reads nothing."""
    return BucketLibrary(location) if is_bucket(location) else FolderLibrary(location)


@dataclass(frozen=True)
class FolderLibrary:
    """A library in a local folder."""

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
        """Size and modification time of a file now; None if it does not exist."""
        try:
            status = (self.folder / path).stat()
        except OSError:
            return None
        return LibraryFile(path, status.st_size, status.st_mtime_ns)

    def check(self) -> None:
        """Check that the folder can be used, before anything is written.

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
        """Every audio file below the folder, sorted by path.

        Skipped are hidden files and folders (which includes AppleDouble `._*` files) and everything
        that is not a regular file (reading a pipe would wait for ever). Symbolic links to files are
        followed. Symbolic links to folders are not, because they can form loops. Names that are not
        Unicode are reported as unreadable.
        """
        suffixes = frozenset(suffixes)
        files, pending = [], [""]
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
                if not _is_unicode(entry.name):  # no record or table can store it
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
                    except OSError:  # deleted after the listing, or a dangling link
                        continue
                    if stat.S_ISREG(status.st_mode):
                        files.append(LibraryFile(path, status.st_size, status.st_mtime_ns))
        return sorted(files)


def _is_unicode(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True
