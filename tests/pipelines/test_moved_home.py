"""A home that is moved or copied works at its new place: MLflow, Dagster, and further runs."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from melgraph.assets.library.live import live_tracks
from melgraph.assets.library.tracks import Tracks
from melgraph.assets.models.tracking.tracker import Tracker
from melgraph.assets.models.trained_models import write_trained_model
from melgraph.assets.resources import HomeResource
from melgraph.pipelines.deployment import build_definitions
from melgraph.pipelines.instance import open_instance
from tests.conftest import MadeHome

# As a user does it: with MLflow alone, which knows nothing of melgraph.
PREDICT = """
import json, sys
import mlflow

song, *databases = sys.argv[1:]
answers = []
for database in databases:
    mlflow.set_tracking_uri(f"sqlite:///{database}")
    path = mlflow.artifacts.download_artifacts("models:/genres@champion")
    client = mlflow.MlflowClient()
    run_id = client.get_model_version_by_alias("genres", "champion").run_id
    environment = mlflow.artifacts.load_dict(f"runs:/{run_id}/environment.json")
    model = mlflow.pyfunc.load_model("models:/genres@champion")
    answers.append([model.predict([song])["prediction"][0], path, sorted(environment)])
print(json.dumps(answers))
"""


@pytest.fixture(scope="module")
def song(made_home: MadeHome) -> Path:
    tracks = live_tracks([Tracks.current(made_home.store, "batch-000001")])
    return made_home.library / tracks["path"][0]


def check_models(song: Path, *homes: MadeHome) -> None:
    """MLflow loads the champion of each home from its own files, and it predicts."""
    databases = [home.home.mlflow / "mlflow.db" for home in homes]
    ran = subprocess.run(
        [sys.executable, "-c", PREDICT, song, *databases],
        cwd=homes[0].root.parent, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    for home, answer in zip(homes, json.loads(ran.stdout.splitlines()[-1]), strict=True):
        prediction, path, environment = answer
        model = home.store.need("trained_models", "small-cnn")
        assert prediction in model.facts["classes"]
        assert Path(path).is_relative_to(home.root)
        assert "packages" in environment


def files(home: MadeHome) -> set[str]:
    folder = home.home.mlflow / "artifacts"
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_a_moved_home_and_its_copy(home_copy, made_home, song, tmp_path):
    first = home_copy()
    shutil.move(first.root, tmp_path / "moved")
    moved = MadeHome(tmp_path / "moved", first.library, first.output_file)
    audited = moved.melgraph("audit", str(moved.home.artifacts / "trained_models"))
    assert audited.returncode == 0, audited.stdout + audited.stderr
    assert not first.root.exists()
    check_models(song, moved)

    subprocess.run(["cp", "-a", moved.root, tmp_path / "copy"], check=True)
    copy = MadeHome(tmp_path / "copy", first.library, first.output_file)
    before = files(moved)
    _train_again(copy)
    assert files(moved) == before
    assert files(copy) > before
    check_models(song, moved, copy)  # both stay usable
    for home in (moved, copy):
        _use_dagster(home)


def _train_again(home: MadeHome) -> None:
    """A further training, whose MLflow files go into the home."""
    model = home.store.need("trained_models", "small-cnn")
    config = {**model.record.spec.config, "title": "the same once more"}
    spec = replace(model.record.spec, config=config)
    write = partial(write_trained_model, home.store, tracker=Tracker())
    artifact, is_new = home.store.produce(spec, write)
    assert is_new
    assert artifact.record.run["mlflow"]


def _use_dagster(home: MadeHome) -> None:
    """The runs of before are there, and a new one succeeds."""
    definitions = build_definitions(home.context.specs, HomeResource(root=str(home.root)))
    with open_instance(home.home) as instance:
        count = instance.get_runs_count()
        assert count > 0
        assert instance.all_logs(instance.get_run_records(limit=1)[0].dagster_run.run_id)
        job = definitions.resolve_job_def("ranking")
        assert job.execute_in_process(instance=instance, raise_on_error=False).success
        assert instance.get_runs_count() == count + 1


def test_what_dagster_shows_of_an_artifact_holds_after_a_move(made_home):
    """No file of Dagster names the home: what it shows is right at any place."""
    root = os.fsencode(made_home.root)
    paths = [path for path in made_home.home.dagster.rglob("*") if path.is_file()]
    assert any(path.suffix == ".db" for path in paths)
    assert [path for path in paths if root + b"/artifacts" in path.read_bytes()] == []
