"""Studies as assets: trials, resuming, reports; and the leaderboard."""

import json
import shutil

import polars as pl
import pytest

from melgraph.assets.dataset.snapshot import Snapshot
from melgraph.assets.models import leaderboard
from melgraph.assets.models.studies import reports as study_reports
from melgraph.assets.models.studies import trials
from melgraph.assets.models.studies.reports import run_arms, study_named, study_spec
from melgraph.ml.errors import UserError
from melgraph.ml.specs.study import StudySpec
from melgraph.storage.records import Reference
from melgraph.storage.tables import read_table
from melgraph.storage.test_reads import list_test_reads, register_read


@pytest.fixture
def report(made_home):
    return made_home.store.need("study_reports", "tiny")


def test_the_report_has_every_arm_and_names_arms_that_were_not_measured(report):
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
    assert facts["answer"] in page_of_studies(report)


def page_of_studies(report) -> str:
    page = next((report.folder.parents[2] / "pages" / "all").glob("*/studies.html"))
    return page.read_text(encoding="utf-8").replace("&#39;", "'")


def test_a_trial_predicts_every_track(made_home):
    for name in made_home.store.partitions("trials"):
        reader = trials.TrialReader.current(made_home.store, name)
        trial, predictions = reader.artifact, reader.correct()
        assert predictions["right"].null_count() == 0
        assert trial.facts["accuracy"] == pytest.approx(predictions["right"].mean())
        assert reader.n_trainings == 2
        assert trial.record.run["mlflow"]


def test_an_interrupted_study_trains_only_the_missing_trials(home_copy, monkeypatch):
    home = home_copy()
    missing = home.store.partitions("trials")[0]
    shutil.rmtree(home.home.artifacts / "trials" / missing)
    trained = []
    write_trial = trials.write_trial
    monkeypatch.setattr(
        trials, "write_trial",
        lambda store, work, **_: trained.append(work.spec.partition) or write_trial(store, work),
    )  # fmt: skip
    before = home.store.need("study_reports", "tiny")
    study = study_named(home.context.specs, "tiny")
    repeats, not_measured = run_arms(home.context, study)
    assert trained == [missing]
    assert study_spec("tiny", study, repeats, not_measured) == before.record.spec
    again = home.store.need("trials", missing)
    assert again.reference in before.record.spec.inputs  # the same version


def test_arms_that_studies_share_are_trained_once(made_home, monkeypatch):
    study = study_named(made_home.context.specs, "tiny")
    other = study.model_copy(update={"title": "another", "control": "mixup", "question": "And?"})
    monkeypatch.setattr(trials, "write_trial", lambda *_, **__: pytest.fail("trained again"))
    repeats, _ = run_arms(made_home.context, other)
    assert {t.reference for ts in repeats.values() for t in ts} <= {
        made_home.store.need("trials", name).reference
        for name in made_home.store.partitions("trials")
    }


def test_a_control_that_cannot_be_measured_is_a_user_error(made_home):
    study = study_named(made_home.context.specs, "tiny")
    study = study.model_copy(update={"control": "gone"})
    repeats, not_measured = run_arms(made_home.context, study)
    with pytest.raises(UserError, match=r"control 'gone' could not be measured(.|\n)*gone.pth"):
        study_spec("x", study, repeats, not_measured)


def test_a_study_that_does_not_exist_lists_those_that_do(made_home):
    with pytest.raises(UserError, match="unknown study 'nobody'") as caught:
        study_named(made_home.context.specs, "nobody")
    assert "leakage" in caught.value.remedy


def test_every_shipped_study_can_be_planned(made_home):
    """The representations that each arm reads exist; arms with ImageNet weights are left out."""
    context = made_home.context
    for name, study in context.specs.studies.items():
        for arm, (trial, dataset) in study_reports.arm_trials(context.specs, study).items():
            if trial.recipe["model"]["weights"] == "imagenet" or name == "tiny":
                continue
            spec = trials.trial_spec(context, trial, dataset, 0)
            assert spec.partition.startswith(f"{dataset}-"), (name, arm)


RUN = ("architectures", "representation", "resnet-or-vit", "hard-examples", "crops", "leakage",
       "augmentation", "pretrained-efficientnet", "sources-architectures", "sources-dense",
       "sources-images")  # fmt: skip
TINY_IMAGES = {"representation": {"image": 24}, "sources-images": {"image": 24}}


@pytest.mark.parametrize("name", RUN)
def test_shipped_studies_run_from_end_to_end_on_synthetic_music(name, home_copy):
    """With tiny settings: one seed, two folds, one epoch with one crop per track.

    Arms with ImageNet weights are left out. There are up to ten arms with two trainings of about a
    second each.
    """
    home = home_copy()
    shipped = home.context.specs.studies[name]
    arms = {
        arm: spec.model_copy(update={"training": {k: v for k, v in spec.training.items()
                                                  if k not in ("crops_per_track", "epochs")}})
        for arm, spec in shipped.arms.items()
        if spec.model.get("weights") != "imagenet"
    }  # fmt: skip
    tiny = StudySpec.model_validate(
        shipped.model_dump()
        | {
            "seeds": [0], "folds": 2, "input": {"crop_s": 1.0, **TINY_IMAGES.get(name, {})},
            "training": {"epochs": 1, "crops_per_track": 1, "batch_size": 8},
            "arms": {k: v.model_dump() for k, v in arms.items()},
        }
    )  # fmt: skip
    repeats, not_measured = run_arms(home.context, tiny)
    assert not_measured == {}
    spec = study_spec(f"tiny-{name}", tiny, repeats, not_measured)
    report, is_new = home.store.produce(
        spec, lambda work: study_reports.write_study_report(home.store, work)
    )
    assert is_new
    assert [row["arm"] for row in report.facts["arms"]] == list(tiny.arms)
    assert report.facts["answer"]
    pictures = {study_reports.ARMS, study_reports.CURVES_PICTURE}
    if len(tiny.arms) > 1:
        pictures.add(study_reports.DIFFERENCES)
    assert pictures <= set(dict(report.record.files))


class TestLeaderboard:
    def test_a_row_has_figures_cost_and_looks(self, made_home):
        (row,) = made_home.store.need("leaderboard", "all").facts["rows"]
        assert row["experiment"] == "small-cnn"
        assert row["low"] <= row["accuracy"] <= row["high"]
        assert row["seconds"] > 0
        assert row["peak_memory_bytes"] > 0
        assert row["looks"] == {
            "clusters": 4, "evaluation": 1, "generative model": 3, "study": 4,
        }  # fmt: skip
        assert row["extra_looks"] == 11
        assert leaderboard.looks_sentence(row) == (
            "4 clusters, 1 evaluation, 3 generative model, 4 study; 11 of them not by evaluations"
        )
        assert leaderboard.against_first(row) == "first"

    def test_every_reader_of_the_test_split_notes_its_look(self, made_home):
        kinds = pl.Series([read.kind for read in list_test_reads(made_home.home)]).value_counts()
        assert dict(kinds.iter_rows()) == {
            "evaluation": 1, "clusters": 4, "generative model": 3, "study": 4,
        }  # fmt: skip

    def test_another_look_makes_another_version(self, home_copy):
        home = home_copy()
        before = home.store.need("leaderboard", "all").record.spec
        assert leaderboard.plan_leaderboard(home.context) == before
        snapshot = home.store.need("datasets", "genres").reference
        ids = Snapshot.at(home.store, snapshot).track_ids("test")
        reader = Reference("evaluations", "mine", "f" * 32)
        register_read(home.home, snapshot, ids, reader, "evaluation", None)
        after = leaderboard.plan_leaderboard(home.context)
        assert after.version != before.version
        assert after.config["reads"][str(snapshot)]["evaluation"] == 2
