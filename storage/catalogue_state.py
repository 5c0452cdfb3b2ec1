"""The tables of the catalogue: the events, and the state derived from them.

`events` is append-only. `files` (one row per path: its current file) and `batches` (one row per
batch) are updated in the transaction that appends an event, so that no query reads all events.
`rebuild` derives them again from the events, with the same rows.
"""

import sqlite3
from collections.abc import Iterable
from contextlib import closing
from typing import NamedTuple

FORMAT = 3
HERE, MISSING, MOVED = "here", "missing", "moved"  # states of a path
# The path does not hold the file that was last registered there: that file is missing or moved.
ELSEWHERE = "(state != 'here' OR registered_in IS NOT batch OR origin != path)"
_TABLES = (
    """CREATE TABLE events (
        seq INTEGER PRIMARY KEY AUTOINCREMENT,
        at TEXT NOT NULL,
        event TEXT NOT NULL CHECK (event IN ('registered', 'changed', 'identified', 'missing',
                                             'returned', 'touched', 'moved', 'retagged')),
        path TEXT NOT NULL,
        bytes INTEGER,
        mtime_ns INTEGER,
        batch TEXT,
        track_id TEXT,
        from_path TEXT,
        origin TEXT,
        sha256 TEXT,
        metadata TEXT
    )""",
    "CREATE INDEX events_by_batch ON events (batch, seq) WHERE batch IS NOT NULL",
    "CREATE INDEX events_by_track ON events (track_id) WHERE track_id IS NOT NULL",
    # `batch` and `origin` name the row of `tracks` that describes the file: the batch and the path
    # with which it was registered. `registered_in` is the batch in which a file was last registered
    # at this path, whichever file is there now. `metadata` is that of a file that was retagged
    # since its batch was ingested, as JSON.
    """CREATE TABLE files (
        path TEXT PRIMARY KEY,
        state TEXT NOT NULL CHECK (state IN ('here', 'missing', 'moved')),
        bytes INTEGER NOT NULL,
        mtime_ns INTEGER NOT NULL,
        batch TEXT NOT NULL,
        origin TEXT NOT NULL,
        track_id TEXT,
        registered_in TEXT,
        sha256 TEXT,
        metadata TEXT
    ) WITHOUT ROWID""",
    "CREATE INDEX files_by_batch ON files (batch, origin)",
    "CREATE INDEX files_by_track ON files (track_id) WHERE track_id IS NOT NULL",
    f"CREATE INDEX files_elsewhere ON files (path) WHERE {ELSEWHERE}",
    "CREATE INDEX files_retagged ON files (path) WHERE metadata IS NOT NULL",
    """CREATE TABLE batches (
        batch TEXT PRIMARY KEY,
        files INTEGER NOT NULL,
        identified INTEGER NOT NULL
    ) WITHOUT ROWID""",
    "CREATE INDEX batches_to_identify ON batches (batch) WHERE identified = 0",
    # Files that the last scan listed but did not register. They are not derived from events.
    """CREATE TABLE looks (
        path TEXT PRIMARY KEY,
        bytes INTEGER NOT NULL,
        mtime_ns INTEGER NOT NULL
    ) WITHOUT ROWID""",
)


class Event(NamedTuple):
    """A row of `events`, without its number.

    Attributes:
        at: when, UTC, ISO 8601.
        event: `registered` (a new file, in a new batch), `changed` (another sound at a registered
            path, in a new batch), `identified` (the file registered in `batch` at `path` is this
            track), `missing` (a scan did not find the file), `returned` (it exists again, with the
            same sound), `touched` (another modification time, the same bytes), `moved` (the file
            of `from_path` is at `path` now), `retagged` (the same sound, other file metadata).
        path: relative to the library.
        bytes: size of the file; None in events that do not describe a file.
        mtime_ns: modification time of the file; None as for `bytes`.
        batch: the batch whose `tracks` table describes the file.
        track_id: the track, if it is known.
        from_path: previous path of a moved file.
        origin: path of a moved file in its batch.
        sha256: SHA-256 of the file, if it is known.
        metadata: JSON object of the file metadata of a retagged file: column of `tracks` -> value.
    """

    at: str
    event: str
    path: str
    bytes: int | None = None
    mtime_ns: int | None = None
    batch: str | None = None
    track_id: str | None = None
    from_path: str | None = None
    origin: str | None = None
    sha256: str | None = None
    metadata: str | None = None


_COLUMNS = ", ".join(Event._fields)
_APPEND = f"INSERT INTO events ({_COLUMNS}) VALUES ({', '.join('?' * len(Event._fields))})"
_REGISTER = (
    "INSERT INTO files (path, state, bytes, mtime_ns, batch, origin, track_id, registered_in)"
    " VALUES (:path, 'here', :bytes, :mtime_ns, :batch, :path, NULL, :batch)"
    " ON CONFLICT (path) DO UPDATE SET state = 'here', bytes = :bytes, mtime_ns = :mtime_ns,"
    " batch = :batch, origin = :path, track_id = NULL, registered_in = :batch,"
    " sha256 = NULL, metadata = NULL"
)
_COUNT = (
    "INSERT INTO batches (batch, files, identified) VALUES (:batch, 1, 0)"
    " ON CONFLICT (batch) DO UPDATE SET files = files + 1"
)
_HOLD = "UPDATE files SET state = 'here', bytes = :bytes, mtime_ns = :mtime_ns WHERE path = :path"
_MOVE = (
    "INSERT INTO files (path, state, bytes, mtime_ns, batch, origin, track_id, sha256, metadata)"
    " VALUES (:path, 'here', :bytes, :mtime_ns, :batch, :origin, :track_id, :sha256, :metadata)"
    " ON CONFLICT (path) DO UPDATE SET state = 'here', bytes = :bytes, mtime_ns = :mtime_ns,"
    " batch = :batch, origin = :origin, track_id = :track_id,"
    " sha256 = :sha256, metadata = :metadata"
)
# Two files that swapped their names are two moves: the first one already fills the path that the
# second one leaves.
_VACATE = (
    "UPDATE files SET state = 'moved'"
    " WHERE path = :from_path AND batch = :batch AND origin = :origin"
)
_EFFECTS: dict[str, tuple[str, ...]] = {
    "registered": (_REGISTER, _COUNT),
    "changed": (_REGISTER, _COUNT),
    "identified": (
        # The metadata in `tracks` is that of the file with this SHA-256.
        "UPDATE files SET track_id = :track_id, sha256 = :sha256, metadata = NULL"
        " WHERE batch = :batch AND origin = :path",
        "UPDATE batches SET identified = 1 WHERE batch = :batch AND identified = 0",
    ),
    "missing": ("UPDATE files SET state = 'missing' WHERE path = :path AND state = 'here'",),
    "returned": (_HOLD,),
    "touched": (_HOLD,),
    "moved": (_MOVE, _VACATE),
    "retagged": (
        "UPDATE files SET state = 'here', bytes = :bytes, mtime_ns = :mtime_ns,"
        " sha256 = :sha256, metadata = :metadata WHERE path = :path",
    ),
}


def append(connection: sqlite3.Connection, events: Iterable[Event]) -> None:
    """Append events and update the state. Call it within a transaction."""
    for event in events:
        connection.execute(_APPEND, event)
        _apply(connection, event)


def rebuild(connection: sqlite3.Connection) -> None:
    """Derive the state again from all events. Call it within a transaction."""
    connection.execute("DELETE FROM files")
    connection.execute("DELETE FROM batches")
    rows = connection.execute(f"SELECT {_COLUMNS} FROM events ORDER BY seq").fetchall()
    for row in rows:
        _apply(connection, Event(*row))


def differs_from_events(connection: sqlite3.Connection) -> bool:
    """Whether the stored state differs from the one that follows from the events.

    The comparison uses a temporary copy, because an audit writes nothing.
    """
    stored = _state(connection)
    with closing(sqlite3.connect("")) as copy:
        connection.backup(copy)
        rebuild(copy)
        return _state(copy) != stored


def _state(connection: sqlite3.Connection) -> list[list[tuple[object, ...]]]:
    queries = ("SELECT * FROM files ORDER BY path", "SELECT * FROM batches ORDER BY batch")
    return [connection.execute(query).fetchall() for query in queries]


def _apply(connection: sqlite3.Connection, event: Event) -> None:
    for effect in _EFFECTS[event.event]:
        connection.execute(effect, event._asdict())


def prepare(connection: sqlite3.Connection) -> None:
    """Create the tables of an empty file.

    This is one transaction: a process that is killed leaves the file unchanged.
    """
    connection.execute("BEGIN IMMEDIATE")
    with connection:
        if connection.execute("PRAGMA user_version").fetchone()[0]:  # another process did it first
            return
        for statement in _TABLES:
            connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {FORMAT}")
