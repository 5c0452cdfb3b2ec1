"""The catalogue's tables: the events, which are the truth, and the state that follows from them.

`events` is append-only. `files` (one row per path: what it holds now) and `batches` (one row per
batch) are kept up to date in the transaction that appends an event, so that no query has to read
the history; `rebuild` makes them anew from the events, and gives the same rows.
"""

import sqlite3
from collections.abc import Iterable
from typing import NamedTuple

FORMAT = 2
HERE, MISSING, MOVED = "here", "missing", "moved"  # states of a path
# What a path holds is not what was last registered under it: it is gone, or came from elsewhere.
ELSEWHERE = "(state != 'here' OR registered_in IS NOT batch OR origin != path)"
_EVENTS = """
CREATE TABLE {name} (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    at TEXT NOT NULL,
    event TEXT NOT NULL CHECK (event IN ('registered', 'changed', 'identified', 'missing',
                                         'returned', 'touched', 'moved')),
    path TEXT NOT NULL,
    bytes INTEGER,
    mtime_ns INTEGER,
    batch TEXT,
    track_id TEXT,
    from_path TEXT,
    origin TEXT
)"""
_TABLES = (
    "CREATE INDEX events_by_batch ON events (batch, seq) WHERE batch IS NOT NULL",
    "CREATE INDEX events_by_track ON events (track_id) WHERE track_id IS NOT NULL",
    # `batch` and `origin` name the row of `tracks` that is of these bytes: the batch in which, and
    # the path under which, they were registered. `registered_in` is the batch in which the path
    # itself was last registered, whatever it holds now.
    """CREATE TABLE files (
        path TEXT PRIMARY KEY,
        state TEXT NOT NULL CHECK (state IN ('here', 'missing', 'moved')),
        bytes INTEGER NOT NULL,
        mtime_ns INTEGER NOT NULL,
        batch TEXT NOT NULL,
        origin TEXT NOT NULL,
        track_id TEXT,
        registered_in TEXT
    ) WITHOUT ROWID""",
    "CREATE INDEX files_by_batch ON files (batch, origin)",
    "CREATE INDEX files_by_track ON files (track_id) WHERE track_id IS NOT NULL",
    f"CREATE INDEX files_elsewhere ON files (path) WHERE {ELSEWHERE}",
    """CREATE TABLE batches (
        batch TEXT PRIMARY KEY,
        files INTEGER NOT NULL,
        identified INTEGER NOT NULL
    ) WITHOUT ROWID""",
    "CREATE INDEX batches_to_identify ON batches (batch) WHERE identified = 0",
    # What the last scan saw and did not take: no fact, only a memory, which no event holds.
    """CREATE TABLE looks (
        path TEXT PRIMARY KEY,
        bytes INTEGER NOT NULL,
        mtime_ns INTEGER NOT NULL
    ) WITHOUT ROWID""",
)


class Event(NamedTuple):
    """A row of `events`, but for its number.

    Attributes:
        at: when, UTC, ISO 8601.
        event: `registered` (new, part of a batch), `changed` (other bytes under a known path, part
            of a new batch), `identified` (the bytes registered in `batch` under `path` are this
            track), `missing` (a scan did not find it), `returned` (there again, the same bytes),
            `touched` (another time, the same bytes), `moved` (`path` holds what `from_path` held).
        path: relative to the library.
        bytes: size of the file, where the event says what a path holds.
        mtime_ns: its modification time, likewise.
        batch: of the row of `tracks` that is of these bytes.
        track_id: which recording it is, where that is known.
        from_path: where a moved file was.
        origin: the path under which a moved file is in its batch.
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


_COLUMNS = ", ".join(Event._fields)
_APPEND = f"INSERT INTO events ({_COLUMNS}) VALUES ({', '.join('?' * len(Event._fields))})"
_REGISTER = (
    "INSERT INTO files (path, state, bytes, mtime_ns, batch, origin, track_id, registered_in)"
    " VALUES (:path, 'here', :bytes, :mtime_ns, :batch, :path, NULL, :batch)"
    " ON CONFLICT (path) DO UPDATE SET state = 'here', bytes = :bytes, mtime_ns = :mtime_ns,"
    " batch = :batch, origin = :path, track_id = NULL, registered_in = :batch"
)
_COUNT = (
    "INSERT INTO batches (batch, files, identified) VALUES (:batch, 1, 0)"
    " ON CONFLICT (batch) DO UPDATE SET files = files + 1"
)
_HOLD = "UPDATE files SET state = 'here', bytes = :bytes, mtime_ns = :mtime_ns WHERE path = :path"
_MOVE = (
    "INSERT INTO files (path, state, bytes, mtime_ns, batch, origin, track_id)"
    " VALUES (:path, 'here', :bytes, :mtime_ns, :batch, :origin, :track_id)"
    " ON CONFLICT (path) DO UPDATE SET state = 'here', bytes = :bytes, mtime_ns = :mtime_ns,"
    " batch = :batch, origin = :origin, track_id = :track_id"
)
# Two files that swapped their names are two moves: the first has filled the place already which
# the second one leaves.
_VACATE = (
    "UPDATE files SET state = 'moved'"
    " WHERE path = :from_path AND batch = :batch AND origin = :origin"
)
_EFFECTS: dict[str, tuple[str, ...]] = {
    "registered": (_REGISTER, _COUNT),
    "changed": (_REGISTER, _COUNT),
    "identified": (
        "UPDATE files SET track_id = :track_id WHERE batch = :batch AND origin = :path",
        "UPDATE batches SET identified = 1 WHERE batch = :batch AND identified = 0",
    ),
    "missing": ("UPDATE files SET state = 'missing' WHERE path = :path AND state = 'here'",),
    "returned": (_HOLD,),
    "touched": (_HOLD,),
    "moved": (_MOVE, _VACATE),
}


def append(connection: sqlite3.Connection, events: Iterable[Event]) -> None:
    """Append events, and bring the state up to date. Call it within a transaction."""
    for event in events:
        connection.execute(_APPEND, event)
        _apply(connection, event)


def rebuild(connection: sqlite3.Connection) -> None:
    """Make the state anew from the events alone. Call it within a transaction."""
    connection.execute("DELETE FROM files")
    connection.execute("DELETE FROM batches")
    rows = connection.execute(f"SELECT {_COLUMNS} FROM events ORDER BY seq").fetchall()
    for row in rows:
        _apply(connection, Event(*row))


def _apply(connection: sqlite3.Connection, event: Event) -> None:
    for effect in _EFFECTS[event.event]:
        connection.execute(effect, event._asdict())


def prepare(connection: sqlite3.Connection) -> None:
    """Make the tables of an empty file, or bring those of format 1 up to this one, in place.

    One transaction: whoever is killed in it leaves the file as it was.
    """
    connection.execute("BEGIN IMMEDIATE")
    with connection:
        written_format = connection.execute("PRAGMA user_version").fetchone()[0]
        if written_format == FORMAT:  # another process was faster
            return
        if written_format == 0:
            connection.execute(_EVENTS.format(name="events"))
        else:  # format 1: the events of fewer kinds, and no state
            for index in ("path", "batch", "track"):
                connection.execute(f"DROP INDEX events_by_{index}")
            connection.execute(_EVENTS.format(name="events_2"))
            columns = "seq, at, event, path, bytes, mtime_ns, batch, track_id"
            connection.execute(f"INSERT INTO events_2 ({columns}) SELECT {columns} FROM events")
            connection.execute("DROP TABLE events")
            connection.execute("ALTER TABLE events_2 RENAME TO events")
        for statement in _TABLES:
            connection.execute(statement)
        rebuild(connection)
        connection.execute(f"PRAGMA user_version = {FORMAT}")
