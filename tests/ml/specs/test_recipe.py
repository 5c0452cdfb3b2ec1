"""Recipes: how a TOML file chooses its method, and how a further method joins."""

from typing import Annotated, Literal, get_args

import pytest
from pydantic import TypeAdapter, ValidationError

from melgraph.ml.specs import load_specs
from melgraph.ml.specs.base import problems_of
from melgraph.ml.specs.methods.base import Recipe
from melgraph.ml.specs.methods.dream import DeepDreamRecipe
from melgraph.ml.specs.recipe import RecipeSpec, method_of

# What the versions of dreams hash. No key may be added, removed, renamed or changed here.
SHIPPED_DEEP_DREAM = {
    "title": "Deep dream of three held-out tracks against the trained small CNN",
    "method": "deep_dream",
    "experiment": "small-cnn",
    "layer": "conv3",
    "tracks": 3,
    "path": None,
    "start_s": 0.0,
    "excerpt_s": 10.0,
    "dream": {
        "objective": "layer",
        "class_index": None,
        "octaves": 3,
        "octave_scale": 1.4,
        "smallest_octave": 24,
        "steps": 20,
        "step_size_db": 0.035,
        "jitter": 16,
        "smoothing": 1.0,
        "keep_level": True,
        "max_delta_db": 6.0,
    },
    "seed": 0,
}


def test_the_shipped_recipe_has_the_values_that_versions_hash():
    recipe = load_specs().recipes["deep-dream"]
    assert isinstance(recipe, DeepDreamRecipe)
    assert recipe.dump_for_version() == SHIPPED_DEEP_DREAM


class Echo(Recipe):
    """A further method, as another module would add it."""

    method: Literal["echo"] = "echo"
    delay_s: float


MEMBERS, CHOICE = get_args(RecipeSpec)  # the union, and what chooses one of its members
ONE = TypeAdapter(Annotated[DeepDreamRecipe, CHOICE])
TWO = TypeAdapter(Annotated[DeepDreamRecipe | Echo, CHOICE])


@pytest.mark.parametrize("adapter", [ONE, TWO], ids=["one member", "two members"])
@pytest.mark.parametrize("method", [{}, {"method": "deep_dream"}], ids=["no method", "method"])
def test_a_file_without_a_method_is_a_deep_dream(adapter, method):
    recipe = adapter.validate_python({"title": "t", "experiment": "e"} | method)
    assert isinstance(recipe, DeepDreamRecipe)
    assert recipe.method == "deep_dream"
    assert adapter.validate_python(recipe) is recipe


def test_a_second_method_is_chosen_by_its_name():
    echo = TWO.validate_python({"title": "t", "method": "echo", "delay_s": 0.5})
    assert isinstance(echo, Echo)
    assert (echo.tracks, echo.delay_s) == (3, 0.5)
    assert TWO.validate_python(TWO.dump_python(echo)) == echo


@pytest.mark.parametrize("method", ["magic", 3, ["deep_dream"], None])
def test_an_unknown_method_is_refused_with_those_there_are(method):
    with pytest.raises(ValidationError) as caught:
        TWO.validate_python({"title": "t", "method": method})
    (problem,) = problems_of(caught.value, union_key="method")
    assert problem == f"method: must be one of the methods: deep_dream, echo (got {method!r})"


def test_problems_have_the_key_of_the_file_and_not_the_class():
    with pytest.raises(ValidationError) as caught:
        TWO.validate_python({"title": "t", "method": "echo", "start_s": -1, "dream": {}})
    keys = [problem.split(":")[0] for problem in problems_of(caught.value, union_key="method")]
    assert sorted(keys) == ["delay_s", "dream", "start_s"]


def test_every_method_has_a_name_of_its_own():
    names = [method_of(member) for member in (get_args(MEMBERS) or (MEMBERS,))]
    assert sorted(names) == sorted(set(names))
    assert "deep_dream" in names


def test_a_named_guide_overrides_the_label_of_guides():
    """A file that extends a recipe can name a song, because TOML cannot unset the label."""
    table = {"title": "t", "experiment": "e", "guide_label": "rock", "guide": "pop/a.mp3"}
    recipe = TypeAdapter(RecipeSpec).validate_python(table)
    assert (recipe.guide, recipe.guide_label) == ("pop/a.mp3", "rock")
