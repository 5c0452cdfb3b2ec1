"""`melgraph ui`: ports, waiting, and three servers that start and stop together.

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

from melgraph.pipelines import ui
from melgraph.storage.home import Home

# `melgraph ui` with small servers in the place of Dagster and MLflow; `{broken}` replaces one.
PROGRAM = """
import sys
from melgraph.pipelines import cli
from melgraph.pipelines import ui

def server(port):
    return [sys.executable, "-m", "http.server", "--bind", "127.0.0.1", str(port)]

ui._dagster = server
ui._mlflow = lambda home, port: server(port)
ui.WAIT_S = 20.0
{broken}
sys.exit(cli.main(["ui", "--home", sys.argv[1], "--port", sys.argv[2]]))
"""
DIES = '[sys.executable, "-c", "print(\'no database\'); raise SystemExit(3)"]'
STOPS = (
    '[sys.executable, "-c", "import socket, time; s = socket.create_server((\'127.0.0.1\', %d));'
    ' time.sleep(2)" % port]'
)


def listening() -> socket.socket:
    return socket.create_server((ui.LOOPBACK, 0))


def test_a_taken_port_is_passed_over():
    with listening() as taken:
        port = taken.getsockname()[1]
        found = ui._free_ports(port, 3)
    assert len(set(found)) == 3
    assert min(found) > port
    assert found == sorted(found)


def test_waiting_ends_when_the_server_answers():
    with listening() as server:
        assert ui._wait_until_answering(server.getsockname()[1], None)


def test_waiting_ends_when_the_process_has_died():
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
        (port,) = ui._free_ports(20_000, 1)
        started = time.monotonic()
        assert not ui._wait_until_answering(port, process)
        assert time.monotonic() - started < 5


def test_waiting_ends_at_last(monkeypatch):
    monkeypatch.setattr(ui, "WAIT_S", 0.5)
    (port,) = ui._free_ports(20_000, 1)
    assert not ui._wait_until_answering(port, None)


def test_a_process_that_hears_no_signal_is_killed(tmp_path):
    deaf = "import signal, time\nfor n in (2, 15): signal.signal(n, signal.SIG_IGN)\nprint(flush=1)"
    log = tmp_path / "log"
    with ui._process([sys.executable, "-c", f"{deaf}\ntime.sleep(600)"], log) as process:
        while not log.read_text():
            time.sleep(0.05)
        waits: list[float] = []
        real_wait = process.wait
        process.wait = lambda patience: waits.append(patience) or real_wait(min(patience, 0.5))
    assert process.returncode == -signal.SIGKILL
    assert waits == [10.0, 5.0, 5.0]


@pytest.fixture
def home(tmp_path: Path) -> Home:
    (tmp_path / "songs").mkdir()
    return Home(tmp_path / "home", tmp_path / "songs").create()


def start(home: Home, broken: str = "") -> subprocess.Popen:
    (port,) = ui._free_ports(23_000, 1)
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM.format(broken=broken), str(home.root), str(port)],
        cwd=home.root.parent, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        # as on a terminal: what runs in the background of a shell ignores Ctrl-C, and so do we
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip


def read_until(process: subprocess.Popen, text: str) -> str:
    said = ""
    while text not in said:
        line = process.stdout.readline()
        assert line, said
        said += line
    return said


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_all_start_and_stop_together(home, number):
    process = start(home)
    said = read_until(process, "Ctrl-C stops all three")
    addresses = dict(re.findall(r"^  (\w+) +http://127\.0\.0\.1:(\d+)$", said, re.M))
    assert list(addresses) == ["Dagster", "MLflow", "pages"]
    for name, port in addresses.items():
        connection = http.client.HTTPConnection(ui.LOOPBACK, int(port), timeout=10)
        connection.request("GET", "/")
        assert connection.getresponse().status < 500, name
        connection.close()
    assert (home.dagster / "dagster.yaml").is_file()
    process.send_signal(number)
    rest, _ = process.communicate(timeout=30)
    assert process.returncode == 0
    assert "Traceback" not in rest
    for port in addresses.values():
        with pytest.raises(OSError, match="refused"):
            socket.create_connection((ui.LOOPBACK, int(port)), timeout=5)


def test_a_server_that_does_not_start_is_named(home):
    process = start(home, f"ui._mlflow = lambda home, port: {DIES}")
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 1
    assert f"MLflow did not start; see the last lines of its log in {home.root / 'logs'}" in said
    assert "no database" in (home.root / "logs" / "mlflow.log").read_text()
    assert "Traceback" not in said


def test_a_server_that_stops_by_itself_ends_all(home):
    process = start(home, f"ui._mlflow = lambda home, port: {STOPS}")
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "a server stopped by itself" in said
