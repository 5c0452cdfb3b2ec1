"""URLs of SQLite databases, for homes at any path.

In the URL of a database `?` begins options and `%41` is a letter. Dagster and MLflow write such
URLs, or take them apart, without quoting. They are therefore given the path of a symbolic link
without these characters. It lies in the folder of temporary files, because the disk of the home may
have no links.
"""

import hashlib
import os
import re
import tempfile
from contextlib import suppress
from pathlib import Path

from melgraph.storage.errors import StorageError

_SPECIAL = re.compile(r"\?|%[0-9A-Fa-f]{2}")


def sqlite_url(database: Path) -> str:
    """The URL with which SQLAlchemy opens an SQLite database.

    >>> sqlite_url(Path("/srv/music/mlflow.db"))
    'sqlite:////srv/music/mlflow.db'

    Raises:
        StorageError: as `unquoted_path`.
    """
    return f"sqlite:///{unquoted_path(database)}"


def unquoted_path(path: Path) -> Path:
    """A path that leads to the same place and can be part of a URL as it is.

    This is the path itself, or else one below a symbolic link, which is created if it does not
    exist.

    Args:
        path: an absolute path.

    Raises:
        StorageError: the link cannot be created.
    """
    special = [part for part in (path, *path.parents) if _SPECIAL.search(part.name)]
    if not special:
        return path
    return _link_to(special[0]) / path.relative_to(special[0])


def _link_to(folder: Path) -> Path:
    links = Path(tempfile.gettempdir()) / f"melgraph-{_user()}"
    link = links / hashlib.sha256(str(folder).encode(errors="surrogateescape")).hexdigest()[:16]
    try:
        links.mkdir(mode=0o700, exist_ok=True)
        if links.is_symlink() or links.stat().st_uid != _user():
            raise PermissionError("it belongs to another user")
        with suppress(FileExistsError):
            link.symlink_to(folder, target_is_directory=True)
        if link.readlink() != folder:
            raise FileExistsError("it leads elsewhere")
    except OSError as error:
        raise StorageError(
            f"the name {folder.name!r} cannot be part of the URL of a database, and a link to the "
            f"folder cannot be created at {link}: {error.strerror or error}",
            where=folder,
            remedy="choose another folder: --home FOLDER, or MELGRAPH_HOME; or another folder of "
            "temporary files: TMPDIR",
        ) from None
    return link


def _user() -> int:
    return os.getuid() if hasattr(os, "getuid") else 0
