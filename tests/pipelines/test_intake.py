"""What a scan sees, and what becomes a batch."""

import os
import time
from pathlib import Path

import pytest

from pipelines.intake import cut_batches, scan_library
from storage.catalogue import Catalogue
from storage.errors import StorageError
from storage.home import Home
from storage.library import FolderLibrary

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


def test_new_files_become_batches_in_order(home, catalogue):
    put(home, *(f"{n}.mp3" for n in range(5)), "notes.txt", "._0.mp3")
    scan = scan_library(home, catalogue)
    assert (scan.listed, len(scan.arrived), scan.unsettled, scan.missing) == (5, 5, [], [])
    assert scan.sentence() == "5 audio files listed, 5 new or changed"
    assert catalogue.batches() == []  # a scan changes nothing
    keys = cut_batches(catalogue, scan, batch_size=2)
    assert keys == ["batch-000001", "batch-000002", "batch-000003"]
    found = [paths(catalogue.batch_files(key)) for key in keys]
    assert found == [["0.mp3", "1.mp3"], ["2.mp3", "3.mp3"], ["4.mp3"]]
    again = scan_library(home, catalogue)
    assert again.arrived == []
    assert cut_batches(catalogue, again) == []


def test_only_so_many_batches_at_a_time(home, catalogue):
    put(home, *(f"{n}.mp3" for n in range(5)))
    cut_batches(catalogue, scan_library(home, catalogue), batch_size=1, most=2)
    rest = scan_library(home, catalogue).arrived
    assert paths(rest) == ["2.mp3", "3.mp3", "4.mp3"]


def test_a_file_that_is_still_being_written_waits(home, catalogue):
    put(home, "old.mp3")
    put(home, "young.mp3", at=time.time())
    scan = scan_library(home, catalogue, settle_s=60)
    assert paths(scan.arrived) == ["old.mp3"]
    assert scan.unsettled == ["young.mp3"]
    assert "1 still being written" in scan.sentence()
    assert len(scan_library(home, catalogue, settle_s=0).arrived) == 2


def test_a_file_dated_in_the_future_does_not_wait_for_it(home, catalogue):
    put(home, "2099.mp3", at=4_100_000_000)
    assert paths(scan_library(home, catalogue).arrived) == ["2099.mp3"]


def test_a_changed_file_arrives_again(home, catalogue):
    put(home, "a.mp3", "b.mp3")
    cut_batches(catalogue, scan_library(home, catalogue))
    put(home, "a.mp3", content=b"la la")
    scan = scan_library(home, catalogue)
    assert paths(scan.arrived) == ["a.mp3"]
    assert cut_batches(catalogue, scan) == ["batch-000002"]
    assert paths(catalogue.batch_files("batch-000001")) == ["a.mp3", "b.mp3"]  # never cut again


def test_a_file_that_is_gone_is_noted_and_may_come_back(home, catalogue):
    put(home, "a.mp3", "b.mp3")
    cut_batches(catalogue, scan_library(home, catalogue))
    (Path(home.library) / "a.mp3").unlink()
    scan = scan_library(home, catalogue)
    assert scan.missing == ["a.mp3"]
    assert "1 gone" in scan.sentence()
    assert cut_batches(catalogue, scan) == []
    assert catalogue.missing_paths() == ["a.mp3"]
    assert scan_library(home, catalogue).missing == []  # told once
    put(home, "a.mp3")
    scan = scan_library(home, catalogue)
    assert paths(scan.arrived) == ["a.mp3"]
    cut_batches(catalogue, scan)
    assert catalogue.missing_paths() == []


def test_what_cannot_be_listed_just_now_is_not_gone(home, catalogue, monkeypatch):
    put(home, "jazz/a.mp3", "rock/b.mp3")
    cut_batches(catalogue, scan_library(home, catalogue))
    whole = FolderLibrary.list

    def partly(library, suffixes, *, unreadable):
        unreadable.append("jazz")
        return [f for f in whole(library, suffixes) if not f.path.startswith("jazz/")]

    monkeypatch.setattr(FolderLibrary, "list", partly)
    (Path(home.library) / "rock" / "b.mp3").unlink()
    scan = scan_library(home, catalogue)
    assert scan.missing == ["rock/b.mp3"]
    assert scan.sentence().endswith("1 unreadable: jazz")

    def not_at_all(library, suffixes, *, unreadable):
        unreadable.append(".")
        return []

    monkeypatch.setattr(FolderLibrary, "list", not_at_all)
    assert scan_library(home, catalogue).missing == []


def test_a_library_that_is_not_mounted_loses_nothing(home, catalogue):
    put(home, "a.mp3")
    cut_batches(catalogue, scan_library(home, catalogue))
    Path(home.library).rename(Path(home.library).with_name("elsewhere"))
    with pytest.raises(StorageError, match="does not exist"):
        scan_library(home, catalogue)
    assert catalogue.missing_paths() == []
