"""Generative models on the page of models, and what they make on the page of sounds."""

import re
from pathlib import Path
from urllib.parse import unquote

import pytest

from tests.conftest import GENERATIVE_MODELS, MadeHome


@pytest.fixture(scope="module")
def pages(made_home: MadeHome) -> Path:
    return made_home.store.need("pages", "all").folder


def section(html: str, anchor: str) -> str:
    """The text from an element with this id up to the next element with an id of the same kind."""
    kind = anchor.split("-")[0]
    start = html.index(f'id="{anchor}"')
    end = re.search(rf'id="{kind}-', html[start + 10 :])
    return html[start : start + 10 + end.start()] if end else html[start:]


@pytest.mark.parametrize("name", GENERATIVE_MODELS)
def test_each_model_has_its_evaluation_and_its_samples(pages, name):
    text = section((pages / "models.html").read_text(), f"generative-{name}")
    assert "The validation loss" in text
    assert "KAD" in text
    assert re.search(r"\d learned, \d for validation", text)
    for kind in ("generative_models", "generative_evaluations"):
        assert f"melgraph audit {kind}/{name}/" in text
    pictures = [unquote(link) for link in re.findall(r'src="([^"]+)"', text)]
    assert sum("epoch-" in link for link in pictures) == 2
    assert any(link.endswith("progress.png") for link in pictures)
    assert all((pages / link).is_file() for link in pictures)


def test_failures_of_a_training_are_on_the_page(pages, made_home):
    notes = made_home.store.need("generative_models", "tiny-gan").facts["notes"]
    text = section((pages / "models.html").read_text(), "generative-tiny-gan")
    assert notes, "two epochs of a tiny CycleGAN show at least one failure"
    for note in notes:
        assert note.split(":")[0] in text


def test_a_composition_names_no_source(pages):
    html = (pages / "sounds.html").read_text()
    html = html[: html.index('id="requested"')]
    text = section(html, "recipe-tiny-composition")
    assert "Beside it, a recording that had no part in it" in text
    assert "A real recording of the genre" in text
    assert "Source:" not in text
    assert "recordings of" not in text
