"""Intake: what a scan counts, what is noted in the catalogue, and what becomes a batch."""

import hashlib
import os
import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest

from melgraph.ml.errors import UserError
from melgraph.pipelines import intake
from melgraph.pipelines.intake import (
    Scan,
    cut_batches,
    need_files,
    one_scanner,
    reconcile,
    scan_library,
)
from melgraph.storage.artifacts import ArtifactStore
from melgraph.storage.catalogue import Catalogue
from melgraph.storage.errors import ArtifactLocked, StorageError
from melgraph.storage.home import Home
from melgraph.storage.library import FolderLibrary
from melgraph.storage.records import Recording, Spec
from tests.conftest import PATIENCE_S

LONG_AGO = 1_600_000_000


@pytest.fixture
def home(tmp_path: Path) -> Home:
    (tmp_path / "songs").mkdir()
    return Home(tmp_path / "home", tmp_path / "songs").create()


@pytest.fixture
def catalogue(home: Home) -> Catalogue:
    return Catalogue(home.catalogue)


def put(home: Home, *names: str, at: float = LONG_AGO, content: bytes = b"la") -> None:
    for name in names:
        path = Path(home.library) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        os.utime(path, (at, at))


def paths(files) -> list[str]:
    return [file.path for file in files]


def look(home: Home, catalogue: Catalogue, **options) -> Scan:
    """A scan as `melgraph run` makes it: files older than a minute need one look only."""
    return scan_library(home, catalogue, look_again_s=0.0, **options)


def take(home: Home, catalogue: Catalogue) -> Scan:
    """A scan and a cut; instead of an ingest, the new files are hashed."""
    scan = look(home, catalogue)
    for batch in cut_batches(catalogue, scan):
        recordings = []
        for file in catalogue.batch_files(batch):
            data = (Path(home.library) / file.path).read_bytes()
            sha256 = hashlib.sha256(data).hexdigest()
            recordings.append(Recording(sha256[:32], sha256, file.path))
        catalogue.identify(batch, recordings)
    return scan


def test_new_files_become_batches_in_order(home, catalogue):
    put(home, *(f"{n}.mp3" for n in range(5)), "notes.txt", "._0.mp3")
    scan = look(home, catalogue)
    assert (scan.n_files, len(scan.arrived), scan.unsettled, scan.gone) == (5, 5, [], [])
    assert scan.sentence() == "5 audio files listed, 5 new, 1 other files ignored (1 .txt)"
    assert catalogue.batches() == []  # a scan changes nothing
    keys = cut_batches(catalogue, scan, batch_size=2)
    assert keys == ["batch-000001", "batch-000002", "batch-000003"]
    batches = [paths(catalogue.batch_files(key)) for key in keys]
    assert batches == [["0.mp3", "1.mp3"], ["2.mp3", "3.mp3"], ["4.mp3"]]
    again = look(home, catalogue)
    assert again.arrived == []
    assert cut_batches(catalogue, again) == []


def test_a_cut_makes_a_limited_number_of_batches(home, catalogue):
    put(home, *(f"{n}.mp3" for n in range(5)))
    cut_batches(catalogue, look(home, catalogue), batch_size=1, most=2)
    rest = look(home, catalogue).arrived
    assert paths(rest) == ["2.mp3", "3.mp3", "4.mp3"]


def test_a_young_file_waits(home, catalogue):
    put(home, "old.mp3")
    put(home, "young.mp3", at=time.time())
    scan = look(home, catalogue, settle_s=60)
    assert paths(scan.arrived) == ["old.mp3"]
    assert paths(scan.unsettled) == ["young.mp3"]
    assert scan.sentence() == "2 audio files listed, 1 new, 1 still being written"
    assert len(look(home, catalogue, settle_s=0).arrived) == 2


def test_a_file_is_cut_when_two_scans_saw_the_same_size_and_date(home, catalogue):
    """An old date alone is not enough: a copy may get the date of the original at its start."""
    put(home, "a.mp3", content=b"the beg")
    first = scan_library(home, catalogue)
    assert paths(first.unsettled) == ["a.mp3"]
    assert cut_batches(catalogue, first) == []
    put(home, "a.mp3", content=b"the beginning, and more")
    second = scan_library(home, catalogue)
    assert paths(second.unsettled) == ["a.mp3"]
    cut_batches(catalogue, second)
    third = scan_library(home, catalogue)
    assert paths(third.new) == ["a.mp3"]
    assert cut_batches(catalogue, third) == ["batch-000001"]
    assert catalogue.last_look() == {}


def test_a_young_file_is_looked_at_twice(home, catalogue, monkeypatch):
    put(home, "done.mp3", "growing.mp3", at=time.time())
    put(home, "old.mp3")
    slept = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        with (Path(home.library) / "growing.mp3").open("ab") as file:
            file.write(b"more")

    monkeypatch.setattr(intake.time, "sleep", sleep)
    scan = scan_library(home, catalogue, settle_s=0, look_again_s=0.25)
    assert slept == [0.25]
    assert paths(scan.new) == ["done.mp3", "old.mp3"]
    assert paths(scan.unsettled) == ["growing.mp3"]
    cut_batches(catalogue, scan)
    slept.clear()
    assert look(home, catalogue).unsettled != []
    (Path(home.library) / "growing.mp3").unlink()
    assert scan_library(home, catalogue, look_again_s=0.25).arrived == []
    assert len(slept) <= 1


def test_files_beyond_the_limit_of_a_cut_are_cut_after_the_next_scan(home, catalogue):
    put(home, *(f"{n}.mp3" for n in range(5)))
    cut_batches(catalogue, scan_library(home, catalogue))
    for left in (3, 1, 0):
        cut_batches(catalogue, scan_library(home, catalogue), batch_size=2, most=1)
        assert len(catalogue.last_look()) == left


def test_a_file_dated_in_the_future_does_not_wait_for_it(home, catalogue):
    put(home, "2099.mp3", at=4_100_000_000)
    assert paths(look(home, catalogue).arrived) == ["2099.mp3"]


def test_each_kind_of_change_is_counted(home, catalogue):
    for n in range(7):
        put(home, f"{n}.mp3", content=b"la" * (n + 1), at=LONG_AGO + n)
    put(home, "7.mp3", content=b"lu", at=LONG_AGO)
    take(home, catalogue)
    (Path(home.library) / "7.mp3").unlink()
    assert take(home, catalogue).sentence() == "7 audio files listed, 0 new, 1 gone"
    library = Path(home.library)
    (library / "0.mp3").rename(library / "moved.mp3")
    put(home, "1.mp3", content=b"other bytes, more of them")
    put(home, "2.mp3", content=b"LALALA")  # as many
    put(home, "3.mp3", content=b"la" * 4, at=LONG_AGO + 100)
    (library / "4.mp3").unlink()
    put(home, "5 again.mp3", content=b"la" * 6)
    put(home, "7.mp3", content=b"lu", at=LONG_AGO)
    scan = take(home, catalogue)
    assert scan.sentence() == (
        "8 audio files listed, 1 new, 2 changed, 1 moved, 1 with a new date only, "
        "1 returned, 1 gone"
    )
    assert scan.affects_catalogued_files
    assert paths(scan.new) == ["5 again.mp3"]
    assert paths(scan.changed) == ["1.mp3", "2.mp3"]
    assert [(move.source.path, move.file.path) for move in scan.moved] == [("0.mp3", "moved.mp3")]
    assert paths(scan.touched) == ["3.mp3"]
    assert paths(scan.returned) == ["7.mp3"]
    assert scan.gone == ["4.mp3"]
    assert catalogue.batches() == ["batch-000001", "batch-000002"]
    assert paths(catalogue.batch_files("batch-000002")) == ["1.mp3", "2.mp3", "5 again.mp3"]
    copied = hashlib.sha256(b"la" * 6).hexdigest()[:32]
    assert catalogue.locations(copied) == ["5 again.mp3", "5.mp3"]
    again = take(home, catalogue)
    assert again.sentence() == "8 audio files listed, 0 new"
    assert not again.affects_catalogued_files
    # The live files are those in the folder.
    live = catalogue.live_files()
    for path in library.iterdir():
        sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
        assert live.pop(path.name).track_id == sha256[:32]
    assert live == {}


def test_a_changed_file_arrives_again(home, catalogue):
    put(home, "a.mp3", "b.mp3")
    cut_batches(catalogue, look(home, catalogue))
    put(home, "a.mp3", content=b"la la")
    scan = look(home, catalogue)
    assert paths(scan.changed) == ["a.mp3"]
    assert cut_batches(catalogue, scan) == ["batch-000002"]
    assert paths(catalogue.batch_files("batch-000001")) == ["a.mp3", "b.mp3"]  # never cut again


def test_a_renamed_folder_is_only_noted(home, catalogue):
    for n in range(100):
        put(home, f"old name/{n:03d}.mp3", content=b"%d" % n, at=LONG_AGO)  # all of one time
    take(home, catalogue)
    (Path(home.library) / "old name").rename(Path(home.library) / "new name")
    scan = take(home, catalogue)
    assert scan.sentence() == "100 audio files listed, 0 new, 100 moved"
    assert catalogue.batches() == ["batch-000001"]
    names = {f"old name/{n:03d}.mp3": f"new name/{n:03d}.mp3" for n in range(100)}
    assert catalogue.batch_places("batch-000001") == names


def test_files_beyond_the_limit_of_comparisons_are_compared_later(home, catalogue):
    for n in range(6):
        put(home, f"a/{n}.mp3", content=b"%04d" % n)
    take(home, catalogue)
    (Path(home.library) / "a").rename(Path(home.library) / "b")
    moved = []
    for left in (4, 2, 0):
        scan = scan_library(home, catalogue, look_again_s=0.0, compare_bytes=8)
        assert (f"{left} not compared yet" in scan.sentence()) == bool(left)
        assert scan.gone == []
        assert cut_batches(catalogue, scan) == []
        moved += [move.file.path for move in scan.moved]
    assert moved == [f"b/{n}.mp3" for n in range(6)]


@pytest.mark.parametrize("limit", [{"compare_bytes": 1}, {"compare_s": 0.0}])
def test_one_file_is_compared_however_large(home, catalogue, limit):
    put(home, "a.mp3", "b.mp3")
    take(home, catalogue)
    put(home, "a.mp3", "b.mp3", at=LONG_AGO + 1)
    scan = look(home, catalogue, **limit)
    assert (paths(scan.touched), paths(scan.waiting)) == (["a.mp3"], ["b.mp3"])


def test_a_file_that_changes_while_it_is_read_is_new(home, catalogue, monkeypatch):
    put(home, "a.mp3")
    take(home, catalogue)
    (Path(home.library) / "a.mp3").rename(Path(home.library) / "b.mp3")
    whole = FolderLibrary.sha256

    def hash_and_write(library, path: str) -> str:
        sha256 = whole(library, path)
        (library.folder / path).write_bytes(b"other")
        return sha256

    monkeypatch.setattr(FolderLibrary, "sha256", hash_and_write)
    scan = look(home, catalogue)
    assert (scan.moved, paths(scan.new), scan.gone) == ([], ["b.mp3"], ["a.mp3"])


def test_two_scanners_at_once_cut_each_file_once(home, catalogue):
    put(home, *(f"{n:02d}.mp3" for n in range(40)))

    def scanner() -> int:
        cut, until = 0, time.monotonic() + PATIENCE_S
        while len(catalogue.path_states()) < 40 and time.monotonic() < until:
            with suppress(ArtifactLocked), one_scanner(home):
                cut += len(cut_batches(catalogue, look(home, catalogue), batch_size=3, most=1))
            time.sleep(0.001)
        return cut

    with ThreadPoolExecutor(2) as threads:
        both = [threads.submit(scanner) for _ in range(2)]
        counts = [one.result(timeout=PATIENCE_S) for one in both]
    registered = [path for b in catalogue.batches() for path in paths(catalogue.batch_files(b))]
    assert sum(counts) == len(catalogue.batches()) == 14
    assert sorted(registered) == [f"{n:02d}.mp3" for n in range(40)]


def test_track_ids_that_a_killed_ingest_did_not_enter_are_entered(home, catalogue):
    put(home, "a.mp3", "b.mp3")
    batch, waiting = cut_batches(catalogue, look(home, catalogue), batch_size=1)
    store = ArtifactStore(home)
    assert reconcile(store, catalogue) == []  # neither batch is ingested

    def write(work):
        work.recordings.append(Recording("aa" * 16, "aa" * 32, "a.mp3"))

    store.produce(Spec("tracks", batch, 1), write)  # and then it was killed
    assert reconcile(store, catalogue) == [batch]
    assert catalogue.path_states()["a.mp3"].track_id == "aa" * 16
    assert reconcile(store, catalogue) == []
    assert catalogue.unidentified_batches() == [waiting]


def test_a_file_that_is_gone_is_noted_and_may_come_back(home, catalogue):
    put(home, "a.mp3", "b.mp3")
    take(home, catalogue)
    (Path(home.library) / "a.mp3").unlink()
    scan = look(home, catalogue)
    assert scan.gone == ["a.mp3"]
    assert "1 gone" in scan.sentence()
    assert cut_batches(catalogue, scan) == []
    assert catalogue.missing_paths() == ["a.mp3"]
    assert look(home, catalogue).gone == []  # reported once
    put(home, "a.mp3")
    scan = look(home, catalogue)
    assert paths(scan.returned) == ["a.mp3"]
    assert cut_batches(catalogue, scan) == []  # it is still in its batch
    assert catalogue.missing_paths() == []


def test_files_of_a_folder_that_cannot_be_listed_are_not_gone(home, catalogue, monkeypatch):
    put(home, "jazz/a.mp3", "rock/b.mp3", "c.mp3")
    cut_batches(catalogue, look(home, catalogue))
    whole = FolderLibrary.list

    def partly(library, suffixes, *, exclude, omissions):
        omissions.unreadable.append("jazz")
        return [f for f in whole(library, suffixes) if not f.path.startswith("jazz/")]

    monkeypatch.setattr(FolderLibrary, "list", partly)
    (Path(home.library) / "rock" / "b.mp3").unlink()
    scan = look(home, catalogue)
    assert scan.gone == ["rock/b.mp3"]
    assert scan.sentence().endswith("1 unreadable: jazz")

    def not_at_all(library, suffixes, *, exclude, omissions):
        omissions.unreadable.append(".")
        return []

    monkeypatch.setattr(FolderLibrary, "list", not_at_all)
    assert look(home, catalogue).gone == []


def test_an_empty_mount_point_is_no_deletion(home, catalogue):
    """All files at once: nothing is noted, the sentence says what to do, and one can insist."""
    put(home, *(f"rock/{n}.mp3" for n in range(4)), *(f"jazz/{n}.mp3" for n in range(4)))
    take(home, catalogue)
    library = Path(home.library)
    library.rename(library.with_name("disk"))
    library.mkdir()
    scan = take(home, catalogue)
    assert (scan.gone, scan.absent) == ([], {"rock": 4, "jazz": 4})
    assert "8 known files are absent all at once (4 in 'jazz', 4 in 'rock')" in scan.sentence()
    assert "melgraph run --accept-deletions" in scan.sentence()
    assert catalogue.missing_paths() == []
    library.rmdir()
    library.with_name("disk").rename(library)  # mounted again
    scan = take(home, catalogue)
    assert (scan.arrived, scan.touched, scan.returned, scan.absent) == ([], [], [], {})
    shutil.rmtree(library / "rock")
    assert len(look(home, catalogue, accept_deletions=True).gone) == 4
    assert len(look(home, catalogue, accept_deletions=True).absent) == 0


@pytest.mark.parametrize("removed_too", [True, False])
def test_an_empty_folder_is_no_deletion_of_its_files(home, catalogue, removed_too):
    put(home, *(f"rock/{n}.mp3" for n in range(4)), *(f"jazz/{n}.mp3" for n in range(20)), "a.mp3")
    take(home, catalogue)
    shutil.rmtree(Path(home.library) / "rock")
    if not removed_too:
        (Path(home.library) / "rock").mkdir()
    (Path(home.library) / "a.mp3").unlink()  # a single file is deleted as before
    put(home, "new/b.mp3", content=b"new")
    scan = take(home, catalogue)
    assert (scan.gone, scan.absent, paths(scan.new)) == (["a.mp3"], {"rock": 4}, ["new/b.mp3"])
    for n in range(19):  # nearly all of jazz, and rock is still absent
        (Path(home.library) / f"jazz/{n}.mp3").unlink()
    assert look(home, catalogue).absent == {"rock": 4, "jazz": 19}
    put(home, *(f"jazz/{n}.mp3" for n in range(10)))
    scan = look(home, catalogue)
    assert (len(scan.gone), scan.absent) == (9, {"rock": 4})


def test_a_renamed_folder_is_a_move_and_an_excluded_folder_is_no_absence(home, catalogue):
    for n in range(4):
        put(home, f"rock/{n}.mp3", content=b"rock" * (n + 1))
        put(home, f"jazz/{n}.mp3", content=b"jazz!" * (n + 1))
    put(home, "a.mp3")
    take(home, catalogue)
    (Path(home.library) / "rock").rename(Path(home.library) / "Rock 'n' Roll")
    (Path(home.library) / "jazz" / ".nomelgraph").touch()
    scan = take(home, catalogue)
    assert (len(scan.moved), scan.absent) == (4, {})
    assert scan.gone == [f"jazz/{n}.mp3" for n in range(4)]
    assert "1 excluded: jazz" in scan.sentence()


def test_the_home_excludes_patterns(home, catalogue):
    put(home, "Podcasts/a.mp3", "music/b.mp3", "music/b.tmp.mp3")
    home.specs.mkdir()
    (home.specs / "library.toml").write_text('exclude = ["Podcasts", "*.tmp.mp3"]')
    assert paths(look(home, catalogue).new) == ["music/b.mp3"]
    (home.specs / "library.toml").write_text('excluded = ["Podcasts"]')
    with pytest.raises(UserError, match="excluded: Extra inputs") as caught:
        look(home, catalogue)
    assert caught.value.where.endswith("library.toml")


@pytest.mark.parametrize("pattern", ["", "/", "/music/Podcasts", "../x", "a//b", "./a"])
def test_a_pattern_that_can_match_nothing_is_refused(home, catalogue, pattern):
    home.specs.mkdir()
    (home.specs / "library.toml").write_text(f'exclude = ["{pattern}"]')
    with pytest.raises(UserError, match="matches no path"):
        look(home, catalogue)


def test_a_library_without_files_says_what_was_left_out(home):
    put(home, "Podcasts/a.mp3", "notes.txt")
    home.specs.mkdir()
    (home.specs / "library.toml").write_text('exclude = ["Podcasts/"]')
    with pytest.raises(StorageError, match=r"no audio files; 1 other .* 1 excluded: Podcasts"):
        need_files(home)


def test_a_library_that_is_not_mounted_loses_nothing(home, catalogue):
    put(home, "a.mp3")
    cut_batches(catalogue, look(home, catalogue))
    Path(home.library).rename(Path(home.library).with_name("elsewhere"))
    with pytest.raises(StorageError, match="does not exist"):
        look(home, catalogue)
    assert catalogue.missing_paths() == []


def test_ignored_files_are_counted(home, catalogue):
    put(home, "a.mp3", "cover.jpg", "b/cover.jpg", "LICENCE")
    sentence = look(home, catalogue).sentence()
    assert sentence.endswith("3 other files ignored (2 .jpg, 1 without a suffix)")
    put(home, "c.stem.mp4", "d.dsf")
    sentence = look(home, catalogue).sentence()
    assert sentence.startswith(
        "2 audio files listed, 2 new, 1 is audio that melgraph does not read"
    )
