"""Intake: what a scan of the library found becomes facts and track batches in the catalogue."""

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sized
from contextlib import contextmanager
from dataclasses import dataclass, field

from melgraph.assets.library.ingest import TRACKS
from melgraph.ml.audio import AUDIO_SUFFIXES
from melgraph.storage.artifacts import ArtifactStore
from melgraph.storage.catalogue import Catalogue, LibraryFile
from melgraph.storage.comparison import Changes, difference, resolve
from melgraph.storage.home import Home
from melgraph.storage.library import Library
from melgraph.storage.locks import Lock

BATCH_SIZE = 512
SETTLE_S = 5.0  # a file younger than this may still be being written
YOUNG_S = 60.0  # one younger than this is looked at twice, however it is scanned
COMPARE_BYTES = 2_000_000_000  # most that a scan by the sensor reads to compare
COMPARE_S = 20.0  # and the longest it reads: a tick of a sensor has 60 s


@dataclass
class Scan(Changes):
    """What a scan of the library saw.

    Attributes:
        listed: how many audio files there are.
        unreadable: folders and names it could not use.
        others: suffix -> files that are not audio by their name, and were passed over.
    """

    listed: int = 0
    unreadable: list[str] = field(default_factory=list)
    others: Counter[str] = field(default_factory=Counter)

    @property
    def noted(self) -> bool:
        """Whether it found out anything about files that are catalogued already."""
        return bool(self.moved or self.touched or self.returned or self.gone)

    def sentence(self) -> str:
        """For people."""
        kinds: dict[str, Sized] = {
            "changed": self.changed,
            "moved": self.moved,
            "touched": self.touched,
            "returned": self.returned,
            "gone": self.gone,
            "still being written": self.unsettled,
            "not compared yet": self.waiting,
        }
        parts = [f"{self.listed} audio files listed", f"{len(self.new)} new"]
        parts += [f"{len(files)} {kind}" for kind, files in kinds.items() if files]
        if self.others:
            kinds_of = ", ".join(f"{n} {suffix or 'without a suffix'}" for suffix, n in
                                 self.others.most_common(5))  # fmt: skip
            parts.append(f"{self.others.total()} other files passed over ({kinds_of})")
        if self.unreadable:
            parts.append(f"{len(self.unreadable)} unreadable: {', '.join(self.unreadable[:5])}")
        return ", ".join(parts)


@contextmanager
def one_scanner(home: Home) -> Iterator[None]:
    """Hold this around a scan and the cut that follows it: else two cut the same files twice.

    Raises:
        ArtifactLocked: another process is at it.
    """
    lock = Lock(home, "intake", "library")
    lock.acquire()
    try:
        yield
    finally:
        lock.release()


def reconcile(store: ArtifactStore, catalogue: Catalogue) -> list[str]:
    """Note which tracks the batches hold whose ingest was killed before it could say so.

    Costs a look at each batch that is not ingested yet. Returns the batches it made good.
    """
    healed = []
    for batch in catalogue.unidentified_batches():
        tracks = store.current(TRACKS, batch)
        found = tracks.record.recordings if tracks is not None else ()
        if track_ids := {r.path: r.track_id for r in found if r.track_id}:
            catalogue.identify(batch, track_ids)
            healed.append(batch)
    return healed


def scan_library(
    home: Home,
    catalogue: Catalogue,
    *,
    settle_s: float = SETTLE_S,
    look_again_s: float | None = None,
    compare_bytes: float = COMPARE_BYTES,
    compare_s: float = COMPARE_S,
) -> Scan:
    """Compare the library with the catalogue. Changes neither.

    A file is taken when two looks in a row found it alike, and it is older than `settle_s`.

    Args:
        home: its library is listed.
        catalogue: what is known, and what the last scan saw.
        settle_s: a file younger than this is left for the next scan, s.
        look_again_s: where given, files of less than a minute are looked at again after so many
            seconds, and older ones are taken at first sight: for who does not scan again and
            again. Else a file is taken when the last scan saw it as it is now.
        compare_bytes: most bytes to read in order to tell moved and touched files from new ones.
            What is more waits for the next scan; one file is read, however large.
        compare_s: do not begin to read another file after this, s.

    Raises:
        StorageError: the library cannot be used.
    """
    library = home.open_library()
    library.check()
    unreadable: list[str] = []
    others: Counter[str] = Counter()
    listing = library.list(AUDIO_SUFFIXES, unreadable=unreadable, others=others)
    found = difference(catalogue.known(), listing)
    found.gone = _really_gone(found.gone, unreadable)
    settled = _settled(library, catalogue, found.unlike, settle_s, look_again_s)
    changes = resolve(
        found,
        is_settled=settled.__contains__,
        has_room=_room(compare_bytes, compare_s),
        track_id_of=lambda file: _track_id(library, file),
    )
    return Scan(**vars(changes), listed=len(listing), unreadable=unreadable, others=others)


def _settled(
    library: Library,
    catalogue: Catalogue,
    files: list[LibraryFile],
    settle_s: float,
    look_again_s: float | None,
) -> set[LibraryFile]:
    """Those of the files that nobody is writing to, as far as one can see."""
    if not files:
        return set()
    now, seen = time.time_ns(), catalogue.last_look()

    def age_s(file: LibraryFile) -> float:  # one dated far ahead would else never be old enough
        return abs(now - file.mtime_ns) / 1e9

    old = [file for file in files if age_s(file) >= settle_s]
    settled = {file for file in old if seen.get(file.path) == file}
    if look_again_s is not None:
        settled |= {file for file in old if age_s(file) >= YOUNG_S}
        rest = [file for file in old if file not in settled]
        if rest:
            time.sleep(look_again_s)
            settled |= {file for file in rest if library.look(file.path) == file}
    return settled


def _track_id(library: Library, file: LibraryFile) -> str | None:
    """Of a file as it was listed; None where it cannot be read, or is another by now."""
    try:
        sha256 = library.sha256(file.path)
    except OSError:
        return None
    return sha256[:32] if library.look(file.path) == file else None


def _room(most_bytes: float, most_s: float) -> Callable[[LibraryFile], bool]:
    started, taken = time.monotonic(), 0

    def has_room(file: LibraryFile) -> bool:
        nonlocal taken
        if taken and (taken + file.bytes > most_bytes or time.monotonic() - started > most_s):
            return False
        taken += max(file.bytes, 1)
        return True

    return has_room


def _really_gone(missing: list[str], unreadable: list[str]) -> list[str]:
    """A file below a folder that cannot be listed just now is not gone."""
    if "." in unreadable:
        return []
    return [p for p in missing if not any(p.startswith(f"{folder}/") for folder in unreadable)]


def cut_batches(
    catalogue: Catalogue, scan: Scan, *, batch_size: int = BATCH_SIZE, most: int | None = None
) -> list[str]:
    """Note what was found out, and register what arrived as new batches. Returns the new keys.

    Args:
        catalogue: receives the facts.
        scan: of the library, just now.
        batch_size: most files in a batch.
        most: most batches to cut now; the rest arrive again at the next scan.
    """
    catalogue.note(
        moved=scan.moved, touched=scan.touched, returned=scan.returned, missing=scan.gone
    )
    arrived = scan.arrived
    lots = [arrived[start : start + batch_size] for start in range(0, len(arrived), batch_size)]
    keys = [catalogue.register_batch(lot) for lot in lots[:most]]
    left = [file for lot in lots[len(keys) :] for file in lot]
    catalogue.remember_look([*left, *scan.unsettled, *scan.waiting])
    return keys
