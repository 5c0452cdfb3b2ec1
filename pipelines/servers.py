"""The servers of `melgraph ui`: Dagster, MLflow and the pages, started and stopped together."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from melgraph.assets.context import Context
from melgraph.assets.resources import HomeResource
from melgraph.assets.settings import current_home
from melgraph.ml.specs import load_specs
from melgraph.pipelines.instance import open_instance, prepare
from melgraph.pipelines.runs.announcements import announce
from melgraph.pipelines.runs.damage import explained_settings
from melgraph.pipelines.runs.executor import executor_of_environment
from melgraph.pipelines.runs.ownership import fail_dead_runs
from melgraph.storage.home import Home
from melgraph.storage.relocation import artifact_root
from melgraph.storage.urls import sqlite_url

LOOPBACK = "127.0.0.1"
SAY_EVERY_S = 10.0
SHOWN_LINES = 8  # of a log
WAIT_S = 300.0  # long enough for a busy machine; the death of a server ends the waiting at once


def serve(first_port: int) -> int:
    """Start the three servers, print their addresses when they answer, and wait for Ctrl-C.

    Args:
        first_port: port of Dagster, or the next free one; the pages and MLflow get those after it.

    Returns:
        1 if a server did not start or stopped by itself, else 0.

    Raises:
        StorageError: the library or the home cannot be used.
        UserError: a TOML file cannot be used, or the setting of the executor.
    """
    current_home().open_library().check()
    # Dagster's own process would report these mistakes only in its log.
    load_specs(current_home().specs)
    executor_of_environment(HomeResource())
    home = current_home().create()
    home.mlflow.mkdir(exist_ok=True)
    prepare(home)
    with open_instance(home) as instance:
        with explained_settings(home):
            _ = instance.run_launcher, instance.run_coordinator  # read at first use
        fail_dead_runs(instance, home)  # before Dagster's daemon counts them
        announce(instance, Context.open(home), report=print)
    dagster_port, pages_port, mlflow_port = _free_ports(first_port, 3)
    os.environ["MELGRAPH_PAGES_URL"] = f"http://{LOOPBACK}:{pages_port}"
    os.environ["MELGRAPH_DAGSTER_URL"] = f"http://{LOOPBACK}:{dagster_port}"
    os.environ["MELGRAPH_MLFLOW_URL"] = f"http://{LOOPBACK}:{mlflow_port}"
    # We use only tracking and the registry; MLflow's idle job workers would take 10 % of a core.
    os.environ["MLFLOW_SERVER_ENABLE_JOB_EXECUTION"] = "false"
    signal.signal(signal.SIGTERM, _interrupt)  # so that a terminated `melgraph ui` stops them
    logs = home.root / "logs"
    logs.mkdir(exist_ok=True)
    print(
        f"library: {home.library}\nhome:    {home.root}\nstarting (logs in {logs}) ...", flush=True
    )
    with (
        _serving_pages(home, pages_port),
        _running(_dagster_command(dagster_port, logs), logs / "dagster.log") as dagster,
        _running(_mlflow_command(home, mlflow_port), logs / "mlflow.log", logs) as mlflow,
    ):
        servers = {
            "Dagster": (dagster_port, dagster),
            "MLflow": (mlflow_port, mlflow),
            "pages": (pages_port, None),
        }
        try:
            for name, (port, process) in servers.items():
                if problem := _starting_problem(name, port, process, logs):
                    print(problem)
                    return 1
                print(f"  {name:8} http://{LOOPBACK}:{port}", flush=True)
            print("Ctrl-C stops all three", flush=True)
            while dagster.poll() is None and mlflow.poll() is None:
                time.sleep(0.5)
            stopped_server = "Dagster" if dagster.poll() is not None else "MLflow"
        except KeyboardInterrupt:
            print("\nstopping", flush=True)
            return 0
    print(f"{stopped_server} stopped by itself; see the last lines of its log in {logs}")
    return 1


def _starting_problem(
    name: str, port: int, process: subprocess.Popen | None, logs: Path
) -> str | None:
    """Wait until a server can be used. Returns the reason if it cannot."""
    if not _wait_until_answering(port, process, name):
        sentence = f"{name} did not start; see the last lines of its log in {logs}"
        return "\n  ".join([f"{sentence}:", *_last_lines(logs / f"{name.lower()}.log")])
    if name == "Dagster" and (problem := _loading_problem(port, process)):
        return f"Dagster cannot load the assets; its log is in {logs}\n  {problem}"
    return None


def _last_lines(log: Path) -> list[str]:
    """The end of a log, as far as it exists."""
    if not log.is_file():
        return []
    return log.read_text("utf-8", "replace").splitlines()[-SHOWN_LINES:]


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def _dagster_command(port: int, neutral: Path) -> list[str]:
    """The command that starts Dagster.

    Args:
        port: of Dagster.
        neutral: a folder without Python modules. Dagster puts its working directory on the import
            path of the assets, and the user's own modules there could hide modules of a library.
    """
    return [
        sys.executable, "-m", "dagster", "dev", "-m", "melgraph.pipelines.definitions",
        "-d", str(neutral), "-h", LOOPBACK, "-p", str(port),
    ]  # fmt: skip


def _mlflow_command(home: Home, port: int) -> list[str]:
    return [
        sys.executable, "-m", "mlflow", "server", "--host", LOOPBACK, "--port", str(port),
        "--workers", "1",
        "--backend-store-uri", sqlite_url(home.mlflow / "mlflow.db"),
        "--default-artifact-root", artifact_root(home.mlflow),
    ]  # fmt: skip


@contextmanager
def _running(
    command: list[str], log: Path, folder: Path | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """A server, which is stopped at the end of the block.

    Args:
        command: starts it.
        log: receives its output.
        folder: its working directory; None for the present one.
    """
    # Without this setting, `python -m` imports the modules of the working directory first: a user's
    # `types.py` there would hide that of Python.
    environment = {**os.environ, "PYTHONSAFEPATH": "1"}
    with log.open("ab") as output:
        process = subprocess.Popen(
            command, stdout=output, stderr=subprocess.STDOUT, start_new_session=True,
            env=environment, cwd=folder,
        )  # fmt: skip
        try:
            yield process
        finally:
            _stop(process)


def _stop(process: subprocess.Popen[bytes]) -> None:
    """Ask a process and its children to stop, ever more firmly."""
    for number, patience_s in ((signal.SIGINT, 10.0), (signal.SIGTERM, 5.0), (signal.SIGKILL, 5.0)):
        if process.poll() is not None:
            return
        os.killpg(process.pid, number)
        try:
            process.wait(patience_s)
        except subprocess.TimeoutExpired:
            continue


@contextmanager
def _serving_pages(home: Home, port: int) -> Iterator[None]:
    import uvicorn

    from melgraph.assets.service.app import build_app

    config = uvicorn.Config(build_app(home), host=LOOPBACK, port=port, log_level="warning")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.should_exit = True
        thread.join(5.0)


def _free_ports(first: int, count: int) -> list[int]:
    ports: list[int] = []
    port = first
    while len(ports) < count:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((LOOPBACK, port))
                ports.append(port)
            except OSError:
                pass
        port += 1
    return ports


def _wait_until_answering(port: int, process: subprocess.Popen | None, name: str) -> bool:
    """Whether a server answers, within WAIT_S and before its process ends."""
    for _ in _waiting(process, f"{name} to start"):
        try:
            with socket.create_connection((LOOPBACK, port), timeout=1.0):
                return True
        except OSError:
            continue
    return False


def _loading_problem(port: int, process: subprocess.Popen | None) -> str | None:
    """Wait until Dagster has loaded the assets. Returns the error message if it cannot."""
    for _ in _waiting(process, "Dagster to load the assets"):
        try:
            answer = _ask_dagster(port, _LOCATIONS)["data"]["workspaceOrError"]
        except OSError:  # the server is busy
            continue
        if "locationEntries" not in answer:
            return str(answer["message"]).strip()
        entries = answer["locationEntries"]
        if not entries or any(entry["loadStatus"] != "LOADED" for entry in entries):
            continue
        errors = [entry["locationOrLoadError"].get("message") for entry in entries]
        return "\n".join(error.strip() for error in errors if error) or None
    return "it did not load them in time"


_LOCATIONS = """
{ workspaceOrError {
    ... on Workspace { locationEntries {
      loadStatus
      locationOrLoadError { ... on PythonError { message } } } }
    ... on PythonError { message } } }
"""


def _ask_dagster(port: int, query: str) -> dict[str, Any]:
    """The answer of Dagster to a GraphQL query."""
    request = urllib.request.Request(
        f"http://{LOOPBACK}:{port}/graphql",
        json.dumps({"query": query}).encode(),
        {"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=30.0) as response:
        answer: dict[str, Any] = json.load(response)
        return answer


def _waiting(process: subprocess.Popen | None, what: str) -> Iterator[None]:
    """Yield until WAIT_S are over or the process ends. Say from time to time what is awaited."""
    began = said = time.monotonic()
    while time.monotonic() - began < WAIT_S and (process is None or process.poll() is None):
        yield
        time.sleep(0.3)
        if time.monotonic() - said > SAY_EVERY_S:
            said = time.monotonic()
            print(f"  waiting for {what} ({said - began:.0f} s) ...", flush=True)
