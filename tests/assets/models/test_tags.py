"""Tags from end to end: a table of tags, `melgraph run`, and the artifacts of each asset."""

import json
from pathlib import Path

import numpy as np
import pytest

from melgraph.assets.context import Context
from melgraph.assets.dataset.snapshot import Snapshot
from melgraph.assets.library.tracks import GOOD, Tracks
from melgraph.assets.models import (
    evaluations,
    leaderboard,
    trained_models,
)
from melgraph.assets.models.evaluation import PREDICTIONS, REPORT, TAG_CHART
from melgraph.assets.models.studies import trials
from melgraph.assets.models.studies.reports import arm_trials
from melgraph.assets.models.targets import tag_matrix
from melgraph.assets.models.trained_model import CURVES, TrainedModel
from melgraph.assets.remaking import remake
from melgraph.assets.stages import TRAINED_MODELS
from melgraph.ml.errors import UserError
from melgraph.ml.specs.study import ArmSpec, StudySpec
from melgraph.storage.tables import read_table
from melgraph.storage.test_reads import list_test_reads
from tests.conftest import MadeHome, copy_home

DATASET = """\
title = "Styles and more, for tests"
labels = "table"
metadata = "metadata/tags.csv"
multi_label = true
min_tracks_per_class = 2
min_groups_per_class = 2
"""
TAGGER = """\
extends = "small-cnn"
title = "A small CNN on tags, two epochs: for tests"
dataset = "tagged"
"""
MIXED = """\
extends = "tagger"
title = "With mixup and balance"
training = { augment = ["mixup"], class_balance = 0.5 }
"""
ENCODER = """\
title = "The embedding of the tagger"
kind = "experiment"
experiment = "tagger"
dataset = "tagged"
"""
DREAM = """\
extends = "deep-dream"
title = "What the tagger adds"
experiment = "tagger"
"""
SPECS_OF_TAGS = {
    "datasets/tagged": DATASET,
    "experiments/tagger": TAGGER,
    "experiments/tagger-mixed": MIXED,
    "encoders/tagger": ENCODER,
    "encoders": 'in_service = ["mel-statistics", "tagger"]',
    "recipes/tag-dream": DREAM,
}
TAGS = ["blues", "classical", "country", "music", "second", "third"]


def write_tags(home: MadeHome) -> None:
    """Write a table of tags: the style and `music`, and for some tracks `second` or `third`."""
    (batch,) = Tracks.all_current(home.store)
    paths = batch.part(["path"], GOOD)["path"]
    lines = ["path,labels"]
    for path in sorted(paths):
        tags = [path.split("/")[0], "music"]
        tags += [tag for start, tag in (("02", "second"), ("01", "third")) if
                  Path(path).name.startswith(start)]  # fmt: skip
        lines.append(f'"{path}",{";".join(tags)}')
    table = home.root / "metadata" / "tags.csv"
    table.parent.mkdir(exist_ok=True)
    table.write_text("\n".join(lines) + "\n")


@pytest.fixture(scope="module")
def tagged(made_home: MadeHome, tmp_path_factory: pytest.TempPathFactory) -> MadeHome:
    """The made home with a dataset of tags, two experiments on it and an encoder: run once."""
    home = copy_home(made_home, tmp_path_factory.mktemp("tagged"))
    write_tags(home)
    for name, text in SPECS_OF_TAGS.items():
        path = home.root / "specs" / f"{name}.toml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    ran = home.melgraph(
        "run", "--library", str(home.library), "--experiment", "tagger",
        "--experiment", "tagger-mixed", "--experiment", "small-cnn",
    )  # fmt: skip
    assert ran.returncode == 0, ran.stdout + ran.stderr
    (home.root / "output.txt").write_text(ran.stdout)
    return home


@pytest.fixture
def model(tagged):
    return tagged.store.need("trained_models", "tagger")


@pytest.fixture
def evaluation(tagged):
    return tagged.store.need("evaluations", "tagger")


def test_a_snapshot_of_tags_can_be_learned(tagged):
    snapshot = Snapshot.current(tagged.store, "tagged")
    assert snapshot.multi_label
    assert snapshot.unusable is None
    assert snapshot.classes == TAGS
    table = snapshot.table()
    matrix = tag_matrix(table, TAGS)
    assert matrix.dtype == np.float32
    assert matrix.sum(axis=1).tolist() == table["labels"].list.len().to_list()
    for row, names in enumerate(table["labels"].to_list()):
        assert [TAGS[i] for i in np.flatnonzero(matrix[row])] == sorted(names)
    assert not Snapshot.current(tagged.store, "genres").multi_label


def test_the_model_predicts_tags(tagged, model):
    facts, training = model.facts, model.record.spec.config["training"]
    assert facts["multi_label"] is True
    assert 0 <= facts["validation_pr_auc"] <= 1
    assert 0 <= facts["validation_roc_auc"] <= 1
    assert "validation_accuracy" not in facts
    assert (training["label_smoothing"], training["class_balance"]) == (0, 0)
    assert model.record.spec.config["folds"] == 0
    curves = read_table(model.folder / CURVES)
    assert {"validation_loss", "validation_pr_auc", "validation_roc_auc"} <= set(curves.columns)
    assert "validation_accuracy" not in curves.columns
    network, meta = TrainedModel(tagged.store, model).load()
    assert network.multi_label
    assert meta["classes"] == TAGS
    metadata = trained_models.show(model)
    assert metadata["validation_pr_auc"] == facts["validation_pr_auc"]


def test_settings_of_the_experiment_override_the_defaults_for_tags(tagged):
    training = tagged.store.need("trained_models", "tagger-mixed").record.spec.config["training"]
    assert (training["class_balance"], training["label_smoothing"]) == (0.5, 0)


def test_experiments_on_single_labels_are_unchanged(tagged, made_home):
    """The experiment on genres was not trained again, and its facts have no tags."""
    before, after = (home.store.need("trained_models", "small-cnn") for home in (made_home, tagged))
    assert after.record == before.record
    assert "multi_label" not in after.facts
    assert "validation_accuracy" in after.facts


def test_the_evaluation_has_intervals_tags_and_a_picture(evaluation):
    facts = evaluation.facts
    for name in ("roc_auc", "pr_auc"):
        assert 0 <= facts[f"{name}_low"] <= facts[name] <= facts[f"{name}_high"] <= 1
    assert facts["without_negatives"] == ["music"]  # which all tracks have
    assert facts["n_tags"] == len(TAGS) - 1 - len(facts["without_positives"])
    assert [row["name"] for row in facts["per_tag"]] == TAGS
    assert (evaluation.folder / TAG_CHART).read_bytes().startswith(b"\x89PNG")
    report = json.loads((evaluation.folder / REPORT).read_text())
    assert report["pr_auc"] == facts["pr_auc"]
    predictions = read_table(evaluation.folder / PREDICTIONS)
    assert predictions.height == facts["n"]
    scores = predictions.select(f"p_{name}" for name in TAGS).to_numpy()
    assert ((scores >= 0) & (scores <= 1)).all()
    assert not np.allclose(scores.sum(axis=1), 1)
    metadata = evaluations.show(evaluation)
    assert "macro PR-AUC" in metadata["result"]
    assert "because all test tracks have them: music" in metadata["note"]
    assert "| music | " in metadata["per tag"].value


def test_the_look_at_the_test_split_is_noted(tagged, evaluation):
    looks = [read for read in list_test_reads(tagged.home) if read.kind == "evaluation"]
    snapshot = str(tagged.store.need("datasets", "tagged").reference)
    assert sum(read.dataset == snapshot for read in looks) == 2


def test_artifacts_are_reproduced_from_their_records(tagged, model, evaluation, tmp_path):
    for artifact in (model, evaluation):
        folder = tmp_path / artifact.reference.asset
        folder.mkdir()
        assert remake(tagged.store, artifact, folder) == []


def test_embeddings_and_recommendations_are_computed(tagged):
    encoder = tagged.store.need("encoders", "tagger")
    vectors = tagged.store.need("embeddings", "tagger+batch-000001")
    assert vectors.facts["dimension"] == encoder.facts["dimension"]
    assert vectors.facts["tracks"] > 0
    assert tagged.store.need("recommendations", "tagger").facts["recommendations"] > 0


def test_a_deep_dream_is_classified_with_tags(tagged):
    (sound,) = tagged.store.need("dreams", "tag-dream").facts["sounds"]
    assert sound["label"] is None
    for prediction in (sound["heard_before"], sound["heard_after"]):
        assert prediction["label"] in TAGS
        assert 0 <= prediction["probability"] <= 1


def test_the_leaderboard_has_a_table_for_tags(tagged):
    board = tagged.store.need("leaderboard", "all")
    assert [row["experiment"] for row in board.facts["rows"]] == ["small-cnn"]
    rows = board.facts["tag_rows"]
    assert {row["experiment"] for row in rows} == {"tagger", "tagger-mixed"}
    assert board.facts["experiments"] == 3
    first, second = rows
    assert first["pr_auc"] >= second["pr_auc"]
    assert first["behind"] is None
    assert second["behind"] == pytest.approx(second["pr_auc"] - first["pr_auc"])
    assert second["behind_low"] <= second["behind"] <= second["behind_high"]
    assert second["looks"]["evaluation"] == 2
    assert read_table(board.folder / leaderboard.TAG_TABLE).height == 2
    metadata = leaderboard.show(board)
    assert "macro PR-AUC" in metadata["leaderboard of tags"].value
    assert "accuracy" not in metadata["leaderboard of tags"].value
    assert "PR-AUC" not in metadata["leaderboard"].value


def test_a_leaderboard_of_tags_alone(tagged, monkeypatch):
    """No experiment with one label a track was evaluated."""
    spec = leaderboard.plan_leaderboard(tagged.context)
    inputs = tuple(r for r in spec.inputs if r.partition != "small-cnn")
    alone = type(spec)(spec.asset, "tags", spec.stage, inputs, dict(spec.config), spec.seed)
    board, _ = tagged.store.produce(
        alone, lambda work: leaderboard.write_leaderboard(tagged.store, work)
    )
    assert board.facts["rows"] == []
    assert len(board.facts["tag_rows"]) == 2
    assert "leaderboard" not in leaderboard.show(board)


def test_pages_show_the_tags(tagged):
    folder = tagged.store.need("pages", "all").folder
    models = (folder / "models.html").read_text(encoding="utf-8")
    section = models.split('id="model-tagger"')[1].split("<section")[0]
    assert "Results of each tag" in section
    assert "Results of each class" not in section
    assert all(f'<th scope="row">{name}</th>' in section for name in TAGS)
    assert "tags.png" in section
    assert "Tags excluded from the means, because all test tracks have them: music." in section
    index = (folder / "index.html").read_text(encoding="utf-8")
    assert "PR-AUC" in index
    board = (folder / "leaderboard.html").read_text(encoding="utf-8")
    assert "macro PR-AUC (95 %)" in board


def test_the_run_prints_the_results(tagged):
    output = (tagged.root / "output.txt").read_text()
    assert "tagger: macro ROC-AUC" in output
    assert "small-cnn: accuracy" in output


def test_mlflow_has_a_run_a_champion_and_a_model_for_files(tagged, model, monkeypatch):
    import mlflow
    from mlflow import MlflowClient

    uri = f"sqlite:///{tagged.root / 'mlflow' / 'mlflow.db'}"
    client = MlflowClient(uri)
    metrics = client.get_run(model.record.run["mlflow"]).data.metrics
    assert metrics["validation_pr_auc"] == model.facts["validation_pr_auc"]
    evaluation = tagged.store.need("evaluations", model.reference.partition)
    for name in ("pr_auc", "roc_auc", "n_tags"):
        assert metrics[f"test/{name}"] == evaluation.facts[name]
    champion = client.get_model_version_by_alias("tagged", "champion")
    assert "validation macro PR-AUC" in champion.tags["melgraph.champion"]
    best = max(
        (tagged.store.need("trained_models", name) for name in ("tagger", "tagger-mixed")),
        key=lambda m: m.facts["validation_pr_auc"],
    )
    assert float(champion.tags["melgraph.validation_pr_auc"]) == best.facts["validation_pr_auc"]
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    mlflow.set_tracking_uri(uri)
    try:
        predict = mlflow.pyfunc.load_model(f"models:/tagged/{champion.version}").predict
        table = Snapshot.current(tagged.store, "tagged").table()
        song = tagged.library / table["path"][0]
        (row,) = predict([str(song), "gone.wav"]).head(1).to_dict("records")
    finally:
        mlflow.set_tracking_uri(None)
    assert not isinstance(row["problem"], str)
    assert row["prediction"] in TAGS
    assert row["probability"] == max(row[name] for name in TAGS)
    assert row["tags"] == sorted(
        (name for name in TAGS if row[name] >= 0.5), key=lambda name: -row[name]
    )


class TestRefused:
    @pytest.mark.parametrize(
        ("change", "where"),
        [({"aggregate": "vote"}, "experiment tagger: aggregate"),
         ({"training": {"drop": 0.2}}, "experiment tagger: training.drop")],
    )  # fmt: skip
    def test_before_any_work(self, tagged, monkeypatch, change, where):
        specs = tagged.context.specs
        spec = specs.experiments["tagger"]
        changed = type(spec).model_validate(spec.model_dump() | change)
        monkeypatch.setitem(specs.experiments, "tagger", changed)
        with pytest.raises(UserError, match="several labels") as caught:
            TRAINED_MODELS.plan(Context.open(tagged.home, specs), "tagger")
        assert caught.value.where == where

    def test_a_study(self, tagged):
        study = StudySpec(
            title="x", question="y?", experiment="tagger", control="plain", folds=2,
            arms={"plain": ArmSpec()},
        )  # fmt: skip
        context = tagged.context
        ((trial, dataset),) = arm_trials(context.specs, study).values()
        with pytest.raises(UserError, match="a study compares accuracies"):
            trials.trial_spec(context, trial, dataset, 0)
