"""`melgraph generate`, on a copy of a home that a real run made."""

import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import soundfile

from melgraph.pipelines.cli import main
from tests.conftest import GUIDE, PATIENCE_S


@pytest.fixture
def generate(capsys, monkeypatch):
    """Generate in a home; returns the exit status, what was output, and the messages."""

    def run(home, *arguments: object) -> tuple[int, str, str]:
        monkeypatch.setenv("MELGRAPH_HOME", str(home.root))
        status = main(["generate", *map(str, arguments)])
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return run


def test_without_a_recipe_it_lists_them(made_home, generate):
    status, output, _ = generate(made_home)
    assert status == 0
    assert re.search(r"^  \* deep-dream +A second of a dream: for tests$", output, re.M)
    assert re.search(r"^    guided-dream +A second of a dream towards", output, re.M)


def test_a_recipe_that_is_made_already(made_home, generate):
    status, output, _ = generate(made_home, "deep-dream")
    assert status == 0
    assert output.count("already there") == 2  # the sounds and the pages
    artifact = made_home.store.need("dreams", "deep-dream")
    assert f"audit:   melgraph audit {artifact.reference}" in output
    assert "sounds.html#recipe-deep-dream" in output


def test_the_same_request_is_there_already(made_home, generate):
    arguments = ("guided-dream", "--source", made_home.outside, "--guide", GUIDE, "--start", 1)
    status, output, _ = generate(made_home, *arguments)
    assert status == 0
    assert "sounds:  already there" in output
    assert "0:01.0 to 0:02.5 of 0:04.0" in output


def test_damaged_sounds_are_not_there_already(home_copy, generate):
    home = home_copy()
    arguments = ("guided-dream", "--source", home.outside, "--guide", GUIDE, "--start", 1)
    (name,) = home.store.partitions("requested_sounds")
    artifact = home.store.need("requested_sounds", name)
    next(artifact.folder.glob("*.dream.flac")).unlink()
    status, _, message = generate(home, *arguments)
    assert status == 2
    assert "the sounds were generated before, and are damaged" in message
    shutil.rmtree(artifact.folder)  # the remedy; pages do not wait for it
    assert generate(home, "deep-dream")[0] == 0
    assert not any(
        reference.asset == "requested_sounds"
        for reference in home.store.need("pages", "all").record.spec.inputs
    )
    status, output, _ = generate(home, *arguments)
    assert status == 0
    assert "sounds:  done" in output
    assert artifact.reference in home.store.need("pages", "all").record.spec.inputs


def test_a_request_makes_a_sound_and_the_pages(home_copy, generate):
    home = home_copy()
    pages = home.store.need("pages", "all").reference
    status, output, _ = generate(home, "deep-dream", "--source", GUIDE, "--seconds", 0.75)
    assert status == 0
    assert f"source:  {GUIDE} (library), 0:00.0 to 0:00.8 of 0:04.0" in output
    (sound,) = re.findall(r"^sound:   (.+)$", output, re.M)
    assert soundfile.info(sound).duration == pytest.approx(0.75, abs=1e-4)
    assert home.store.need("pages", "all").reference != pages
    (page, anchor) = re.findall(r"^page:    (.+)#(.+)$", output, re.M)[0]
    assert f'id="{anchor}"' in Path(page).read_text(encoding="utf-8")
    own = home.store.need("dreams", "deep-dream").reference
    assert own in home.store.need("pages", "all").record.spec.inputs


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nope"], "unknown recipe 'nope'"),
        (["deep-dream", "--source", "nope.mp3"], "there is no such file"),
        (["deep-dream", "--guide", GUIDE], "the recipe uses no guide song"),
        (["guided-dream", "--source", GUIDE, "--guide", GUIDE], "the guide is the source itself"),
        (["guided-dream", "--source", GUIDE], "needs a guide song"),
        (["deep-dream", "--source", GUIDE, "--start", "100"], "the recording is 4.0 s long"),
        (["--source", GUIDE], "no recipe is named"),
    ],
)
def test_a_mistake_is_one_message(made_home, generate, arguments, message):
    status, _, errors = generate(made_home, *arguments)
    assert status == 2
    assert message in errors
    assert "Traceback" not in errors
    assert "remedy:" in errors


def test_an_unknown_recipe_lists_those_there_are(made_home, generate):
    status, _, errors = generate(made_home, "dance")
    assert status == 2
    assert all(name in errors for name in ("deep-dream", "guided-dream"))


def test_no_home(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("MELGRAPH_HOME", str(tmp_path / "none"))
    assert main(["generate", "deep-dream"]) == 2
    assert "there is no melgraph home here" in capsys.readouterr().err
    assert not (tmp_path / "none").exists()


def test_an_interrupt_keeps_nothing_half_written(home_copy):
    """The dream is made long, and interrupted while it is computed."""
    home = home_copy()
    recipe = home.root / "specs" / "recipes" / "long.toml"
    text = (home.root / "specs" / "recipes" / "deep-dream.toml").read_text()
    recipe.write_text(text.replace("steps = 2", "steps = 1000000"))
    before = set((home.home.artifacts / "requested_sounds").rglob("*"))
    command = [sys.executable, "-m", "melgraph.pipelines.cli", "generate", "long",
               "--home", str(home.root), "--source", str(home.outside)]  # fmt: skip
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=home.root.parent,
        # a shell that runs the tests in the background makes them, and so this, ignore SIGINT
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip
    assert process.stdout is not None
    while not process.stdout.readline().startswith("making:"):
        assert process.poll() is None
    pending = home.home.pending / "requested_sounds"
    started = time.monotonic()
    while not [*pending.glob("*")] and time.monotonic() < started + PATIENCE_S:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 130
    assert "Traceback" not in errors
    assert set((home.home.artifacts / "requested_sounds").rglob("*")) == before
    assert not [path for path in home.home.pending.rglob("*") if path.is_file()]
