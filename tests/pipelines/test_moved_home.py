"""A home that is moved or copied works at its new place: MLflow, Dagster, and further runs."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from melgraph.assets.library.live import live_tracks
from melgraph.assets.library.tracks import Tracks
from melgraph.pipelines.instance import open_instance
from tests.conftest import MadeHome

# As a user does it: with MLflow alone, which knows nothing of melgraph.
PREDICT = """
import json, sys
import mlflow

database, song = sys.argv[1:]
mlflow.set_tracking_uri(f"sqlite:///{database}")
model = mlflow.pyfunc.load_model("models:/genres@champion")
code = [m.__file__ for name, m in sys.modules.items()
        if name.startswith("melgraph_model_") and "." not in name]
client = mlflow.MlflowClient()
version = client.get_model_version_by_alias("genres", "champion")
environment = mlflow.artifacts.load_dict(f"runs:/{version.run_id}/environment.json")
print(json.dumps([model.predict([song])["prediction"][0], code, sorted(environment)]))
"""


@pytest.fixture(scope="module")
def song(made_home: MadeHome) -> Path:
    tracks = live_tracks([Tracks.current(made_home.store, "batch-000001")])
    return made_home.library / tracks["path"][0]


def predict(home: MadeHome, song: Path) -> list:
    """The prediction, the file of the model's code, and the names in the environment of the run."""
    ran = subprocess.run(
        [sys.executable, "-c", PREDICT, home.home.mlflow / "mlflow.db", song],
        cwd=home.root.parent, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout.splitlines()[-1])


def files(home: MadeHome) -> set[str]:
    folder = home.home.mlflow / "artifacts"
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_a_moved_home_and_its_copy(home_copy, made_home, song, tmp_path):
    first = home_copy()
    shutil.move(first.root, tmp_path / "moved")
    moved = MadeHome(tmp_path / "moved", first.library, first.output_file)
    audited = moved.melgraph("audit", str(moved.home.artifacts / "trained_models"))
    assert audited.returncode == 0, audited.stdout + audited.stderr
    expected = predict(made_home, song)
    answer, (code,), environment = predict(moved, song)
    assert [answer, environment] == expected[::2]
    assert Path(code).is_relative_to(moved.root)
    assert not first.root.exists()

    subprocess.run(["cp", "-a", moved.root, tmp_path / "copy"], check=True)
    copy = MadeHome(tmp_path / "copy", first.library, first.output_file)
    # Another training in the copy: its files go into the copy, and both stay usable.
    spec = copy.root / "specs" / "experiments" / "another.toml"
    spec.write_text('extends = "small-cnn"\ntitle = "Another: for tests"\nseed = 9\n')
    before = files(moved)
    ran = copy.melgraph("run", "--library", str(copy.library), "--experiment", "another")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert files(moved) == before
    assert files(copy) > before
    for home in (moved, copy):
        _, (code,), _ = predict(home, song)
        assert Path(code).is_relative_to(home.root)
    counts = []
    for home in (moved, copy):
        with open_instance(home.home) as instance:
            counts.append(instance.get_runs_count())
            run = instance.get_run_records(limit=1)[0].dagster_run
            assert instance.all_logs(run.run_id)
    assert 0 < counts[0] < counts[1]


def test_what_dagster_shows_of_an_artifact_holds_after_a_move(made_home):
    """No file of Dagster names the home: what it shows is right at any place."""
    root = os.fsencode(made_home.root)
    paths = [path for path in made_home.home.dagster.rglob("*") if path.is_file()]
    assert any(path.suffix == ".db" for path in paths)
    assert [path for path in paths if root + b"/artifacts" in path.read_bytes()] == []
