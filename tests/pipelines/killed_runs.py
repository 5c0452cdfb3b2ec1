"""Libraries whose runs are killed, the process that runs them, and what must hold afterwards."""

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from melgraph.storage.artifacts import Artifact, ArtifactStore
from melgraph.storage.catalogue import Catalogue
from melgraph.storage.home import open_home
from melgraph.storage.records import RECORD_NAME, Reference

ROOT = Path(__file__).parents[2]
RATE = 22050
LONG_AGO_NS = 1_700_000_000_000_000_000  # files that nobody is still writing to
SECONDS, LONG_SECONDS = 0.6, 40.0
DEATH_S = 600.0  # within which workers of a run that was killed must have ended
THREADS = ("OMP", "MKL", "OPENBLAS", "POLARS_MAX", "RAYON")


# -- the libraries --------------------------------------------------------------------------------


def _sound(path: Path, seed: int, seconds: float = SECONDS) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    draw = np.random.default_rng(seed)
    t = np.arange(int(seconds * RATE)) / RATE
    tones = np.sin(2 * np.pi * t * draw.uniform(200, 2000)) + 0.2 * draw.standard_normal(len(t))
    soundfile.write(path, 0.3 * tones.astype(np.float32), RATE)


def _dated(library: Path) -> None:
    for path in library.rglob("*"):
        os.utime(path, ns=(LONG_AGO_NS, LONG_AGO_NS))


def write_library(library: Path) -> None:
    """Three folders of sounds; one file is a copy of another, one is broken."""
    for number, folder in enumerate(("a", "b", "c")):
        for n in range(2):
            _sound(library / folder / f"{n}.wav", 10 * number + n)
    shutil.copy(library / "a" / "0.wav", library / "b" / "copy.wav")
    (library / "c" / "broken.mp3").write_bytes(b"this is no music")
    _dated(library)


def write_long_library(library: Path) -> None:
    """Four sounds that take a while to decode."""
    for n in range(4):
        _sound(library / "a" / f"{n}.wav", n, LONG_SECONDS)
    _dated(library)


def grow_library(library: Path) -> None:
    """Four files are new, one changed, one moved, one was touched, one is gone."""
    before = {path: path.stat().st_mtime_ns for path in library.rglob("*.*")}
    for n in range(2, 5):
        _sound(library / "a" / f"{n}.wav", 40 + n)
    shutil.copy(library / "b" / "1.wav", library / "c" / "copy.wav")
    _sound(library / "b" / "0.wav", 50)
    (library / "a" / "1.wav").rename(library / "c" / "moved.wav")
    (library / "c" / "1.wav").unlink()
    _dated(library)
    for path in (library / "b" / "0.wav", library / "c" / "0.wav"):
        os.utime(path, ns=(LONG_AGO_NS, before[path] + 10**9))


# -- the process that is forked for each run ------------------------------------------------------


class Runs:
    """The process of `tests.pipelines.killed_process`; use it as a context."""

    def __init__(self) -> None:
        threads = {f"{name}_NUM_THREADS": "1" for name in THREADS} | {"POLARS_MAX_THREADS": "1"}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.pipelines.killed_process"],
            cwd=ROOT,
            env={**os.environ, **threads, "MELGRAPH_HOME": str(ROOT / "tests" / "no-home")},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> "Runs":
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate()  # closes its stdin, and it ends

    def run(self, home: Path, library: Path, **order: Any) -> "Ending":
        """Carry out an order of `killed_process.Order`."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        line = json.dumps({"home": str(home), "library": str(library), **order})
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()
        return Ending(**json.loads(self._process.stdout.readline()))


@dataclass(frozen=True)
class Ending:
    """How a run ended: see `killed_process.Ending`."""

    status: int
    seconds: float
    last: str
    trace: list[str]
    left: list[str]
    process: int


class Command:
    """`melgraph run`, as a user starts it: a process group of its own."""

    def __init__(self, home: Path, library: Path, batch_size: int) -> None:
        arguments = ["--home", str(home), "--library", str(library), "--refresh"]
        arguments += ["--batch-size", str(batch_size)]
        self._process = subprocess.Popen(
            [sys.executable, "-m", "melgraph.pipelines.cli", "run", *arguments],
            cwd=home.parent,
            env={**os.environ, "PYTHONPATH": str(ROOT), "MELGRAPH_WORKERS": "2"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def kill_in_stage(self, stage: int, delay_s: float) -> None:
        """Kill all its processes, so long after it said that it begins a stage."""
        assert self._process.stdout is not None
        said = ""
        while not (line := self._process.stdout.readline()).startswith(f"[{stage}/"):
            said += line
            assert line, said
        time.sleep(delay_s)
        assert self._process.poll() is None, said
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.communicate()
        assert self._process.returncode == -signal.SIGKILL
        wait_for_the_end(self._process.pid)

    def finish(self) -> str:
        """Let it end well. Returns what it said."""
        said, _ = self._process.communicate()
        assert self._process.returncode == 0, said
        return said


# -- what must hold -------------------------------------------------------------------------------


def committed(store: ArtifactStore) -> Iterator[Artifact]:
    """Every artifact that has a record, whether a pointer names it or not."""
    for path in sorted(store.root.glob(f"*/*/*/{RECORD_NAME}")):
        yield store.get(Reference(*path.relative_to(store.root).parts[:3]))


def events(home: Path) -> Counter[tuple[Any, ...]]:
    """Every fact of the catalogue but its time, and how often it is told."""
    path = home / "catalogue.sqlite"
    if not path.is_file():
        return Counter()
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        if not connection.execute("PRAGMA user_version").fetchone()[0]:
            return Counter()
        query = "SELECT event, path, bytes, mtime_ns, batch, track_id, from_path, origin"
        return Counter(connection.execute(f"{query} FROM events").fetchall())


@dataclass(frozen=True)
class Answers:
    """All that a home answers, but for when and by whom it was made."""

    artifacts: dict[str, Any]
    current: dict[str, str]
    events: Counter[tuple[Any, ...]]
    catalogue: dict[str, Any]
    files: frozenset[str]


def answers(home: Path) -> Answers:
    """Read everything of a home; every byte is compared with its record."""
    store, catalogue = ArtifactStore(open_home(home)), Catalogue(home / "catalogue.sqlite")
    found = {}
    for artifact in committed(store):
        assert store.verify(artifact) == []
        record = asdict(artifact.record)
        for name in ("run", "environment", "started_at", "finished_at"):
            del record[name]
        found[str(artifact.reference)] = record
    current = {
        f"{asset}/{name}": str(store.need(asset, name).reference)
        for asset in store.assets()
        for name in store.partitions(asset)
    }
    batches = catalogue.batches()
    known = {
        "known": catalogue.path_states(),
        "files of batches": {batch: catalogue.batch_files(batch) for batch in batches},
        "to identify": catalogue.unidentified_batches(),
        "looks": catalogue.last_look(),
        "missing": catalogue.missing_paths(),
        "moved": catalogue.moved_paths(),
    }
    paths = (path for path in home.rglob("*") if path.is_file() and not path.is_symlink())
    files = frozenset(path.relative_to(home).as_posix() for path in paths)
    return Answers(found, current, events(home), known, files)


def assert_nothing_half(home: Path, expected: Answers) -> None:
    """Right after a kill: what is there is whole, and is of the undisturbed run."""
    if not (home / "melgraph.json").is_file():
        return
    store = ArtifactStore(open_home(home))
    for artifact in committed(store):
        assert str(artifact.reference) in expected.artifacts, "an artifact nobody asked for"
        assert store.verify(artifact) == []
    for asset in store.assets():
        for name in store.partitions(asset):
            assert store.current(asset, name) is not None, f"{asset}/{name} points nowhere"
    doubled_or_foreign = events(home) - expected.events
    assert not doubled_or_foreign, "a fact of no run, or one told twice"


def assert_same(home: Path, expected: Answers) -> None:
    """After a clean run: exactly what the undisturbed run has; nothing lost, doubled, left over."""
    found = answers(home)
    assert found.current == expected.current
    assert found.artifacts == expected.artifacts
    assert found.catalogue == expected.catalogue
    assert found.events == expected.events
    stray = {name for name in found.files ^ expected.files if not _may_stay(name)}
    assert stray == set(), sorted(stray)


def assert_includes(home: Path, expected: Answers) -> None:
    """The same of a home in which more was made than in the undisturbed run: by `melgraph run`."""
    found = answers(home)
    for reference, record in expected.artifacts.items():
        assert found.artifacts[reference]["files"] == record["files"], reference
    assert expected.current.items() <= found.current.items()
    folders = (home / "artifacts").glob("*/*/*/")
    assert [folder for folder in folders if not (folder / RECORD_NAME).is_file()] == []
    assert (found.catalogue, found.events) == (expected.catalogue, expected.events)
    left = [name for name in found.files if name.startswith("pending/") or ".aside" in name]
    assert left == []


def _may_stay(name: str) -> bool:
    """Two small notes: who held a lock last, until the next one does; half of a home's marker,
    which is written before there is anything, under no lock that would say whose it is.
    """
    return name.endswith(".holder") or name.startswith(".melgraph.json")


def processes_of(session: int) -> set[int]:
    """Processes of a session that are alive."""
    found = set()
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, _, its_session = path.read_text().rpartition(")")[2].split()[:4]
        except OSError:  # it just ended
            continue
        if int(its_session) == session and state != "Z":
            found.add(int(path.parent.name))
    return found


def wait_for_the_end(session: int) -> float:
    """Seconds until no process of a session is left."""
    started = time.monotonic()
    while left := processes_of(session):
        assert time.monotonic() - started < DEATH_S, f"still at work: {left}"
        time.sleep(0.02)
    return time.monotonic() - started
