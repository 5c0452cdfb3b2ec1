"""Filters as people write them."""

import pytest

from melgraph.assets.recommendations.queries import tag_filters
from melgraph.ml.errors import UserError


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (["piano"], {"piano": 0.5}),
        (["piano:0.3"], {"piano": 0.3}),
        (["piano:0", "piano:1"], {"piano": 1.0}),
        (["mood: happy"], {"mood: happy": 0.5}),
        (["mood: happy:0.25", "piano"], {"mood: happy": 0.25, "piano": 0.5}),
        ([], {}),
    ],
)
def test_tags_with_and_without_a_probability(texts, expected):
    assert tag_filters(texts) == expected


@pytest.mark.parametrize("text", ["piano:2", "piano:-1", "piano:nan", ":0.5", "", " :0.1"])
def test_a_tag_filter_that_cannot_be(text):
    with pytest.raises(UserError, match="from 0 to 1"):
        tag_filters([text])
