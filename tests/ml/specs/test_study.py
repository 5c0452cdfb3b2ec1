"""Studies: how an arm becomes a complete recipe, and the problems of impossible studies."""

import pytest

from melgraph.ml.errors import UserError
from melgraph.ml.specs import load_specs
from melgraph.ml.specs.experiment import ExperimentSpec
from melgraph.ml.specs.study import StudySpec, arm_recipe, trial_of

BASE = ExperimentSpec(
    title="base", dataset="genres",
    model={"architecture": "small_cnn", "options": {"dropout": 0.1}, "weights": "none"},
    training={"epochs": 7, "batch_size": 8},
).model_dump()  # fmt: skip
STUDY = {
    "title": "t", "question": "q?", "experiment": "small-cnn", "control": "a",
    "training": {"epochs": 3}, "arms": {"a": {}},
}  # fmt: skip


def recipe(arm: dict, **study: object) -> dict:
    spec = StudySpec.model_validate(STUDY | study | {"arms": {"a": arm}})
    return arm_recipe(spec, spec.arms["a"], BASE)


def test_an_arm_overrides_the_study_which_overrides_the_base():
    merged = recipe({"training": {"batch_size": 4}, "input": {"crop_s": 9.0}})
    assert (merged["training"]["epochs"], merged["training"]["batch_size"]) == (3, 4)
    assert merged["input"]["crop_s"] == 9.0
    assert merged["model"] == BASE["model"]
    assert ExperimentSpec.model_validate(merged)
    assert recipe({"training": {"epochs": 1}})["training"]["epochs"] == 1
    assert BASE["training"]["epochs"] == 7  # nothing is changed in place


def test_another_architecture_starts_with_its_own_options():
    assert recipe({"model": {"architecture": "dense"}})["model"] == {
        "architecture": "dense", "options": {}, "weights": "none",
    }  # fmt: skip
    assert recipe({"model": {"weights": "imagenet"}})["model"]["options"] == {"dropout": 0.1}


def test_the_nearest_dataset_counts():
    assert recipe({})["dataset"] == "genres"
    assert recipe({}, dataset="other")["dataset"] == "other"
    assert recipe({"dataset": "mine"}, dataset="other")["dataset"] == "mine"


def test_a_trial_has_only_what_decides_the_predictions():
    spec = StudySpec.model_validate(STUDY)
    one = trial_of(spec, spec.arms["a"], recipe({}))
    renamed = trial_of(spec, spec.arms["a"], recipe({"title": "another"}) | {"title": "x"})
    assert one == renamed
    assert (one.split, one.folds, one.train) == ("group", 5, None)
    held_out = StudySpec.model_validate(STUDY | {"arms": {"a": {"split": "holdout", "train": 0.5}}})
    trial = trial_of(held_out, held_out.arms["a"], recipe({}))
    assert (trial.split, trial.folds, trial.train) == ("holdout", None, 0.5)


def test_all_shipped_studies_have_arms_that_make_sense():
    specs = load_specs()
    assert len(specs.studies) >= 10
    for study in specs.studies.values():
        assert study.control in study.arms
        assert study.question.endswith("?")
        recipes = []
        for arm in study.arms.values():
            base = specs.experiments[arm.experiment or study.experiment].model_dump()
            recipes.append(trial_of(study, arm, arm_recipe(study, arm, base)).model_dump_json())
        assert len(set(recipes)) == len(recipes), "two arms are the same"


def test_all_problems_at_once_each_with_its_key(tmp_path):
    folder = tmp_path / "studies"
    folder.mkdir()
    (folder / "mine.toml").write_text(
        'title = "t"\nquestion = "q?"\nexperiment = "small-cnn"\ncontrol = "gone"\n'
        '[arms.a]\ntraining = { epochs = 0, colour = "red" }\n'
        '[arms.b]\nexperiment = "nobody"\n'
        '[arms.c]\ninput = { channels = ["phase"] }\n'
    )
    with pytest.raises(UserError) as caught:
        load_specs(tmp_path)
    message = caught.value.what
    assert "control: 'gone' is not one of the arms: a, b, c" in message
    assert "arms.a: training.epochs" in message
    assert "arms.a: training.colour" in message
    assert "arms.b.experiment: 'nobody' is not one of" in message
    assert "arms.c: input" in message
    assert "only stft_spectrograms have channels" in message


def test_a_study_of_an_experiment_that_does_not_exist(tmp_path):
    folder = tmp_path / "studies"
    folder.mkdir()
    (folder / "mine.toml").write_text(
        'extends = "leakage"\nexperiment = "gone"\ndataset = "none"\n'
    )
    with pytest.raises(UserError, match=r"experiment: 'gone' is not one of(.|\n)*dataset: 'none'"):
        load_specs(tmp_path)
