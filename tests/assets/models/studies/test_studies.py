"""Studies as assets: what is kept, what goes on, what is told; and the leaderboard beside them."""

import json
import shutil

import polars as pl
import pytest

from melgraph.assets.models import leaderboard
from melgraph.assets.models.studies import reports as study_reports
from melgraph.assets.models.studies import trials
from melgraph.assets.models.studies.reports import STUDY_REPORTS, run_arms, study_named, study_spec
from melgraph.assets.partitions import SPECS
from melgraph.ml.errors import UserError
from melgraph.ml.specs.study import StudySpec
from melgraph.storage.records import Reference
from melgraph.storage.tables import read_table
from melgraph.storage.test_reads import known_reads, register_read

pytestmark = pytest.mark.usefixtures("small_specs")


@pytest.fixture
def report(made_home):
    return made_home.store.need(STUDY_REPORTS, "tiny")


def test_the_report_answers_with_every_arm_and_says_what_was_not_measured(report):
    facts = report.facts
    assert facts["question"] == "Does mixup help?"
    assert [row["arm"] for row in facts["arms"]] == ["plain", "mixup"]
    assert "gone.pth" in facts["not_measured"]["gone"]
    assert facts["answer"].endswith("Not measured: gone.")
    table = read_table(report.folder / study_reports.TABLE)
    assert table["repeats"].to_list() == [2, 2]
    assert table["n"].unique().to_list() == [24]
    assert (table["seconds"] > 0).all()
    assert (table["peak_memory_bytes"] > 0).all()
    whole = json.loads((report.folder / study_reports.REPORT).read_text())
    assert set(whole["comparisons"]) == {"mixup"}
    assert whole["comparisons"]["mixup"]["low"] <= whole["comparisons"]["mixup"]["high"]
    assert facts["answer"] in made_page(report)


def made_page(report) -> str:
    folder = next((report.folder.parents[2] / "pages" / "all").glob("*/studies.html"))
    return folder.read_text(encoding="utf-8").replace("&#39;", "'")


def test_a_trial_predicts_every_track_by_a_model_that_knows_none_of_its_group(made_home):
    for name in made_home.store.partitions(trials.TRIALS):
        trial = made_home.store.need(trials.TRIALS, name)
        answers = trials.right_answers(trial)
        assert answers["right"].null_count() == 0
        assert trial.facts["accuracy"] == pytest.approx(answers["right"].mean())
        assert trial.facts["trainings"] == 2
        assert trial.record.run["mlflow"]


def test_a_stopped_study_has_what_it_trained_and_trains_only_the_rest(home_copy, monkeypatch):
    home = home_copy()
    gone = home.store.partitions(trials.TRIALS)[0]
    shutil.rmtree(home.home.artifacts / trials.TRIALS / gone)
    made = []
    real = trials.write_trial
    monkeypatch.setattr(
        trials, "write_trial",
        lambda store, work, **options: made.append(work.spec.partition) or real(store, work),
    )  # fmt: skip
    before = home.store.need(STUDY_REPORTS, "tiny")
    found, why_not = run_arms(home.store, study_named("tiny"))
    assert made == [gone]
    assert study_spec("tiny", study_named("tiny"), found, why_not) == before.record.spec
    again = home.store.need(trials.TRIALS, gone)
    assert again.reference in before.record.spec.inputs  # the very version the report names


def test_arms_that_studies_share_are_trained_once(made_home, monkeypatch):
    study = study_named("tiny")
    other = study.model_copy(update={"title": "another", "control": "mixup", "question": "And?"})
    monkeypatch.setattr(trials, "write_trial", lambda *_, **__: pytest.fail("trained again"))
    found, _ = run_arms(made_home.store, other)
    assert {t.reference for ts in found.values() for t in ts} <= {
        made_home.store.need(trials.TRIALS, name).reference
        for name in made_home.store.partitions(trials.TRIALS)
    }


def test_a_control_that_cannot_be_measured_is_a_plain_mistake(made_home):
    study = study_named("tiny").model_copy(update={"control": "gone"})
    found, why_not = run_arms(made_home.store, study)
    with pytest.raises(UserError, match=r"control 'gone' could not be measured(.|\n)*gone.pth"):
        study_spec("x", study, found, why_not)


def test_a_study_that_does_not_exist_lists_those_that_do():
    with pytest.raises(UserError, match="unknown study 'nobody'") as caught:
        study_named("nobody")
    assert "leakage" in caught.value.remedy


def test_every_shipped_study_can_be_planned(made_home):
    """Each arm has what it reads of every track, or says why it cannot be measured."""
    for name, study in SPECS.studies.items():
        for arm, (trial, dataset) in study_reports.arm_trials(study).items():
            if trial.recipe["model"]["weights"] == "imagenet" or name == "tiny":
                continue
            spec = trials.trial_spec(made_home.store, trial, dataset, 0)
            assert spec.partition.startswith(f"{dataset}-"), (name, arm)


RUN = ("architectures", "representation", "resnet-or-vit", "hard-examples", "crops", "leakage",
       "augmentation")  # fmt: skip


@pytest.mark.parametrize("name", RUN)
def test_shipped_studies_run_from_end_to_end_on_synthetic_music(name, home_copy):
    """At a tiny setting: a seed, two folds, an epoch of one crop a track; what needs ImageNet is
    left out. Up to ten arms of two trainings of about a second.
    """
    home = home_copy()
    shipped = SPECS.studies[name]
    arms = {
        arm: spec.model_copy(update={"training": {k: v for k, v in spec.training.items()
                                                  if k not in ("crops_per_track", "epochs")}})
        for arm, spec in shipped.arms.items()
        if spec.model.get("weights") != "imagenet"
    }  # fmt: skip
    tiny = StudySpec.model_validate(
        shipped.model_dump()
        | {
            "seeds": [0], "folds": 2, "input": {"crop_s": 1.0},
            "training": {"epochs": 1, "crops_per_track": 1, "batch_size": 8},
            "arms": {k: v.model_dump() for k, v in arms.items()},
        }
    )  # fmt: skip
    found, why_not = run_arms(home.store, tiny)
    assert why_not == {}
    spec = study_spec(f"tiny-{name}", tiny, found, why_not)
    report, made = home.store.produce(
        spec, lambda work: study_reports.write_study_report(home.store, work)
    )
    assert made
    assert [row["arm"] for row in report.facts["arms"]] == list(tiny.arms)
    assert report.facts["answer"]
    pictures = {study_reports.ARMS, study_reports.DIFFERENCES, study_reports.CURVES_PICTURE}
    assert pictures <= set(dict(report.record.files))


class TestLeaderboard:
    def test_it_has_figures_cost_and_looks(self, made_home):
        (row,) = made_home.store.need(leaderboard.LEADERBOARD, "all").facts["rows"]
        assert row["experiment"] == "small-cnn"
        assert row["low"] <= row["accuracy"] <= row["high"]
        assert row["seconds"] > 0
        assert row["peak_memory_bytes"] > 0
        assert row["looks"] == {"clusters": 4, "evaluation": 1, "study": 4}
        assert row["extra_looks"] == 8
        assert leaderboard.looks_sentence(row) == (
            "4 clusters, 1 evaluation, 4 study; 8 beyond evaluations"
        )
        assert leaderboard.against_first(row) == "first"

    def test_looks_were_noted_by_every_reader(self, made_home):
        kinds = pl.Series([read.kind for read in known_reads(made_home.home)]).value_counts()
        assert dict(kinds.iter_rows()) == {"evaluation": 1, "clusters": 4, "study": 4}

    def test_another_look_makes_another_version(self, home_copy):
        home = home_copy()
        before = home.store.need(leaderboard.LEADERBOARD, "all").record.spec
        assert leaderboard.leaderboard_spec(home.store) == before
        snapshot = home.store.need("datasets", "genres").reference
        tested = read_table(home.store.get(snapshot).folder / "tracks.parquet")
        ids = tested.filter(pl.col("split") == "test")["track_id"].to_list()
        reader = Reference("evaluations", "mine", "f" * 32)
        register_read(home.home, snapshot, ids, reader, "evaluation", None)
        after = leaderboard.leaderboard_spec(home.store)
        assert after.version != before.version
        assert after.config["reads"][str(snapshot)]["evaluation"] == 2
