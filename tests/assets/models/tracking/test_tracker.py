"""MLflow: the contents of runs and registered models; and failures of MLflow lose no training."""

import ast
import json
import logging
import os
import pickle
import subprocess
import sys
import threading
from dataclasses import replace
from functools import partial
from pathlib import Path

import polars as pl
import pytest
from dagster import AssetKey

from melgraph.assets.dataset.snapshot import Snapshot
from melgraph.assets.library.ingest import STORE
from melgraph.assets.library.live import live_tracks
from melgraph.assets.library.tracks import Tracks
from melgraph.assets.models import trained_models
from melgraph.assets.models.evaluation import Evaluation
from melgraph.assets.models.evaluations import sentence
from melgraph.assets.models.tracking.live import LiveRun, milliseconds
from melgraph.assets.models.tracking.runs import flatten, split_id
from melgraph.assets.models.tracking.tracker import Tracker
from melgraph.assets.models.trained_model import CURVES, TrainedModel
from melgraph.assets.stages import MEL_SPECTROGRAMS
from melgraph.pipelines.instance import open_instance
from melgraph.storage.artifacts import ArtifactStore, Work
from melgraph.storage.home import Home
from melgraph.storage.records import Spec
from melgraph.storage.spectrogram_store import SpectrogramStore
from melgraph.storage.tables import read_table
from tests.conftest import MadeHome

# The scripts run in processes of their own, as those of users do: importing MLflow takes seconds,
# and loading a model puts its copy of the code on the path.

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
champion = client.get_model_version_by_alias("genres", "champion")
logged_model = client.get_logged_model(run.outputs.model_outputs[0].model_id)
model = mlflow.pyfunc.load_model("models:/genres@champion")
table = model.predict(paths)
by_experiment = mlflow.pyfunc.load_model(f"models:/small-cnn/{version.version}").predict(paths)
environment = mlflow.artifacts.load_dict(f"runs:/{run_id}/environment.json")
from pathlib import Path
from mlflow.pyfunc import scoring_server
from starlette.testclient import TestClient
client_of_server = TestClient(scoring_server.init(model))
served = client_of_server.post("/invocations", json={"inputs": paths})
from melgraph.assets.models.tracking.tracker import Tracker
from melgraph.assets.settings import current_home
from melgraph.storage.artifacts import ArtifactStore, Work
from melgraph.storage.records import Spec
store = ArtifactStore(current_home())
closed = Tracker(tracking_uri="sqlite:////dev/null/mlflow.db")
work = Work(Spec("trained_models", "small-cnn", 1), Path("nowhere"))
print(json.dumps({
    "params": run.data.params, "tags": run.data.tags, "metrics": run.data.metrics,
    "served": [served.status_code, served.text],
    "served_example": client_of_server.post("/invocations", json={"inputs": paths[:1]}).text,
    "times": [run.info.start_time, run.info.end_time],
    "metric_times": [m.timestamp for k in run.data.metrics
                     for m in client.get_metric_history(run_id, k)],
    "curve": [m.value for m in client.get_metric_history(run_id, "curve/validation_loss")],
    "files": [f.path for folder in (None, "evaluation")
              for f in client.list_artifacts(run_id, folder)],
    "report": mlflow.artifacts.load_dict(f"runs:/{run_id}/evaluation/report.json"),
    "model_metrics": {m.key: m.value for m in logged_model.metrics},
    "history": history, "run": run.info.run_name, "status": run.info.status,
    "experiment": client.get_experiment(run.info.experiment_id).name,
    "datasets": [
        [d.dataset.name, d.dataset.digest, json.loads(d.dataset.source)["record"],
         json.loads(d.dataset.profile)["num_rows"], {t.key: t.value for t in d.tags}]
        for d in run.inputs.dataset_inputs
    ],
    "environment": environment,
    "version_run": version.run_id, "columns": list(table.columns),
    "code": [m.__file__ for name, m in sys.modules.items()
             if name.startswith("melgraph_model_") and "." not in name],
    "champion": [champion.run_id, champion.tags, champion.description],
    "dataset_model": client.get_registered_model("genres").description,
    "inputs": model.metadata.signature.inputs.to_dict(),
    "example": model.input_example,
    "rows": json.loads(table.to_json(orient="records")),
    "same": by_experiment.equals(table),
    "modules": [m.__file__ for name, m in sys.modules.items()
                if name.startswith("melgraph_model_")],
    "requirements": mlflow.pyfunc.get_model_dependencies(f"models:/small-cnn/{version.version}"),
    "untracked": closed.log_training(store, work, [{"epoch": 1, "train_loss": 1.0}], seconds=1.0),
}))
"""
# A training that MLflow failed to log is logged later, once. An incomplete run does not count.
AGAIN = """
import json, os, sys
from dataclasses import replace
from pathlib import Path
from mlflow import MlflowClient
from melgraph.assets.models.tracking import registry
from melgraph.assets.models.tracking.tracker import Tracker
from melgraph.assets.models.trained_model import TrainedModel
from melgraph.assets.settings import current_home
from melgraph.storage.artifacts import ArtifactStore

home = current_home()
model = TrainedModel.current(ArtifactStore(home), "small-cnn")
run, record = dict(model.artifact.record.run), model.artifact.record
without_run = replace(record, run={**run, "mlflow": None})
unlogged = TrainedModel(model.store, replace(model.artifact, record=without_run))
default, other = Tracker(), Tracker(tracking_uri="sqlite:///" + str(Path("other.db").resolve()))
answer = {"logged": run["mlflow"], "recorded": default.log_again(model)["mlflow"],
          "existing": default.log_again(unlogged)["mlflow"]}

def full(work):
    raise OSError(28, "No space left on device")

really, registry.log_model = registry.log_model, full
os.environ["MLFLOW_TRACKING_URI"] = other.uri(home)
other = Tracker()  # as a user names a server
answer["full"] = other.log_again(unlogged)
registry.log_model = really
client = MlflowClient(other.uri(home))
answer["versions_after_full"] = len(client.search_model_versions())
first, second = other.log_again(unlogged), other.log_again(unlogged)
answer["uri"] = [os.environ["MLFLOW_TRACKING_URI"], other.uri(home), default.uri(home)]
runs = client.search_runs([first["mlflow_experiment"]])
answer |= {
    "first": first["mlflow"], "second": second["mlflow"],
    "experiments": [first["mlflow_experiment"], second["mlflow_experiment"]],
    "runs": sorted(run.info.status for run in runs),
    "git_commit": client.get_run(first["mlflow"]).data.params["environment.git_commit"],
    "seconds": client.get_run(first["mlflow"]).data.metrics["training_seconds"],
    "champion": client.get_model_version_by_alias("genres", "champion").run_id,
    "versions": sorted(v.name for v in client.search_model_versions()),
}
print(json.dumps(answer))
"""
# Trials are runs without a model. A server that never answers does not block a trial.
TRIALS = """
import json, os, socket, time
from pathlib import Path
from mlflow import MlflowClient
from melgraph.assets.models.tracking.tracker import Tracker
from melgraph.assets.settings import current_home
from melgraph.storage.artifacts import ArtifactStore, Work
from melgraph.storage.records import Spec

store = ArtifactStore(current_home())
spec = Spec("trials", "arm-1", 1, (store.need("datasets", "genres").reference,), {"a": {"b": 1}}, 7)
work = Work(spec, Path("nowhere"), run={"peak_memory_bytes": "2000000"})
curves = [(0, [{"epoch": 1, "train_loss": 2.0}, {"epoch": 2, "train_loss": 1.0}]),
          (1, [{"epoch": 1, "train_loss": 3.0, "is_best": True, "validation_loss": None}])]
run_id = Tracker().log_trial(store, work, curves, {"accuracy": 0.5}, seconds=3.0)
client = MlflowClient(Tracker().uri(store.home))
run = client.get_run(run_id)
before = len(client.search_model_versions())
silent = socket.socket()
silent.bind(("127.0.0.1", 0))
silent.listen(8)
os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"] = "1"  # the setting of a user is respected
blocked = Work(spec, Path("nowhere"))
url = f"http://127.0.0.1:{silent.getsockname()[1]}"
started_at = time.monotonic()
lost = Tracker(tracking_uri=url).log_trial(store, blocked, curves, {"accuracy": 0.5}, seconds=3.0)
print(json.dumps({
    "name": run.info.run_name, "metrics": run.data.metrics, "params": run.data.params,
    "tags": run.data.tags, "datasets": [d.dataset.digest for d in run.inputs.dataset_inputs],
    "curve": [m.value for m in client.get_metric_history(run_id, "fold0/train_loss")],
    "models": [v.run_id for v in client.search_model_versions()],
    "uri": os.environ.get("MLFLOW_TRACKING_URI"), "lost": lost,
    "run": blocked.run, "seconds": time.monotonic() - started_at,
    "retries": os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"],
}))
"""


def ask(script: str, *arguments: str, folder: Path, **environment: str) -> dict:
    """Run a script in a process of its own; the JSON that it prints, and its stderr."""
    ran = subprocess.run(
        [sys.executable, "-c", script, *arguments], cwd=folder, capture_output=True, text=True,
        env={**os.environ, **environment}, timeout=120,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout.splitlines()[-1]) | {"stderr": ran.stderr}


@pytest.fixture(scope="module")
def model(made_home: MadeHome):
    return made_home.store.need("trained_models", "small-cnn")


@pytest.fixture(scope="module")
def answer(made_home: MadeHome, model, tmp_path_factory) -> dict:
    """The contents of the MLflow run, and predictions of the registered model on three files."""
    good = live_tracks([Tracks.current(made_home.store, "batch-000001")])
    song = made_home.library / good["path"][0]
    text = tmp_path_factory.mktemp("files") / "text.mp3"
    text.write_text("no music")
    uri = f"sqlite:///{made_home.home.mlflow / 'mlflow.db'}"
    paths = (str(song), str(text), "gone.wav")
    run_id, home = model.record.run["mlflow"], str(made_home.root)
    return ask(ASK, uri, run_id, *paths, folder=text.parent, MELGRAPH_HOME=home)


def test_the_run_holds_the_settings_and_the_provenance(answer, model, made_home):
    record = model.record
    assert answer["run"] == "small-cnn"
    assert answer["status"] == "FINISHED"
    assert answer["experiment"] == "melgraph"
    recipe = {k: str(v) for k, v in flatten(record.spec.config).items()}
    assert recipe.items() <= answer["params"].items()
    assert answer["params"]["seed"] == str(record.spec.seed)
    assert answer["params"]["training.epochs"] == "2"
    tags = answer["tags"]
    assert tags["melgraph.record"] == str(model.reference)
    assert tags["dagster.run_id"] == record.run["dagster"]
    snapshot = made_home.store.need("datasets", "genres")
    assert tags["melgraph.input.datasets"] == str(snapshot.reference)


def test_the_run_holds_the_dataset(answer, model, made_home):
    snapshot = made_home.store.need("datasets", "genres")
    version, record = snapshot.reference.version, str(snapshot.reference)
    facts = model.facts
    assert sorted(answer["datasets"]) == [
        ["genres/train", version, record, facts["n_train"], {"mlflow.data.context": "train"}],
        ["genres/validation", version, record, facts["n_validation"],
         {"mlflow.data.context": "validation"}],
    ]  # fmt: skip
    table = Snapshot(made_home.store, snapshot).table()
    assert answer["tags"]["melgraph.split"] == split_id(table) == split_id(table.reverse())
    moved = table.with_columns(split=pl.lit("train"))
    assert split_id(moved) != split_id(table)


def test_the_run_holds_the_environment(answer, model):
    record = model.record
    logged = {k: v for k, v in answer["environment"].items() if k in record.environment}
    assert logged == record.environment
    assert answer["environment"]["device"] == record.run["device"]
    assert answer["params"]["environment.torch"] == record.environment["packages"]["torch"]
    assert answer["params"]["environment.torch_threads"] == record.run["torch_threads"]
    assert record.run["dagster"] in answer["tags"]["mlflow.note.content"]
    assert str(model.reference) in answer["tags"]["mlflow.note.content"]


def test_the_run_holds_the_curves(answer, model):
    curves = read_table(model.folder / CURVES)
    assert answer["history"]["curve/train_loss"] == curves.height == 2
    assert answer["metrics"]["curve/train_loss"] == pytest.approx(curves["train_loss"][-1])
    assert answer["curve"] == pytest.approx(curves["validation_loss"].to_list())
    assert answer["metrics"]["training_seconds"] > 0
    assert "curve/epoch" not in answer["metrics"]
    assert "curves.png" in answer["files"]


def test_the_run_holds_the_figures_of_the_weights_that_are_kept(answer, model):
    curves = read_table(model.folder / CURVES).to_dicts()
    (best,) = [row for row in curves if row["epoch"] == model.facts["best_epoch"]]
    for metrics in (answer["metrics"], answer["model_metrics"]):
        for name in ("train_loss", "validation_loss", "validation_accuracy"):
            assert metrics[name] == pytest.approx(best[name])
        assert metrics["best_epoch"] == best["epoch"]
        assert metrics["epochs"] == len(curves)


def test_the_run_has_the_times_of_the_training(answer, model):
    start, end = answer["times"]
    record = model.record
    assert start == milliseconds(record.started_at)
    assert end - start >= 1000 * float(record.run["seconds"])
    assert end <= milliseconds(record.finished_at)
    assert min(answer["metric_times"]) >= start


def test_the_run_holds_the_result_on_the_test_split(answer, made_home, model):
    evaluation = Evaluation.current(made_home.store, "small-cnn")
    assert evaluation.model_reference == model.reference
    facts = evaluation.facts
    for metrics in (answer["metrics"], answer["model_metrics"]):
        for name in ("accuracy", "accuracy_low", "accuracy_high", "macro_f1", "n"):
            assert metrics[f"test/{name}"] == pytest.approx(facts[name])
    assert answer["report"] == json.loads((evaluation.artifact.folder / "report.json").read_text())
    files = {f"evaluation/{name}" for name in ("confusion_matrix.png", "reliability.png")}
    assert files <= set(answer["files"])
    tags = answer["tags"]
    assert tags["melgraph.evaluation"] == str(evaluation.reference)
    assert sentence(facts) in tags["mlflow.note.content"]


def test_the_run_and_dagster_link_to_each_other(answer, made_home, model):
    evaluated_by = Evaluation.current(made_home.store, "small-cnn").artifact.record.run["dagster"]
    note = answer["tags"]["mlflow.note.content"]
    for run in (model.record.run["dagster"], evaluated_by):
        assert f"(http://127.0.0.1:3000/runs/{run})" in note
    run = model.record.run
    address = f"/#/experiments/{run['mlflow_experiment']}/runs/{run['mlflow']}"
    with open_instance(made_home.home) as instance:
        for asset in ("trained_models", "evaluations"):
            event = instance.get_latest_materialization_event(AssetKey(asset))
            link = event.asset_materialization.metadata["mlflow run"].value
            assert link == f"http://127.0.0.1:3002{address}"


def test_a_scoring_server_answers_valid_json(answer, model):
    """`mlflow models serve` gives the same app: NaN, which is not JSON, must not be in it."""

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is not JSON")

    status, text = answer["served"]
    assert status == 200, text
    song, broken, gone = json.loads(text, parse_constant=refuse)["predictions"]
    assert song["problem"] is None
    assert song["prediction"] in model.facts["classes"]
    for row in (broken, gone):
        assert row["problem"]
        assert row["prediction"] is row["probability"] is row[model.facts["classes"][0]] is None
    (only,) = json.loads(answer["served_example"], parse_constant=refuse)["predictions"]
    assert only == song


def test_the_registered_model_predicts_from_files(answer, model):
    classes = model.facts["classes"]
    assert answer["version_run"] == model.record.run["mlflow"]
    assert answer["columns"] == [
        "path",
        "prediction",
        "probability",
        *classes,
        "caution",
        "problem",
    ]
    song, text, gone = answer["rows"]
    assert song["prediction"] in classes
    assert song["problem"] is None
    assert song["probability"] == max(song[name] for name in classes)
    assert sum(song[name] for name in classes) == pytest.approx(1, abs=1e-4)
    for row in (text, gone):  # an unusable file has a reason, and does not affect the others
        assert row["prediction"] is None
        assert row["problem"]


def holds_pickle(path: Path) -> bool:
    """A pickle by name; by the first bytes of protocol 2 and later; or a torch archive."""
    head = path.read_bytes()[:4]
    protocol = head[:1] == b"\x80" and head[1:2] in b"\x02\x03\x04\x05"
    return (
        path.suffix in (".pkl", ".pickle", ".pt", ".pth", ".joblib")
        or protocol
        or head == b"PK\x03\x04"
    )


def test_the_registered_model_carries_its_code_and_no_pickle(answer, made_home, tmp_path):
    (code,) = answer["code"]  # the package that the model carries
    assert Path(code).is_relative_to(made_home.home.mlflow)
    files = [path for path in made_home.home.mlflow.rglob("*") if path.is_file()]
    assert ".safetensors" in {path.suffix for path in files}
    assert [path for path in files if holds_pickle(path)] == []
    (tmp_path / "disguised.bin").write_bytes(pickle.dumps([1]))
    assert holds_pickle(tmp_path / "disguised.bin")


def test_the_registered_model_lists_all_requirements(answer):
    """Every library that its code imports is a requirement, so that it can be served elsewhere."""
    needed = {"mlflow"}
    for module in filter(None, answer["modules"]):
        for node in ast.walk(ast.parse(Path(module).read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.module:
                names.append(node.module)
            needed |= {name.split(".")[0] for name in names}
    needed -= {*sys.stdlib_module_names, Path(answer["code"][0]).parent.name}
    assert {"torch", "numpy", "soundfile"} <= needed
    lines = Path(answer["requirements"]).read_text().split()
    assert needed <= {line.split("==")[0] for line in lines}
    assert all("==" in line and "+" not in line for line in lines)


def test_the_dataset_has_a_champion(answer, model):
    run_id, tags, description = answer["champion"]
    assert run_id == model.record.run["mlflow"]
    assert answer["same"]  # the model of the experiment and of the dataset are one
    facts = model.facts
    assert float(tags["melgraph.validation_accuracy"]) == facts["validation_accuracy"]
    curves = read_table(model.folder / CURVES)
    best = curves.filter(pl.col("epoch") == facts["best_epoch"])
    assert float(tags["melgraph.validation_loss"]) == best["validation_loss"][0]
    for text in (tags["melgraph.champion"], description, answer["dataset_model"]):
        assert f"validation accuracy {facts['validation_accuracy']:.4f}" in text
    assert "never the test split" in answer["dataset_model"]


def test_the_model_has_a_signature_and_an_example(answer):
    assert answer["inputs"] == [{"type": "string", "required": True}]
    assert answer["example"] == ["song.mp3"]


def test_a_training_is_logged_again_where_mlflow_lacks_it(model, home_copy, tmp_path):
    answer = ask(AGAIN, folder=tmp_path, MELGRAPH_HOME=str(home_copy().root))
    run_id = model.record.run["mlflow"]
    assert answer["recorded"] == answer["existing"] == answer["logged"] == run_id
    assert len(set(answer["uri"])) == 1
    assert answer["uri"][0].endswith("/other.db")
    assert answer["full"]["mlflow"] is None
    assert "mlflow_experiment" not in answer["full"] or answer["full"]["mlflow_experiment"] is None
    assert "No space left" in answer["stderr"]
    assert answer["versions_after_full"] == 0  # no model is registered when logging it failed
    assert answer["first"] == answer["second"] == answer["champion"] not in (None, answer["logged"])
    assert len(set(answer["experiments"])) == 1
    assert answer["runs"] == ["FAILED", "FINISHED"]
    assert answer["versions"] == ["genres", "small-cnn"]
    assert answer["git_commit"] == str(model.record.environment["git_commit"])
    assert answer["seconds"] == float(model.record.run["seconds"])


def test_a_trial_is_a_run_with_a_curve_per_fold_and_no_model(made_home, home_copy, tmp_path):
    root = home_copy().root
    url = "http://d/"
    answer = ask(TRIALS, folder=tmp_path, MELGRAPH_HOME=str(root), MELGRAPH_DAGSTER_URL=url)
    assert answer["name"] == "arm-1"
    assert answer["metrics"] == {
        "fold0/train_loss": 1.0, "fold1/train_loss": 3.0, "accuracy": 0.5,
        "training_seconds": 3.0, "peak_memory_mb": 2.0,
    }  # fmt: skip
    assert answer["curve"] == [2.0, 1.0]
    assert (answer["params"]["a.b"], answer["params"]["seed"]) == ("1", "7")
    assert answer["tags"]["melgraph.record"].startswith("trials/arm-1/")
    snapshot = made_home.store.need("datasets", "genres").reference
    assert set(answer["datasets"]) == {snapshot.version}
    assert len(set(answer["models"])) == 1  # of the training in the home; none of the trial
    assert answer["uri"] is None  # a user's setting, which MLflow would write itself
    assert answer["lost"] is None
    assert answer["run"] == {}
    assert answer["seconds"] < 20
    assert answer["retries"] == "1"
    assert answer["stderr"].count("\n") == 1, answer["stderr"]  # one warning


def test_the_registered_model_predicts_as_the_evaluation_does(answer, made_home, model):
    """The audio file and the stored spectrogram give the same prediction."""
    from melgraph.ml.inference.tracks import predict_tracks

    path = Path(answer["rows"][0]["path"]).relative_to(made_home.library).as_posix()
    tracks = live_tracks([Tracks.current(made_home.store, "batch-000001")])
    track_id = dict(tracks.select("path", "track_id").iter_rows())[path]
    mel = made_home.store.need(MEL_SPECTROGRAMS.name, "batch-000001")
    view = SpectrogramStore(mel.folder / STORE).track(track_id)
    network, meta = TrainedModel(made_home.store, model).load()
    (scores,) = predict_tracks(network, [view])
    for name, score in zip(meta["classes"], scores, strict=True):
        assert answer["rows"][0][name] == pytest.approx(float(score), abs=2e-3)


def test_a_failing_mlflow_loses_no_training(home_copy, monkeypatch, caplog):
    home = home_copy()
    monkeypatch.setenv("MELGRAPH_HOME", str(home.root))
    before = home.store.need("trained_models", "small-cnn").record
    config = dict(before.spec.config) | {"title": "the same once more"}
    spec = replace(before.spec, config=config)

    def full(self, store, training, run) -> str:
        training.work.run["mlflow_experiment"] = "7"
        raise ConnectionError("no MLflow here")

    epochs: list[int] = []
    monkeypatch.setattr(LiveRun, "log_epoch", lambda run, row: epochs.append(row["epoch"]))
    monkeypatch.setattr(Tracker, "_log_training", full)
    with caplog.at_level(logging.WARNING, logger="melgraph"):
        write = partial(trained_models.write_trained_model, home.store, tracker=Tracker())
        artifact, is_new = home.store.produce(spec, write)
    assert is_new
    assert artifact.record.run["mlflow"] is None
    assert "mlflow_experiment" not in artifact.record.run
    assert epochs == [1, 2]  # each was reported while the training ran
    assert caplog.text.count("committed without an MLflow run") == 1
    assert "no MLflow here" in caplog.text
    assert home.store.verify(artifact) == []
    weights = "checkpoint/model.safetensors"
    assert artifact.record.files[weights] == before.files[weights]  # a title trains nothing else


def test_a_database_that_cannot_be_opened_is_only_a_warning(answer):
    assert answer["untracked"] is None
    assert "committed without an MLflow run" in answer["stderr"]


def test_flatten_names_every_setting_by_its_path():
    assert flatten({"a": {"b": 1, "c": {"d": [2]}}, "e": None}) == {
        "a.b": 1,
        "a.c.d": [2],
        "e": None,
    }


def test_two_homes_in_two_threads_log_into_their_own_databases(tmp_path, monkeypatch):
    """MLflow has one tracking URI per process: the second home waits until the first is done."""
    import mlflow
    from mlflow import MlflowClient

    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    first, second = (Home(tmp_path / name, str(tmp_path / name)) for name in "ab")
    waiting, runs = threading.Event(), {}

    def finishing(home: Home):
        work = Work(Spec("trained_models", "x", 1), tmp_path)
        return Tracker()._finishing(ArtifactStore(home), work, LiveRun())

    def log(home: Home) -> None:
        waiting.set()
        with finishing(home) as (_, run_id):
            runs[home.root] = run_id

    with finishing(first) as (_, run_id):
        runs[first.root] = run_id
        thread = threading.Thread(target=log, args=(second,))
        thread.start()
        waiting.wait()
        assert mlflow.get_tracking_uri() == Tracker().uri(first)
    thread.join()
    assert "MLFLOW_TRACKING_URI" not in os.environ
    for home in (first, second):
        assert Tracker().uri(home) == f"sqlite:///{home.mlflow / 'mlflow.db'}"
        run = MlflowClient(Tracker().uri(home)).get_run(runs[home.root])
        assert run.info.status == "FINISHED"
