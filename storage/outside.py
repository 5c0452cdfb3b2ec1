"""Recordings outside of the library, from which a sound was generated on request.

Records, file metadata and pages are published, so they name such a recording without its folder:
`.../NAME`. No recording of a library has such a path, because hidden folders are not part of it.
Where the file was is kept in the home only, so that an audit can say whether it is still there.
Imports the standard library only, so that `melgraph audit` starts at once.
"""

import os
from pathlib import Path

from melgraph.storage.home import Home, write_aside

PREFIX = ".../"
FOLDER = "outside"  # in the home: a file per recording, named after its SHA-256


def outside_path(path: Path) -> str:
    """The path of a recording outside of the library, as records and pages name it."""
    return PREFIX + path.name.encode(errors="backslashreplace").decode()


def is_outside(path: str) -> bool:
    """Whether a path of a record names a recording outside of the library."""
    return path.startswith(PREFIX)


def remember_place(home: Home, sha256: str, path: Path) -> None:
    """Keep the place of a recording in the home."""
    folder = home.root / FOLDER
    folder.mkdir(exist_ok=True)
    write_aside(folder / sha256, os.fsencode(path.absolute()))


def remembered_place(home: Home, sha256: str) -> Path | None:
    """Where a recording was when a sound was generated from it; None if that is not known."""
    try:
        return Path(os.fsdecode((home.root / FOLDER / sha256).read_bytes()))
    except OSError:
        return None
