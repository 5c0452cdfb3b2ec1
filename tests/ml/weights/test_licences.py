"""Licences of published weights: every shipped file is known, and a user's word precedes."""

from melgraph.ml.specs import load_specs
from melgraph.ml.weights.licences import KNOWN, Licence, licence_entry, licence_sentence


def test_the_licence_of_every_shipped_tagger_is_known():
    for name, tagger in load_specs().taggers.items():
        for sha256 in (tagger.sha256, *tagger.copies.values()):
            assert KNOWN[str(sha256)].weights.startswith("MIT"), name


def test_weights_that_forbid_commercial_use_say_so():
    sha256 = str(load_specs().taggers["musicnn-jamendo"].sha256)
    entry = licence_entry("musicnn-jamendo", sha256)
    assert entry["commercial_use"] == "forbidden"
    assert "MTG-Jamendo" in licence_sentence(entry)
    assert "commercial use is forbidden" in licence_sentence(entry)


def test_unknown_weights_are_not_stated_unless_the_user_states_them():
    unknown = licence_entry("mine", "0" * 64)
    assert unknown == {"of": "mine", "sha256": "0" * 64, "weights": "not stated",
                       "data": "not stated", "commercial_use": "unclear"}  # fmt: skip
    stated = licence_entry("mine", "0" * 64, {"weights": "CC0", "commercial_use": "allowed"})
    assert (stated["weights"], stated["commercial_use"]) == ("CC0", "allowed")
    assert licence_entry("imagenet", "0" * 64)["data"].startswith("ImageNet")
    assert Licence().weights == "not stated"
