"""The pipeline on a library in a bucket, into a bucket: a real S3 server, the real command line."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from melgraph.storage.artifacts import ArtifactStore
from melgraph.storage.bucket import Bucket
from melgraph.storage.home import open_home
from melgraph.storage.tables import read_table
from tests.conftest import EXPERIMENT, PATIENCE_S, STYLES

ROOT = Path(__file__).parents[2]
# The first four parts of a run: what is made from a library, a dataset, a trained model.
PROGRAM = """
import sys
from melgraph.pipelines import cli
from melgraph.pipelines.plan import Planner
parts = Planner.parts
Planner.parts = lambda self: parts(self)[:4]
run = ["run", "--experiment", "small-cnn"]
library, store = sys.argv[1:]
first = cli.main([*run, "--library", library, "--store", store])
print("=== again", flush=True)
again = cli.main(run)  # the home remembers both
print("=== audit", flush=True)
sys.exit(first or again or cli.main(["audit", "datasets/genres"]))
"""


@pytest.fixture(scope="module")
def library(tmp_path_factory) -> Path:
    from melgraph.ml.sample_library import write_sample_library

    folder = tmp_path_factory.mktemp("songs")
    write_sample_library(folder, styles=STYLES, tracks_per_artist=2, duration_s=4.0, workers=1)
    return folder


def melgraph(home: Path, *command: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "MELGRAPH_HOME": str(home), "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [sys.executable, *command], env=environment, cwd=home.parent, capture_output=True,
        text=True, timeout=PATIENCE_S,
    )  # fmt: skip


def test_from_a_bucket_into_a_bucket(tmp_path, bucket, library):
    songs, made = Bucket(f"{bucket.location}/songs"), f"{bucket.location}/made"
    for path in sorted(library.rglob("*")):
        if path.is_file():
            songs.upload(path, path.relative_to(library).as_posix())
    before = {key: data for key, data in bucket.snapshot().items() if key.startswith("songs/")}
    spec = tmp_path / "home" / "specs" / "experiments" / "small-cnn.toml"
    spec.parent.mkdir(parents=True)
    spec.write_text(EXPERIMENT)

    ran = melgraph(tmp_path / "home", "-c", PROGRAM, songs.location, made)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    first, rest = ran.stdout.split("=== again")
    again, audit = rest.split("=== audit")
    assert "3 done, 0 already there, 0 skipped, 0 failed" in first
    assert "0 done, 3 already there, 0 skipped, 0 failed" in again
    assert "source recordings (28)" in audit
    assert "are as recorded" in audit

    home = open_home(tmp_path / "home")
    assert (home.library, home.artifact_store) == (songs.location, made)
    assert not home.artifacts.exists()
    store = ArtifactStore(home)
    table = read_table(store.need("tracks", "batch-000001").folder / "tracks.parquet")
    assert dict(table["status"].value_counts().iter_rows()) == {"ok": 25, "quarantined": 3}
    after = {key: data for key, data in bucket.snapshot().items() if key.startswith("songs/")}
    assert after == before  # read-only to us

    victim = store.need("mel_spectrograms", "batch-000001")
    key = next(key for key in bucket.listing() if key.endswith("frequency/c/0"))
    bucket.put(key, bucket.get(key)[::-1])
    audited = melgraph(home.root, "-m", "melgraph.pipelines.cli", "audit", "datasets/genres")
    assert audited.returncode == 1
    assert f"{bucket.location}/{key}: content differs" in audited.stdout
    assert str(victim.reference) in audited.stdout


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--library", "s3://no-such-bucket/songs"), "does not exist"),
        (("--library", "gs://music"), "neither a folder nor s3://BUCKET/PREFIX"),
        (("--store", "a-folder"), "is not a bucket"),
    ],
)
def test_what_cannot_be_used_is_told_in_a_few_lines(tmp_path, bucket, options, told):
    (tmp_path / "songs").mkdir()
    defaults = () if "--library" in options else ("--library", str(tmp_path / "songs"))
    ran = melgraph(tmp_path / "home", "-m", "melgraph.pipelines.cli", "run", *defaults, *options)
    assert ran.returncode == 2
    assert told in ran.stderr
    assert "remedy:" in ran.stderr
    assert len(ran.stderr.splitlines()) == 3
    assert not (tmp_path / "home").exists()
