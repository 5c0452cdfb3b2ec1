"""The digital source type says whether a trained network took part, and whether it composed."""

from dataclasses import replace

import pytest

from melgraph.assets.generation.marks import source_types
from melgraph.assets.generation.marks.source_types import digital_source_type
from melgraph.assets.stages import DREAMS, GENERATORS


@pytest.mark.parametrize(
    ("method", "networks", "term"),
    [
        ("deep_dream", "trained_models/small-cnn/00", "compositeWithTrainedAlgorithmicMedia"),
        ("style_transfer", "vgg16 (sha256 ab)", "compositeWithTrainedAlgorithmicMedia"),
        ("style_transfer", "", "algorithmicMedia"),  # by random filters
        ("inversion", "", "algorithmicMedia"),
    ],
)
def test_the_term_says_whether_a_trained_network_took_part(method, networks, term):
    uri = f"http://cv.iptc.org/newscodes/digitalsourcetype/{term}"
    assert digital_source_type(method, networks) == uri


def test_a_generator_that_composes_declares_it_in_its_stage(monkeypatch):
    composer = replace(DREAMS, name="compositions", method="composition", composes=True)
    monkeypatch.setattr(source_types, "GENERATORS", [*GENERATORS, composer])
    assert digital_source_type("composition", "net").endswith("/trainedAlgorithmicMedia")
