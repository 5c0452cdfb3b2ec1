"""Detects what changed in the library: a listing is compared with the catalogue.

A file whose path, size and modification time equal those in the catalogue is unchanged. A file that
resembles a known one, by its path or by other signs, is read: first its SHA-256, and if that is not
the known one, its sound. Every other file is new.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import PurePosixPath
from typing import Any, NamedTuple

from melgraph.storage.catalogue import LibraryFile, Move, PathState, Retag
from melgraph.storage.catalogue_state import HERE, MISSING, MOVED


@dataclass
class Changes:
    """The differences between a listing and the catalogue. Every list is sorted.

    Attributes:
        new: files at an unregistered path that are no moved files.
        changed: files with another sound at a registered path.
        moved: files with the same sound at another path.
        touched: files with the same bytes at the same path, and another modification time.
        returned: files that were missing and exist again with the same sound.
        retagged: files whose metadata changed: the same sound, other bytes. A file that was moved
            or is back may be one of them.
        gone: registered paths whose file exists at no path now.
        unsettled: new or changed files that may still be written to.
        waiting: files that must be hashed in a later scan, because this scan reached its limit.
    """

    new: list[LibraryFile] = field(default_factory=list)
    changed: list[LibraryFile] = field(default_factory=list)
    moved: list[Move] = field(default_factory=list)
    touched: list[LibraryFile] = field(default_factory=list)
    returned: list[LibraryFile] = field(default_factory=list)
    retagged: list[Retag] = field(default_factory=list)
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


class Sound(NamedTuple):
    """The sound and the metadata of a file.

    Attributes:
        track_id: the track that this sound is.
        metadata: column of `tracks` -> value.
    """

    track_id: str
    metadata: Mapping[str, Any]


def resolve(
    candidates: Difference,
    *,
    is_settled: Callable[[LibraryFile], bool],
    has_room: Callable[[LibraryFile], bool],
    sha256_of: Callable[[LibraryFile], str | None],
    sound_of: Callable[[LibraryFile], Sound | None],
) -> Changes:
    """Decide the kind of every change, by the bytes or the sound of a file if necessary.

    Args:
        candidates: the difference.
        is_settled: whether a file is complete. An incomplete file is left for a later scan.
        has_room: whether this file may be read in this scan; called once before each read.
        sha256_of: the SHA-256 of a file; None if the file cannot be read.
        sound_of: the sound and the metadata of a file; None if the file cannot be read.

    Returns:
        The changes. A file that is left for a later scan is in no other list, and a path whose file
        it may be is not reported as gone.
    """
    changes = Changes(returned=list(candidates.returned))
    content = _Content(has_room, sha256_of, sound_of)
    undecided = []
    for file in candidates.unmatched:  # first: does the path still hold the same sound?
        row = candidates.path_states.get(file.path)
        if not is_settled(file):
            changes.unsettled.append(file)
        elif row is None or row.track_id is None:
            undecided.append(file)
        elif not content.take(file):
            changes.waiting.append(file)
        elif content.has_bytes_of(row, file):
            (changes.touched if row.state == HERE else changes.returned).append(file)
        elif content.has_sound_of(row, file):
            changes.retagged.append(content.retag(file))
            if row.state != HERE:
                changes.returned.append(file)
        else:
            undecided.append(file)
    changes.returned.sort()
    undecidable = changes.unsettled + changes.waiting
    unplaced = UnplacedRecordings(
        _find_unplaced(candidates, undecided, undecidable), undecided + undecidable
    )
    for file in undecided:  # then: does it hold the sound of another path?
        if unplaced.may_include(file) and not content.take(file):
            changes.waiting.append(file)
            continue
        source = unplaced.claim(file, content) if content.is_taken(file) else None
        if source is not None:
            changes.moved.append(Move(file, source))
            if not content.has_bytes_of(source, file):
                changes.retagged.append(content.retag(file))
        else:
            row = candidates.path_states.get(file.path)
            is_new = row is None or row.state == MOVED
            (changes.new if is_new else changes.changed).append(file)
    changes.waiting.sort()
    claimed = {move.source.path for move in changes.moved}
    claimed |= unplaced.paths_similar_to(changes.unsettled + changes.waiting)
    changes.gone = [path for path in candidates.gone if path not in claimed]
    return changes


class _Content:
    """What is in the files that must be read. Nothing is read twice, nor before it is needed."""

    def __init__(
        self,
        has_room: Callable[[LibraryFile], bool],
        sha256_of: Callable[[LibraryFile], str | None],
        sound_of: Callable[[LibraryFile], Sound | None],
    ) -> None:
        self._has_room = has_room
        self._sha256_of, self._sound_of = cache(sha256_of), cache(sound_of)
        self._taken: set[LibraryFile] = set()

    def take(self, file: LibraryFile) -> bool:
        """Whether this scan may read the file."""
        if file not in self._taken and self._has_room(file):
            self._taken.add(file)
        return file in self._taken

    def is_taken(self, file: LibraryFile) -> bool:
        """Whether `take` has allowed it."""
        return file in self._taken

    def sha256(self, file: LibraryFile) -> str | None:
        """The SHA-256 of the file; None if it cannot be read."""
        return self._sha256_of(file)

    def track_id(self, file: LibraryFile) -> str | None:
        """The track that the sound of the file is; None if it cannot be read."""
        sound = self._sound_of(file)
        return sound.track_id if sound is not None else None

    def has_bytes_of(self, row: PathState, file: LibraryFile) -> bool:
        """Whether the file has the bytes of a recording."""
        return row.sha256 is not None and self.sha256(file) == row.sha256

    def has_sound_of(self, row: PathState, file: LibraryFile) -> bool:
        """Whether the file has the sound of a recording."""
        return self.sha256(file) is not None and self.track_id(file) == row.track_id

    def retag(self, file: LibraryFile) -> Retag:
        """The file with its present metadata. Its sound is known."""
        sha256, sound = self.sha256(file), self._sound_of(file)
        assert sha256 is not None
        assert sound is not None
        return Retag(file, sound.track_id, sha256, sound.metadata)


def _find_unplaced(
    candidates: Difference, undecided: list[LibraryFile], undecidable: list[LibraryFile]
) -> list[PathState]:
    """The recordings that are not at their path any more: the path is gone or holds another sound.

    `undecidable` are the files that this scan does not read. They may have been retagged only.
    """
    if not candidates.unmatched:  # no file could be one of them
        return []
    vacated = set(candidates.gone)
    vacated |= {file.path for file in undecided}
    for file in undecidable:  # a file of equal size may only be touched
        row = candidates.path_states.get(file.path)
        if row is not None and row.bytes != file.bytes:
            vacated.add(file.path)
    returned = {file.path for file in candidates.returned}
    returned |= {file.path for file in candidates.unmatched} - vacated
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
        self._by_content: dict[str, list[PathState]] = defaultdict(list)
        self._by_sign: dict[tuple[object, ...], list[str]] = defaultdict(list)
        for row in rows:
            for key in (row.sha256, row.track_id):
                if key is not None:
                    self._by_content[key].append(row)
            # Long after a file has gone, a new file of its folder is hardly the same recording.
            for sign in (*_signs(row), *([_folder_sign(row)] if row.state == HERE else [])):
                self._by_sign[sign].append(row.path)
        sizes = Counter(row.bytes for row in rows)
        for size, count in Counter(file.bytes for file in files).items():
            if count == sizes[size] == 1:  # one recording and one file have this size
                self._by_sign[(size,)] += [row.path for row in rows if row.bytes == size]

    def may_include(self, file: LibraryFile) -> bool:
        """Whether a file resembles one of the recordings, so that it must be read."""
        signs = (*_signs(file), _folder_sign(file), (file.bytes,))
        return any(sign in self._by_sign for sign in signs)

    def paths_similar_to(self, files: Iterable[LibraryFile]) -> set[str]:
        """Registered paths of the recordings that these files resemble most."""
        paths: set[str] = set()
        for file in files:
            certain = self._paths([*_signs(file), (file.bytes,)])
            paths |= certain or self._paths([_folder_sign(file)])
        return paths

    def _paths(self, signs: Iterable[tuple[object, ...]]) -> set[str]:
        return {path for sign in signs for path in self._by_sign.get(sign, ())}

    def claim(self, file: LibraryFile, content: _Content) -> PathState | None:
        """Take the recording with the bytes of this file, or else with its sound.

        Of several copies, the most similar one is taken.
        """
        rows = self._by_content.get(content.sha256(file) or "")
        rows = rows or self._by_content.get(content.track_id(file) or "")
        if not rows:
            return None
        signs = set(_signs(file))
        best = max(rows, key=lambda row: len(signs & set(_signs(row))))
        for key in (best.sha256, best.track_id):
            if key is not None:
                self._by_content[key].remove(best)
        return best


def _signs(file: LibraryFile | PathState) -> tuple[tuple[object, ...], ...]:
    """A renamed file keeps its size and modification time, a copied one its size and name.

    One that was moved and retagged keeps its name only.
    """
    name = PurePosixPath(file.path).name
    return (file.bytes, "time", file.mtime_ns), (file.bytes, "name", name), ("name", name)


def _folder_sign(file: LibraryFile | PathState) -> tuple[object, ...]:
    """A file that was renamed and retagged at once keeps its folder and its suffix."""
    path = PurePosixPath(file.path)
    return ("folder", str(path.parent), path.suffix.lower())
