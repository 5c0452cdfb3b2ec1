"""What happened to the library: a listing compared with the catalogue, each kind of change apart.

A file with the path, size and time that the catalogue knows is the same file. Where two of the
three agree with something known, its bytes are read, and their hash decides. All else is new.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from melgraph.storage.catalogue import Known, LibraryFile, Move
from melgraph.storage.catalogue_state import HERE, MISSING, MOVED


@dataclass
class Changes:
    """What a listing holds that the catalogue does not, and the other way round. All sorted.

    Attributes:
        new: their path is unknown, and no file that is gone was the same.
        changed: other bytes under a known path.
        moved: the same bytes under another path.
        touched: the same bytes under the same path, with another time.
        returned: were missing; there again with the same bytes.
        gone: are not there any more, at no path.
        unsettled: new or changed, and perhaps still being written.
        waiting: their bytes have to be compared, and there was no room for it in this scan.
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
        """New and changed files: what the next batches are cut of."""
        return sorted(self.new + self.changed)


@dataclass
class Difference:
    """Where a listing and the catalogue do not agree, before any byte is read.

    Attributes:
        known: what the catalogue knows, by path.
        unlike: listed files that are unknown, or of another size or time than is known; and
            those that are back, of which nobody knows which recording they were.
        returned: listed files that were not there, just as they were.
        gone: known to be there, and not listed.
    """

    known: Mapping[str, Known]
    unlike: list[LibraryFile]
    returned: list[LibraryFile]
    gone: list[str]


def difference(known: Mapping[str, Known], listing: Iterable[LibraryFile]) -> Difference:
    """Compare by path, size and time. The one step that is as long as the library is."""
    unlike: list[LibraryFile] = []
    returned: list[LibraryFile] = []
    left = dict(known)
    for file in listing:
        row = left.pop(file.path, None)
        if row is None or row.bytes != file.bytes or row.mtime_ns != file.mtime_ns:
            unlike.append(file)
        elif row.state != HERE:  # what was gone before it could be ingested comes anew
            (unlike if row.track_id is None else returned).append(file)
    gone = [path for path, row in left.items() if row.state == HERE]
    return Difference(known, sorted(unlike), sorted(returned), sorted(gone))


def resolve(
    found: Difference,
    *,
    is_settled: Callable[[LibraryFile], bool],
    has_room: Callable[[LibraryFile], bool],
    track_id_of: Callable[[LibraryFile], str | None],
) -> Changes:
    """Tell the kinds of change apart, by the hash of the bytes where it takes one.

    Args:
        found: the difference.
        is_settled: whether a file is whole; one that is not is left for later.
        has_room: whether this file may be read in this scan; asked once before each is read.
        track_id_of: of a file's bytes; None where they cannot be read.

    Returns:
        The changes. What is left for later is in no other list, and what it may turn out to be is
        not called gone.
    """
    changes, hashes = Changes(returned=list(found.returned)), _Hashes(has_room, track_id_of)
    undecided = []
    for file in found.unlike:  # first, whether a path holds what it held
        row = found.known.get(file.path)
        if not is_settled(file):
            changes.unsettled.append(file)
        elif row is None or row.track_id is None or row.bytes != file.bytes:
            undecided.append(file)
        elif not hashes.take(file):
            changes.waiting.append(file)
        elif hashes.known[file] == row.track_id:
            (changes.touched if row.state == HERE else changes.returned).append(file)
        else:
            undecided.append(file)
    changes.returned.sort()
    homeless = _Homeless(_homeless(found, undecided), undecided + changes.unsettled)
    for file in undecided:  # then, whether it holds what another path held
        if homeless.may_be(file) and not hashes.take(file):
            changes.waiting.append(file)
            continue
        source = homeless.claim(hashes.known.get(file), file)
        if source is not None:
            changes.moved.append(Move(file, source))
        elif found.known.get(file.path) is None or found.known[file.path].state == MOVED:
            changes.new.append(file)
        else:
            changes.changed.append(file)
    changes.waiting.sort()
    claimed = {move.source.path for move in changes.moved}
    claimed |= homeless.awaited(changes.unsettled + changes.waiting)
    changes.gone = [path for path in found.gone if path not in claimed]
    return changes


class _Hashes:
    """Track ids of the files that had to be read, each read once."""

    def __init__(
        self,
        has_room: Callable[[LibraryFile], bool],
        track_id_of: Callable[[LibraryFile], str | None],
    ) -> None:
        self._has_room, self._track_id_of = has_room, track_id_of
        self.known: dict[LibraryFile, str | None] = {}

    def take(self, file: LibraryFile) -> bool:
        """Read a file, if there is room."""
        if file not in self.known:
            if not self._has_room(file):
                return False
            self.known[file] = self._track_id_of(file)
        return True


def _homeless(found: Difference, undecided: list[LibraryFile]) -> list[Known]:
    """Recordings that are no longer where they were: at a path that is gone, or holds others."""
    if not found.unlike:  # nothing could be any of them
        return []
    lost = set(found.gone)
    lost |= {file.path for file in undecided}
    for file in found.unlike:  # those that may yet turn out to be touched are not lost
        row = found.known.get(file.path)
        if row is not None and row.bytes != file.bytes:
            lost.add(file.path)
    back = {file.path for file in found.returned}
    return sorted(
        row
        for path, row in found.known.items()
        if row.track_id is not None
        and ((row.state == HERE and path in lost) or (row.state == MISSING and path not in back))
    )


class _Homeless:
    """Recordings that look for their place among the files that are not known where they are."""

    def __init__(self, rows: list[Known], files: list[LibraryFile]) -> None:
        self._by_track: dict[str | None, list[Known]] = defaultdict(list)
        self._by_sign: dict[tuple[object, ...], list[str]] = defaultdict(list)
        for row in rows:
            self._by_track[row.track_id].append(row)
            for sign in _signs(row):
                self._by_sign[sign].append(row.path)
        sizes = Counter(row.bytes for row in rows)
        for size, count in Counter(file.bytes for file in files).items():
            if count == sizes[size] == 1:  # one left, and one came
                self._by_sign[(size,)] += [row.path for row in rows if row.bytes == size]

    def may_be(self, file: LibraryFile) -> bool:
        """Whether it looks like one of them: its bytes shall be compared."""
        return any(sign in self._by_sign for sign in (*_signs(file), (file.bytes,)))

    def awaited(self, files: Iterable[LibraryFile]) -> set[str]:
        """Paths of those that these files look like."""
        signs = (sign for file in files for sign in (*_signs(file), (file.bytes,)))
        return {path for sign in signs for path in self._by_sign.get(sign, ())}

    def claim(self, track_id: str | None, file: LibraryFile) -> Known | None:
        """The one that these bytes are, once; of several copies, the one most like the file."""
        rows = self._by_track.get(track_id) if track_id is not None else None
        if not rows:
            return None
        signs = set(_signs(file))
        best = max(rows, key=lambda row: len(signs & set(_signs(row))))  # the first of the best
        rows.remove(best)
        return best


def _signs(file: LibraryFile | Known) -> tuple[tuple[object, ...], ...]:
    """What a renamed file keeps of its looks: size and time; one that was copied: size and name."""
    name = PurePosixPath(file.path).name
    return (file.bytes, "time", file.mtime_ns), (file.bytes, "name", name)
