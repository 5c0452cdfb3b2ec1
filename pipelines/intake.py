"""Intake: scan the library, note its changes in the catalogue, and cut new files into batches."""

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sized
from contextlib import contextmanager
from dataclasses import dataclass, field

from melgraph.assets.library.identity import (
    PRELOAD,
    LibraryPath,
    read_sound,
    reading_limit_s,
)
from melgraph.assets.stages import TRACKS
from melgraph.ml.audio import AUDIO_SUFFIXES, describe_ignored
from melgraph.ml.specs.library import load_library
from melgraph.ml.workers import isolated_calls
from melgraph.pipelines.terminal import printable
from melgraph.storage.artifacts import ArtifactStore
from melgraph.storage.catalogue import Catalogue, LibraryFile
from melgraph.storage.comparison import Changes, Sound, difference, resolve
from melgraph.storage.errors import StorageError
from melgraph.storage.home import Home, read_marker
from melgraph.storage.library import Library
from melgraph.storage.listing import Omissions
from melgraph.storage.locks import Lock
from melgraph.storage.records import Recording

BATCH_SIZE = 512
SETTLE_S = 5.0  # a younger file may still be being written
YOUNG_S = 60.0  # a younger file is looked at twice, in every kind of scan
COMPARE_BYTES = 2_000_000_000  # most bytes that one scan of the sensor reads
COMPARE_S = 20.0  # and how long it may read: a tick of a sensor has 60 s
UNKNOWN_TIME = 0  # no file has this modification time, so that its bytes are compared
MIN_ABSENT = 3  # fewer files than this are taken for deleted, even if they are a whole folder
ABSENT_SHARE = 0.9  # of the known files of a folder; more are not deleted one by one


@dataclass
class Scan(Changes):
    """The result of a scan: how the library differs from the catalogue.

    Attributes:
        n_files: number of audio files in the library.
        omissions: what the listing left out.
        absent: folder -> number of its files that are absent, but are not taken for deleted
            (`_without_absent`).
    """

    n_files: int = 0
    omissions: Omissions = field(default_factory=Omissions)
    absent: dict[str, int] = field(default_factory=dict)

    @property
    def affects_catalogued_files(self) -> bool:
        """Whether known files moved, came back, are gone, or have a new date or new metadata."""
        return bool(self.moved or self.touched or self.returned or self.retagged or self.gone)

    def sentence(self) -> str:
        """The numbers of files by kind of change, for people."""
        kinds: dict[str, Sized] = {
            "changed": self.changed,
            "moved": self.moved,
            "with a new date only": self.touched,
            "returned": self.returned,
            "retagged": self.retagged,
            "gone": self.gone,
            "still being written": self.unsettled,
            "not compared yet": self.waiting,
        }
        parts = [f"{self.n_files} audio files listed", f"{len(self.new)} new"]
        parts += [f"{len(files)} {kind}" for kind, files in kinds.items() if files]
        parts += describe_ignored(self.omissions.others)
        parts += self.omissions.parts()
        return printable(", ".join(parts) + self._absence())

    def _absence(self) -> str:
        """The folders whose files are absent and not taken for deleted, and what to do."""
        if not self.absent:
            return ""
        folders = sorted(self.absent)
        more = f" and {len(folders) - 5} more folders" if len(folders) > 5 else ""
        places = ", ".join(
            f"{self.absent[f]} in {'the library itself' if f == '.' else repr(f)}"
            for f in folders[:5]
        )
        return (
            f"; ATTENTION: {sum(self.absent.values())} known files are absent all at once "
            f"({places}{more}). They are not taken for deleted, because a disk or a network share "
            "may not be mounted. Mount it; or, if you deleted them, run "
            "`melgraph run --accept-deletions`"
        )


@contextmanager
def one_scanner(home: Home) -> Iterator[None]:
    """A lock for a scan and the cut that follows it; without it, two processes could cut the same
    files into two batches.

    Raises:
        ArtifactLocked: another process scans the library.
    """
    lock = Lock(home, "intake", "library")
    lock.acquire()
    try:
        yield
    finally:
        lock.release()


def is_lost(store: ArtifactStore, catalogue: Catalogue) -> bool:
    """Whether there are `tracks`, and a catalogue that knows none of them."""
    is_empty = not catalogue.path.is_file() or not catalogue.batches()
    return is_empty and bool(store.partitions(TRACKS.name))


def restore(store: ArtifactStore, catalogue: Catalogue) -> int:
    """Rebuild a catalogue that was lost from the `tracks` artifacts, so that nothing is new again.

    Does nothing if the catalogue knows a batch. Moves and new file metadata are recognised again by
    the next scan, from the files.

    Returns:
        The number of batches that were restored.
    """
    if not is_lost(store, catalogue):
        return 0
    keys = store.partitions(TRACKS.name)
    catalogue.restore(_batch_of(store, key) for key in keys)
    return len(keys)


def _batch_of(
    store: ArtifactStore, key: str
) -> tuple[str, list[LibraryFile], tuple[Recording, ...]]:
    """A batch as its current `tracks` know it. They hold no modification times."""
    record = store.need(TRACKS.name, key).record
    files = [LibraryFile(path, size, UNKNOWN_TIME) for path, size in record.spec.config["files"]]
    return key, files, record.recordings


def reconcile(store: ArtifactStore, catalogue: Catalogue) -> list[str]:
    """Enter the track ids of batches whose ingest was killed between its commit and their entry.

    Reads one record of each batch that has no track ids yet.

    Returns:
        Keys of the batches that were completed.
    """
    completed = []
    for batch in catalogue.unidentified_batches():
        tracks = store.current(TRACKS.name, batch)
        recordings = tracks.record.recordings if tracks is not None else ()
        if any(recording.track_id for recording in recordings):
            catalogue.identify(batch, recordings)
            completed.append(batch)
    return completed


def scan_library(
    home: Home,
    catalogue: Catalogue,
    *,
    settle_s: float = SETTLE_S,
    look_again_s: float | None = None,
    compare_bytes: float = COMPARE_BYTES,
    compare_s: float = COMPARE_S,
    accept_deletions: bool = False,
) -> Scan:
    """Compare the library with the catalogue. Changes neither.

    A file counts as completely written if it is older than `settle_s`, and its size and date are
    the same at two looks in a row.

    Args:
        home: the home whose library is scanned.
        catalogue: its catalogue, which also remembers what the last scan saw.
        settle_s: a younger file is left for the next scan, in seconds.
        look_again_s: when given, no second scan is needed: files older than a minute need one
            look only, and younger ones get their second look after so many seconds. When absent,
            the last scan was the first look.
        compare_bytes: most bytes to read in order to tell moved files from new ones. Files beyond
            that wait for the next scan. One file is read in any case, however large it is.
        compare_s: time after which no further file is read, in seconds.
        accept_deletions: take all absent files for deleted, even if (nearly) all files of a folder
            are absent at once.

    Raises:
        StorageError: the library cannot be used.
        UserError: `library.toml` of the home cannot be used.
    """
    library = home.open_library()
    library.check()
    listing, omissions = list_library(home)
    differences = difference(catalogue.path_states(), listing)
    differences.gone = [path for path in differences.gone if not omissions.hides(path)]
    settled = _settled(library, catalogue, differences.unmatched, settle_s, look_again_s)
    with _sound_reader(library) as sound_of:
        changes = resolve(
            differences,
            is_settled=settled.__contains__,
            has_room=_budget(compare_bytes, compare_s),
            sha256_of=lambda file: _sha256(library, file),
            sound_of=sound_of,
        )
    absent: dict[str, int] = {}
    if not accept_deletions:
        changes.gone, absent = _without_absent(changes.gone, listing, omissions)
    return Scan(**vars(changes), n_files=len(listing), omissions=omissions, absent=absent)


def list_library(home: Home) -> tuple[list[LibraryFile], Omissions]:
    """The audio files of a library, without those that its home excludes; and what was left out.

    Raises:
        StorageError: the library cannot be used.
        UserError: `library.toml` of the home cannot be used.
    """
    omissions = Omissions()
    files = home.open_library().list(
        AUDIO_SUFFIXES, exclude=load_library(home.specs).exclude, omissions=omissions
    )
    return files, omissions


def need_files(home: Home) -> list[LibraryFile]:
    """The audio files of a library, which must hold at least one. The home need not exist.

    Raises:
        StorageError: the library cannot be used, or holds no audio file.
        UserError: `library.toml` of the home cannot be used.
    """
    home.open_library().check()
    files, omissions = list_library(home)
    if files:
        return files
    left_out = [*describe_ignored(omissions.others), *omissions.parts()]
    remedy = "name a folder that holds some (.mp3 .flac .wav .m4a .ogg ...): --library FOLDER"
    if read_marker(home.root) is not None:  # it held some when the home was made
        remedy = f"mount its disk or network share; or {remedy}"
    raise StorageError(
        "; ".join(["the library holds no audio files", *left_out]),
        where=home.library,
        remedy=remedy,
    )


def _settled(
    library: Library,
    catalogue: Catalogue,
    files: list[LibraryFile],
    settle_s: float,
    look_again_s: float | None,
) -> set[LibraryFile]:
    """Those of the files that seem to be completely written."""
    if not files:
        return set()
    now_ns, last_look = time.time_ns(), catalogue.last_look()

    def age_s(file: LibraryFile) -> float:
        # absolute: a file with a date in the future would never become old enough
        return abs(now_ns - file.mtime_ns) / 1e9

    old = [file for file in files if age_s(file) >= settle_s]
    settled = {file for file in old if last_look.get(file.path) == file}
    if look_again_s is not None:
        settled |= {file for file in old if age_s(file) >= YOUNG_S}
        rest = [file for file in old if file not in settled]
        if rest:
            time.sleep(look_again_s)
            settled |= {file for file in rest if library.look(file.path) == file}
    return settled


def _sha256(library: Library, file: LibraryFile) -> str | None:
    """The SHA-256 of a file; None if it cannot be read or has changed since it was listed."""
    try:
        sha256 = library.sha256(file.path)
    except OSError:
        return None
    return sha256 if library.look(file.path) == file else None


def _time_limit_s(place: LibraryPath) -> float:
    return reading_limit_s(place.bytes)


@contextmanager
def _sound_reader(library: Library) -> Iterator[Callable[[LibraryFile], Sound | None]]:
    """A function that reads the sound and the metadata of a file, in a process that may crash.

    It returns None if the file cannot be read, ends that process, or has changed since it was
    listed.
    """
    with isolated_calls(read_sound, time_limit=_time_limit_s, preload=PRELOAD) as read:

        def sound_of(file: LibraryFile) -> Sound | None:
            outcome = read(LibraryPath(library, file.path, file.bytes))
            if outcome.value is None or library.look(file.path) != file:
                return None
            return Sound(*outcome.value)

        yield sound_of


def _budget(max_bytes: float, max_s: float) -> Callable[[LibraryFile], bool]:
    """A function that says, once per file, whether this scan may read it too."""
    started, n_bytes = time.monotonic(), 0

    def has_room(file: LibraryFile) -> bool:
        nonlocal n_bytes
        is_late = time.monotonic() - started > max_s
        if n_bytes and (is_late or n_bytes + file.bytes > max_bytes):
            return False
        n_bytes += max(file.bytes, 1)
        return True

    return has_room


def _without_absent(
    gone: list[str], listing: list[LibraryFile], omissions: Omissions
) -> tuple[list[str], dict[str, int]]:
    """Separate deleted files from files that a missing disk or network share would hide.

    An empty mount point looks like a deletion of all files. So if a folder directly below the
    library (or the library itself) loses (nearly) all of its files at once, these are not taken for
    deleted. Files that the home excludes now are not absent.

    Args:
        gone: paths that hold no file now, according to the scan.
        listing: the files that exist.
        omissions: what the listing left out.

    Returns:
        The paths of the deleted files, and folder -> number of its absent files.
    """
    lost = Counter(_top_folder(path) for path in gone if not omissions.excludes(path))
    present = Counter(_top_folder(file.path) for file in listing)
    absent = {
        folder: n
        for folder, n in lost.items()
        if not listing or (n >= MIN_ABSENT and n >= ABSENT_SHARE * (n + present[folder]))
    }
    deleted = [path for path in gone if omissions.excludes(path) or _top_folder(path) not in absent]
    return deleted, absent


def _top_folder(path: str) -> str:
    """The folder directly below the library; `.` for a file that lies in no folder."""
    return path.partition("/")[0] if "/" in path else "."


def cut_batches(
    catalogue: Catalogue, scan: Scan, *, batch_size: int = BATCH_SIZE, most: int | None = None
) -> list[str]:
    """Note the changes in the catalogue, and register new and changed files as new batches.

    Args:
        catalogue: receives both.
        scan: a scan of the library, made just now.
        batch_size: most files in a batch.
        most: most batches to cut now; the other files are new again at the next scan.

    Returns:
        Keys of the new batches.
    """
    catalogue.note(
        moved=scan.moved,
        touched=scan.touched,
        returned=scan.returned,
        retagged=scan.retagged,
        missing=scan.gone,
    )
    arrived = scan.arrived
    lots = [arrived[start : start + batch_size] for start in range(0, len(arrived), batch_size)]
    keys = [catalogue.register_batch(lot) for lot in lots[:most]]
    not_cut = [file for lot in lots[len(keys) :] for file in lot]
    catalogue.remember_look([*not_cut, *scan.unsettled, *scan.waiting])
    return keys
