"""What ten new tracks cost in libraries of 1,000, 10,000 and 100,000 tracks.

    python benchmarks/incremental.py [--sizes 1000,10000,100000] [--rounds 5] [--folder FOLDER]

For each size it makes a library of empty files and a home whose track batches hold invented rows,
in a temporary folder (about 1 GB of small files for all three), and prints a Markdown table. Times
are medians over the rounds; in each round the sizes take turns. No audio is decoded, because the
ingest of the ten does not depend on the size of the library.
"""

import argparse
import hashlib
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import polars as pl

from melgraph.assets.stages import TRACKS

sys.path.insert(0, str(Path(__file__).parents[1]))

from melgraph.assets.context import Context
from melgraph.assets.library.live import library_state, live_tracks
from melgraph.assets.library.tracks import SCHEMA, TABLE, Tracks
from melgraph.assets.materialize import current_references
from melgraph.assets.stages import AUDIO_FINGERPRINTS, BY_DEFAULT
from melgraph.ml.audio import AUDIO_SUFFIXES
from melgraph.pipelines.intake import BATCH_SIZE, reconcile
from melgraph.pipelines.plan import Planner, Step
from melgraph.storage.artifacts import Work
from melgraph.storage.catalogue import Catalogue, LibraryFile
from melgraph.storage.comparison import difference
from melgraph.storage.home import Home
from melgraph.storage.library import open_library
from melgraph.storage.records import Recording
from melgraph.storage.tables import write_table

NEW = 10
LONG_AGO = 1_600_000_000


@dataclass
class Case:
    """A library of some size, and the seconds that each operation took in each round."""

    files: int
    home: Home
    seconds: dict[str, list[float]] = field(default_factory=dict)
    added: int = 0

    @cached_property
    def context(self) -> Context:
        """Its artifacts, its catalogue and the shipped specs."""
        return Context.open(self.home)

    @property
    def catalogue(self) -> Catalogue:
        """Its catalogue."""
        return Catalogue(self.home.catalogue)

    def time(self, what: str, act: Callable[[], object]) -> None:
        """Measure and note how long `act` takes."""
        started = time.perf_counter()
        act()
        self.seconds.setdefault(what, []).append(time.perf_counter() - started)

    def median(self, what: str) -> float:
        """Median seconds over the rounds."""
        return statistics.median(self.seconds[what])

    def new_files(self) -> list[LibraryFile]:
        """Ten more files, which are not on the disk."""
        self.added += NEW
        first = self.files + self.added
        return [LibraryFile(f"new/{n:07d}.mp3", n, n) for n in range(first, first + NEW)]


def track_id(path: str) -> str:
    return hashlib.sha256(path.encode()).hexdigest()[:32]


def recording(file: LibraryFile) -> Recording:
    """The file as an ingest would describe it."""
    return Recording(track_id(file.path), 2 * track_id(file.path), file.path)


def make_case(folder: Path, files: int) -> Case:
    """Make a library of empty files that are all catalogued and recorded as ingested."""
    library = folder / f"library-{files}"
    for n in range(files):
        if n % 100 == 0:
            (library / f"album {n // 100:05d}").mkdir(parents=True)
        path = library / f"album {n // 100:05d}" / f"{n % 100:02d}.mp3"
        path.touch()
        os.utime(path, (LONG_AGO, LONG_AGO))
    case = Case(files, Home(folder / f"home-{files}", str(library)).create())
    listing = open_library(str(library)).list(AUDIO_SUFFIXES)
    for start in range(0, files, BATCH_SIZE):
        lot = listing[start : start + BATCH_SIZE]
        batch = case.catalogue.register_batch(lot)
        case.catalogue.identify(batch, [recording(file) for file in lot])
        make_artifacts(case, batch, lot)
    return case


def make_artifacts(case: Case, batch: str, lot: list[LibraryFile]) -> None:
    """Write records and tables of a track batch as an ingest does."""

    def write_tracks(work: Work) -> None:
        rows = []
        for file in lot:
            row = dict.fromkeys(SCHEMA) | {"path": file.path, "status": "ok"}
            source = recording(file)
            row |= {"bytes": file.bytes, "sha256": source.sha256, "track_id": source.track_id}
            rows.append(row)
            work.recordings.append(source)
        table = pl.DataFrame(rows, schema=SCHEMA)
        write_table(table, work.folder / TABLE)

    store = case.context.store
    store.produce(TRACKS.plan(case.context, batch), write_tracks)
    for stage in (*BY_DEFAULT, AUDIO_FINGERPRINTS):
        store.produce(stage.plan(case.context, batch), lambda work: None)


def measure(case: Case) -> None:
    """One round."""
    home, catalogue, store = case.home, case.catalogue, case.context.store
    case.time("list", lambda: home.open_library().list(AUDIO_SUFFIXES))
    listing = [*home.open_library().list(AUDIO_SUFFIXES), *case.new_files()]
    case.time("compare", lambda: difference(catalogue.path_states(), listing))

    new = case.new_files()

    def register() -> None:
        batch = catalogue.register_batch(new)
        catalogue.identify(batch, [recording(file) for file in new])

    case.time("register", register)
    catalogue.note_missing([file.path for file in new])  # they are not on the disk
    batch = catalogue.batches()[-1]
    make_artifacts(case, batch, new)
    case.time("few", lambda: [catalogue.batch_files(batch), catalogue.locations(track_id("x"))])
    case.time("state", lambda: library_state(catalogue))
    case.time("reconcile", lambda: reconcile(store, catalogue))
    steps: list[Step] = []
    case.time("plan", lambda: steps.extend(Planner(case.context, []).ingest()))
    assert all(step.needless for step in steps)
    case.time("references", lambda: current_references(store, TRACKS))
    batches = Tracks.all_current(store)
    case.time("live", lambda: live_tracks(batches, library_state(catalogue)))


def tick(case: Case) -> None:
    """Run the sensor twice: the first tick notices new files, the second makes their batch."""
    from dagster import DagsterInstance, SensorResult, build_sensor_context

    from melgraph.assets.partitions import track_batches
    from melgraph.assets.resources import HomeResource
    from melgraph.pipelines import sensors

    os.environ["MELGRAPH_HOME"] = str(case.home.root)
    os.environ["MELGRAPH_LIBRARY"] = case.home.library
    for n in range(NEW):
        path = Path(case.home.library) / f"{n}.mp3"
        path.touch()
        os.utime(path, (LONG_AGO, LONG_AGO))
    with DagsterInstance.ephemeral() as instance:
        instance.add_dynamic_partitions(str(track_batches.name), case.catalogue.batches())
        answers = []
        for what in ("first tick", "second tick"):
            resources = {"home": HomeResource()}
            with build_sensor_context(instance=instance, resources=resources) as context:
                case.time(what, lambda context=context: answers.append(sensors.new_tracks(context)))
    assert isinstance(answers[1], SensorResult), answers
    assert len(answers[1].run_requests or []) == 1


ROWS: dict[str, tuple[str, str]] = {
    "compare": ("compare the listing with the catalogue", "ms"),
    "register": ("register and identify the ten", "ms"),
    "few": ("look up the files of a batch, the locations of a track", "ms"),
    "state": ("look up moved and missing paths, for specifications", "ms"),
    "reconcile": ("find batches whose tracks are not identified", "ms"),
    "plan": ("plan the ingest stage", "ms"),
    "references": ("look up the current versions of all batches", "ms"),
    "live": ("read the current library, for a dataset", "ms"),
    "first tick": ("sensor tick that notices the ten", "s"),
    "second tick": ("sensor tick that makes their batch", "s"),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", default="1000,10000,100000")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--folder", type=Path, help="where to write; default: a temporary folder")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        cases = [make_case(Path(folder).resolve(), int(n)) for n in arguments.sizes.split(",")]
        for _ in range(arguments.rounds):
            for case in cases:
                measure(case)
        for case in cases:
            tick(case)
    print("| | " + " | ".join(f"{case.files:,} tracks" for case in cases) + " |")
    print("|---|" + "---|" * len(cases))
    rates = (f"{case.files / case.median('list'):,.0f} files/s" for case in cases)
    print("| list empty files on disk | " + " | ".join(rates) + " |")
    for what, (title, unit) in ROWS.items():
        scale = 1000 if unit == "ms" else 1
        values = (f"{scale * case.median(what):,.1f} {unit}" for case in cases)
        print(f"| {title} | " + " | ".join(values) + " |")


if __name__ == "__main__":
    main()
