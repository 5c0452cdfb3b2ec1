"""The catalogue: an append-only log of what happened to the files of the library.

Every row is an event about a path of the library (`storage.catalogue_state.Event`): registered,
changed, identified, moved, touched, retagged, missing, returned. No event is ever updated or
deleted. The current state of the library is derived from the events, and is read without reading
all of them.
"""

import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from melgraph.storage import catalogue_state
from melgraph.storage.catalogue_entries import LibraryFile as LibraryFile
from melgraph.storage.catalogue_entries import Move as Move
from melgraph.storage.catalogue_entries import PathState as PathState
from melgraph.storage.catalogue_entries import Retag as Retag
from melgraph.storage.catalogue_state import ELSEWHERE, FORMAT, HERE, MOVED, Event
from melgraph.storage.errors import NewerFormat, OlderFormat, StorageError
from melgraph.storage.records import Recording

_IF_DAMAGED = (
    "If the file is damaged, restore it from a backup, or remove it: `melgraph run` then rebuilds "
    "it from the artifacts and decodes nothing again"
)
_IDENTIFIED = (
    "SELECT path, track_id, sha256 FROM events"
    " WHERE batch = ? AND event = 'identified' ORDER BY seq"
)
_PATH_STATES = f"SELECT {', '.join(PathState._fields)} FROM files"


class Catalogue:
    """The catalogue in one SQLite file, which is created on first use."""

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
                remedy=f"check the disk and its free space. {_IF_DAMAGED}",
            ) from error

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with closing(sqlite3.connect(self.path, timeout=30)) as connection:
            if self._check_format(connection) < FORMAT:
                catalogue_state.prepare(connection)
            with connection:  # one transaction
                yield connection

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        with self._open() as connection:
            connection.execute(
                "BEGIN IMMEDIATE"
            )  # the second of two writers sees the rows of the first
            yield connection

    def check_format(self) -> None:
        """Check the format of the file. Writes nothing.

        Raises:
            NewerFormat: the file was written by a newer version of melgraph.
            OlderFormat: its track ids are those of an older version, which hashed whole files.
            StorageError: the file is damaged.
        """
        try:
            with closing(sqlite3.connect(self.path, timeout=30)) as connection:
                self._check_format(connection)
        except sqlite3.Error as error:
            raise StorageError(
                f"the catalogue cannot be used ({error})",
                where=self.path,
                remedy=_IF_DAMAGED,
            ) from error

    def _check_format(self, connection: sqlite3.Connection) -> int:
        written_format = int(connection.execute("PRAGMA user_version").fetchone()[0])
        if written_format > FORMAT:
            raise NewerFormat(
                f"the catalogue has format {written_format}, this melgraph reads up to {FORMAT}",
                where=self.path,
                remedy="upgrade melgraph, or use another MELGRAPH_HOME",
            )
        if 0 < written_format < FORMAT:
            raise OlderFormat(where=self.path)
        return written_format

    # -- events ------------------------------------------------------------------------------------

    def register_batch(self, files: Iterable[LibraryFile]) -> str:
        """Register files as a new batch, in one transaction. Returns its key, `batch-000001`."""
        now, files = _now(), sorted(files)
        if not files:
            raise ValueError("a batch needs at least one file")
        with self._writing() as connection:  # two concurrent calls get two numbers
            (last,) = connection.execute("SELECT max(batch) FROM batches").fetchone()
            number = int(last.removeprefix("batch-")) + 1 if last else 1
            batch = f"batch-{number:06d}"
            state = "SELECT state FROM files WHERE path = ?"
            events = []
            for file in files:
                row = connection.execute(state, (file.path,)).fetchone()
                kind = "registered" if row is None or row[0] == MOVED else "changed"
                events.append(Event(now, kind, file.path, file.bytes, file.mtime_ns, batch))
            catalogue_state.append(connection, events)
        return batch

    def restore(
        self, batches: Iterable[tuple[str, Iterable[LibraryFile], Iterable[Recording]]]
    ) -> None:
        """Register the batches of an earlier catalogue, which was lost, under their own keys.

        This is one transaction: with a part of the batches, the files of the others would be new.

        Args:
            batches: in the order of their keys: the key, the files, and the recordings of the
                `tracks`. The next scan compares the bytes of a file whose modification time differs
                from the one given here.
        """
        now = _now()
        with self._writing() as connection:
            known: set[str] = set()
            for batch, files, recordings in batches:
                events = []
                for file in sorted(files):
                    kind = "changed" if file.path in known else "registered"
                    events.append(Event(now, kind, file.path, file.bytes, file.mtime_ns, batch))
                    known.add(file.path)
                events += [_identified(now, batch, r) for r in recordings if r.track_id]
                catalogue_state.append(connection, events)

    def identify(self, batch: str, recordings: Iterable[Recording]) -> None:
        """Record the track id and the SHA-256 of the files of a batch, unless they are recorded.

        Args:
            batch: key of the batch.
            recordings: those of its `tracks`. One without a track id could not be read, and is
                skipped.
        """
        now = _now()
        with self._writing() as connection:
            rows = connection.execute(_IDENTIFIED, (batch,))
            recorded = {path: identity for path, *identity in rows}
            catalogue_state.append(
                connection,
                [
                    _identified(now, batch, r)
                    for r in recordings
                    if r.track_id and recorded.get(r.path) != [r.track_id, r.sha256]
                ],
            )

    def note(
        self,
        *,
        moved: Iterable[Move] = (),
        touched: Iterable[LibraryFile] = (),
        returned: Iterable[LibraryFile] = (),
        retagged: Iterable[Retag] = (),
        missing: Iterable[str] = (),
    ) -> None:
        """Record the changes that a scan detected in registered files, in one transaction.

        A file that was moved or is back may have been retagged as well.
        """
        now = _now()
        events = [move.event(now) for move in moved]
        for kind, files in (("touched", touched), ("returned", returned)):
            events += [Event(now, kind, file.path, file.bytes, file.mtime_ns) for file in files]
        events += [retag.event(now) for retag in retagged]
        events += [Event(now, "missing", path) for path in missing]
        if events:
            with self._writing() as connection:
                catalogue_state.append(connection, events)

    def note_missing(self, paths: Iterable[str]) -> None:
        """Record that these registered files are missing."""
        self.note(missing=paths)

    # -- the current state -------------------------------------------------------------------------

    def path_states(self) -> dict[str, PathState]:
        """The state of every path. Its size grows with the library."""
        with self._open() as connection:
            return {row[0]: PathState._make(row) for row in connection.execute(_PATH_STATES)}

    def live_files(self) -> dict[str, PathState]:
        """The state of every path that holds a file now."""
        return {path: row for path, row in self.path_states().items() if row.state == HERE}

    def live_file(self, path: str) -> PathState | None:
        """The state of a path that holds a file now; None for any other path."""
        with self._open() as connection:
            query = f"{_PATH_STATES} WHERE path = ? AND state = ?"
            row = connection.execute(query, (path, HERE)).fetchone()
            return None if row is None else PathState._make(row)

    def batches(self) -> list[str]:
        """All batches, oldest first."""
        with self._open() as connection:
            rows = connection.execute("SELECT batch FROM batches ORDER BY batch")
            return [batch for (batch,) in rows]

    def unidentified_batches(self) -> list[str]:
        """Batches without any identified file, oldest first."""
        with self._open() as connection:
            query = "SELECT batch FROM batches WHERE identified = 0 ORDER BY batch"
            return [batch for (batch,) in connection.execute(query)]

    def batch_files(self, batch: str) -> list[LibraryFile]:
        """The files of a batch as they were registered, sorted by path."""
        with self._open() as connection:
            rows = connection.execute(
                "SELECT path, bytes, mtime_ns FROM events"
                " WHERE batch = ? AND event IN ('registered', 'changed') ORDER BY path",
                (batch,),
            )
            return [LibraryFile(*row) for row in rows]

    def batch_places(self, batch: str) -> dict[str, str]:
        """Registered path -> current path, for the files of a batch that still exist."""
        with self._open() as connection:
            rows = connection.execute(
                "SELECT origin, path FROM files WHERE batch = ? AND state = 'here'"
                " ORDER BY origin, path = origin, path DESC",  # dict() takes the last row
                (batch,),
            )
            return dict(rows)

    def missing_paths(self) -> list[str]:
        """Registered paths that hold no file now, sorted: it was deleted or moved."""
        with self._open() as connection:
            rows = connection.execute(
                f"SELECT path FROM files WHERE {ELSEWHERE}"
                " AND state != 'here' AND registered_in IS NOT NULL ORDER BY path"
            )
            return [path for (path,) in rows]

    def batch_sizes(self) -> dict[str, int]:
        """The number of files of each batch."""
        with self._open() as connection:
            return dict(connection.execute("SELECT batch, files FROM batches ORDER BY batch"))

    def absent_tracks(self) -> list[tuple[str, str]]:
        """The tracks of which no file is in the library any more, and the batch of each.

        A file is absent if it is missing, or if another sound is at its path now.
        """
        query = """
            SELECT DISTINCT track_id, batch FROM events
            WHERE event = 'identified' AND track_id IS NOT NULL AND track_id NOT IN
                (SELECT track_id FROM files WHERE state = 'here' AND track_id IS NOT NULL)
            ORDER BY batch, track_id"""
        with self._open() as connection:
            return [(track_id, batch) for track_id, batch in connection.execute(query)]

    def moved_paths(self) -> dict[str, list[str]]:
        """Path of each file that was registered at another path -> `[batch, registered path]`."""
        with self._open() as connection:
            rows = connection.execute(
                f"SELECT path, batch, origin FROM files WHERE {ELSEWHERE}"
                " AND state = 'here' ORDER BY path"
            )
            return {path: [batch, origin] for path, batch, origin in rows}

    def retagged_files(self) -> dict[str, dict[str, Any]]:
        """Path of each file that was retagged since it was ingested -> its present values.

        The values are `bytes`, `sha256` and all file metadata, by their column in `tracks`.
        """
        with self._open() as connection:
            rows = connection.execute(
                "SELECT path, bytes, sha256, metadata FROM files"
                " WHERE metadata IS NOT NULL AND state = 'here' ORDER BY path"
            )
            return {
                path: {"bytes": size, "sha256": sha256, **json.loads(metadata)}
                for path, size, sha256, metadata in rows
            }

    def locations(self, track_id: str) -> list[str]:
        """Every path at which this track has been, newest first."""
        with self._open() as connection:
            rows = connection.execute(
                "SELECT path, max(seq) FROM events WHERE track_id = ?"
                " GROUP BY path ORDER BY max(seq) DESC",
                (track_id,),
            )
            return [path for path, _ in rows]

    def fate(self, path: str, track_id: str) -> str | None:
        """What has happened to a track that was registered at a path, as far as scans recorded it.

        Returns:
            `removed` if no path holds the track now, `replaced` if its path was registered again
            with another sound; None if a path should still hold the track.
        """
        with self._open() as connection:
            rows = connection.execute("SELECT state FROM files WHERE track_id = ?", (track_id,))
            states = {state for (state,) in rows}
            if states:
                return None if HERE in states else "removed"
            query = "SELECT 1 FROM files WHERE path = ? AND track_id IS NOT ?"
            return "replaced" if connection.execute(query, (path, track_id)).fetchone() else None

    def problems(self, recordings: Mapping[str, Mapping[str, str]]) -> list[str]:
        """What is wrong with the file of the catalogue. Reads all of it.

        Args:
            recordings: batch -> registered path -> track id, from the records of `tracks`.

        Returns:
            One line per problem; empty if the file is intact and agrees with the records.
        """
        if not self.path.is_file():
            return [f"{self.path}: the catalogue is missing; `melgraph run` rebuilds it"]
        try:
            with self._open() as connection:
                report = [text for (text,) in connection.execute("PRAGMA integrity_check")]
                problems = [] if report == ["ok"] else report
                if not problems and catalogue_state.differs_from_events(connection):
                    problems.append("the state of the files does not follow from the events")
                known = connection.execute("SELECT 1 FROM batches LIMIT 1").fetchone()
                if recordings and not known:  # a new file in the place of a lost one
                    problems.append("the catalogue is empty; `melgraph run` rebuilds it")
                for batch, track_ids in recordings.items():
                    rows = connection.execute(_IDENTIFIED, (batch,))
                    identified = {path: track_id for path, track_id, _ in rows}
                    if identified and identified != dict(track_ids):  # empty: not entered yet
                        problems.append(f"the tracks of {batch} differ from those in its record")
        except StorageError as error:
            problems = [error.what]
        return [f"{self.path}: {problem}" for problem in problems]

    # -- state of the scan -------------------------------------------------------------------------

    def last_look(self) -> dict[str, LibraryFile]:
        """The files that the last scan listed but did not register."""
        with self._open() as connection:
            rows = connection.execute("SELECT path, bytes, mtime_ns FROM looks")
            return {row[0]: LibraryFile(*row) for row in rows}

    def remember_look(self, files: Iterable[LibraryFile]) -> None:
        """Replace the files of `last_look`."""
        with self._writing() as connection:
            connection.execute("DELETE FROM looks")
            connection.executemany(
                "INSERT INTO looks VALUES (?, ?, ?)", [(f.path, f.bytes, f.mtime_ns) for f in files]
            )


def _identified(now: str, batch: str, r: Recording) -> Event:
    return Event(now, "identified", r.path, batch=batch, track_id=r.track_id, sha256=r.sha256)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="microseconds")
