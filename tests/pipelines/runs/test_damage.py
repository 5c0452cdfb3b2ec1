"""Faults of Dagster's files end in a sentence, and not in a traceback."""

import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
import soundfile
from sqlalchemy.exc import OperationalError

from melgraph.pipelines.cli import main
from melgraph.pipelines.instance import open_instance
from melgraph.pipelines.runs.damage import explained_database, explained_settings
from melgraph.pipelines.runs.ownership import fail_dead_runs
from melgraph.storage.errors import StorageError
from melgraph.storage.home import Home, open_home
from tests.conftest import PATIENCE_S

INDEX = Path("history", "runs", "index.db")
# `melgraph` on a disk that has room for a few more pages of the database only.
PROGRAM = """
import sqlite3, sys
from sqlalchemy import event
from sqlalchemy.engine import Engine
from melgraph.pipelines import cli

path = sys.argv[1]
pages = sqlite3.connect(path).execute("PRAGMA page_count").fetchone()[0]

@event.listens_for(Engine, "connect")
def limit(connection, _):
    if connection.execute("PRAGMA database_list").fetchone()[2] == path:
        connection.execute(f"PRAGMA max_page_count = {pages + 4}")

sys.exit(cli.main(sys.argv[2:]))
"""


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home that has a database, and a library of one file of noise."""
    folder = tmp_path_factory.mktemp("template")
    (folder / "songs").mkdir()
    noise = np.random.default_rng(0).normal(0, 0.1, 22050).astype(np.float32)
    soundfile.write(folder / "songs" / "a.wav", noise, 22050)
    use(Home(folder / "home", str(folder / "songs")).create())
    return folder


@pytest.fixture
def home(template: Path, tmp_path: Path) -> Home:
    """A copy of it."""
    shutil.copytree(template / "home", tmp_path / "home", symlinks=True)
    return open_home(tmp_path / "home")


def use(home: Home) -> None:
    with open_instance(home) as instance:
        with explained_settings(home):
            _ = instance.run_launcher
        fail_dead_runs(instance, home)
        instance.get_dynamic_partitions("study")


def write(name: str | Path, data: bytes) -> Callable[[Home], None]:
    def damage(home: Home) -> None:
        (home.dagster / name).write_bytes(data)

    return damage


def cut_in_half(home: Home) -> None:
    path = home.dagster / INDEX
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


@pytest.mark.parametrize(
    ("damage", "message", "place"),
    [
        (write(INDEX, b"garbage" * 999), "database is damaged: file is not a database", INDEX),
        (cut_in_half, "database is damaged: database disk image is malformed", INDEX),
        (write(INDEX, b""), "database is damaged: a file is empty", INDEX),
        (write("history/runs.db", b"x" * 999), "database is damaged", "history/runs.db"),
        (write("dagster.yaml", b"a: [b\n"), "cannot use its settings: .*line 2", "dagster.yaml"),
        (write("dagster.yaml", b"- 1\n"), "cannot use its settings", "dagster.yaml"),
        (write("dagster.yaml", b"\xff\xfe\0"), "cannot use its settings", "dagster.yaml"),
        (write("dagster.yaml", b"polls: 3\n"), 'config entry "polls"', "dagster.yaml"),
        (
            write("dagster.yaml", b"run_launcher:\n  module: gone\n  class: Gone\n"),
            "import module gone",
            "dagster.yaml",
        ),
    ],
    ids=[
        "index",
        "half an index",
        "empty index",
        "runs",
        "syntax",
        "list",
        "binary",
        "key",
        "launcher",
    ],
)
def test_a_damaged_file_of_dagster(home, damage, message, place):
    damage(home)
    with pytest.raises(StorageError, match=message) as raised:
        use(home)
    assert str(home.dagster / place) in str(raised.value)
    assert len(str(raised.value)) < 1500


@pytest.mark.parametrize("reason", ["attempt to write a readonly database", "unable to open"])
def test_a_database_that_cannot_be_written_is_not_called_damaged(home, reason):
    """SQLite cannot even check the files of a read-only folder: none of them is to be removed."""
    cannot_write = pytest.raises(StorageError, match="cannot write its database")
    with cannot_write as raised, explained_database(home):
        raise OperationalError("UPDATE", {}, sqlite3.OperationalError(reason))
    assert "check the permissions" in raised.value.remedy
    assert "remove" not in raised.value.remedy


def test_what_the_remedy_says_is_enough(home):
    """Remove the file of settings, or the folder."""
    write("dagster.yaml", b"a: [b\n")(home)
    (home.dagster / "dagster.yaml").unlink()
    use(home)


@pytest.mark.parametrize("damage", [write(INDEX, b"x" * 999), write("dagster.yaml", b"a: [b\n")])
def test_the_ui_does_not_start_on_damaged_files(home, damage, capsys):
    damage(home)
    assert main(["ui", "--home", str(home.root)]) == 2
    said = capsys.readouterr()
    assert said.err.startswith("melgraph: Dagster")
    assert said.err.count("\n  remedy: ") == 1
    assert "starting" not in said.out


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (write(INDEX, b"garbage" * 999), "Dagster's database is damaged"),
        (None, "Dagster cannot write its database: database or disk is full"),
    ],
    ids=["damaged", "full"],
)
def test_the_command_ends_with_one_message(home, damage, message):
    arguments = ["run", "--home", str(home.root), "--library", home.library]
    command = [sys.executable, "-m", "melgraph.pipelines.cli", *arguments]
    if damage:
        damage(home)
    else:
        command = [sys.executable, "-c", PROGRAM, str(home.dagster / INDEX), *arguments]
    ran = subprocess.run(
        command, cwd=home.root.parent, capture_output=True, text=True, timeout=PATIENCE_S
    )
    assert ran.returncode == 2, ran.stdout + ran.stderr
    assert "Traceback" not in ran.stdout + ran.stderr
    assert f"melgraph: {message}" in ran.stderr
    assert ran.stderr.count("\n  remedy: ") == 1
    if not damage:  # after there is space again, the database is as good as before
        with closing(sqlite3.connect(home.dagster / INDEX)) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
