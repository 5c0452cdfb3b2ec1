"""The settings of a style transfer."""

import pytest
from pydantic import ValidationError

from melgraph.ml.specs.methods.style_transfer import StyleTransferConfig, StyleTransferRecipe


def test_the_ratio_is_that_of_the_source():
    assert StyleTransferConfig().alpha_beta == 1e-3


@pytest.mark.parametrize(
    ("settings", "is_new"),
    [
        ({}, False),
        ({"start": "noise"}, True),
        ({"phase": "new"}, True),
        ({"start": "noise", "phase": "original"}, False),
    ],
)
def test_a_start_at_noise_has_a_new_phase_unless_the_recipe_says_otherwise(settings, is_new):
    assert StyleTransferConfig(**settings).has_new_phase is is_new


@pytest.mark.parametrize(
    "keys",
    [
        {"style": {"features": "experiment"}},
        {"experiment": "small-cnn", "style": {"features": "mn04"}},
        {"experiment": "small-cnn"},
    ],
)
def test_an_experiment_is_named_where_it_is_used(keys):
    with pytest.raises(ValidationError, match="experiment: name one"):
        StyleTransferRecipe(title="x", **keys)


def test_without_a_default_the_guide_must_be_named():
    style = {"features": "random_1d"}
    assert StyleTransferRecipe(title="x", dataset="genres", style=style).has_guide
    keys = {"title": "x", "style": style, "guide_of_another_label": False}
    assert not StyleTransferRecipe(**keys).has_guide
    assert StyleTransferRecipe(**keys, guide="a.wav").has_guide
    assert StyleTransferRecipe(**keys).needs_guide
