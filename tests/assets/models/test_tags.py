"""Tags from end to end: a table of tags, `melgraph run`, and what each asset makes of it."""

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from melgraph.assets.kinds import remake
from melgraph.assets.models import (
    evaluations,
    leaderboard,
    tag_board,
    tag_evaluations,
    trained_models,
)
from melgraph.assets.models.studies import trials
from melgraph.assets.models.studies.reports import arm_trials
from melgraph.assets.models.targets import has_tags, tag_matrix
from melgraph.assets.models.trained_models import TRAINED, checkpoint_of, training_spec
from melgraph.assets.partitions import SPECS
from melgraph.ml.errors import UserError
from melgraph.ml.specs import load_specs
from melgraph.ml.specs.study import ArmSpec, StudySpec
from melgraph.storage.tables import read_table
from melgraph.storage.test_reads import known_reads
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
    """Each track has its style, its place among the artist's songs or not, and what all have."""
    (batch,) = (home.store.need("tracks", name) for name in home.store.partitions("tracks"))
    paths = read_table(batch.folder / "tracks.parquet").filter(pl.col("status") == "ok")["path"]
    lines = ["path,labels"]
    for path in sorted(paths):
        named = [path.split("/")[0], "music"]
        named += [tag for start, tag in (("02", "second"), ("01", "third")) if
                  Path(path).name.startswith(start)]  # fmt: skip
        lines.append(f'"{path}",{";".join(named)}')
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
    (home.root / "said.txt").write_text(ran.stdout)
    return home


@pytest.fixture
def own_specs(tagged, monkeypatch):
    """The specs of that home, in this process too."""
    own = load_specs(tagged.home.specs)
    for kind in ("datasets", "experiments", "encoders"):
        for name, spec in getattr(own, kind).items():
            monkeypatch.setitem(getattr(SPECS, kind), name, spec)


@pytest.fixture
def model(tagged):
    return tagged.store.need(TRAINED, "tagger")


@pytest.fixture
def evaluation(tagged):
    return tagged.store.need(evaluations.EVALUATIONS, "tagger")


def test_a_snapshot_of_tags_can_be_learned(tagged):
    snapshot = tagged.store.need("datasets", "tagged")
    assert has_tags(snapshot)
    assert snapshot.facts["unusable"] is None
    assert snapshot.facts["classes"] == TAGS
    table = read_table(snapshot.folder / "tracks.parquet")
    matrix = tag_matrix(table, TAGS)
    assert matrix.dtype == np.float32
    assert matrix.sum(axis=1).tolist() == table["labels"].list.len().to_list()
    for row, names in enumerate(table["labels"].to_list()):
        assert [TAGS[i] for i in np.flatnonzero(matrix[row])] == sorted(names)
    assert not has_tags(tagged.store.need("datasets", "genres"))


def test_the_model_answers_tags_and_its_record_says_what_was_done(model):
    facts, training = model.facts, model.record.spec.config["training"]
    assert facts["multi_label"] is True
    assert 0 <= facts["validation_pr_auc"] <= 1
    assert 0 <= facts["validation_roc_auc"] <= 1
    assert "validation_accuracy" not in facts
    assert (training["label_smoothing"], training["class_balance"]) == (0, 0)
    assert model.record.spec.config["folds"] == 0
    curves = read_table(model.folder / trained_models.CURVES)
    assert {"validation_loss", "validation_pr_auc", "validation_roc_auc"} <= set(curves.columns)
    assert "validation_accuracy" not in curves.columns
    network, meta = checkpoint_of(model)
    assert network.multi_label
    assert meta["classes"] == TAGS
    shown = trained_models._show(model)
    assert shown["validation_pr_auc"] == facts["validation_pr_auc"]


def test_what_was_asked_for_is_done(tagged):
    training = tagged.store.need(TRAINED, "tagger-mixed").record.spec.config["training"]
    assert (training["class_balance"], training["label_smoothing"]) == (0.5, 0)


def test_single_labels_beside_it_stay_as_they_were(tagged, made_home):
    """The experiment on genres was not trained again, and says nothing of tags."""
    before, after = (home.store.need(TRAINED, "small-cnn") for home in (made_home, tagged))
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
    assert (evaluation.folder / tag_evaluations.CHART).read_bytes().startswith(b"\x89PNG")
    report = json.loads((evaluation.folder / tag_evaluations.REPORT).read_text())
    assert report["pr_auc"] == facts["pr_auc"]
    predictions = read_table(evaluation.folder / tag_evaluations.PREDICTIONS)
    assert predictions.height == facts["n"]
    scores = predictions.select(f"p_{name}" for name in TAGS).to_numpy()
    assert ((scores >= 0) & (scores <= 1)).all()
    assert not np.allclose(scores.sum(axis=1), 1)
    shown = evaluations._show(evaluation)
    assert "macro PR-AUC" in shown["result"]
    assert "as all test tracks have them: music" in shown["note"]
    assert "| music | " in shown["per tag"].value


def test_the_look_at_the_test_split_is_noted(tagged, evaluation):
    looks = [read for read in known_reads(tagged.home) if read.kind == "evaluation"]
    snapshot = str(tagged.store.need("datasets", "tagged").reference)
    assert sum(read.dataset == snapshot for read in looks) == 2


def test_made_again_from_its_record_it_is_the_same(tagged, own_specs, model, evaluation, tmp_path):
    for artifact in (model, evaluation):
        folder = tmp_path / artifact.reference.asset
        folder.mkdir()
        assert remake(tagged.store, artifact, folder) == []


def test_the_embedding_and_what_follows_work(tagged):
    encoder = tagged.store.need("encoders", "tagger")
    vectors = tagged.store.need("embeddings", "tagger+batch-000001")
    assert vectors.facts["dimension"] == encoder.facts["dimension"]
    assert vectors.facts["tracks"] > 0
    assert tagged.store.need("recommendations", "tagger").facts["recommendations"] > 0


def test_it_dreams_and_is_heard_as_a_tag(tagged):
    (sound,) = tagged.store.need("dreams", "tag-dream").facts["sounds"]
    assert sound["label"] is None
    for heard in (sound["heard_before"], sound["heard_after"]):
        assert heard["label"] in TAGS
        assert 0 <= heard["probability"] <= 1


def test_the_leaderboard_has_a_table_for_tags(tagged):
    board = tagged.store.need(leaderboard.LEADERBOARD, "all")
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
    assert read_table(board.folder / tag_board.TAG_TABLE).height == 2
    shown = leaderboard._show(board)
    assert "macro PR-AUC" in shown["leaderboard of tags"].value
    assert "accuracy" not in shown["leaderboard of tags"].value
    assert "PR-AUC" not in shown["leaderboard"].value


def test_a_board_of_tags_alone(tagged, monkeypatch):
    """No experiment with one label a track was evaluated."""
    spec = leaderboard.leaderboard_spec(tagged.store)
    inputs = tuple(r for r in spec.inputs if r.partition != "small-cnn")
    alone = type(spec)(spec.asset, "tags", spec.stage, inputs, dict(spec.config), spec.seed)
    board, _ = tagged.store.produce(
        alone, lambda work: leaderboard.write_leaderboard(tagged.store, work)
    )
    assert board.facts["rows"] == []
    assert len(board.facts["tag_rows"]) == 2
    assert "leaderboard" not in leaderboard._show(board)


def test_pages_show_the_tags(tagged):
    folder = tagged.store.need("pages", "all").folder
    models = (folder / "models.html").read_text(encoding="utf-8")
    section = models.split('id="model-tagger"')[1].split("<section")[0]
    assert "Per tag" in section
    assert "Per class" not in section
    assert all(f'<th scope="row">{name}</th>' in section for name in TAGS)
    assert "tags.png" in section
    assert "Tags not in the means, as all test tracks have them: music." in section
    index = (folder / "index.html").read_text(encoding="utf-8")
    assert "PR-AUC" in index
    board = (folder / "leaderboard.html").read_text(encoding="utf-8")
    assert "macro PR-AUC (95 %)" in board


def test_the_run_tells_what_was_learned(tagged):
    said = (tagged.root / "said.txt").read_text()
    assert "tagger: macro ROC-AUC" in said
    assert "small-cnn: accuracy" in said


def test_mlflow_has_runs_a_champion_and_a_model_that_hears_a_file(tagged, model, monkeypatch):
    import mlflow
    from mlflow import MlflowClient

    uri = f"sqlite:///{tagged.root / 'mlflow' / 'mlflow.db'}"
    client = MlflowClient(uri)
    metrics = client.get_run(model.record.run["mlflow"]).data.metrics
    assert metrics["validation_pr_auc"] >= 0
    champion = client.get_model_version_by_alias("tagged", "champion")
    assert "validation macro PR-AUC" in champion.tags["melgraph.champion"]
    best = max(
        (tagged.store.need(TRAINED, name) for name in ("tagger", "tagger-mixed")),
        key=lambda m: m.facts["validation_pr_auc"],
    )
    assert float(champion.tags["melgraph.validation_pr_auc"]) == best.facts["validation_pr_auc"]
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    mlflow.set_tracking_uri(uri)
    try:
        predict = mlflow.pyfunc.load_model(f"models:/tagged/{champion.version}").predict
        table = read_table(tagged.store.need("datasets", "tagged").folder / "tracks.parquet")
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


@pytest.mark.usefixtures("own_specs")
class TestRefused:
    @pytest.mark.parametrize(
        ("change", "where"),
        [({"aggregate": "vote"}, "experiment tagger: aggregate"),
         ({"training": {"drop": 0.2}}, "experiment tagger: training.drop")],
    )  # fmt: skip
    def test_before_any_work(self, tagged, monkeypatch, change, where):
        spec = SPECS.experiments["tagger"]
        changed = type(spec).model_validate(spec.model_dump() | change)
        monkeypatch.setitem(SPECS.experiments, "tagger", changed)
        with pytest.raises(UserError, match="several labels") as caught:
            training_spec(tagged.store, "tagger")
        assert caught.value.where == where

    def test_a_study(self, tagged):
        study = StudySpec(
            title="x", question="y?", experiment="tagger", control="plain", folds=2,
            arms={"plain": ArmSpec()},
        )  # fmt: skip
        ((trial, dataset),) = arm_trials(study).values()
        with pytest.raises(UserError, match="a study compares accuracies"):
            trials.trial_spec(tagged.store, trial, dataset, 0)
