"""`melgraph run`: what cannot be used is explained in one message, before anything is written.

What a run makes is tested in `test_runner.py`.
"""

import errno
import json
import sqlite3
from pathlib import Path

import numpy as np
import pytest

from melgraph.assets.stages import ON_DEMAND
from melgraph.pipelines import intake
from melgraph.pipelines.commands import run
from melgraph.storage import library as library_module
from melgraph.storage.artifacts import ArtifactStore, Work
from melgraph.storage.home import FORMAT, MARKER, Home, open_home
from melgraph.storage.records import Spec
from melgraph.storage.spectrogram_store import FORMAT as SPECTROGRAM_FORMAT
from melgraph.storage.spectrogram_store import SpectrogramWriter


def test_a_library_that_is_not_there(refuse, tmp_path):
    message = refuse("run", "--library", "gone")
    assert "the library does not exist" in message
    assert str(tmp_path / "gone") in message
    assert "the library does not exist" in refuse("run")  # neither does the default library
    assert "the library does not exist" in refuse("ui", "--library", "gone")


def test_a_library_without_audio(refuse, tmp_path):
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "notes.txt").write_text("no music")
    message = refuse("run", "--library", "texts")
    assert "no audio files" in message
    assert ".flac" in message
    for name in ("a.ape", "b.APE", "c.mid"):
        (tmp_path / "texts" / name).write_bytes(b"1")
    message = refuse("run", "--library", "texts")
    assert "3 are audio that melgraph does not read (2 .ape: Monkey's Audio, 1 .mid" in message
    (tmp_path / "empty").mkdir()
    message = refuse("run", "--library", "empty")
    assert "no audio files" in message
    assert "mount its disk" not in message
    Home(tmp_path / "home", tmp_path / "empty").create()  # the library was not empty then
    assert "mount its disk" in refuse("run", "--library", "empty", "--home", "home")


def test_a_file_as_library(refuse, library):
    assert "the library is not a folder" in refuse("run", "--library", str(library / "a.mp3"))


def test_a_library_without_permission_to_read(refuse, library, monkeypatch):
    def deny(folder):  # instead of a mode of the folder: tests may run as root
        raise PermissionError(errno.EACCES, "Permission denied", str(folder))

    monkeypatch.setattr(library_module.os, "scandir", deny)
    assert "permission denied" in refuse("run", "--library", str(library))


def test_every_problem_of_every_toml_at_once(refuse, library, tmp_path):
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
    message = refuse("run", "--library", str(library), "--home", "home")
    for name, key in zip(files, ("epoch", "dataset", "train", "excerpt_s", "TOML"), strict=True):
        (line,) = [line for line in message.splitlines() if name in line]
        assert key in line


def test_an_unknown_experiment(refuse, library):
    for command in (["run", "--library", str(library)], ["demo"]):
        message = refuse(*command, "--experiment", "nope")
        assert "unknown experiment 'nope'" in message
        assert "small-cnn" in message


def test_an_unknown_study(refuse, library):
    for command in (["run", "--library", str(library)], ["demo"]):
        assert "unknown study 'nope'" in refuse(*command, "--study", "nope")


def test_a_batch_of_no_files(refuse, library):
    for command in (["run", "--library", str(library)], ["demo"]):
        assert "--batch-size" in refuse(*command, "--batch-size", "0")


@pytest.mark.parametrize("level", ["0", "-1", "first", "1.5", ""])
def test_a_label_level_that_is_no_number(refuse, library, level):
    message = refuse("run", "--library", str(library), f"--label-level={level}")
    assert "--label-level" in message
    assert repr(level) in message


def write_marker(folder: Path, **values: object) -> None:
    folder.mkdir()
    (folder / MARKER).write_text(json.dumps(values))


def test_a_home_of_a_newer_melgraph(refuse, library, tmp_path):
    write_marker(tmp_path / "home", format=FORMAT + 1, library=str(library), label_level=1)
    for command in (["run", "--library", str(library)], ["audit", "tracks"], ["ui"]):
        assert "upgrade melgraph" in refuse(command[0], "--home", "home", *command[1:])


def test_a_store_of_a_newer_melgraph(refuse, library, tmp_path):
    """The home has today's format, but a spectrogram store in it, or its catalogue, is newer."""
    write_marker(tmp_path / "home", format=FORMAT, library=str(library), label_level=1)
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
    message = refuse(*command)
    assert f"format {SPECTROGRAM_FORMAT + 1}" in message
    assert "zarr.json" in message

    with sqlite3.connect(tmp_path / "home" / "catalogue.sqlite") as catalogue:
        catalogue.execute("PRAGMA user_version = 99")
    assert "format 99" in refuse(*command)


def test_a_home_of_another_library(refuse, library, tmp_path):
    (tmp_path / "others").mkdir()
    write_marker(tmp_path / "home", format=FORMAT, library=str(tmp_path / "others"), label_level=1)
    message = refuse("run", "--library", str(library), "--home", "home")
    assert f"belongs to the library {tmp_path / 'others'}" in message
    refuse("ui", "--library", str(library), "--home", "home")


def test_a_folder_that_is_no_home(refuse, library, tmp_path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "cat.jpg").write_bytes(b"a cat")
    assert "not a melgraph home" in refuse("run", "--library", str(library), "--home", "photos")
    refuse("run", "--library", str(library), "--home", "photos/cat.jpg")


def test_a_home_inside_the_library(refuse, library, tmp_path, monkeypatch):
    """The library is only read; and sounds written into it would be processed as new music."""
    for home in (library, library / "melgraph", library / ".melgraph"):
        message = refuse("run", "--library", str(library), "--home", str(home))
        assert "inside the library" in message
    assert "inside the library" in refuse("ui", "--library", ".")  # whose default home is below


def test_the_arguments_agree_with_the_pipeline():
    """The command's module repeats these values: to import them for its help would take seconds."""
    assert tuple(stage.name for stage in ON_DEMAND) == run.ON_DEMAND
    assert run.DEFAULT_BATCH_SIZE == intake.BATCH_SIZE
