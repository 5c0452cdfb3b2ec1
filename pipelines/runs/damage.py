"""Faults of Dagster's files, explained to the user: its settings, its database, a full disk."""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from melgraph.storage.errors import StorageError
from melgraph.storage.home import Home

if TYPE_CHECKING:
    from sqlalchemy.exc import DBAPIError

MOST_CHARACTERS = 300  # of a message of Dagster
WHAT_IS_LOST = (
    "Artifacts are stored elsewhere, and melgraph announces them to Dagster again. Only the "
    "history and the logs of runs are lost."
)


@contextmanager
def explained_settings(home: Home) -> Iterator[None]:
    """Errors while Dagster reads its settings, as errors that a user can correct.

    Raises:
        StorageError: `dagster.yaml` cannot be read, has an unknown key or value, or names a module
            that is not installed.
    """
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except (StorageError, SQLAlchemyError, OSError):
        raise
    except Exception as error:  # besides its own errors, Dagster raises those of checks and of YAML
        path = home.dagster / "dagster.yaml"
        reason = str(error).replace(f'in "{path}", ', "at ")  # a long path would hide the reason
        raise StorageError(
            f"Dagster cannot use its settings: {_shortened(reason)}",
            where=path,
            remedy="correct the file; or remove it, and melgraph writes the one that it ships",
        ) from None


@contextmanager
def explained_database(home: Home) -> Iterator[None]:
    """Errors of Dagster's database, as errors that a user can correct.

    Raises:
        StorageError: the database is damaged, cannot be reached or written, or the disk is full.
    """
    from dagster import DagsterError
    from sqlalchemy.exc import DBAPIError

    try:
        yield
    except DBAPIError as error:  # Dagster uses SQLAlchemy; the catalogue of the home does not
        raise _explanation(home, error) from None
    except DagsterError:  # it creates tables with the file only, and misses them in an empty one
        if not (empty := [path for path in _databases(home) if not path.stat().st_size]):
            raise
        raise _damage(home, "a file is empty", empty) from None


def _explanation(home: Home, error: "DBAPIError") -> StorageError:
    reason = str(error.orig or error)
    if "is full" in reason:
        return StorageError(
            f"Dagster cannot write its database: {reason}",
            where=home.dagster,
            remedy="free space on this disk, then run the same command again; finished artifacts "
            "are kept",
        )
    if "readonly" in reason or "unable to open" in reason:  # the file itself may be intact
        return StorageError(
            f"Dagster cannot write its database: {reason}",
            where=home.dagster,
            remedy="check the permissions of this folder and of the files in it",
        )
    if damaged := [path for path in _databases(home) if _is_damaged(path)]:
        return _damage(home, reason, damaged)
    return StorageError(
        f"Dagster's database cannot be used: {_shortened(reason)}",
        where=home.dagster,
        remedy="try again; if it is a database server, check its address in dagster.yaml",
    )


def _damage(home: Home, reason: str, files: Sequence[Path]) -> StorageError:
    return StorageError(
        f"Dagster's database is damaged: {reason}",
        where=", ".join(map(str, files)),
        remedy=f"restore the file, or remove the folder {home.dagster} (keep your dagster.yaml "
        f"if you have changed it). {WHAT_IS_LOST}",
    )


def _databases(home: Home) -> list[Path]:
    return sorted(home.dagster.rglob("*.db"))


def _is_damaged(path: Path) -> bool:
    """Whether SQLite finds a fault in a file. Reads the whole file."""
    try:
        with closing(sqlite3.connect(path)) as connection:
            (result,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    except sqlite3.DatabaseError:
        return True
    return bool(result != "ok")


def _shortened(message: str) -> str:
    text = " ".join(message.split())
    return text if len(text) <= MOST_CHARACTERS else f"{text[:MOST_CHARACTERS]}..."
