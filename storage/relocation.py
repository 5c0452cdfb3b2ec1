"""A home that was moved or copied: the absolute paths that it holds are corrected.

These are the addresses of files in the MLflow database, because MLflow knows no relative ones, and
the library in the marker.
"""

import sqlite3
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

BESIDE = "library_from_home"  # key of the marker: the path of the library relative to the home
DATABASE = "mlflow.db"
EXPERIMENT = "melgraph"  # its address says where the home was when the database was last corrected
_BUSY_S = 30.0  # how long to wait for another process that writes
_ADDRESSES = (
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("logged_models", "artifact_location"),
    ("model_versions", "source"),
    ("model_versions", "storage_location"),
)


def library_beside(root: Path, marker: Mapping[str, Any]) -> str | None:
    """The library that lies relative to the home as the library did when the marker was written.

    Args:
        root: the home as it is now.
        marker: its marker.

    Returns:
        The absolute path; None if there is no such folder.
    """
    if BESIDE not in marker:
        return None
    path = (root / marker[BESIDE]).resolve()
    return str(path) if path.is_dir() else None


def artifact_root(mlflow: Path) -> str:
    """The address of the folder of all MLflow artifacts of a home, as MLflow stores it."""
    return (mlflow / "artifacts").as_uri()


def correct_addresses(mlflow: Path) -> bool:
    """Correct the addresses in the MLflow database, if the home is not where it was.

    All are corrected in one transaction: a process that is killed changes nothing. The files and
    the database of another copy of the home are not touched. A database that cannot be written or
    that MLflow did not write is left as it is.

    Args:
        mlflow: the folder of MLflow in the home.

    Returns:
        Whether something was changed.
    """
    database = mlflow / DATABASE
    if not database.is_file():
        return False
    try:
        with closing(sqlite3.connect(database, timeout=_BUSY_S, isolation_level=None)) as opened:
            return _correct(opened, artifact_root(mlflow))
    except sqlite3.Error:
        return False


def _correct(connection: sqlite3.Connection, present: str) -> bool:
    if _former_root(connection, present) is None:  # the usual case takes no lock
        return False
    connection.execute("BEGIN IMMEDIATE")
    former = _former_root(connection, present)  # another process may have been faster
    if former is not None:
        columns = _columns(connection)
        for table, column in _ADDRESSES:
            if column in columns.get(table, ()):
                connection.execute(
                    f"UPDATE {table} SET {column} = ? || substr({column}, ?)"
                    f" WHERE {column} = ? OR substr({column}, 1, ?) = ?",
                    (present, len(former) + 1, former, len(former) + 1, f"{former}/"),
                )
    connection.execute("COMMIT")
    return former is not None


def _former_root(connection: sqlite3.Connection, present: str) -> str | None:
    """Where the MLflow artifacts of the home were; None if they are still there."""
    query = "SELECT artifact_location FROM experiments WHERE name = ?"
    row = connection.execute(query, (EXPERIMENT,)).fetchone()
    is_of_home = row is not None and str(row[0]).endswith("/mlflow/artifacts")
    return str(row[0]) if is_of_home and row[0] != present else None


def _columns(connection: sqlite3.Connection) -> dict[str, set[str]]:
    """Table -> names of its columns; other versions of MLflow may have others."""
    tables = {table for table, _ in _ADDRESSES}
    return {
        table: {row[1] for row in connection.execute(f"PRAGMA table_info({table})")}
        for table in tables
    }
