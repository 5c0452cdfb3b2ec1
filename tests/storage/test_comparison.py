"""Each kind of change is detected; random changes are compared with a model."""

import sqlite3
import tempfile
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from melgraph.storage import catalogue_state
from melgraph.storage.catalogue import Catalogue, LibraryFile, PathState
from melgraph.storage.comparison import Changes, Sound, difference, resolve
from melgraph.storage.records import Recording


def sha256(content: str) -> str:
    """The digest of a content, which is a sound, or `sound#tag`."""
    return content.encode().hex().ljust(64, "0")


def track(content: str) -> str:
    """The id of the sound in a content."""
    return sha256(content.partition("#")[0])[:32]


def sound(content: str) -> Sound:
    return Sound(track(content), {"artist": content.partition("#")[2] or None})


class Disk:
    """Files by path: content, size, time. Counts what is read."""

    def __init__(self, *rows: tuple[str, str, int, int]) -> None:
        self.files = {path: (content, size, at) for path, content, size, at in rows}
        self.states = {
            path: PathState(
                path, size, at, "here", "batch-000001", path, track(content), sha256(content), None
            )
            for path, content, size, at in rows
        }
        self.unreadable: set[str] = set()
        self.read: list[str] = []
        self.demuxed: list[str] = []

    def rename(self, old: str, new: str) -> None:
        self.files[new] = self.files.pop(old)

    def write(self, path: str, content: str, size: int, at: int) -> None:
        self.files[path] = (content, size, at)

    def listing(self) -> list[LibraryFile]:
        return [LibraryFile(path, size, at) for path, (_, size, at) in sorted(self.files.items())]

    def sha256_of(self, file: LibraryFile) -> str | None:
        self.read.append(file.path)
        return None if file.path in self.unreadable else sha256(self.files[file.path][0])

    def sound_of(self, file: LibraryFile) -> Sound | None:
        self.demuxed.append(file.path)
        return None if file.path in self.unreadable else sound(self.files[file.path][0])

    def scan(self, *, settled: Iterable[str] | None = None, room: int = 1000) -> Changes:
        left = iter(range(room))

        def has_room(_: LibraryFile) -> bool:
            return next(left, None) is not None

        self.read.clear()
        self.demuxed.clear()
        return resolve(
            difference(self.states, self.listing()),
            is_settled=lambda file: settled is None or file.path in settled,
            has_room=has_room,
            sha256_of=self.sha256_of,
            sound_of=self.sound_of,
        )


def paths_of(changes: Changes) -> dict[str, list]:
    """The kinds that are not empty, by path."""
    shown: dict[str, list] = {}
    for kind, what in vars(changes).items():
        if kind == "moved" and what:
            shown[kind] = [(move.source.path, move.file.path) for move in what]
        elif kind == "retagged" and what:
            shown[kind] = [retag.file.path for retag in what]
        elif what:
            shown[kind] = [getattr(item, "path", item) for item in what]
    return shown


@pytest.fixture
def disk() -> Disk:
    return Disk(
        ("a/1.mp3", "one", 100, 1), ("a/2.mp3", "two", 200, 2), ("b/3.mp3", "three", 300, 3)
    )


def test_nothing_happened(disk):
    assert paths_of(disk.scan()) == {}
    assert disk.read == []


def test_new(disk):
    disk.write("c.mp3", "four", 400, 4)
    assert paths_of(disk.scan()) == {"new": ["c.mp3"]}
    assert disk.read == []  # nothing is gone that it could be


def test_changed(disk):
    disk.write("a/1.mp3", "other", 101, 9)
    disk.write("a/2.mp3", "remixed", 200, 9)  # as long as before
    assert paths_of(disk.scan()) == {"changed": ["a/1.mp3", "a/2.mp3"]}
    assert disk.read == disk.demuxed == ["a/1.mp3", "a/2.mp3"]


def test_touched(disk):
    disk.write("a/1.mp3", "one", 100, 9)
    assert paths_of(disk.scan()) == {"touched": ["a/1.mp3"]}
    assert disk.demuxed == []


def test_retagged(disk):
    disk.write("a/1.mp3", "one#Bob", 104, 9)
    disk.write("a/2.mp3", "two#Eve", 200, 9)  # the metadata grew into the padding
    changes = disk.scan()
    assert paths_of(changes) == {"retagged": ["a/1.mp3", "a/2.mp3"]}
    retag = changes.retagged[0]
    assert (retag.track_id, retag.sha256) == (track("one"), sha256("one#Bob"))
    assert retag.metadata == {"artist": "Bob"}
    assert disk.read == disk.demuxed == ["a/1.mp3", "a/2.mp3"]  # each once


def test_retagged_and_moved_keeping_its_name_or_its_folder(disk):
    disk.files.pop("a/1.mp3")
    disk.files.pop("a/2.mp3")
    disk.write("new/1.mp3", "one#Bob", 104, 9)
    disk.write("a/Eve - Two.mp3", "two#Eve", 208, 9)
    assert paths_of(disk.scan()) == {
        "moved": [("a/2.mp3", "a/Eve - Two.mp3"), ("a/1.mp3", "new/1.mp3")],
        "retagged": ["a/Eve - Two.mp3", "new/1.mp3"],
    }


def test_retagged_with_a_new_name_in_a_new_folder_is_a_new_file(disk):
    """Its batch gives it the id of the track that it is; to compare it would mean to read all."""
    disk.files.pop("a/1.mp3")
    disk.write("Bob/One.mp3", "one#Bob", 104, 9)
    assert paths_of(disk.scan()) == {"new": ["Bob/One.mp3"], "gone": ["a/1.mp3"]}
    assert disk.read == []


def test_retagged_while_it_was_missing(disk):
    disk.states["a/1.mp3"] = disk.states["a/1.mp3"]._replace(state="missing")
    disk.write("a/1.mp3", "one#Bob", 104, 9)
    assert paths_of(disk.scan()) == {"returned": ["a/1.mp3"], "retagged": ["a/1.mp3"]}


def test_a_retagged_copy_is_a_new_file(disk):
    disk.write("a/1 (copy).mp3", "one#Bob", 104, 9)
    assert paths_of(disk.scan()) == {"new": ["a/1 (copy).mp3"]}


def test_a_new_file_is_not_read_for_the_sake_of_a_deletion_long_ago(disk):
    disk.states["a/1.mp3"] = disk.states["a/1.mp3"]._replace(state="missing")
    disk.files.pop("a/1.mp3")
    disk.write("a/4.mp3", "four", 400, 4)
    assert paths_of(disk.scan()) == {"new": ["a/4.mp3"]}
    assert disk.read == []


def test_gone_and_returned(disk):
    entry = disk.files.pop("a/1.mp3")
    assert paths_of(disk.scan()) == {"gone": ["a/1.mp3"]}
    disk.states["a/1.mp3"] = disk.states["a/1.mp3"]._replace(state="missing")
    assert paths_of(disk.scan()) == {}  # reported once
    disk.files["a/1.mp3"] = entry
    assert paths_of(disk.scan()) == {"returned": ["a/1.mp3"]}
    assert disk.read == []
    disk.write("a/1.mp3", "one", 100, 9)  # restored with the time of today
    assert paths_of(disk.scan()) == {"returned": ["a/1.mp3"]}
    assert disk.read == ["a/1.mp3"]
    disk.write("a/1.mp3", "another", 100, 9)
    assert paths_of(disk.scan()) == {"changed": ["a/1.mp3"]}


def test_moved(disk):
    disk.rename("a/1.mp3", "new place.mp3")
    assert paths_of(disk.scan()) == {"moved": [("a/1.mp3", "new place.mp3")]}
    assert disk.read == ["new place.mp3"]


def test_moved_long_after_it_was_missed(disk):
    disk.states["a/1.mp3"] = disk.states["a/1.mp3"]._replace(state="missing")
    disk.rename("a/1.mp3", "new place.mp3")
    assert paths_of(disk.scan()) == {"moved": [("a/1.mp3", "new place.mp3")]}


@pytest.mark.parametrize("name", ["copy.mp3", "c/1.mp3"])
def test_moved_by_a_tool_that_does_not_keep_the_time(disk, name):
    disk.rename("a/1.mp3", name)
    disk.write(name, "one", 100, 77)
    assert paths_of(disk.scan()) == {"moved": [("a/1.mp3", name)]}


def test_of_many_as_long_those_that_keep_their_names_are_compared():
    disk = Disk(*((f"a/{n}.wav", f"sound {n}", 500, n) for n in range(4)))
    for n in range(4):
        disk.rename(f"a/{n}.wav", f"b/{n}.wav")
        disk.write(f"b/{n}.wav", f"sound {n}", 500, 70 + n)
    assert paths_of(disk.scan()) == {"moved": [(f"a/{n}.wav", f"b/{n}.wav") for n in range(4)]}
    for n in range(4):  # neither name nor folder nor time is like any other
        disk.rename(f"b/{n}.wav", f"c/{n}{n}.wav")
    assert set(paths_of(disk.scan())) == {"new", "gone"}
    assert disk.read == []


def test_a_case_only_rename(disk):
    disk.rename("a/1.mp3", "A/1.MP3")
    assert paths_of(disk.scan()) == {"moved": [("a/1.mp3", "A/1.MP3")]}


def test_moved_and_changed_is_a_new_file(disk):
    disk.rename("a/1.mp3", "c.mp3")
    disk.write("c.mp3", "edited", 100, 1)
    assert paths_of(disk.scan()) == {"new": ["c.mp3"], "gone": ["a/1.mp3"]}


def test_two_that_swapped_their_names(disk):
    disk.rename("a/1.mp3", "x")
    disk.rename("a/2.mp3", "a/1.mp3")
    disk.rename("x", "a/2.mp3")
    assert paths_of(disk.scan()) == {"moved": [("a/2.mp3", "a/1.mp3"), ("a/1.mp3", "a/2.mp3")]}


def test_three_in_a_ring_that_are_all_as_long():
    disk = Disk(*((f"{n}.wav", f"sound {n}", 500, n) for n in range(3)))
    before = dict(disk.files)
    for n in range(3):
        disk.files[f"{(n + 1) % 3}.wav"] = before[f"{n}.wav"]
    assert paths_of(disk.scan()) == {
        "moved": [("2.wav", "0.wav"), ("0.wav", "1.wav"), ("1.wav", "2.wav")]
    }
    assert len(disk.read) == 3  # each once


def test_renamed_over_another(disk):
    disk.rename("a/2.mp3", "a/1.mp3")
    assert paths_of(disk.scan()) == {"moved": [("a/2.mp3", "a/1.mp3")]}


def test_overwritten_by_a_copy(disk):
    disk.files["a/1.mp3"] = disk.files["a/2.mp3"]
    assert paths_of(disk.scan()) == {"changed": ["a/1.mp3"]}
    assert disk.read == ["a/1.mp3"]


def test_pushed_aside(disk):
    """The old version is moved to another name, and a new file replaces it."""
    disk.rename("a/1.mp3", "a/1 (old).mp3")
    disk.write("a/1.mp3", "remaster", 150, 9)
    assert paths_of(disk.scan()) == {
        "changed": ["a/1.mp3"], "moved": [("a/1.mp3", "a/1 (old).mp3")],
    }  # fmt: skip


def test_a_copy_is_a_new_file_and_so_is_the_second_of_two_that_a_file_became(disk):
    disk.write("copy.mp3", "one", 100, 9)
    assert paths_of(disk.scan()) == {"new": ["copy.mp3"]}
    disk.rename("copy.mp3", "a copy.mp3")
    disk.rename("a/1.mp3", "b copy.mp3")
    disk.write("a copy.mp3", "one", 100, 1)
    assert paths_of(disk.scan()) == {"moved": [("a/1.mp3", "a copy.mp3")], "new": ["b copy.mp3"]}


def test_copies_that_move_keep_their_names_apart():
    disk = Disk(("a/x.mp3", "same", 10, 1), ("a/y.mp3", "same", 10, 1))
    disk.rename("a/x.mp3", "c/x.mp3")
    disk.rename("a/y.mp3", "b/y.mp3")
    assert paths_of(disk.scan()) == {"moved": [("a/y.mp3", "b/y.mp3"), ("a/x.mp3", "c/x.mp3")]}


def test_a_whole_folder(disk):
    for path in ("a/1.mp3", "a/2.mp3"):
        disk.rename(path, path.replace("a/", "z/"))
    assert paths_of(disk.scan()) == {"moved": [("a/1.mp3", "z/1.mp3"), ("a/2.mp3", "z/2.mp3")]}


def test_what_nobody_could_identify_is_not_compared(disk):
    disk.states = {path: row._replace(track_id=None) for path, row in disk.states.items()}
    disk.rename("a/1.mp3", "z.mp3")
    disk.write("a/2.mp3", "two", 200, 9)
    assert paths_of(disk.scan()) == {"new": ["z.mp3"], "changed": ["a/2.mp3"], "gone": ["a/1.mp3"]}
    assert disk.read == []


def test_what_cannot_be_read_is_new(disk):
    disk.rename("a/1.mp3", "z.mp3")
    disk.write("a/2.mp3", "two", 200, 9)
    disk.unreadable = {"z.mp3", "a/2.mp3"}
    assert paths_of(disk.scan()) == {"new": ["z.mp3"], "changed": ["a/2.mp3"], "gone": ["a/1.mp3"]}


def test_what_there_is_no_room_to_compare_waits_and_is_not_called_gone(disk):
    disk.rename("a/1.mp3", "y.mp3")
    disk.rename("a/2.mp3", "z.mp3")
    disk.write("b/3.mp3", "three", 300, 9)
    disk.write("new.mp3", "new", 999, 9)
    assert paths_of(disk.scan(room=1)) == {
        "touched": ["b/3.mp3"], "waiting": ["y.mp3", "z.mp3"], "new": ["new.mp3"],
    }  # fmt: skip
    assert paths_of(disk.scan(room=2))["waiting"] == ["z.mp3"]
    assert paths_of(disk.scan(room=0))["waiting"] == ["b/3.mp3", "y.mp3", "z.mp3"]


def test_what_is_still_being_written_waits_and_is_not_called_gone(disk):
    disk.rename("a/1.mp3", "z.mp3")
    disk.files.pop("a/2.mp3")
    assert paths_of(disk.scan(settled=())) == {"unsettled": ["z.mp3"], "gone": ["a/2.mp3"]}
    assert disk.read == []


def test_a_file_that_may_only_have_been_touched_is_not_claimed_by_its_copy(disk):
    disk.write("a/1.mp3", "one", 100, 9)
    disk.write("z/1.mp3", "one", 100, 1)
    changes = paths_of(disk.scan(settled=["z/1.mp3"]))
    assert changes == {"unsettled": ["a/1.mp3"], "new": ["z/1.mp3"]}


# -- random changes -------------------------------------------------------------------------------

PATHS = st.sampled_from(["a.mp3", "A.mp3", "d/a.mp3", "d/b.mp3", "e/a.mp3", "e/é.mp3"])
CONTENTS = st.sampled_from(["p", "q", "p#1", "p#2", "q#11", "ss", "tt"])


class Truth(RuleBasedStateMachine):
    """A folder where anything happens, scanned, ingested; the catalogue must know what is where."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.catalogue = Catalogue(Path(self.folder.name) / "catalogue.sqlite")
        self.disk: dict[str, tuple[str, int]] = {}  # path -> content, time
        self.bin: list[tuple[str, tuple[str, int]]] = []
        self.batches: dict[str, list[LibraryFile]] = {}
        self.ingested: dict[tuple[str, str], str] = {}  # batch and path -> content
        self.lost: set[tuple[str, str]] = set()  # what was not there any more when ingested
        self.events: list[tuple] = []
        self.clock = 0

    def now(self) -> int:
        self.clock += 1
        return self.clock

    def listing(self) -> list[LibraryFile]:
        return [LibraryFile(p, len(content), at) for p, (content, at) in self.disk.items()]

    @rule(path=PATHS, content=CONTENTS)
    def write(self, path: str, content: str) -> None:
        self.disk[path] = (content, self.now())

    @rule(old=PATHS, new=PATHS)
    def rename(self, old: str, new: str) -> None:
        if old in self.disk:
            self.disk[new] = self.disk.pop(old)

    @rule(one=PATHS, other=PATHS)
    def swap(self, one: str, other: str) -> None:
        if one in self.disk and other in self.disk:
            self.disk[one], self.disk[other] = self.disk[other], self.disk[one]

    @rule(old=PATHS, new=PATHS, keep_time=st.booleans())
    def copy(self, old: str, new: str, keep_time: bool) -> None:
        if old in self.disk:
            content, at = self.disk[old]
            self.disk[new] = (content, at if keep_time else self.now())

    @rule(path=PATHS)
    def touch(self, path: str) -> None:
        if path in self.disk:
            self.disk[path] = (self.disk[path][0], self.now())

    @rule(path=PATHS)
    def delete(self, path: str) -> None:
        if path in self.disk:
            self.bin.append((path, self.disk.pop(path)))

    @precondition(lambda self: self.bin)
    @rule()
    def restore(self) -> None:
        path, file = self.bin.pop()
        self.disk[path] = file

    @rule(old=st.sampled_from("de"), new=st.sampled_from("def"))
    def rename_folder(self, old: str, new: str) -> None:
        for path in [path for path in self.disk if path.startswith(f"{old}/")]:
            self.disk[f"{new}/{path[2:]}"] = self.disk.pop(path)

    @rule(room=st.integers(0, 4), unsettled=st.sets(PATHS, max_size=2), most=st.integers(1, 3))
    def scan(self, room: int = 1000, unsettled: frozenset[str] = frozenset(), most: int = 3):
        listing = self.listing()
        left = iter(range(room))
        changes = resolve(
            difference(self.catalogue.path_states(), listing),
            is_settled=lambda file: file.path not in unsettled,
            has_room=lambda _: next(left, None) is not None,
            sha256_of=lambda file: sha256(self.disk[file.path][0]),
            sound_of=lambda file: sound(self.disk[file.path][0]),
        )
        there = {file.path for file in listing}
        assert not there & set(changes.gone)
        assert {m.file.path for m in changes.moved} <= there
        reported = [*changes.arrived, *changes.touched, *changes.returned, *changes.unsettled]
        reported += [*changes.waiting, *(move.file for move in changes.moved)]
        assert len({file.path for file in reported}) == len(reported)  # each in one list
        sources = [move.source.path for move in changes.moved]
        assert len(set(sources)) == len(sources)
        self.catalogue.note(
            moved=changes.moved,
            touched=changes.touched,
            returned=changes.returned,
            retagged=changes.retagged,
            missing=changes.gone,
        )
        arrived = changes.arrived
        for start in range(0, len(arrived), most):
            lot = arrived[start : start + most]
            self.batches[self.catalogue.register_batch(lot)] = lot

    @rule()
    def ingest(self) -> None:
        """What is as it was registered is identified; the rest had gone or changed by then."""
        for batch in self.catalogue.unidentified_batches():
            listing, recordings = set(self.listing()), []
            for file in self.batches[batch]:
                if file in listing:
                    content = self.disk[file.path][0]
                    recordings.append(Recording(track(content), sha256(content), file.path))
                    self.ingested[batch, file.path] = content
                else:
                    self.lost.add((batch, file.path))
            self.catalogue.identify(batch, recordings)

    @rule()
    def settle(self) -> None:
        """After a complete scan and the ingest, the catalogue describes the disk."""
        self.scan()
        self.ingest()
        before = self.catalogue.batches()
        self.scan()
        assert self.catalogue.batches() == before  # and nothing is left to report
        live, retagged = self.catalogue.live_files(), self.catalogue.retagged_files()
        assert set(live) == set(self.disk)
        for path, row in live.items():
            if (row.batch, row.origin) not in self.lost:
                content = self.disk[path][0]
                assert (row.track_id, row.sha256) == (track(content), sha256(content))
                assert path in self.catalogue.locations(row.track_id)
                if content != self.ingested[row.batch, row.origin]:
                    metadata = {"artist": content.partition("#")[2] or None}
                    assert retagged[path]["artist"] == metadata["artist"]
                    assert retagged[path]["sha256"] == sha256(content)

    @invariant()
    def a_matching_listing_means_matching_bytes(self) -> None:
        listing = {file.path: file for file in self.listing()}
        for path, row in self.catalogue.live_files().items():
            if listing.get(path) == LibraryFile(path, row.bytes, row.mtime_ns) and row.track_id:
                assert row.track_id == track(self.disk[path][0])

    @invariant()
    def batches_are_never_cut_again(self) -> None:
        assert self.catalogue.batches() == sorted(self.batches)
        for batch, files in self.batches.items():
            assert self.catalogue.batch_files(batch) == files

    @invariant()
    def nothing_is_taken_back_and_the_state_follows(self) -> None:
        with closing(sqlite3.connect(self.catalogue.path)) as connection:
            events = connection.execute("SELECT * FROM events ORDER BY seq").fetchall()
            assert events[: len(self.events)] == self.events
            self.events = events
            rows = connection.execute("SELECT * FROM files ORDER BY path").fetchall()
            catalogue_state.rebuild(connection)
            assert connection.execute("SELECT * FROM files ORDER BY path").fetchall() == rows
            connection.rollback()

    def teardown(self) -> None:
        self.folder.cleanup()


TestTruth = Truth.TestCase
TestTruth.settings = settings(max_examples=40, stateful_step_count=25, deadline=None)
