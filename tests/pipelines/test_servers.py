"""The servers of `melgraph ui`: ports, waiting, and three that start and stop together.

The servers here are stand-ins that answer at once; the real ones are in `test_browser.py`.
"""

import http.client
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from melgraph.ml.errors import UserError
from melgraph.pipelines import servers
from melgraph.storage.home import Home
from tests.conftest import PATIENCE_S

# `melgraph ui` with small servers in place of Dagster and MLflow; `{broken}` replaces one of them.
PROGRAM = """
import sys
from melgraph.pipelines import cli, servers

def server(port):
    return [sys.executable, "-m", "http.server", "--bind", "127.0.0.1", str(port)]

servers._dagster_command = lambda port, neutral: server(port)
servers._loading_problem = lambda port, process: None
servers._mlflow_command = lambda home, port: server(port)
{broken}
sys.exit(cli.main(["ui", "--home", sys.argv[1], "--port", sys.argv[2]]))
"""
DIES = '[sys.executable, "-c", "print(\'no database\'); raise SystemExit(3)"]'
IGNORES_SIGNALS = """
import signal, time
for number in (signal.SIGINT, signal.SIGTERM):
    signal.signal(number, signal.SIG_IGN)
print(flush=True)
time.sleep(600)
"""
STOPS = (
    '[sys.executable, "-c", "import socket, time; s = socket.create_server((\'127.0.0.1\', %d));'
    ' time.sleep(2)" % port]'
)


def listening() -> socket.socket:
    return socket.create_server((servers.LOOPBACK, 0))


def test_a_taken_port_is_passed_over():
    with listening() as taken:
        port = taken.getsockname()[1]
        ports = servers._free_ports(port, 3)
    assert len(set(ports)) == 3
    assert min(ports) > port
    assert ports == sorted(ports)


def test_waiting_ends_when_the_server_answers():
    with listening() as server:
        assert servers._wait_until_answering(server.getsockname()[1], None, "it")


def test_waiting_ends_when_the_process_has_died(monkeypatch):
    monkeypatch.setattr(servers.time, "sleep", None)  # it does not wait at all
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
        (port,) = servers._free_ports(20_000, 1)
        assert not servers._wait_until_answering(port, process, "it")


def test_waiting_ends_after_its_limit(monkeypatch):
    monkeypatch.setattr(servers, "WAIT_S", 0.5)
    (port,) = servers._free_ports(20_000, 1)
    assert not servers._wait_until_answering(port, None, "it")


def test_waiting_says_what_it_waits_for(monkeypatch, capsys):
    monkeypatch.setattr(servers, "WAIT_S", 0.9)
    monkeypatch.setattr(servers, "SAY_EVERY_S", 0.2)
    (port,) = servers._free_ports(20_000, 1)
    assert not servers._wait_until_answering(port, None, "Dagster")
    assert "waiting for Dagster to start (0 s) ..." in capsys.readouterr().out


def location(status: str, message: str | None = None) -> dict:
    loaded = {} if message is None else {"message": message}
    entry = {"loadStatus": status, "locationOrLoadError": loaded}
    return {"data": {"workspaceOrError": {"locationEntries": [entry]}}}


@pytest.mark.parametrize(
    ("answers", "problem"),
    [
        ([location("LOADED")], None),
        ([OSError("busy"), location("LOADING"), location("LOADED")], None),
        ([location("LOADED", "ImportError: no\n")], "ImportError: no"),
        ([{"data": {"workspaceOrError": {"message": "broken"}}}], "broken"),
    ],
)
def test_the_assets_are_loaded_or_the_reason_is_given(monkeypatch, answers, problem):
    def answer(port: int, query: str) -> dict:
        each = answers.pop(0)
        if isinstance(each, OSError):
            raise each
        return each

    monkeypatch.setattr(servers, "_ask_dagster", answer)
    assert servers._loading_problem(3000, None) == problem
    assert answers == []


def test_a_process_that_ignores_signals_is_killed(tmp_path):
    log = tmp_path / "log"
    with servers._running([sys.executable, "-c", IGNORES_SIGNALS], log) as process:
        while not log.read_text():
            time.sleep(0.05)
        waits: list[float] = []
        real_wait = process.wait
        process.wait = lambda patience_s: (
            waits.append(patience_s) or real_wait(min(patience_s, 0.5))
        )
    assert process.returncode == -signal.SIGKILL
    assert waits == [10.0, 5.0, 5.0]


@pytest.fixture
def home(tmp_path: Path) -> Home:
    (tmp_path / "songs").mkdir()
    return Home(tmp_path / "home", tmp_path / "songs").create()


def start(home: Home, broken: str = "") -> subprocess.Popen:
    (port,) = servers._free_ports(23_000, 1)
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM.format(broken=broken), str(home.root), str(port)],
        cwd=home.root.parent, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        # as on a terminal: a background process of a shell would ignore Ctrl-C
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip


def read_until(process: subprocess.Popen, text: str) -> str:
    output = ""
    while text not in output:
        line = process.stdout.readline()
        assert line, output
        output += line
    return output


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_all_start_and_stop_together(home, number):
    process = start(home)
    output = read_until(process, "Ctrl-C stops all three")
    addresses = dict(re.findall(r"^  (\w+) +http://127\.0\.0\.1:(\d+)$", output, re.M))
    assert list(addresses) == ["Dagster", "MLflow", "pages"]
    for name, port in addresses.items():
        connection = http.client.HTTPConnection(servers.LOOPBACK, int(port), timeout=PATIENCE_S)
        connection.request("GET", "/")
        assert connection.getresponse().status < 500, name
        connection.close()
    assert (home.dagster / "dagster.yaml").is_file()
    process.send_signal(number)
    rest, _ = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0
    assert "Traceback" not in rest
    for port in addresses.values():
        with pytest.raises(OSError, match="refused"):
            socket.create_connection((servers.LOOPBACK, int(port)), timeout=5)


def test_a_server_that_does_not_start_is_named(home):
    process = start(home, f"servers._mlflow_command = lambda home, port: {DIES}")
    output, _ = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 1
    assert f"MLflow did not start; see the last lines of its log in {home.root / 'logs'}" in output
    assert "no database" in (home.root / "logs" / "mlflow.log").read_text()
    assert "no database" in output
    assert "Traceback" not in output


def test_a_server_that_stops_by_itself_ends_all(home):
    process = start(home, f"servers._mlflow_command = lambda home, port: {STOPS}")
    output, _ = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 1
    assert "MLflow stopped by itself; see the last lines of its log in" in output


def test_a_broken_toml_file_is_reported_before_a_server_starts(tmp_path, monkeypatch):
    (tmp_path / "songs").mkdir()
    specs = tmp_path / "home" / "specs" / "experiments"
    specs.mkdir(parents=True)
    (specs / "mine.toml").write_text("title = ")
    monkeypatch.setenv("MELGRAPH_LIBRARY", str(tmp_path / "songs"))
    monkeypatch.setenv("MELGRAPH_HOME", str(tmp_path / "home"))
    with pytest.raises(UserError, match=r"mine\.toml"):
        servers.serve(3000)
    assert not (tmp_path / "home" / "logs").exists()
