"""The catalogue: the one place for facts that change, append-only.

Every fact is an event about a path of the library: `registered` (it is part of a batch, with the
size and time it had), `identified` (its bytes are this track), `missing` (a scan did not find it).
Nothing is ever updated or deleted; the state of the library at any moment is a query.
"""

import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from storage.errors import NewerFormat, StorageError

FORMAT = 1
# The last word on each path: registered in a batch, or missing.
_STATE = (
    "SELECT path, bytes, mtime_ns, batch, event FROM events AS e"
    " WHERE event != 'identified' AND seq ="
    " (SELECT max(seq) FROM events WHERE path = e.path AND event != 'identified')"
)
_SCHEMA = """
CREATE TABLE IF NOT EXISTS events (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    at TEXT NOT NULL,
    event TEXT NOT NULL CHECK (event IN ('registered', 'identified', 'missing')),
    path TEXT NOT NULL,
    bytes INTEGER,
    mtime_ns INTEGER,
    batch TEXT,
    track_id TEXT
);
CREATE INDEX IF NOT EXISTS events_by_path ON events (path, seq);
CREATE INDEX IF NOT EXISTS events_by_batch ON events (batch, seq);
CREATE INDEX IF NOT EXISTS events_by_track ON events (track_id) WHERE track_id IS NOT NULL;
"""


@dataclass(frozen=True, order=True)
class LibraryFile:
    """A file of the library as a listing sees it.

    Attributes:
        path: relative to the library, with `/`.
        bytes: its size.
        mtime_ns: its modification time.
    """

    path: str
    bytes: int
    mtime_ns: int


@dataclass(frozen=True)
class Changes:
    """What a listing holds that the catalogue does not, and the other way round."""

    arrived: list[LibraryFile]  # new, or changed since they were registered
    missing: list[str]  # registered, and no longer there


class Catalogue:
    """The catalogue in one SQLite file, made on first use."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        try:
            with self._transaction() as connection:
                yield connection
        except sqlite3.Error as error:
            raise StorageError(
                f"the catalogue cannot be used ({error})",
                where=self.path,
                remedy="check the disk and its free space; restore the file from a backup if it "
                "is damaged, or start a new home",
            ) from error

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with closing(sqlite3.connect(self.path, timeout=30)) as connection:
            written_format = connection.execute("PRAGMA user_version").fetchone()[0]
            if written_format > FORMAT:
                raise NewerFormat(
                    f"the catalogue has format {written_format}, "
                    f"this melgraph reads up to {FORMAT}",
                    where=self.path,
                    remedy="upgrade melgraph, or use another MELGRAPH_HOME",
                )
            if written_format == 0:
                connection.executescript(_SCHEMA)
                connection.execute(f"PRAGMA user_version = {FORMAT}")
            with connection:  # one transaction
                yield connection

    def changes(self, listing: Iterable[LibraryFile]) -> Changes:
        """Compare a listing of the library with what is registered."""
        with self._open() as connection:
            known = {
                path: (size, mtime_ns, event)
                for path, size, mtime_ns, _, event in connection.execute(_STATE)
            }
        listed = {file.path: file for file in listing}
        arrived = [
            file
            for path, file in listed.items()
            if known.get(path, ())[:2] != (file.bytes, file.mtime_ns)
        ]
        gone = (path for path, (_, _, event) in known.items() if event != "missing")
        return Changes(sorted(arrived), sorted(path for path in gone if path not in listed))

    def register_batch(self, files: Iterable[LibraryFile]) -> str:
        """Cut a new batch of these files, in one transaction. Returns its key, `batch-000001`."""
        now, files = _now(), sorted(files)
        if not files:
            raise ValueError("a batch holds at least one file")
        with self._open() as connection:
            connection.execute("BEGIN IMMEDIATE")  # two cutters at once get two numbers
            last = connection.execute(
                "SELECT batch FROM events WHERE event = 'registered' ORDER BY batch DESC LIMIT 1"
            ).fetchone()
            number = int(last[0].removeprefix("batch-")) + 1 if last else 1
            batch = f"batch-{number:06d}"
            connection.executemany(
                "INSERT INTO events (at, event, path, bytes, mtime_ns, batch)"
                " VALUES (?, 'registered', ?, ?, ?, ?)",
                [(now, f.path, f.bytes, f.mtime_ns, batch) for f in files],
            )
        return batch

    def note_missing(self, paths: Iterable[str]) -> None:
        """Note that a scan did not find these registered files."""
        now = _now()
        with self._open() as connection:
            connection.executemany(
                "INSERT INTO events (at, event, path) VALUES (?, 'missing', ?)",
                [(now, path) for path in paths],
            )

    def identify(self, batch: str, track_ids: Mapping[str, str]) -> None:
        """Note which track the bytes at each path of a batch are. Known facts are not repeated."""
        now = _now()
        with self._open() as connection:
            connection.execute("BEGIN IMMEDIATE")  # two at once do not note a fact twice
            known = dict(
                connection.execute(
                    "SELECT path, track_id FROM events WHERE batch = ? AND event = 'identified'",
                    (batch,),
                )
            )
            connection.executemany(
                "INSERT INTO events (at, event, path, batch, track_id)"
                " VALUES (?, 'identified', ?, ?, ?)",
                [(now, p, batch, t) for p, t in track_ids.items() if known.get(p) != t],
            )

    def batches(self) -> list[str]:
        """All batches, oldest first."""
        with self._open() as connection:
            rows = connection.execute("SELECT DISTINCT batch FROM events WHERE event='registered'")
            return sorted(batch for (batch,) in rows)

    def batch_files(self, batch: str) -> list[LibraryFile]:
        """The files of a batch as they were registered, by path."""
        with self._open() as connection:
            rows = connection.execute(
                "SELECT path, bytes, mtime_ns FROM events"
                " WHERE batch = ? AND event = 'registered' ORDER BY path",
                (batch,),
            )
            return [LibraryFile(*row) for row in rows]

    def live_batches(self) -> dict[str, str]:
        """Path -> the batch it was last registered in, for files that were not found missing."""
        with self._open() as connection:
            rows = connection.execute(_STATE)
            return {path: batch for path, _, _, batch, event in rows if event == "registered"}

    def missing_paths(self) -> list[str]:
        """Registered paths that the last scan did not find, sorted."""
        with self._open() as connection:
            rows = connection.execute(_STATE)
            return sorted(path for path, _, _, _, event in rows if event == "missing")

    def locations(self, track_id: str) -> list[str]:
        """Every path at which these bytes were ever seen, newest first."""
        with self._open() as connection:
            rows = connection.execute(
                "SELECT path, max(seq) FROM events WHERE track_id = ?"
                " GROUP BY path ORDER BY max(seq) DESC",
                (track_id,),
            )
            return [path for path, _ in rows]


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="microseconds")
