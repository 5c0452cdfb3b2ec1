"""MLflow: what a run and a registered model hold; and that MLflow never loses a training."""

import ast
import json
import logging
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

from assets import trained_models
from assets.datasets import DATASETS
from assets.ingest import MEL, STORE, TRACKS
from assets.live import live_tracks
from assets.tracking import Tracker, _flat
from ml import checkpoints
from storage.artifacts import Work
from storage.records import Spec
from storage.spectrogram_store import SpectrogramStore
from storage.tables import read_table
from tests.conftest import MadeHome

# In a process of its own, as a user's: importing MLflow takes seconds, and loading a model puts the
# model's own copy of the code on the path.
ASK = """
import json, sys
import mlflow
from mlflow import MlflowClient

uri, run_id, *paths = sys.argv[1:]
mlflow.set_tracking_uri(uri)
client = MlflowClient()
run = client.get_run(run_id)
history = {k: len(client.get_metric_history(run_id, k)) for k in run.data.metrics}
(version,) = client.search_model_versions("name='small-cnn'")
model = mlflow.pyfunc.load_model(f"models:/small-cnn/{version.version}")
table = model.predict(paths)
import ml
from pathlib import Path
from assets.tracking import Tracker
from storage.artifacts import Work
from storage.records import Spec
closed = Tracker(tracking_uri="sqlite:////dev/null/mlflow.db")
work = Work(Spec("trained_models", "small-cnn", 1), Path("nowhere"))
print(json.dumps({
    "params": run.data.params, "tags": run.data.tags, "metrics": run.data.metrics,
    "history": history, "run": run.info.run_name, "status": run.info.status,
    "experiment": client.get_experiment(run.info.experiment_id).name,
    "version_run": version.run_id, "columns": list(table.columns), "code": ml.__file__,
    "rows": json.loads(table.to_json(orient="records")),
    "modules": [m.__file__ for name, m in sys.modules.items() if name.startswith("ml.")],
    "requirements": mlflow.pyfunc.get_model_dependencies(f"models:/small-cnn/{version.version}"),
    "untracked": closed.log_training(work, [{"epoch": 1, "train_loss": 1.0}], seconds=1.0),
}))
"""


@pytest.fixture(scope="module")
def model(made_home: MadeHome):
    return made_home.store.need(trained_models.TRAINED, "small-cnn")


@pytest.fixture(scope="module")
def answer(made_home: MadeHome, model, tmp_path_factory) -> dict:
    """What MLflow says of the run, and what the registered model says of three files."""
    good = live_tracks([made_home.store.need(TRACKS, "batch-000001")])
    song = made_home.library / good["path"][0]
    text = tmp_path_factory.mktemp("files") / "text.mp3"
    text.write_text("no music")
    ran = subprocess.run(
        [sys.executable, "-c", ASK, f"sqlite:///{made_home.home.mlflow / 'mlflow.db'}",
         model.record.run["mlflow"], str(song), str(text), "gone.wav"],
        cwd=text.parent, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout.splitlines()[-1]) | {"stderr": ran.stderr}


def test_the_run_holds_the_recipe_and_where_it_came_from(answer, model, made_home):
    record = model.record
    assert answer["run"] == "small-cnn"
    assert answer["status"] == "FINISHED"
    assert answer["experiment"] == "melgraph"
    assert answer["params"] == {k: str(v) for k, v in _flat(record.spec.config).items()}
    assert answer["params"]["training.epochs"] == "2"
    tags = answer["tags"]
    assert tags["melgraph.record"] == str(model.reference)
    assert tags["dagster.run_id"] == record.run["dagster"]
    snapshot = made_home.store.need(DATASETS, "genres")
    assert tags["melgraph.input.datasets"] == str(snapshot.reference)


def test_the_run_holds_the_curves(answer, model):
    curves = read_table(model.folder / trained_models.CURVES)
    assert answer["history"]["train_loss"] == curves.height == 2
    assert answer["metrics"]["train_loss"] == pytest.approx(curves["train_loss"][-1])
    assert answer["metrics"]["training_seconds"] > 0
    assert "epoch" not in answer["metrics"]


def test_the_registered_model_hears_files(answer, model):
    classes = model.facts["classes"]
    assert answer["version_run"] == model.record.run["mlflow"]
    assert answer["columns"] == ["path", "prediction", "probability", *classes, "problem"]
    song, text, gone = answer["rows"]
    assert song["prediction"] in classes
    assert song["problem"] is None
    assert song["probability"] == max(song[name] for name in classes)
    assert sum(song[name] for name in classes) == pytest.approx(1, abs=1e-4)
    for row in (text, gone):  # a bad file has its reason, and costs no other
        assert row["prediction"] is None
        assert row["problem"]


def test_the_registered_model_carries_its_code_and_no_pickle(answer, made_home):
    assert Path(answer["code"]).is_relative_to(made_home.home.mlflow)
    kept = {path.suffix for path in made_home.home.mlflow.rglob("*")}
    assert ".safetensors" in kept
    assert not kept & {".pkl", ".pickle", ".pt", ".pth"}


def test_the_registered_model_asks_for_all_it_needs(answer):
    """Every library that its code imports is a requirement, so that it can be served elsewhere."""
    needed = {"mlflow"}
    for module in filter(None, answer["modules"]):
        for node in ast.walk(ast.parse(Path(module).read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.module:
                names.append(node.module)
            needed |= {name.split(".")[0] for name in names}
    needed -= {*sys.stdlib_module_names, "ml"}
    assert {"torch", "numpy", "soundfile"} <= needed
    lines = Path(answer["requirements"]).read_text().split()
    assert needed <= {line.split("==")[0] for line in lines}
    assert all("==" in line and "+" not in line for line in lines)


def test_the_registered_model_says_what_evaluation_says(answer, made_home, model):
    """The audio file and the stored spectrogram give the same prediction."""
    from ml.inference import predict_tracks

    path = Path(answer["rows"][0]["path"]).relative_to(made_home.library).as_posix()
    tracks = live_tracks([made_home.store.need(TRACKS, "batch-000001")])
    track_id = dict(tracks.select("path", "track_id").iter_rows())[path]
    mel = made_home.store.need(MEL, "batch-000001")
    view = SpectrogramStore(mel.folder / STORE).track(track_id)
    network, meta = checkpoints.load(model.folder / trained_models.CHECKPOINT)
    (scores,) = predict_tracks(network, [view])
    for name, score in zip(meta["classes"], scores, strict=True):
        assert answer["rows"][0][name] == pytest.approx(float(score), abs=2e-3)


def test_a_failing_mlflow_loses_no_training(home_copy, monkeypatch, caplog):
    home = home_copy()
    monkeypatch.setenv("MELGRAPH_HOME", str(home.root))
    before = home.store.need(trained_models.TRAINED, "small-cnn").record
    config = dict(before.spec.config) | {"title": "the same once more"}
    spec = Spec("trained_models", "small-cnn", 1, before.spec.inputs, config, before.spec.seed)

    def full(self, work: Work, curves, seconds: float) -> str:
        work.run["mlflow_experiment"] = "7"
        raise ConnectionError("no MLflow here")

    monkeypatch.setattr(Tracker, "_log", full)
    with caplog.at_level(logging.WARNING, logger="melgraph"):
        write = partial(trained_models.write_trained_model, home.store, tracker=Tracker())
        artifact, made = home.store.produce(spec, write)
    assert made
    assert artifact.record.run["mlflow"] is None
    assert "no MLflow here" in caplog.text
    assert "the model is kept" in caplog.text
    assert home.store.verify(artifact) == []
    weights = "checkpoint/model.safetensors"
    assert artifact.record.files[weights] == before.files[weights]  # a title trains nothing else


def test_a_database_that_cannot_be_opened_is_only_a_warning(answer):
    assert answer["untracked"] is None
    assert "MLflow did not take the run" in answer["stderr"]


def test_flat_names_every_setting_by_its_path():
    assert _flat({"a": {"b": 1, "c": {"d": [2]}}, "e": None}) == {"a.b": 1, "a.c.d": [2], "e": None}
