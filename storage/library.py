"""The library: the user's folder of audio. Read-only to us, always."""

import os
from collections.abc import Iterable
from pathlib import Path

from storage.catalogue import LibraryFile
from storage.errors import StorageError


def check_library(folder: Path) -> None:
    """Refuse a library that cannot be used before anything is written.

    Raises:
        StorageError: it does not exist, is not a folder, or cannot be listed.
    """
    remedy = "name an existing folder of audio: --library FOLDER, or MELGRAPH_LIBRARY"
    if not folder.exists():
        raise StorageError("the library does not exist", where=folder, remedy=remedy)
    if not folder.is_dir():
        raise StorageError("the library is not a folder", where=folder, remedy=remedy)
    try:
        next(iter(os.scandir(folder)), None)
    except PermissionError:
        raise StorageError(
            "the library cannot be listed: permission denied",
            where=folder,
            remedy="give this user read and search permission on the folder",
        ) from None


def list_library(
    folder: Path, suffixes: Iterable[str], *, unreadable: list[str] | None = None
) -> list[LibraryFile]:
    """Every audio file below `folder`, by path.

    Hidden files and folders are skipped, AppleDouble `._*` among them. Symbolic links to files
    are followed, to folders are not (they can form loops).

    Args:
        folder: the library.
        suffixes: the lower-case file suffixes that count as audio.
        unreadable: receives the folders that could not be listed and the names that are
            not Unicode.
    """
    suffixes = frozenset(suffixes)
    found, pending = [], [""]
    while pending:
        relative = pending.pop()
        try:
            entries = list(os.scandir(folder / relative))
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
            elif Path(entry.name).suffix.lower() in suffixes:
                try:
                    status = entry.stat()
                except OSError:  # gone since it was listed, or a dangling link
                    continue
                found.append(LibraryFile(path, status.st_size, status.st_mtime_ns))
    return sorted(found)


def _is_unicode(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True
