"""Detects what changed in the library: a listing is compared with the catalogue.

A file whose path, size and modification time equal those in the catalogue is unchanged. If two of
the three are equal, the bytes are read, and their hash decides. Every other file is new.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from melgraph.storage.catalogue import LibraryFile, Move, PathState
from melgraph.storage.catalogue_state import HERE, MISSING, MOVED


@dataclass
class Changes:
    """The differences between a listing and the catalogue. Every list is sorted.

    Attributes:
        new: files at an unregistered path that are no moved files.
        changed: files with other bytes at a registered path.
        moved: files with the same bytes at another path.
        touched: files with the same bytes at the same path, and another modification time.
        returned: files that were missing and exist again with the same bytes.
        gone: registered paths whose file exists at no path now.
        unsettled: new or changed files that may still be written to.
        waiting: files that must be hashed in a later scan, because this scan reached its limit.
    """

    new: list[LibraryFile] = field(default_factory=list)
    changed: list[LibraryFile] = field(default_factory=list)
    moved: list[Move] = field(default_factory=list)
    touched: list[LibraryFile] = field(default_factory=list)
    returned: list[LibraryFile] = field(default_factory=list)
    gone: list[str] = field(default_factory=list)
    unsettled: list[LibraryFile] = field(default_factory=list)
    waiting: list[LibraryFile] = field(default_factory=list)

    @property
    def arrived(self) -> list[LibraryFile]:
        """New and changed files: the next batches are made of them."""
        return sorted(self.new + self.changed)


@dataclass
class Difference:
    """The differences in path, size and modification time. No bytes were read for it.

    Attributes:
        path_states: path -> its state in the catalogue.
        unmatched: listed files that are not registered, or whose size or modification time differs,
            or that return to a path whose track was never identified.
        returned: listed files that were missing, with the same size and modification time.
        gone: paths that hold a file according to the catalogue, but are not listed.
    """

    path_states: Mapping[str, PathState]
    unmatched: list[LibraryFile]
    returned: list[LibraryFile]
    gone: list[str]


def difference(path_states: Mapping[str, PathState], listing: Iterable[LibraryFile]) -> Difference:
    """Compare by path, size and modification time. The only step that visits every file."""
    unmatched: list[LibraryFile] = []
    returned: list[LibraryFile] = []
    remaining = dict(path_states)
    for file in listing:
        row = remaining.pop(file.path, None)
        if row is None or row.bytes != file.bytes or row.mtime_ns != file.mtime_ns:
            unmatched.append(file)
        elif row.state != HERE:  # a file that vanished before its ingest is new again
            (unmatched if row.track_id is None else returned).append(file)
    gone = [path for path, row in remaining.items() if row.state == HERE]
    return Difference(path_states, sorted(unmatched), sorted(returned), sorted(gone))


def resolve(
    candidates: Difference,
    *,
    is_settled: Callable[[LibraryFile], bool],
    has_room: Callable[[LibraryFile], bool],
    track_id_of: Callable[[LibraryFile], str | None],
) -> Changes:
    """Decide the kind of every change, by the hash of the bytes if necessary.

    Args:
        candidates: the difference.
        is_settled: whether a file is complete. An incomplete file is left for a later scan.
        has_room: whether this file may be read in this scan; called once before each read.
        track_id_of: the track id of a file's bytes; None if the file cannot be read.

    Returns:
        The changes. A file that is left for a later scan is in no other list, and a path whose file
        it may be is not reported as gone.
    """
    changes, hashes = Changes(returned=list(candidates.returned)), _Hashes(has_room, track_id_of)
    undecided = []
    for file in candidates.unmatched:  # first: does the path still hold the same bytes?
        row = candidates.path_states.get(file.path)
        if not is_settled(file):
            changes.unsettled.append(file)
        elif row is None or row.track_id is None or row.bytes != file.bytes:
            undecided.append(file)
        elif not hashes.take(file):
            changes.waiting.append(file)
        elif hashes.track_ids[file] == row.track_id:
            (changes.touched if row.state == HERE else changes.returned).append(file)
        else:
            undecided.append(file)
    changes.returned.sort()
    unplaced = UnplacedRecordings(
        _find_unplaced(candidates, undecided), undecided + changes.unsettled
    )
    for file in undecided:  # then: does it hold the bytes of another path?
        if unplaced.may_include(file) and not hashes.take(file):
            changes.waiting.append(file)
            continue
        source = unplaced.claim(hashes.track_ids.get(file), file)
        if source is not None:
            changes.moved.append(Move(file, source))
        else:
            row = candidates.path_states.get(file.path)
            is_new = row is None or row.state == MOVED
            (changes.new if is_new else changes.changed).append(file)
    changes.waiting.sort()
    claimed = {move.source.path for move in changes.moved}
    claimed |= unplaced.paths_similar_to(changes.unsettled + changes.waiting)
    changes.gone = [path for path in candidates.gone if path not in claimed]
    return changes


class _Hashes:
    """Track ids of the files that must be read. Each file is read once."""

    def __init__(
        self,
        has_room: Callable[[LibraryFile], bool],
        track_id_of: Callable[[LibraryFile], str | None],
    ) -> None:
        self._has_room, self._track_id_of = has_room, track_id_of
        self.track_ids: dict[LibraryFile, str | None] = {}

    def take(self, file: LibraryFile) -> bool:
        """Read a file. Returns False if this scan may not read it."""
        if file not in self.track_ids:
            if not self._has_room(file):
                return False
            self.track_ids[file] = self._track_id_of(file)
        return True


def _find_unplaced(candidates: Difference, undecided: list[LibraryFile]) -> list[PathState]:
    """The recordings that are not at their path any more: the path is gone or holds other bytes."""
    if not candidates.unmatched:  # no file could be one of them
        return []
    vacated = set(candidates.gone)
    vacated |= {file.path for file in undecided}
    for file in candidates.unmatched:  # a file of equal size may only be touched
        row = candidates.path_states.get(file.path)
        if row is not None and row.bytes != file.bytes:
            vacated.add(file.path)
    returned = {file.path for file in candidates.returned}
    return sorted(
        row
        for path, row in candidates.path_states.items()
        if row.track_id is not None
        and (
            (row.state == HERE and path in vacated)
            or (row.state == MISSING and path not in returned)
        )
    )


class UnplacedRecordings:
    """Recordings that are not at their registered path, to be matched with unregistered files."""

    def __init__(self, rows: list[PathState], files: list[LibraryFile]) -> None:
        self._by_track: dict[str | None, list[PathState]] = defaultdict(list)
        self._by_sign: dict[tuple[object, ...], list[str]] = defaultdict(list)
        for row in rows:
            self._by_track[row.track_id].append(row)
            for sign in _signs(row):
                self._by_sign[sign].append(row.path)
        sizes = Counter(row.bytes for row in rows)
        for size, count in Counter(file.bytes for file in files).items():
            if count == sizes[size] == 1:  # one recording and one file have this size
                self._by_sign[(size,)] += [row.path for row in rows if row.bytes == size]

    def may_include(self, file: LibraryFile) -> bool:
        """Whether a file resembles one of the recordings, so that its bytes must be compared."""
        return any(sign in self._by_sign for sign in (*_signs(file), (file.bytes,)))

    def paths_similar_to(self, files: Iterable[LibraryFile]) -> set[str]:
        """Registered paths of the recordings that these files resemble."""
        signs = (sign for file in files for sign in (*_signs(file), (file.bytes,)))
        return {path for sign in signs for path in self._by_sign.get(sign, ())}

    def claim(self, track_id: str | None, file: LibraryFile) -> PathState | None:
        """Take the recording with this track id; of several copies, the most similar one."""
        rows = self._by_track.get(track_id) if track_id is not None else None
        if not rows:
            return None
        signs = set(_signs(file))
        best = max(rows, key=lambda row: len(signs & set(_signs(row))))
        rows.remove(best)
        return best


def _signs(file: LibraryFile | PathState) -> tuple[tuple[object, ...], ...]:
    """A renamed file keeps its size and modification time; a copied one its size and name."""
    name = PurePosixPath(file.path).name
    return (file.bytes, "time", file.mtime_ns), (file.bytes, "name", name)
