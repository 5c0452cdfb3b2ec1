"""An ASCII terminal, and names that would control a terminal."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import soundfile as sf

from melgraph.assets.context import Context
from melgraph.assets.library.ingest import write_batch
from melgraph.assets.stages import TRACKS
from melgraph.pipelines.intake import cut_batches, scan_library
from melgraph.pipelines.terminal import deferred_interrupt, exact_output, printable, safe_output
from melgraph.storage.artifacts import Production
from melgraph.storage.home import Home
from tests.ml.audio_files import tone

C_LOCALE = {"LANG": "C", "LC_ALL": "C"}
TERMINALS = {
    "ASCII output": C_LOCALE | {"PYTHONIOENCODING": "ascii"},
    "no UTF-8 mode": C_LOCALE | {"PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
}
ASCII = TERMINALS["no UTF-8 mode"]
NAME = "Blå\x1b[31m\nrøck.wav"
SHOWN = r"Bl\xe5\x1b[31m\nr\xf8ck.wav"


def melgraph(*arguments: str, cwd: Path, **variables: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-m", "melgraph.pipelines.cli", *arguments],
        env=os.environ | ASCII | variables, cwd=cwd, capture_output=True, check=False,
    )  # fmt: skip


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    """A home with the `tracks` of one file with a difficult name, and a label of the same kind."""
    monkeypatch.setenv("MELGRAPH_WORKERS", "1")
    folder = tmp_path / "music" / "Mús\x07ica"
    folder.mkdir(parents=True)
    sf.write(folder / "plain.wav", tone(1.0, 8000, 1), 8000)
    (folder / "plain.wav").rename(folder / NAME)
    home = Home(tmp_path / "home", str(tmp_path / "music")).create()
    context = Context.open(home)
    scan = scan_library(home, context.catalogue, settle_s=0.0, look_again_s=0.0)
    (batch,) = cut_batches(context.catalogue, scan)
    with Production(context.store, [TRACKS.plan(context, batch)]) as production:
        write_batch(context.store, production.missing)
    return home


@pytest.mark.parametrize("terminal", TERMINALS)
def test_commands_on_an_ascii_terminal(terminal: str, home: Home, tmp_path: Path) -> None:
    variables = TERMINALS[terminal] | {"MELGRAPH_HOME": str(home.root)}
    audit = melgraph("audit", "tracks", cwd=tmp_path, **variables)
    assert (audit.returncode, audit.stderr) == (0, b"")
    output = audit.stdout.decode("ascii")
    assert rf"M\xfas\x07ica/{SHOWN}" in output
    (Path(home.library) / "Mús\x07ica" / NAME).unlink()
    audit = melgraph("audit", "tracks", cwd=tmp_path, **variables)
    assert audit.stdout.decode("ascii").count(SHOWN) >= 1
    assert b"\x1b" not in audit.stdout
    validate = melgraph("validate", "genres", cwd=tmp_path, **variables)
    assert b"Traceback" not in validate.stderr
    assert validate.stdout.decode("ascii")
    assert b"\x07" not in validate.stdout


@pytest.mark.parametrize("command", ["run", "ui", "audit", "reproduce", "tag", "validate"])
def test_mistakes_on_an_ascii_terminal(command: str, tmp_path: Path) -> None:
    """Each command names what is wrong."""
    name = "Blå\x1b"
    arguments = {
        "run": ["--library", name],
        "ui": ["--library", name],
        "audit": ["x", "--home", name],
        "reproduce": ["x", "--home", name],
        "tag": ["x.wav", "--tagger", name],
        "validate": [name],
    }
    (tmp_path / "music").mkdir()
    library = {"MELGRAPH_LIBRARY": str(tmp_path / "music")}
    ran = melgraph(command, *arguments[command], cwd=tmp_path, **library)
    assert ran.returncode == 2
    message = ran.stderr.decode("ascii")
    assert "Traceback" not in message
    assert r"Bl\xe5" in message
    assert "\x1b" not in message


def test_what_is_written_is_escaped_and_what_programs_read_is_not(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with safe_output():
        print("a\x1b[2Jb\tc\u202ed\x9b")
        print("a\x1bb", file=exact_output())
    assert capsys.readouterr().out == "a\\x1b[2Jb\tc\\u202ed\\x9b\na\x1bb\n"
    assert exact_output() is sys.stdout
    assert printable("a\nb\x1bc\té") == r"a\nb\x1bc\té"


def test_an_interrupt_waits_for_the_end_of_a_call_that_would_lose_it():
    reached = []

    def call() -> None:
        with deferred_interrupt():
            signal.raise_signal(signal.SIGINT)
            reached.append("end")

    with pytest.raises(KeyboardInterrupt):
        call()
    assert reached == ["end"]
    with pytest.raises(KeyboardInterrupt):  # as before
        signal.raise_signal(signal.SIGINT)
