"""The command line: help, usage, and which errors are explained to the user."""

import errno
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from melgraph.pipelines.cli import COMMANDS, main
from melgraph.storage.home import Home
from tests.conftest import HEAVY_MODULES, PATIENCE_S


@pytest.mark.parametrize("number", [errno.EACCES, errno.ENOSPC, errno.EROFS])
def test_a_disk_that_cannot_be_written(refuse, library, monkeypatch, number):
    def create(home: Home) -> Home:
        raise OSError(number, os.strerror(number), str(home.root))

    monkeypatch.setattr(Home, "create", create)
    message = refuse("run", "--library", str(library), "--home", "home")
    assert os.strerror(number) in message
    assert "home" in message


def test_a_bug_is_not_taken_for_a_users_mistake(library, monkeypatch, tmp_path):
    def create(home: Home) -> Home:
        raise OSError(errno.EBADF, "Bad file descriptor")

    monkeypatch.setattr(Home, "create", create)
    with pytest.raises(OSError, match="Bad file descriptor"):
        main(["run", "--library", str(library), "--home", str(tmp_path / "home")])


@pytest.mark.parametrize("command", COMMANDS)
def test_help(command, capsys):
    with pytest.raises(SystemExit) as stopped:
        main([command, "--help"])
    assert stopped.value.code == 0
    text = capsys.readouterr().out
    assert f"usage: melgraph {command}" in text
    assert f"examples:\n  melgraph {command}" in text
    assert "--home" in text


def test_help_names_every_command(capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["--help"])
    assert stopped.value.code == 0
    text = capsys.readouterr().out
    for command in COMMANDS:
        assert re.search(rf"^ +{command}\s+[A-Z]", text, re.MULTILINE)


def test_help_imports_nothing_heavy():
    """Help must answer at once. Counted in imports, because seconds depend on the machine."""
    program = (
        "import json, sys; from melgraph.pipelines.cli import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: print(json.dumps(sorted(sys.modules)))"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True, text=True, timeout=PATIENCE_S, check=True,
    )  # fmt: skip
    modules = set(json.loads(ran.stdout.splitlines()[-1]))
    light = {"melgraph", "melgraph.pipelines", "melgraph.pipelines.cli",
             "melgraph.pipelines.commands", "melgraph.pipelines.terminal", "melgraph.storage",
             "melgraph.storage.errors",
             *(f"melgraph.pipelines.commands.{name}" for name in COMMANDS)}  # fmt: skip
    assert {name for name in modules if name.split(".")[0] == "melgraph"} == light
    assert modules.isdisjoint({*HEAVY_MODULES, "subprocess", "tempfile"})


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
        cwd=tmp_path, capture_output=True, text=True, timeout=PATIENCE_S,
    )  # fmt: skip
    assert ran.returncode == 2
    assert ran.stderr.startswith("melgraph: the library does not exist\n  where: ")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("lines", [1, 100_000])
def test_a_closed_pipe(tmp_path, lines):
    """`melgraph audit ... | head` ends without an error, in the middle of a line or at its end."""
    program = (
        "import sys; from melgraph.pipelines import cli; "
        f"cli.audit.run = lambda options: print('a line\\n' * {lines}) or 0; "
        "sys.exit(cli.main(['audit', 'tracks']))"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program], cwd=tmp_path, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        process.stdout.close()
        assert process.stderr.read() == ""
        assert process.wait(PATIENCE_S) == 0
