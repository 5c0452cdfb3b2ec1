"""Facts are only ever added; the state beside them is what follows from them."""

import shutil
import sqlite3
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from melgraph.storage import catalogue_state
from melgraph.storage.catalogue import Catalogue, LibraryFile, Move, PathState, Retag
from melgraph.storage.catalogue_state import FORMAT
from melgraph.storage.comparison import difference
from melgraph.storage.errors import NewerFormat, OlderFormat, StorageError
from melgraph.storage.records import Recording
from tests.recordings import recordings

A, B, C = (LibraryFile(f"{name}.mp3", 1000 + n, 10**18 + n) for n, name in enumerate("abc"))
ROOT = Path(__file__).parents[2]


@pytest.fixture
def catalogue(tmp_path: Path) -> Catalogue:
    return Catalogue(tmp_path / "home" / "catalogue.sqlite")


def rows(catalogue: Catalogue, query: str = "SELECT * FROM events ORDER BY seq") -> list[tuple]:
    with closing(sqlite3.connect(catalogue.path)) as connection:
        return connection.execute(query).fetchall()


def arrived(catalogue: Catalogue, *listing: LibraryFile) -> list[LibraryFile]:
    return difference(catalogue.path_states(), listing).unmatched


def tables(catalogue: Catalogue) -> list[list[tuple]]:
    """The derived state."""
    return [rows(catalogue, f"SELECT * FROM {name} ORDER BY 1") for name in ("files", "batches")]


def rebuilt(catalogue: Catalogue) -> list[list[tuple]]:
    """What follows from the events alone."""
    with closing(sqlite3.connect(catalogue.path)) as connection:
        catalogue_state.rebuild(connection)
        open_changes = [
            connection.execute(f"SELECT * FROM {name} ORDER BY 1").fetchall()
            for name in ("files", "batches")
        ]
        connection.rollback()
    return open_changes


def test_an_empty_catalogue(catalogue):
    assert catalogue.batches() == catalogue.unidentified_batches() == []
    assert catalogue.path_states() == catalogue.live_files() == {}
    assert catalogue.missing_paths() == []
    assert catalogue.moved_paths() == catalogue.last_look() == {}
    assert catalogue.batch_files("batch-000001") == []
    assert catalogue.locations("00" * 16) == []


def test_new_files_arrive_until_they_are_registered(catalogue):
    assert arrived(catalogue, C, A) == [A, C]
    assert catalogue.register_batch([C, A]) == "batch-000001"
    assert arrived(catalogue, C, A) == []
    assert arrived(catalogue, C, A, B) == [B]
    assert catalogue.batch_files("batch-000001") == [A, C]


@pytest.mark.parametrize(
    "changed", [LibraryFile(A.path, A.bytes + 1, A.mtime_ns), LibraryFile(A.path, A.bytes, 5)]
)
def test_a_changed_file_is_distinguished_from_a_new_one(catalogue, changed):
    catalogue.register_batch([A, B])
    assert arrived(catalogue, changed, B) == [changed]
    assert catalogue.register_batch([changed, C]) == "batch-000002"
    assert arrived(catalogue, changed, B, C) == []
    assert arrived(catalogue, A, B, C) == [A]  # put back as it was: changed once more
    live = catalogue.live_files()
    assert {path: row.batch for path, row in live.items()} == {
        A.path: "batch-000002", B.path: "batch-000001", C.path: "batch-000002",
    }  # fmt: skip
    assert catalogue.batch_files("batch-000001") == [A, B]  # never re-cut
    assert rows(catalogue, "SELECT event, path FROM events WHERE batch = 'batch-000002'") == [
        ("changed", A.path), ("registered", C.path),
    ]  # fmt: skip


def test_a_missing_file_returns(catalogue):
    catalogue.identify(catalogue.register_batch([A, B]), recordings({A.path: "aa" * 16}))
    assert difference(catalogue.path_states(), [B]).gone == [A.path]
    catalogue.note_missing([A.path])
    assert difference(catalogue.path_states(), [B]).gone == []
    assert catalogue.missing_paths() == [A.path]
    assert set(catalogue.live_files()) == {B.path}
    changes = difference(catalogue.path_states(), [A, B])
    assert (changes.returned, changes.unmatched) == ([A], [])
    catalogue.note(returned=[A])
    assert catalogue.missing_paths() == []
    assert set(catalogue.live_files()) == {A.path, B.path}
    assert catalogue.batches() == ["batch-000001"]


def test_what_was_gone_before_it_was_ingested_comes_anew(catalogue):
    catalogue.register_batch([A])
    catalogue.note_missing([A.path])
    assert arrived(catalogue, A) == [A]
    catalogue.register_batch([A])
    assert catalogue.live_files()[A.path].batch == "batch-000002"


def test_a_move_is_a_fact_about_two_paths(catalogue):
    tracks = {A.path: "aa" * 16, B.path: "bb" * 16}
    catalogue.identify(catalogue.register_batch([A, B]), recordings(tracks))
    there = LibraryFile("new/a.mp3", A.bytes, A.mtime_ns)
    catalogue.note(moved=[Move(there, catalogue.path_states()[A.path])])
    assert catalogue.live_files()[there.path] == PathState(
        there.path, A.bytes, A.mtime_ns, "here", "batch-000001", A.path, "aa" * 16, "aa" * 32
    )
    assert catalogue.missing_paths() == [A.path]
    assert catalogue.moved_paths() == {there.path: ["batch-000001", A.path]}
    assert catalogue.locations("aa" * 16) == [there.path, A.path]
    assert catalogue.batch_places("batch-000001") == {A.path: there.path, B.path: B.path}
    event = "SELECT event, from_path, path, track_id FROM events ORDER BY seq DESC LIMIT 1"
    assert rows(catalogue, event) == [("moved", A.path, there.path, "aa" * 16)]
    catalogue.note_missing(
        [there.path]
    )  # it was never registered there, and is in no batch's table
    assert catalogue.missing_paths() == [A.path]
    assert catalogue.moved_paths() == {}
    catalogue.note(moved=[Move(A, catalogue.path_states()[there.path])])  # home again
    assert (catalogue.missing_paths(), catalogue.moved_paths()) == ([], {})
    # What comes to a place that was left is new there, not a change of what had been there.
    catalogue.note(moved=[Move(there, catalogue.path_states()[A.path])])
    catalogue.register_batch([LibraryFile(A.path, 5, 5)])
    assert rows(catalogue, "SELECT event FROM events ORDER BY seq DESC LIMIT 1") == [
        ("registered",)
    ]
    assert catalogue.missing_paths() == []
    assert catalogue.moved_paths() == {there.path: ["batch-000001", A.path]}


def test_two_that_swap_their_names_are_two_moves(catalogue):
    tracks = {A.path: "aa" * 16, B.path: "bb" * 16}
    catalogue.identify(catalogue.register_batch([A, B]), recordings(tracks))
    states = catalogue.path_states()
    there, back = LibraryFile(B.path, 1000, 1), LibraryFile(A.path, 1001, 2)
    catalogue.note(moved=[Move(there, states[A.path]), Move(back, states[B.path])])
    live = catalogue.live_files()
    assert {path: row.track_id for path, row in live.items()} == {
        A.path: "bb" * 16, B.path: "aa" * 16,
    }  # fmt: skip
    assert catalogue.missing_paths() == []
    assert catalogue.moved_paths() == {
        A.path: ["batch-000001", B.path], B.path: ["batch-000001", A.path],
    }  # fmt: skip


def test_a_touched_file_has_another_time(catalogue):
    catalogue.register_batch([A])
    touched = LibraryFile(A.path, A.bytes, 7)
    catalogue.note(touched=[touched])
    assert arrived(catalogue, touched) == []
    assert catalogue.batch_files("batch-000001") == [A]


def test_a_batch_waits_to_be_identified(catalogue):
    first, second = catalogue.register_batch([A]), catalogue.register_batch([B])
    catalogue.identify(second, recordings({B.path: "bb" * 16}))
    assert catalogue.unidentified_batches() == [first]


def test_the_memory_of_a_scan_is_no_fact(catalogue):
    before = rows(catalogue) if catalogue.batches() else []
    catalogue.remember_look([A, B])
    assert catalogue.last_look() == {A.path: A, B.path: B}
    catalogue.remember_look([C])
    assert catalogue.last_look() == {C.path: C}
    assert rows(catalogue) == before


def test_identifying_twice_notes_a_fact_once(catalogue):
    batch = catalogue.register_batch([A, B])
    tracks = {A.path: "aa" * 16, B.path: "bb" * 16}
    catalogue.identify(batch, recordings(tracks))
    before = rows(catalogue)
    catalogue.identify(batch, recordings(tracks))
    assert rows(catalogue) == before
    catalogue.identify(batch, recordings({A.path: "cc" * 16}))  # the bytes were others, after all
    assert len(rows(catalogue)) == len(before) + 1
    assert arrived(catalogue, A, B) == []  # no word on whether the file is there
    assert catalogue.path_states()[A.path].track_id == "cc" * 16


def test_the_locations_of_a_track_are_newest_first(catalogue):
    tracks = {A.path: "aa" * 16, B.path: "bb" * 16}
    catalogue.identify(catalogue.register_batch([A, B]), recordings(tracks))
    catalogue.identify(catalogue.register_batch([C]), recordings({C.path: "aa" * 16}))
    assert catalogue.locations("aa" * 16) == [C.path, A.path]
    assert catalogue.locations("bb" * 16) == [B.path]


def test_a_track_is_absent_when_none_of_its_files_is_left(catalogue):
    first = catalogue.register_batch([A, B])
    catalogue.identify(first, recordings({A.path: "aa" * 16, B.path: "bb" * 16}))
    second = catalogue.register_batch([C])
    catalogue.identify(second, recordings({C.path: "aa" * 16}))
    assert catalogue.batch_sizes() == {first: 2, second: 1}
    assert catalogue.absent_tracks() == []
    catalogue.note_missing([A.path])  # the same sound is at another path
    assert catalogue.absent_tracks() == []
    catalogue.note_missing([B.path, C.path])
    assert catalogue.absent_tracks() == [
        ("aa" * 16, first),
        ("bb" * 16, first),
        ("aa" * 16, second),
    ]
    moved = LibraryFile("new/b.mp3", B.bytes, B.mtime_ns)
    catalogue.note(moved=[Move(moved, catalogue.path_states()[B.path])], returned=[A])
    assert catalogue.absent_tracks() == []


def test_a_track_is_absent_when_another_sound_is_at_its_path(catalogue):
    first = catalogue.register_batch([A])
    catalogue.identify(first, recordings({A.path: "aa" * 16}))
    second = catalogue.register_batch([LibraryFile(A.path, 5, 5)])
    assert catalogue.absent_tracks() == [("aa" * 16, first)]
    catalogue.identify(second, recordings({A.path: "cc" * 16}))
    assert catalogue.absent_tracks() == [("aa" * 16, first)]


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
from melgraph.storage.catalogue import Catalogue, LibraryFile
from melgraph.storage.records import Recording
catalogue, writer = Catalogue(Path(sys.argv[1])), sys.argv[2]
print("ready", flush=True)
sys.stdin.readline()
for n in range(20):
    batch = catalogue.register_batch([LibraryFile(f"{writer}/{n}.mp3", n, n)])
    catalogue.identify(batch, [Recording(f"{n:032x}", f"{n:064x}", f"{writer}/{n}.mp3")])
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
            second = threads.submit(
                catalogue.identify, "batch-000001", recordings({A.path: "aa" * 16})
            )
        time.sleep(0.1)  # it waits for us now
        assert not second.done()
        event = catalogue_state.Event
        catalogue_state.append(
            first,
            [
                event("", "registered", B.path, 1, 1, "batch-000002"),
                event(
                    "",
                    "identified",
                    A.path,
                    batch="batch-000001",
                    track_id="aa" * 16,
                    sha256="aa" * 32,
                ),
            ],
        )
        first.commit()
        assert second.result(timeout=60) == ("batch-000003" if act == "register" else None)
    assert len(rows(catalogue, "SELECT 1 FROM events WHERE event = 'identified'")) == 1


# -- the state beside the events ------------------------------------------------------------------


@pytest.mark.parametrize("written_format", [1, 2])
def test_a_catalogue_of_an_older_format_is_refused_and_stays_unchanged(catalogue, written_format):
    """Its track ids change with the metadata of a file."""
    catalogue.path.parent.mkdir()
    with closing(sqlite3.connect(catalogue.path)) as connection:
        connection.execute(f"PRAGMA user_version = {written_format}")
    before = catalogue.path.read_bytes()
    for use in (catalogue.check_format, catalogue.batches, lambda: catalogue.register_batch([A])):
        with pytest.raises(OlderFormat, match="change with file metadata") as caught:
            use()
        assert caught.value.where == str(catalogue.path)
        assert "new home" in caught.value.remedy
    assert catalogue.path.read_bytes() == before


def test_looking_at_the_format_changes_nothing(catalogue):
    catalogue.register_batch([A])
    before = catalogue.path.read_bytes()
    catalogue.check_format()
    assert catalogue.path.read_bytes() == before


def test_a_retagged_file_keeps_its_tags_wherever_it_goes(catalogue):
    batch = catalogue.register_batch([A, B])
    catalogue.identify(batch, recordings({A.path: "aa" * 16, B.path: "bb" * 16}))
    larger = LibraryFile(A.path, A.bytes + 9, A.mtime_ns + 9)
    metadata = {"artist": "Björk", "genre": None, "genres": ["a", "b"]}
    catalogue.note(retagged=[Retag(larger, "aa" * 16, "ee" * 32, metadata)])
    assert arrived(catalogue, larger, B) == []
    values = {"bytes": larger.bytes, "sha256": "ee" * 32, **metadata}
    assert catalogue.retagged_files() == {A.path: values}
    assert catalogue.batches() == [batch]
    catalogue.note(touched=[LibraryFile(A.path, larger.bytes, 7)])
    moved = LibraryFile("there.mp3", larger.bytes, 7)
    catalogue.note(moved=[Move(moved, catalogue.path_states()[A.path])])
    assert catalogue.retagged_files() == {moved.path: values}
    assert catalogue.path_states()[moved.path].sha256 == "ee" * 32
    catalogue.note_missing([moved.path])
    assert catalogue.retagged_files() == {}
    catalogue.note(returned=[moved])
    assert catalogue.retagged_files() == {moved.path: values}
    # Its batch is ingested again: `tracks` has the metadata of the file as it is now.
    catalogue.identify(batch, [Recording("aa" * 16, "ee" * 32, A.path)])
    assert catalogue.retagged_files() == {}
    assert tables(catalogue) == rebuilt(catalogue)


def test_a_file_that_is_moved_and_retagged_at_once(catalogue):
    catalogue.identify(catalogue.register_batch([A]), recordings({A.path: "aa" * 16}))
    there = LibraryFile("there.mp3", 7, 7)
    catalogue.note(
        moved=[Move(there, catalogue.path_states()[A.path])],
        retagged=[Retag(there, "aa" * 16, "ee" * 32, {"artist": "Eve"})],
    )
    assert catalogue.retagged_files() == {
        there.path: {"bytes": 7, "sha256": "ee" * 32, "artist": "Eve"}
    }
    assert catalogue.locations("aa" * 16) == [there.path, A.path]
    assert tables(catalogue) == rebuilt(catalogue)


def test_another_sound_at_the_path_of_a_retagged_file_has_the_tags_of_its_batch(catalogue):
    catalogue.identify(catalogue.register_batch([A]), recordings({A.path: "aa" * 16}))
    catalogue.note(retagged=[Retag(A, "aa" * 16, "ee" * 32, {"artist": "Eve"})])
    catalogue.register_batch([LibraryFile(A.path, 5, 5)])
    assert catalogue.retagged_files() == {}
    assert catalogue.path_states()[A.path].sha256 is None


paths = st.sampled_from([f"{name}.mp3" for name in ("a", "b", "ä", "d/e", "d/é")])
files = st.builds(LibraryFile, paths, st.integers(0, 2), st.integers(0, 3))
events = st.one_of(
    st.tuples(st.just("register"), st.lists(files, min_size=1, unique_by=lambda file: file.path)),
    st.tuples(st.just("identify"), st.integers(1, 5), paths, st.sampled_from(["aa", "bb"])),
    st.tuples(st.sampled_from(["missing", "touched", "returned"]), files),
    st.tuples(st.just("moved"), files, paths),
    st.tuples(st.just("retagged"), files, st.sampled_from(["x", "y"])),
)


@given(st.lists(events, max_size=25))
@settings(max_examples=30, deadline=None)
def test_the_state_follows_from_the_events(tmp_path_factory, happened):
    """Whatever the order of facts, sensible or not."""
    catalogue = Catalogue(tmp_path_factory.mktemp("catalogue") / "catalogue.sqlite")
    assert catalogue.batches() == []
    for kind, *what in happened:
        match kind:
            case "register":
                catalogue.register_batch(what[0])
            case "identify":
                catalogue.identify(f"batch-{what[0]:06d}", recordings({what[1]: what[2] * 16}))
            case "missing":
                catalogue.note_missing([what[0].path])
            case "moved":
                source = catalogue.path_states().get(what[1])
                if source is not None:
                    catalogue.note(moved=[Move(what[0], source)])
            case "retagged":
                retag = Retag(what[0], "aa" * 16, what[1] * 64, {"artist": what[1]})
                catalogue.note(retagged=[retag])
            case _:
                catalogue.note(**{kind: what})
    assert tables(catalogue) == rebuilt(catalogue)


@pytest.fixture(scope="module")
def catalogues_of_many(tmp_path_factory) -> list[Path]:
    """Catalogues of 100 and of 3,000 files, six to a batch."""
    folder, paths = tmp_path_factory.mktemp("many"), []
    for many in (100, 3000):
        catalogue = Catalogue(folder / f"{many}.sqlite")
        assert catalogue.batches() == []
        event, written = catalogue_state.Event, []
        for n in range(many):
            path, batch = f"{n:05d}.mp3", f"batch-{n // 6 + 1:06d}"
            written.append(event("", "registered", path, n, n, batch))
            written.append(event("", "identified", path, None, None, batch, f"{n:032x}"))
        with closing(sqlite3.connect(catalogue.path)) as connection, connection:
            catalogue_state.append(connection, written)
        paths.append(catalogue.path)
    return paths


@pytest.fixture
def many_files(catalogues_of_many, tmp_path) -> list[Catalogue]:
    return [Catalogue(Path(shutil.copy(path, tmp_path / path.name))) for path in catalogues_of_many]


@pytest.mark.parametrize(
    "act",
    [
        lambda catalogue: catalogue.register_batch([LibraryFile("new.mp3", 1, 1)]),
        lambda catalogue: catalogue.identify("batch-000002", recordings({"00007.mp3": "11" * 16})),
        lambda catalogue: catalogue.note_missing(["00003.mp3"]),
        lambda catalogue: catalogue.note(returned=[LibraryFile("00003.mp3", 3, 3)]),
        lambda catalogue: catalogue.note(
            moved=[Move(LibraryFile("x.mp3", 5, 5), PathState("00005.mp3", 5, 5, "here",
                                                          "batch-000001", "00005.mp3", "00"))]
        ),
        lambda catalogue: catalogue.batch_files("batch-000002"),
        lambda catalogue: catalogue.batch_places("batch-000002"),
        lambda catalogue: catalogue.unidentified_batches(),
        lambda catalogue: catalogue.missing_paths(),
        lambda catalogue: catalogue.moved_paths(),
        lambda catalogue: catalogue.retagged_files(),
        lambda catalogue: catalogue.locations("11" * 16),
    ],
)  # fmt: skip
def test_what_is_asked_of_a_few_files_does_not_read_the_many(many_files, monkeypatch, act):
    """Counted in steps of SQLite's machine: the same for 100 files and for 3,000."""
    steps = []
    for one in many_files:
        taken = 0

        def step() -> None:
            nonlocal taken
            taken += 1

        connect = sqlite3.connect

        def counting(*args, connect=connect, step=step, **options):
            connection = connect(*args, **options)
            connection.set_progress_handler(step, 10)
            return connection

        with monkeypatch.context() as patch:
            patch.setattr(sqlite3, "connect", counting)
            act(one)
        steps.append(taken)
    assert steps[1] <= 1.5 * steps[0] + 20, steps


def test_damage_to_the_catalogue_is_found(catalogue):
    """Of its file, of the derived state, of the tracks; and nothing is written by the check."""
    batch = catalogue.register_batch([LibraryFile("a.mp3", 1, 1), LibraryFile("b.mp3", 2, 2)])
    ids = {"a.mp3": "a" * 32, "b.mp3": "b" * 32}
    assert catalogue.problems({batch: ids}) == []  # the ingest has not been entered yet
    catalogue.identify(batch, recordings(ids))
    before = catalogue.path.read_bytes()
    assert catalogue.problems({batch: ids}) == []
    assert catalogue.problems({}) == []
    (problem,) = catalogue.problems({batch: ids | {"b.mp3": "c" * 32}})
    assert problem == f"{catalogue.path}: the tracks of {batch} differ from those in its record"
    assert catalogue.path.read_bytes() == before
    with closing(sqlite3.connect(catalogue.path)) as connection, connection:
        connection.execute("UPDATE files SET state = 'missing' WHERE path = 'b.mp3'")
    (problem,) = catalogue.problems({batch: ids})
    assert "the state of the files does not follow from the events" in problem
    catalogue.path.write_bytes(before[:100] + b"\xff" * (len(before) - 100))
    (problem,) = catalogue.problems({batch: ids})
    assert "the catalogue cannot be used" in problem
    catalogue.path.unlink()
    (problem,) = catalogue.problems({batch: ids})
    assert "is missing; `melgraph run` rebuilds it" in problem
    assert not catalogue.path.exists()
    assert catalogue.batches() == []  # a command that reads has put an empty one in its place
    (problem,) = catalogue.problems({batch: ids})
    assert "is empty; `melgraph run` rebuilds it" in problem


def test_a_restored_batch_has_its_key_and_its_tracks(catalogue, tmp_path):
    first = catalogue.register_batch([LibraryFile("a.mp3", 1, 1), LibraryFile("b.mp3", 2, 2)])
    catalogue.identify(first, recordings({"a.mp3": "a" * 32}))
    second = catalogue.register_batch([LibraryFile("b.mp3", 3, 3)])
    catalogue.identify(second, recordings({"b.mp3": "b" * 32}))
    restored = Catalogue(tmp_path / "restored.sqlite")
    batches = [
        (batch, catalogue.batch_files(batch), recordings(ids))
        for batch, ids in ((first, {"a.mp3": "a" * 32}), (second, {"b.mp3": "b" * 32}))
    ]

    def interrupted():
        yield batches[0]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        restored.restore(interrupted())
    assert restored.batches() == []  # all batches or none: the rest would be new files
    restored.restore(batches)
    assert restored.path_states() == catalogue.path_states()
    assert restored.register_batch([LibraryFile("c.mp3", 3, 3)]) == "batch-000003"
