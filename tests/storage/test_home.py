import errno
import json
import os
from pathlib import Path

import pytest

from melgraph.storage.errors import NewerFormat, OlderFormat, StorageError
from melgraph.storage.home import (
    FORMAT,
    MARKER,
    Home,
    enclosing_home,
    open_home,
    read_marker,
    write_aside,
)


@pytest.fixture
def library(tmp_path: Path) -> Path:
    (tmp_path / "library" / "blues").mkdir(parents=True)
    (tmp_path / "library" / "blues" / "a.wav").write_bytes(b"sound")
    return tmp_path / "library"


def below(folder: Path) -> dict[str, bytes | None]:
    """Everything below a folder, with the content of the files."""
    paths = (p for p in folder.rglob("*") if not p.is_symlink())
    return {str(p.relative_to(folder)): p.read_bytes() if p.is_file() else None for p in paths}


def test_the_object_alone_touches_nothing(tmp_path):
    home = Home(tmp_path / "home", tmp_path / "library")
    folders = (home.artifacts, home.pending, home.locks, home.dagster, home.mlflow, home.specs)
    assert all(folder.parent == home.root for folder in folders)
    assert home.catalogue.parent == home.root
    assert below(tmp_path) == {}


def test_a_home_is_made_and_opened(tmp_path, library):
    home = Home(tmp_path / "deep" / "home", library, label_level=None).create()
    assert open_home(home.root) == home
    assert (home.root / "library" / "blues" / "a.wav").read_bytes() == b"sound"
    assert json.loads((home.root / MARKER).read_text()) == {
        "format": FORMAT,
        "library": str(library),
        "label_level": None,
        "library_from_home": "../../library",
    }


def test_an_empty_folder_becomes_a_home(tmp_path, library):
    (tmp_path / "home").mkdir()
    assert open_home(Home(tmp_path / "home", library).create().root).library == str(library)


def test_a_folder_of_specs_becomes_a_home(tmp_path, library):
    spec = tmp_path / "home" / "specs" / "datasets" / "mine.toml"
    spec.parent.mkdir(parents=True)
    spec.write_text("x = 1")
    Home(tmp_path / "home", library).create()
    assert spec.read_text() == "x = 1"


def test_a_home_of_the_same_library_is_adopted_as_it_is(tmp_path, library):
    home = Home(tmp_path / "home", library).create()
    (home.artifacts / "tracks").mkdir(parents=True)
    before = below(home.root)
    stamp = (home.root / MARKER).stat().st_mtime_ns
    assert Home(tmp_path / "home", library).create() == home
    assert below(home.root) == before
    assert (home.root / MARKER).stat().st_mtime_ns == stamp


def test_another_label_level_is_noted(tmp_path, library):
    Home(tmp_path / "home", library, label_level=1).create()
    Home(tmp_path / "home", library, label_level=2).create()
    assert open_home(tmp_path / "home").label_level == 2


def refused(home: Home, error: type[StorageError], match: str) -> StorageError:
    before = below(home.root)
    with pytest.raises(error, match=match) as caught:
        home.create()
    assert below(home.root) == before  # nothing was written
    assert "--home FOLDER" in caught.value.remedy
    return caught.value


def test_a_home_on_a_disk_without_symbolic_links(tmp_path, library, monkeypatch):
    """As exFAT answers. The pages that `melgraph ui` serves need no link."""

    def no_links(number):
        def symlink_to(*_, **__):
            raise OSError(number, os.strerror(number))

        return symlink_to

    for number in (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS):
        monkeypatch.setattr(Path, "symlink_to", no_links(number))
        home = Home(tmp_path / f"home{number}", str(library)).create()
        assert not (home.root / "library").is_symlink()
        assert home.create() == open_home(home.root)
    monkeypatch.setattr(Path, "symlink_to", no_links(errno.ENOSPC))
    with pytest.raises(OSError, match="space"):
        Home(tmp_path / "full", str(library)).create()


@pytest.mark.parametrize("name", ["my home", "100% music", "#1", "夜明け", "what?", "100%25"])
def test__unusual_paths_become_homes(tmp_path, library, name):
    assert Home(tmp_path / name, str(library)).create().root.is_dir()


def test_a_home_of_another_library_is_refused(tmp_path, library):
    Home(tmp_path / "home", library).create()
    error = refused(Home(tmp_path / "home", tmp_path / "other"), StorageError, "belongs to")
    assert str(library) in error.what
    assert str(tmp_path / "other") in error.what


def test_a_foreign_folder_is_refused(tmp_path, library):
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "thesis.txt").write_text("mine")
    error = refused(Home(tmp_path / "home", library), StorageError, "not a melgraph home")
    assert error.where == str(tmp_path / "home")


def test_a_newer_home_is_refused(tmp_path, library):
    home = Home(tmp_path / "home", library).create()
    # A newer format may name its things otherwise: only the format itself is read.
    (home.root / MARKER).write_text(json.dumps({"format": FORMAT + 1}))
    refused(home, NewerFormat, f"format {FORMAT + 1}, this melgraph reads up to {FORMAT}")
    with pytest.raises(NewerFormat):
        open_home(home.root)


@pytest.mark.parametrize("written_format", [1, 2])
def test_a_home_of_an_older_melgraph_is_refused_and_stays_unchanged(
    tmp_path, library, written_format
):
    """Its track ids are hashes of whole files. Results in it are read with the older release."""
    home = Home(tmp_path / "home", library).create()
    marker = {"format": written_format, "library": str(library), "label_level": 1}
    (home.root / MARKER).write_text(json.dumps(marker))
    before = below(home.root)
    error = refused(home, OlderFormat, "track ids change with file metadata")
    assert error.where == str(home.root / MARKER)
    for words in (
        "--home FOLDER",
        "MELGRAPH_HOME",
        "rename this folder",
        "can still read it",
    ):
        assert words in error.remedy
    with pytest.raises(OlderFormat):
        open_home(home.root)
    assert below(home.root) == before


@pytest.mark.parametrize(
    "marker",
    [b"", b"{", b"[]", b"null", b'"x"', b"{}", b'{"format": "x"}', b'{"format": Infinity}',
     b'{"format": 3}', b'{"format": 3, "library": "/music"}', b'{"format": 3, "library": 3}',
     b"\xff\xfe\x00"],
)  # fmt: skip
def test_an_unreadable_marker_is_refused(tmp_path, library, marker):
    home = Home(tmp_path / "home", library).create()
    (home.root / MARKER).write_bytes(marker)
    error = refused(home, StorageError, "marker cannot be read")
    assert error.where == str(home.root / MARKER)
    with pytest.raises(StorageError, match="marker cannot be read"):
        open_home(home.root)


def test_a_file_in_place_of_a_home_is_refused(tmp_path, library):
    (tmp_path / "home").write_text("mine")
    with pytest.raises(StorageError, match="cannot be read"):
        Home(tmp_path / "home", library).create()
    assert (tmp_path / "home").read_text() == "mine"


def test_a_creation_that_was_killed_is_taken_up(tmp_path, library):
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / f".{MARKER}.4711.aside").write_bytes(b'{"form')
    assert open_home(Home(tmp_path / "home", library).create().root).library == str(library)


def test_where_there_is_no_home(tmp_path):
    assert read_marker(tmp_path) is None
    with pytest.raises(StorageError, match="no melgraph home here") as caught:
        open_home(tmp_path)
    assert "melgraph demo" in caught.value.remedy


def test_the_enclosing_home_is_found_from_anywhere_in_it(tmp_path, library, monkeypatch):
    home = Home(tmp_path / "home", library).create()
    deep = home.artifacts / "tracks" / "batch-000001" / "v" / "values" / "c"
    deep.mkdir(parents=True)
    (deep / "0").write_bytes(b"x")
    places = [home.root, home.root / MARKER, deep, deep / "0", deep / "not" / "there",
              home.root / "library" / "blues" / "a.wav"]  # fmt: skip
    assert [enclosing_home(place) for place in places] == [home] * len(places)
    monkeypatch.chdir(deep)
    assert enclosing_home(Path("0")) == home
    assert enclosing_home(library / "blues" / "a.wav") is None
    assert enclosing_home(tmp_path) is None


def test_a_file_is_written_whole(tmp_path):
    path = tmp_path / "file"
    for data in (b"first", b"", b"second" * 1000):
        write_aside(path, data)
        assert below(tmp_path) == {"file": data}


@pytest.mark.parametrize("broken", ["fsync", "replace"])
def test_a_write_that_fails_leaves_the_old_file(tmp_path, monkeypatch, broken):
    def full(*_: object) -> None:
        assert [p for p in tmp_path.iterdir() if p.name != "file"]  # it is written aside
        raise OSError(28, "No space left on device")

    write_aside(tmp_path / "file", b"old")
    monkeypatch.setattr(*{"fsync": (os, "fsync"), "replace": (Path, "replace")}[broken], full)
    with pytest.raises(OSError, match="No space left"):
        write_aside(tmp_path / "file", b"new" * 1000)
    assert below(tmp_path) == {"file": b"old"}
