"""The library: the user's music, in a folder or in a bucket. melgraph never writes to it.

`open_library` returns the implementation for a location. Both implementations are picklable, so
that worker processes can open their own.
"""

import os
import stat
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from melgraph.storage.bucket_library import BucketLibrary
from melgraph.storage.catalogue import LibraryFile
from melgraph.storage.errors import StorageError
from melgraph.storage.files import file_sha256
from melgraph.storage.listing import MARKER_FILE, Omissions, is_excluded
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
        exclude: Sequence[str] = (),
        omissions: Omissions | None = None,
    ) -> list[LibraryFile]:
        """Every audio file, sorted by path. Hidden files and folders are skipped.

        Args:
            suffixes: lower-case file suffixes that count as audio.
            exclude: patterns of paths that are left out (`storage.listing.is_excluded`).
            omissions: receives what was left out.
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
        exclude: Sequence[str] = (),
        omissions: Omissions | None = None,
    ) -> list[LibraryFile]:
        """Every audio file below the folder, sorted by path.

        Skipped are hidden files and folders (which includes AppleDouble `._*` files), folders of
        the system, folders with a file `.nomelgraph`, and everything that is not a regular file
        (reading a pipe would wait for ever). Symbolic links are followed. A folder is listed once:
        a link to a folder that is listed at another path is left out, which also ends loops. Names
        that are not Unicode are reported as unreadable.
        """
        walk = _Walk(self.folder, frozenset(suffixes), exclude, omissions or Omissions())
        walk.enter([""])
        walk.enter_links()
        return sorted(walk.files)


class _Walk:
    """One listing of a folder."""

    def __init__(
        self,
        folder: Path,
        suffixes: frozenset[str],
        exclude: Sequence[str],
        omissions: Omissions,
    ) -> None:
        self.files: list[LibraryFile] = []
        self._folder, self._suffixes, self._exclude = folder, suffixes, exclude
        self._omissions = omissions
        self._entered: list[str] = []
        self._links: list[str] = []

    def enter(self, pending: list[str], visited: set[tuple[int, int]] | None = None) -> None:
        """List folders and all folders below. Links to folders are kept for later.

        Args:
            pending: the folders, relative to the library.
            visited: identities of the folders that must not be entered again; None if there can be
                none among them.
        """
        while pending:
            relative = pending.pop()
            try:
                if visited is not None:
                    identity = self._identity(relative)
                    if identity in visited:
                        self._omissions.repeated.append(relative)
                        continue
                    visited.add(identity)
                with os.scandir(self._folder / relative) as listing:
                    entries = [*listing]
            except OSError:
                self._omissions.unreadable.append(relative or ".")
                continue
            if any(entry.name == MARKER_FILE for entry in entries):
                self._omissions.excluded.append(relative or ".")
                continue
            self._entered.append(relative)
            for entry in entries:
                path = f"{relative}/{entry.name}" if relative else entry.name
                if self._examine(entry, path):
                    pending.append(path)

    def enter_links(self) -> None:
        """Follow the links to folders, in the order of their paths.

        Folders come first and links later, so that a file has the path without a link if it has
        one.
        """
        if not self._links:
            return
        visited = {self._identity(path) for path in self._entered}
        while self._links:
            links, self._links = sorted(self._links), []
            for link in links:
                self.enter([link], visited)

    def _identity(self, relative: str) -> tuple[int, int]:
        status = (self._folder / relative).stat()
        return status.st_dev, status.st_ino

    def _examine(self, entry: "os.DirEntry[str]", path: str) -> bool:
        """Take an entry if it is an audio file. Returns whether it is a folder to enter."""
        if entry.name.startswith("."):
            return False
        if not _is_unicode(entry.name):  # no record or table can store it
            self._omissions.unreadable.append(path.encode(errors="backslashreplace").decode())
            return False
        if is_excluded(path, self._exclude):
            self._omissions.excluded.append(path)
            return False
        try:
            if entry.is_dir(follow_symlinks=False):
                return True
            if entry.is_symlink() and entry.is_dir():
                self._links.append(path)
                return False
            suffix = Path(entry.name).suffix.lower()
            if suffix in self._suffixes:
                status = entry.stat()
                if stat.S_ISREG(status.st_mode):
                    self.files.append(LibraryFile(path, status.st_size, status.st_mtime_ns))
            else:
                if entry.is_symlink():
                    entry.stat()  # of a folder that is away now, for example
                self._omissions.others[suffix] += 1
        except OSError:
            self._note_failure(entry, path)
        return False

    def _note_failure(self, entry: "os.DirEntry[str]", path: str) -> None:
        """An entry that cannot be examined. It is nothing if it was deleted after the listing."""
        if not os.path.lexists(entry.path):
            return
        kind = self._omissions.dangling if entry.is_symlink() else self._omissions.unreadable
        kind.append(path)


def _is_unicode(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True
