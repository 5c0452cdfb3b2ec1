"""`melgraph ui` as a user starts it, on a home with something left to do.

The home is the made one, and besides: a batch that nothing was made of yet, an experiment that was
never trained, and one on a dataset that nobody can learn from.
"""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tests.conftest import PATIENCE_S, MadeHome, copy_home

NEW_BATCH, EXPERIMENT, HOPELESS, STRICT = "batch-000002", "one-epoch", "hopeless", "strict"
SPECS = {
    f"experiments/{EXPERIMENT}": """\
extends = "small-cnn"
title = "One epoch: for tests"
training = { epochs = 1 }
""",
    f"datasets/{STRICT}": """\
extends = "genres"
title = "More tracks a class than there are"
min_tracks_per_class = 1000
""",
    f"experiments/{HOPELESS}": f"""\
extends = "small-cnn"
title = "On a dataset that nobody can learn from"
dataset = "{STRICT}"
""",
}
STARTED = re.compile(r"^  (\w+) +(http://127\.0\.0\.1:\d+)$", re.M)


@dataclass(frozen=True)
class ServedUi:
    """The addresses `melgraph ui` printed, and the home it serves."""

    dagster: str
    pages: str
    mlflow: str
    made: MadeHome


def home_with_work_to_do(made_home: MadeHome, folder: Path) -> MadeHome:
    """A copy of the made home with the batch, the experiments and the dataset named above."""
    from melgraph.ml.sample_library import write_sample_library

    made = copy_home(made_home, folder, library=True)
    for name, text in SPECS.items():
        path = made.root / "specs" / f"{name}.toml"
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    more = folder / "more"
    write_sample_library(
        more, styles=("jazz",), tracks_per_artist=1, duration_s=4.0, with_faults=False, workers=1
    )
    shutil.copytree(more / "jazz", made.library / "jazz")
    _snapshot_the_strict_dataset(made)
    _register_the_batch(made)
    return made


def _snapshot_the_strict_dataset(made: MadeHome) -> None:
    from melgraph.assets.stages import DATASETS

    spec = DATASETS.plan(made.context, STRICT)
    made.store.produce(spec, partial(DATASETS.write, made.store))


def _register_the_batch(made: MadeHome) -> None:
    """As after a crash between registering and running; the sensor starts what Dagster lacks."""
    from dagster import DagsterInstance

    from melgraph.assets.partitions import track_batches
    from melgraph.pipelines.intake import cut_batches, scan_library

    scan = scan_library(made.home, made.catalogue, settle_s=0.0, look_again_s=0.0)
    assert cut_batches(made.catalogue, scan) == [NEW_BATCH]
    with DagsterInstance.from_config(str(made.home.dagster)) as instance:
        instance.add_dynamic_partitions(str(track_batches.name), [NEW_BATCH])


@contextmanager
def serving_ui(made: MadeHome, *, log: Path, seconds: float = PATIENCE_S) -> Iterator[ServedUi]:
    """Start it, wait until it says that all three servers answer, and stop it at the end."""
    with log.open("w") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "melgraph.pipelines.cli", "ui", "--port", "3300"],
            env={**os.environ, "MELGRAPH_HOME": str(made.root)},
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        end = time.monotonic() + seconds
        while "Ctrl-C" not in log.read_text():
            assert process.poll() is None, f"melgraph ui stopped:\n{log.read_text()}"
            assert time.monotonic() < end, f"melgraph ui did not start:\n{log.read_text()}"
            time.sleep(0.2)
        found = dict(STARTED.findall(log.read_text()))
        yield ServedUi(found["Dagster"], found["pages"], found["MLflow"], made)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(PATIENCE_S)
