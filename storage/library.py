"""The library: the user's folder of audio. Read-only to us, always."""

import os
import stat
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
    try:
        with os.scandir(folder) as entries:
            next(entries, None)
    except FileNotFoundError:
        raise StorageError("the library does not exist", where=folder, remedy=remedy) from None
    except NotADirectoryError:
        raise StorageError("the library is not a folder", where=folder, remedy=remedy) from None
    except PermissionError:
        raise StorageError(
            "the library cannot be listed: permission denied",
            where=folder,
            remedy="give this user read and search permission on the folder",
        ) from None
    except OSError as error:
        raise StorageError(
            f"the library cannot be listed: {error.strerror}",
            where=folder,
            remedy="check that its disk or network share is mounted and healthy",
        ) from None


def list_library(
    folder: Path, suffixes: Iterable[str], *, unreadable: list[str] | None = None
) -> list[LibraryFile]:
    """Every audio file below `folder`, by path.

    Hidden files and folders are skipped, AppleDouble `._*` among them, and so is what is not a
    plain file (reading a pipe waits for ever). Symbolic links to files are followed, to folders
    are not (they can form loops).

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
            with os.scandir(folder / relative) as listing:
                entries = list(listing)
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
                if stat.S_ISREG(status.st_mode):
                    found.append(LibraryFile(path, status.st_size, status.st_mtime_ns))
    return sorted(found)


def _is_unicode(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True
