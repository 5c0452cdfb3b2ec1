"""The command line: what a user can get wrong is told in one message, before a byte is written."""

import csv
import errno
import json
import os
import re
import sqlite3
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from melgraph.pipelines.cli import main
from melgraph.storage import library as library_module
from melgraph.storage.artifacts import ArtifactStore, Work
from melgraph.storage.home import FORMAT, MARKER, Home, open_home
from melgraph.storage.records import Spec
from melgraph.storage.spectrogram_store import FORMAT as SPECTROGRAM_FORMAT
from melgraph.storage.spectrogram_store import SpectrogramWriter

COMMANDS = ("demo", "run", "ui", "audit", "reproduce")


@pytest.fixture
def library(tmp_path: Path) -> Path:
    """A library of one (bad) audio file: nothing here gets as far as reading it."""
    (tmp_path / "songs").mkdir()
    (tmp_path / "songs" / "a.mp3").write_bytes(b"a song")
    return tmp_path / "songs"


def tree(folder: Path) -> dict[str, tuple[int, int]]:
    found = ((path, path.lstat()) for path in sorted(folder.rglob("*")))
    return {str(path): (status.st_mtime_ns, status.st_size) for path, status in found}


@pytest.fixture
def refused(tmp_path, library, monkeypatch, capsys):
    """Run the command line, and check that it refuses as it should. Returns what it said."""
    monkeypatch.chdir(tmp_path)

    def run(command: str, *arguments: str, status: int = 2) -> str:
        before = tree(tmp_path)
        assert main([command, *arguments]) == status
        said = capsys.readouterr().err
        assert tree(tmp_path) == before, "something was written"
        assert said.startswith("melgraph: ")
        assert said.count("\n  where:  ") == 1
        assert said.count("\n  remedy: ") == 1
        assert "Traceback" not in said
        return said

    return run


def test_a_library_that_is_not_there(refused, tmp_path):
    said = refused("run", "--library", "gone")
    assert "the library does not exist" in said
    assert str(tmp_path / "gone") in said
    assert "the library does not exist" in refused("run")  # nor the default one
    assert "the library does not exist" in refused("ui", "--library", "gone")


def test_a_library_without_audio(refused, tmp_path):
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "notes.txt").write_text("no music")
    said = refused("run", "--library", "texts")
    assert "no audio files" in said
    assert ".flac" in said
    (tmp_path / "empty").mkdir()
    assert "no audio files" in refused("run", "--library", "empty")


def test_a_file_as_library(refused, library):
    assert "the library is not a folder" in refused("run", "--library", str(library / "a.mp3"))


def test_a_library_one_may_not_read(refused, library, monkeypatch):
    def denied(folder):  # root, as which tests may run, is denied nothing
        raise PermissionError(errno.EACCES, "Permission denied", str(folder))

    monkeypatch.setattr(library_module.os, "scandir", denied)
    assert "permission denied" in refused("run", "--library", str(library))


def test_every_problem_of_every_toml_at_once(refused, library, tmp_path):
    files = {
        "experiments/typo.toml": 'title = "x"\ndataset = "genres"\nepoch = 3\n'
        'model = { architecture = "small_cnn" }\n',
        "experiments/lost.toml": 'title = "x"\ndataset = "nowhere"\n'
        'model = { architecture = "small_cnn" }\n',
        "datasets/shares.toml": 'title = "x"\ntrain = 0.9\n',
        "recipes/long.toml": 'title = "x"\nexperiment = "small-cnn"\nexcerpt_s = "long"\n',
        "encoders/broken.toml": "title = \n",
    }
    for name, text in files.items():
        path = tmp_path / "home" / "specs" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    said = refused("run", "--library", str(library), "--home", "home")
    for name, key in zip(files, ("epoch", "dataset", "train", "excerpt_s", "TOML"), strict=True):
        (line,) = [line for line in said.splitlines() if name in line]
        assert key in line


def test_an_unknown_experiment(refused, library):
    for command in (["run", "--library", str(library)], ["demo"]):
        said = refused(*command, "--experiment", "nope")
        assert "unknown experiment 'nope'" in said
        assert "small-cnn" in said


def test_a_batch_of_no_files(refused, library):
    for command in (["run", "--library", str(library)], ["demo"]):
        assert "--batch-size" in refused(*command, "--batch-size", "0")


@pytest.mark.parametrize("level", ["0", "-1", "first", "1.5", ""])
def test_a_label_level_that_is_none(refused, library, level):
    said = refused("run", "--library", str(library), f"--label-level={level}")
    assert "--label-level" in said
    assert repr(level) in said


def marker(folder: Path, **values: object) -> None:
    folder.mkdir()
    (folder / MARKER).write_text(json.dumps(values))


def test_a_home_of_a_newer_melgraph(refused, library, tmp_path):
    marker(tmp_path / "home", format=FORMAT + 1, library=str(library), label_level=1)
    for command in (["run", "--library", str(library)], ["audit", "tracks"], ["ui"]):
        assert "upgrade melgraph" in refused(command[0], "--home", "home", *command[1:])


def test_a_store_of_a_newer_melgraph(refused, library, tmp_path):
    """A home of this format in which one spectrogram store, or the catalogue, is newer."""
    marker(tmp_path / "home", format=FORMAT, library=str(library), label_level=1)
    store = ArtifactStore(open_home(tmp_path / "home"))

    def write(work: Work) -> None:
        writer = SpectrogramWriter(
            work.folder / "spectrograms.zarr", frequency=np.zeros(4), attributes={}
        )
        writer.close()
        description = work.folder / "spectrograms.zarr" / "zarr.json"
        newer = json.loads(description.read_text())
        newer["attributes"]["melgraph_format"] = SPECTROGRAM_FORMAT + 1
        description.write_text(json.dumps(newer))

    store.produce(Spec("mel_spectrograms", "batch-000001", 1), write)
    command = ("run", "--library", str(library), "--home", "home")
    said = refused(*command)
    assert f"format {SPECTROGRAM_FORMAT + 1}" in said
    assert "zarr.json" in said

    with sqlite3.connect(tmp_path / "home" / "catalogue.sqlite") as catalogue:
        catalogue.execute("PRAGMA user_version = 99")
    assert "format 99" in refused(*command)


def test_a_home_of_another_library(refused, library, tmp_path):
    (tmp_path / "others").mkdir()
    marker(tmp_path / "home", format=FORMAT, library=str(tmp_path / "others"), label_level=1)
    said = refused("run", "--library", str(library), "--home", "home")
    assert f"belongs to the library {tmp_path / 'others'}" in said
    refused("ui", "--library", str(library), "--home", "home")


def test_a_folder_that_is_no_home(refused, library, tmp_path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "cat.jpg").write_bytes(b"a cat")
    assert "not a melgraph home" in refused("run", "--library", str(library), "--home", "photos")
    refused("run", "--library", str(library), "--home", "photos/cat.jpg")


def test_a_home_inside_the_library(refused, library, tmp_path, monkeypatch):
    """The library is read-only to us; and dreams kept in it would be taken for new music."""
    for home in (library, library / "melgraph", library / ".melgraph"):
        said = refused("run", "--library", str(library), "--home", str(home))
        assert "inside the library" in said
    assert "inside the library" in refused("ui", "--library", ".")  # whose default home is below


@pytest.mark.parametrize("number", [errno.EACCES, errno.ENOSPC, errno.EROFS])
def test_a_disk_that_takes_nothing(refused, library, monkeypatch, number):
    def create(home: Home) -> Home:
        raise OSError(number, os.strerror(number), str(home.root))

    monkeypatch.setattr(Home, "create", create)
    said = refused("run", "--library", str(library), "--home", "home")
    assert os.strerror(number) in said
    assert "home" in said


def test_a_bug_is_not_taken_for_a_users_mistake(library, monkeypatch, tmp_path):
    def create(home: Home) -> Home:
        raise OSError(errno.EBADF, "Bad file descriptor")

    monkeypatch.setattr(Home, "create", create)
    with pytest.raises(OSError, match="Bad file descriptor"):
        main(["run", "--library", str(library), "--home", str(tmp_path / "home")])


def test_an_audit_of_nothing(refused, tmp_path, library):
    assert "no melgraph home here" in refused("audit", "tracks")
    Home(tmp_path / "home", library).create()
    for command in ("audit", "reproduce"):
        said = refused(command, "--home", "home", "dreams/deep-dream")
        assert "no artifact answers to 'dreams/deep-dream'" in said


def test_an_audit_that_could_mean_several_homes(refused, tmp_path, library):
    for name in ("one", "two"):  # which of them is meant is not guessed
        Home(tmp_path / ".melgraph" / "home" / name, library).create()
    assert "there are 2 homes: one, two" in refused("audit", "tracks")


@pytest.mark.parametrize("command", COMMANDS)
def test_help(command, capsys):
    with pytest.raises(SystemExit) as stopped:
        main([command, "--help"])
    assert stopped.value.code == 0
    assert f"usage: melgraph {command}" in capsys.readouterr().out


def test_help_names_every_command(capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["--help"])
    assert stopped.value.code == 0
    shown = capsys.readouterr().out
    for command in COMMANDS:
        assert re.search(rf"^ +{command}\s+[A-Z]", shown, re.MULTILINE)


@pytest.mark.parametrize("arguments", [[], ["dance"], ["audit"], ["run", "--batch-size", "many"]])
def test_usage(arguments, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert stopped.value.code == 2
    assert "usage: melgraph" in capsys.readouterr().err


def test_the_installed_command(tmp_path):
    command = Path(sys.executable).with_name("melgraph")
    ran = subprocess.run(
        [command, "run", "--library", "gone"],
        cwd=tmp_path, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert ran.returncode == 2
    assert ran.stderr.startswith("melgraph: the library does not exist\n  where: ")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("lines", [1, 100_000])
def test_a_reader_that_has_enough(tmp_path, lines):
    """`melgraph audit ... | head` ends quietly, be it in the middle or at the last flush."""
    program = (
        "import sys; from melgraph.pipelines import cli; "
        f"cli._audit = lambda options: print('a line\\n' * {lines}) or 0; "
        "sys.exit(cli.main(['audit', 'tracks']))"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program], cwd=tmp_path, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        process.stdout.close()
        assert process.stderr.read() == ""
        assert process.wait(60) == 0


def test_tags_of_files(made_home, tmp_path):
    song = next(path for path in made_home.library.rglob("*.flac") if path.name[0] != ".")
    broken = tmp_path / "broken.mp3"
    broken.write_bytes(b"not audio")
    said = made_home.melgraph("tag", str(song), str(broken), "--tagger", "tiny", "--top", "1")
    assert said.returncode == 1  # one of them could not be tagged
    assert re.search(r"genre +(blues|rock) [01]\.\d\d\n", said.stdout)
    assert re.search(r"instrument +piano [01]\.\d\d\n", said.stdout)
    assert re.search(r"broken\.mp3\n  not tagged: [a-z-]+: ", said.stdout)
    table = made_home.melgraph("tag", str(song), "--tagger", "tiny", "--csv")
    assert table.returncode == 0
    rows = list(csv.DictReader(table.stdout.splitlines()))
    assert [row["path"] for row in rows] == [str(song)]
    assert 0 <= float(rows[0]["genre---rock"]) <= 1
    assert rows[0]["problem"] == ""


def test_a_tagger_that_is_not_to_be_had(made_home):
    said = made_home.melgraph("tag", "x.wav", "--tagger", "big")
    assert said.returncode == 2
    assert "musicnn-jamendo" in said.stderr
    assert "Traceback" not in said.stderr
