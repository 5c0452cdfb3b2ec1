"""`melgraph ui` in a folder with modules of well-known names, and with assets that cannot load.

The real servers run here, each in a process of its own.
"""

import json
import os
import re
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from melgraph.pipelines import servers
from melgraph.storage.home import Home
from tests.conftest import PATIENCE_S

# Modules of Python, of the libraries, and the rooms of melgraph: each would end the program that
# imports it from the working directory instead of the right one.
NAMES = ("storage", "assets", "ml", "pipelines", "types", "logging", "json", "yaml", "mlflow",
         "dagster", "uvicorn", "melgraph")  # fmt: skip
BROKEN = """
import sys
from melgraph.pipelines import cli, servers

command = servers._dagster_command
servers._dagster_command = lambda port, neutral: [
    "no_such_module" if word == "melgraph.pipelines.definitions" else word
    for word in command(port, neutral)
]
sys.exit(cli.main(sys.argv[1:]))
"""


@pytest.fixture
def home(tmp_path: Path) -> Home:
    (tmp_path / "songs").mkdir()
    return Home(tmp_path / "home", str(tmp_path / "songs")).create()


def start(home: Home, folder: Path, *command: str) -> subprocess.Popen:
    (port,) = servers._free_ports(24_000, 1)
    return subprocess.Popen(
        [sys.executable, "-P", *command, "ui", "--home", str(home.root), "--port", str(port)],
        cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        env={**os.environ, "MELGRAPH_HOME": str(home.root)},
    )  # fmt: skip


def test_modules_of_the_working_directory_are_not_imported(home, tmp_path):
    folder = tmp_path / "mine"
    folder.mkdir()
    for name in NAMES:
        (folder / f"{name}.py").write_text(f"raise SystemExit('{name}.py was imported')\n")
    process = start(home, folder, "-m", "melgraph.pipelines.cli")
    try:
        output = ""
        while "Ctrl-C stops all three" not in output:
            line = process.stdout.readline()
            assert line, output
            output += line
        urls = dict(re.findall(r"^  (\w+) +(http://\S+)$", output, re.M))
        query = json.dumps({"query": "{ assetsOrError { ... on AssetConnection { nodes { id }}}}"})
        asked = urllib.request.Request(
            f"{urls['Dagster']}/graphql", query.encode(), {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(asked, timeout=PATIENCE_S) as answer:
            assert "errors" not in json.load(answer)
        with urllib.request.urlopen(f"{urls['MLflow']}/health", timeout=PATIENCE_S) as answer:
            assert answer.status == 200
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=PATIENCE_S)
    logs = "".join(path.read_text() for path in (home.root / "logs").iterdir())
    assert "was imported" not in logs


def test_assets_that_cannot_be_loaded_are_reported(home, tmp_path):
    process = start(home, tmp_path, "-c", BROKEN)
    output, _ = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 1
    assert "Dagster cannot load the assets; its log is in" in output
    assert "no_such_module" in output
