"""Specifications of generative models, and of the recipes that name them."""

import pytest
from pydantic import TypeAdapter, ValidationError

from melgraph.ml.errors import UserError
from melgraph.ml.specs import load_specs
from melgraph.ml.specs.generative_model import GenerativeModelSpec
from melgraph.ml.specs.methods.trained import GenerativeRecipe

GAN = {"title": "x", "kind": "cyclegan", "dataset": "genres", "genres": ["blues", "rock"]}


def validate(table):
    return TypeAdapter(GenerativeModelSpec).validate_python(table)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"genres": ["rock", "rock"]}, "one of them is named twice"),
        ({"genres": ["rock"]}, "genres must name two"),
        ({"genres": ["rock", "pop", "blues"]}, "genres must name two"),
        ({"image": 250}, "multiple of 4"),
        ({"validation": 0.0}, "greater than 0"),
        ({"network": {"depth": 3}}, "Extra inputs"),
        ({"training": {"learning_rate": float("inf")}}, "finite number"),
        ({"training": {"cycle": float("inf")}}, "finite number"),
    ],
)
def test_wrong_values_are_refused(change, message):
    with pytest.raises(ValidationError, match=message):
        validate(GAN | change)


def test_an_unknown_kind_names_the_kinds(tmp_path):
    folder = tmp_path / "generative_models"
    folder.mkdir()
    (folder / "odd.toml").write_text('title = "x"\nkind = "diffusion"\ndataset = "genres"\n')
    with pytest.raises(UserError, match="'cyclegan', 'recreation', 'rectified_flow'"):
        load_specs(tmp_path)


def test_a_name_is_an_experiment_or_a_generative_model(tmp_path):
    folder = tmp_path / "generative_models"
    folder.mkdir()
    (folder / "small-cnn.toml").write_text('title = "x"\nkind = "recreation"\ndataset = "genres"\n')
    with pytest.raises(UserError, match="an experiment has the same name"):
        load_specs(tmp_path)


@pytest.mark.parametrize(
    ("recipe", "message"),
    [
        ('method = "composition"\nmodel = "cyclegan-classical-rock"', "is of the kind 'cyclegan'"),
        (
            'method = "genre_transfer"\nmodel = "cyclegan-classical-rock"\ntowards = "jazz"',
            "'jazz' is not one of the genres of 'cyclegan-classical-rock': classical, rock",
        ),
        ('method = "composition"\nmodel = "gone"', "'gone' is not one of the generative_models"),
    ],
)
def test_recipes_are_checked_against_their_model(tmp_path, recipe, message):
    folder = tmp_path / "recipes"
    folder.mkdir()
    (folder / "odd.toml").write_text(f'title = "x"\n{recipe}\n')
    with pytest.raises(UserError, match=message):
        load_specs(tmp_path)


def test_the_shipped_recipes_of_the_issue_exist_with_their_models():
    specs = load_specs()
    for name in (
        "cyclegan-classical-rock", "cyclegan-rock-classical", "recreation-plain",
        "recreation-lstm", "composition",
    ):  # fmt: skip
        recipe = specs.recipes[name]
        assert isinstance(recipe, GenerativeRecipe)
        assert recipe.trains in specs.trainings
    training = specs.generative_models["recreation-plain"].training
    assert (training.learning_rate, training.epochs, training.batch_size) == (1e-4, 20, 32)
