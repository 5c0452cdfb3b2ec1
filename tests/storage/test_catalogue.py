import sqlite3
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from storage.catalogue import _STATE, FORMAT, Catalogue, LibraryFile
from storage.errors import NewerFormat, StorageError

A, B, C = (LibraryFile(f"{name}.mp3", 1000 + n, 10**18 + n) for n, name in enumerate("abc"))
ROOT = Path(__file__).parents[2]


@pytest.fixture
def catalogue(tmp_path: Path) -> Catalogue:
    return Catalogue(tmp_path / "home" / "catalogue.sqlite")


def rows(catalogue: Catalogue, query: str = "SELECT * FROM events ORDER BY seq") -> list[tuple]:
    with closing(sqlite3.connect(catalogue.path)) as connection:
        return connection.execute(query).fetchall()


def test_an_empty_catalogue(catalogue):
    assert catalogue.batches() == []
    assert catalogue.live_batches() == {}
    assert catalogue.missing_paths() == []
    assert catalogue.batch_files("batch-000001") == []
    assert catalogue.locations("00" * 16) == []
    assert catalogue.changes([]).arrived == catalogue.changes([]).missing == []


def test_new_files_arrive_until_they_are_registered(catalogue):
    assert catalogue.changes([C, A]).arrived == [A, C]
    assert catalogue.register_batch([C, A]) == "batch-000001"
    assert catalogue.changes([C, A]).arrived == []
    assert catalogue.changes([C, A, B]).arrived == [B]
    assert catalogue.batch_files("batch-000001") == [A, C]


@pytest.mark.parametrize(
    "changed", [LibraryFile(A.path, A.bytes + 1, A.mtime_ns), LibraryFile(A.path, A.bytes, 5)]
)
def test_a_changed_file_arrives_again(catalogue, changed):
    catalogue.register_batch([A, B])
    assert catalogue.changes([changed, B]).arrived == [changed]
    assert catalogue.register_batch([changed]) == "batch-000002"
    assert catalogue.changes([changed, B]).arrived == []
    assert catalogue.changes([A, B]).arrived == [A]  # put back as it was: changed once more
    assert catalogue.live_batches() == {A.path: "batch-000002", B.path: "batch-000001"}
    assert catalogue.batch_files("batch-000001") == [A, B]  # never re-cut


def test_a_missing_file_is_noted_once_and_arrives_when_it_is_restored(catalogue):
    catalogue.register_batch([A, B])
    assert catalogue.changes([B]).missing == [A.path]
    catalogue.note_missing([A.path])
    assert catalogue.changes([B]).missing == []
    assert catalogue.missing_paths() == [A.path]
    assert catalogue.live_batches() == {B.path: "batch-000001"}
    assert catalogue.changes([A, B]).arrived == [A]
    catalogue.register_batch([A])
    assert catalogue.changes([A, B]).arrived == catalogue.missing_paths() == []


def test_identifying_twice_notes_a_fact_once(catalogue):
    batch = catalogue.register_batch([A, B])
    tracks = {A.path: "aa" * 16, B.path: "bb" * 16}
    catalogue.identify(batch, tracks)
    before = rows(catalogue)
    catalogue.identify(batch, tracks)
    assert rows(catalogue) == before
    catalogue.identify(batch, {A.path: "cc" * 16})  # the bytes were others, after all
    assert len(rows(catalogue)) == len(before) + 1
    assert catalogue.changes([A, B]).arrived == []  # no word on whether the file is there


def test_the_locations_of_a_track_are_newest_first(catalogue):
    catalogue.identify(catalogue.register_batch([A, B]), {A.path: "aa" * 16, B.path: "bb" * 16})
    catalogue.identify(catalogue.register_batch([C]), {C.path: "aa" * 16})
    assert catalogue.locations("aa" * 16) == [C.path, A.path]
    assert catalogue.locations("bb" * 16) == [B.path]


def test_an_empty_batch_is_refused(catalogue):
    with pytest.raises(ValueError, match="at least one"):
        catalogue.register_batch([])
    assert catalogue.register_batch(iter([A])) == "batch-000001"


def test_a_failing_batch_leaves_no_trace(catalogue):
    catalogue.register_batch([A])
    before = rows(catalogue)
    with pytest.raises(OverflowError):
        catalogue.register_batch([B, LibraryFile("c.mp3", 2**63, 0)])  # no integer of SQLite
    assert rows(catalogue) == before
    assert catalogue.register_batch([B]) == "batch-000002"


def test_batches_are_numbered_on_beyond_nine(catalogue):
    keys = [catalogue.register_batch([LibraryFile(f"{n}.mp3", 1, 1)]) for n in range(12)]
    assert keys == [f"batch-{n:06d}" for n in range(1, 13)]
    assert catalogue.batches() == keys


def test_a_newer_catalogue_is_refused(catalogue):
    catalogue.register_batch([A])
    with closing(sqlite3.connect(catalogue.path)) as connection:
        connection.execute(f"PRAGMA user_version = {FORMAT + 1}")
    with pytest.raises(NewerFormat, match=f"format {FORMAT + 1}.* up to {FORMAT}"):
        catalogue.batches()


def test_a_damaged_catalogue_is_named(catalogue):
    catalogue.path.parent.mkdir()
    catalogue.path.write_bytes(b"not a database, " * 100)
    with pytest.raises(StorageError, match="file is not a database") as caught:
        catalogue.batches()
    assert caught.value.where == str(catalogue.path)


CUT = """
import sys
from pathlib import Path
from storage.catalogue import Catalogue, LibraryFile
catalogue, writer = Catalogue(Path(sys.argv[1])), sys.argv[2]
print("ready", flush=True)
sys.stdin.readline()
for n in range(20):
    batch = catalogue.register_batch([LibraryFile(f"{writer}/{n}.mp3", n, n)])
    catalogue.identify(batch, {f"{writer}/{n}.mp3": f"{n:032x}"})
    print(batch)
"""


def test_two_processes_cutting_at_once_get_different_numbers(catalogue):
    # The catalogue does not exist yet: making it is part of the race.
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", CUT, catalogue.path, name],
            cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )
        for name in "xy"
    ]  # fmt: skip
    for writer in writers:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "ready\n"
    for writer in writers:
        assert writer.stdin is not None
        writer.stdin.write("go\n")
        writer.stdin.flush()
    cut = [writer.communicate(timeout=60)[0].split() for writer in writers]
    assert [writer.returncode for writer in writers] == [0, 0]
    assert sorted(cut[0] + cut[1]) == [f"batch-{n:06d}" for n in range(1, 41)]
    for name, batches in zip("xy", cut, strict=True):
        for n, batch in enumerate(batches):
            assert catalogue.batch_files(batch) == [LibraryFile(f"{name}/{n}.mp3", n, n)]


@pytest.mark.parametrize("act", ["register", "identify"])
def test_the_second_of_two_writers_sees_what_the_first_did(catalogue, act):
    catalogue.register_batch([A])
    with (
        closing(sqlite3.connect(catalogue.path)) as first,
        ThreadPoolExecutor(max_workers=1) as threads,
    ):
        first.execute("BEGIN IMMEDIATE")
        if act == "register":
            second = threads.submit(catalogue.register_batch, [C])
        else:
            second = threads.submit(catalogue.identify, "batch-000001", {A.path: "aa" * 16})
        time.sleep(0.1)  # it waits for us now
        assert not second.done()
        first.execute(
            "INSERT INTO events (at, event, path, batch) VALUES ('', 'registered', ?, ?)",
            (B.path, "batch-000002"),
        )
        first.execute(
            "INSERT INTO events (at, event, path, batch, track_id) VALUES ('', 'identified',?,?,?)",
            (A.path, "batch-000001", "aa" * 16),
        )
        first.commit()
        assert second.result(timeout=60) == ("batch-000003" if act == "register" else None)
    assert len(rows(catalogue, "SELECT 1 FROM events WHERE event = 'identified'")) == 1


def test_the_state_of_many_files_is_read_by_the_index(catalogue):
    files = [LibraryFile(f"{n:05d}.mp3", n, n) for n in range(5000)]
    for start in range(0, 5000, 1000):
        lot = files[start : start + 1000]
        catalogue.identify(catalogue.register_batch(lot), {f.path: "00" * 16 for f in lot})
    plan = " | ".join(row[3] for row in rows(catalogue, f"EXPLAIN QUERY PLAN {_STATE}"))
    assert "SEARCH events USING INDEX events_by_path (path=?)" in plan
    assert "AUTOMATIC" not in plan
    new = [LibraryFile(f"new/{n}.mp3", n, n) for n in range(10)]
    changes = catalogue.changes([*files[1:], *new])
    assert (changes.arrived, changes.missing) == (new, ["00000.mp3"])


paths = st.sampled_from([f"{name}.mp3" for name in ("a", "b", "ä", "d/e", "d/é")])


class Library(RuleBasedStateMachine):
    """Arrivals, changes, deletions and restorations, against plain dictionaries."""

    def __init__(self) -> None:
        super().__init__()
        self.on_disk: dict[str, LibraryFile] = {}
        self.registered: dict[str, LibraryFile] = {}  # the last word on each path
        self.missing: set[str] = set()
        self.batches: dict[str, list[LibraryFile]] = {}
        self.identified: dict[tuple[str, str], str] = {}
        self.locations: dict[str, list[str]] = {}  # oldest first
        self.time = 0
        self.folder = tempfile.TemporaryDirectory()
        self.catalogue = Catalogue(Path(self.folder.name) / "catalogue.sqlite")
        assert self.catalogue.batches() == []  # which makes the file
        self.seen = rows(self.catalogue)

    @rule(path=paths, size=st.integers(0, 2))
    def write_file(self, path: str, size: int) -> None:
        self.time += 1
        self.on_disk[path] = LibraryFile(path, size, self.time)

    @rule(path=paths)
    def restore_file_as_it_was_registered(self, path: str) -> None:
        if path in self.registered:
            self.on_disk[path] = self.registered[path]

    @rule(path=paths)
    def delete_file(self, path: str) -> None:
        self.on_disk.pop(path, None)

    def live(self) -> dict[str, LibraryFile]:
        return {p: f for p, f in self.registered.items() if p not in self.missing}

    @rule(most=st.integers(1, 5))
    def scan(self, most: int) -> None:
        changes = self.catalogue.changes(self.on_disk.values())
        live = self.live()
        assert changes.arrived == sorted(
            file for path, file in self.on_disk.items() if live.get(path) != file
        )
        assert changes.missing == sorted(set(live) - set(self.on_disk))
        self.catalogue.note_missing(changes.missing)
        self.missing |= set(changes.missing)
        for start in range(0, len(changes.arrived), most):
            lot = changes.arrived[start : start + most]
            batch = self.catalogue.register_batch(lot)
            assert batch == f"batch-{len(self.batches) + 1:06d}"
            self.batches[batch] = lot
            self.registered |= {file.path: file for file in lot}
            self.missing -= {file.path for file in lot}
        again = self.catalogue.changes(self.on_disk.values())
        assert again.arrived == again.missing == []

    @rule(choice=st.randoms(use_true_random=False))
    def identify(self, choice) -> None:
        if not self.batches:
            return
        batch = choice.choice(sorted(self.batches))
        tracks = {f.path: f"{f.bytes:032x}" for f in self.batches[batch]}
        self.catalogue.identify(batch, tracks)
        for path, track_id in tracks.items():
            if self.identified.get((batch, path)) != track_id:
                self.identified[batch, path] = track_id
                known = self.locations.setdefault(track_id, [])
                self.locations[track_id] = [p for p in known if p != path] + [path]

    @invariant()
    def the_catalogue_agrees(self) -> None:
        assert self.catalogue.batches() == sorted(self.batches)
        assert all(self.catalogue.batch_files(b) == f for b, f in self.batches.items())
        assert self.catalogue.missing_paths() == sorted(self.missing)
        last = {file.path: batch for batch, files in self.batches.items() for file in files}
        assert self.catalogue.live_batches() == {p: last[p] for p in self.live()}
        for track_id, places in self.locations.items():
            assert self.catalogue.locations(track_id) == places[::-1]

    @invariant()
    def nothing_is_ever_taken_back(self) -> None:
        events = rows(self.catalogue)
        assert events[: len(self.seen)] == self.seen
        self.seen = events

    def teardown(self) -> None:
        self.folder.cleanup()


TestLibrary = Library.TestCase
TestLibrary.settings = settings(max_examples=12, stateful_step_count=15, deadline=None)
