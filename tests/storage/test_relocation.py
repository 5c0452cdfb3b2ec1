"""A home that was moved or copied: the addresses of its MLflow database, and its library."""

import json
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from melgraph.storage.errors import StorageError
from melgraph.storage.home import MARKER, Home, open_home, read_marker
from melgraph.storage.relocation import artifact_root, correct_addresses

TABLES = """
CREATE TABLE experiments (name TEXT, artifact_location TEXT);
CREATE TABLE runs (artifact_uri TEXT);
CREATE TABLE logged_models (artifact_location TEXT);
CREATE TABLE model_versions (source TEXT, storage_location TEXT);
"""


@pytest.fixture
def home(tmp_path) -> Home:
    (tmp_path / "songs").mkdir()
    home = Home(tmp_path / "a home" / "first", tmp_path / "songs").create()
    home.mlflow.mkdir()
    root = artifact_root(home.mlflow)
    with closing(sqlite3.connect(home.mlflow / "mlflow.db")) as database, database:
        database.executescript(TABLES)
        insert = "INSERT INTO experiments VALUES (?, ?)"
        database.execute(insert, ("melgraph", root))
        database.execute(insert, ("Default", "/elsewhere/mlruns/0"))
        uris = (f"{root}/7/artifacts", f"{root}2/7/artifacts", "s3://bucket/7", None)
        database.executemany("INSERT INTO runs VALUES (?)", [(uri,) for uri in uris])
        database.execute("INSERT INTO logged_models VALUES (?)", (f"{root}/models/m-1",))
        insert = "INSERT INTO model_versions VALUES (?, ?)"
        database.execute(insert, ("models:/m-1", f"{root}/models/m-1"))
    return home


def rows(home: Home) -> dict[str, list[tuple]]:
    tables = ("experiments", "runs", "logged_models", "model_versions")
    with closing(sqlite3.connect(home.mlflow / "mlflow.db")) as database:
        return {name: database.execute(f"SELECT * FROM {name}").fetchall() for name in tables}


def expected(home: Home, former: Home) -> dict[str, list[tuple]]:
    root, other = artifact_root(home.mlflow), artifact_root(former.mlflow)
    return {
        "experiments": [("melgraph", root), ("Default", "/elsewhere/mlruns/0")],
        "runs": [(f"{root}/7/artifacts",), (f"{other}2/7/artifacts",), ("s3://bucket/7",), (None,)],
        "logged_models": [(f"{root}/models/m-1",)],
        "model_versions": [("models:/m-1", f"{root}/models/m-1")],
    }


@pytest.mark.parametrize("name", ["second", "with % and ? and ü", "first copy/deep"])
def test_opening_a_moved_home_corrects_the_addresses(home, tmp_path, name):
    there = tmp_path / name
    there.parent.mkdir(parents=True, exist_ok=True)
    shutil.move(home.root, there)
    moved = open_home(there)
    assert rows(moved) == expected(moved, home)
    assert not correct_addresses(moved.mlflow)  # nothing is left to correct


def test_two_copies_are_apart(home, tmp_path):
    shutil.copytree(home.root, tmp_path / "copy", symlinks=True)
    copy = open_home(tmp_path / "copy")
    for each in (copy, home, copy):
        opened = open_home(each.root)
        assert rows(opened) == expected(opened, home)


def test_a_home_that_stays_is_not_written(home):
    before = (home.mlflow / "mlflow.db").read_bytes()
    assert not correct_addresses(home.mlflow)
    assert (home.mlflow / "mlflow.db").read_bytes() == before


def test_a_process_that_dies_in_between_changes_nothing(home, tmp_path):
    shutil.move(home.root, tmp_path / "moved")
    before = rows(Home(tmp_path / "moved", home.library))
    with (
        closing(sqlite3.connect(tmp_path / "moved" / "mlflow" / "mlflow.db")) as database,
        database,
    ):
        database.executescript(
            "CREATE TRIGGER broken BEFORE UPDATE ON model_versions"
            " BEGIN SELECT RAISE(ABORT, 'broken'); END;"
        )
    moved = open_home(tmp_path / "moved")
    assert rows(moved) == before


@pytest.mark.parametrize("content", [b"", b"no database" * 100])
def test_another_file_is_left_alone(home, content):
    (home.mlflow / "mlflow.db").write_bytes(content)
    assert open_home(home.root) == home
    assert (home.mlflow / "mlflow.db").read_bytes() == content


def test_an_experiment_on_a_server_is_left_alone(home, tmp_path):
    with closing(sqlite3.connect(home.mlflow / "mlflow.db")) as database, database:
        database.execute("UPDATE experiments SET artifact_location = 's3://bucket/artifacts'")
    before = rows(home)
    shutil.move(home.root, tmp_path / "moved")
    assert rows(open_home(tmp_path / "moved")) == before


class TestLibrary:
    """A project folder that holds both the library and the home."""

    @pytest.fixture
    def project(self, tmp_path) -> Path:
        folder = tmp_path / "project"
        (folder / "songs").mkdir(parents=True)
        (folder / "songs" / "a.wav").write_bytes(b"sound")
        Home(folder / "home", folder / "songs").create()
        return folder

    def test_both_moved_together(self, project, tmp_path):
        there = project.rename(tmp_path / "elsewhere")
        home = open_home(there / "home")
        assert home.library == str(there / "songs")
        assert home.create() == home
        assert (there / "home" / "library" / "a.wav").read_bytes() == b"sound"
        assert read_marker(there / "home")["library"] == str(there / "songs")

    def test_a_copy_uses_the_first_library_unless_its_own_is_named(self, project, tmp_path):
        there = shutil.copytree(project, tmp_path / "copy", symlinks=True)
        assert open_home(there / "home").library == str(project / "songs")
        home = Home(there / "home", there / "songs").create()
        assert open_home(there / "home") == home
        assert (there / "home" / "library").readlink() == there / "songs"

    def test_only_the_home_moved(self, project, tmp_path):
        (project / "home").rename(tmp_path / "home")
        (tmp_path / "songs").mkdir()  # another folder that lies where the library would
        assert open_home(tmp_path / "home").library == str(project / "songs")

    def test_another_library_is_refused(self, project, tmp_path):
        (tmp_path / "other").mkdir()
        with pytest.raises(StorageError, match="belongs to the library") as raised:
            Home(project / "home", tmp_path / "other").create()
        assert '"library"' not in raised.value.remedy

    def test_only_the_library_moved(self, project, tmp_path):
        """It is another folder until the user says that it is not: what the message says helps."""
        there = (project / "songs").rename(tmp_path / "songs")
        with pytest.raises(StorageError, match="belongs to the library") as raised:
            Home(project / "home", there).create()
        assert 'write its new path after "library"' in raised.value.remedy
        marker = project / "home" / MARKER
        marker.write_text(json.dumps(json.loads(marker.read_text()) | {"library": str(there)}))
        home = Home(project / "home", there).create()
        assert open_home(project / "home") == home
        assert (project / "home" / "library").readlink() == there
