"""Dreams of every view: the sound, and the facts that are reported of it."""

import io
from dataclasses import asdict
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from melgraph.assets.generation.dreams import _dream, figures, sound_rows
from melgraph.assets.generation.sources import Source
from melgraph.ml.errors import UserError
from melgraph.ml.models import build
from melgraph.ml.models.base import InputShape
from melgraph.ml.representations.waveforms import WaveformTransform
from melgraph.ml.spectral import MelTransform, StftTransform

RATE, SIZE = 22050, 32
QUICK = {"octaves": 2, "steps": 3}
IMAGES = {"representation": "stft_spectrograms", "crop_s": 1.0, "image": SIZE,
          "transform": asdict(StftTransform())}  # fmt: skip
INPUTS: dict[str, dict[str, Any]] = {
    "mel": {"representation": "mel_spectrograms", "transform": asdict(MelTransform())},
    "amplitude": {**IMAGES, "channels": ["amplitude"]},
    "phase": {**IMAGES, "channels": ["phase"]},
    "both": {**IMAGES, "channels": ["amplitude", "phase"]},
    "waveform": {"representation": "waveforms", "transform": asdict(WaveformTransform())},
}
SHAPES = {
    "mel": InputShape(1, MelTransform().n_mels, 40),
    "amplitude": InputShape(1, SIZE, SIZE),
    "phase": InputShape(2, SIZE, SIZE),
    "both": InputShape(3, SIZE, SIZE),
    "waveform": InputShape(1, 1, 8000),
}


def source(path: str = "song.flac", *, loudness: float = 0.05, label: str = "pop") -> Source:
    samples = np.random.default_rng(len(path)).normal(0, loudness, (RATE, 2)).astype(np.float32)
    return Source({"path": path, "label": label}, samples, RATE, "00" * 32)


def dreamt(
    view: str, *, guide: Source | None = None, of: Source | None = None, **dream: object
) -> Any:
    if view == "waveform":
        model = build("waveform_cnn", SHAPES[view], n_classes=2, width=4, seed=1)
        model.set_normalisation(np.zeros((1, 1)), np.full((1, 1), 1000.0))
    else:
        model = build("small_cnn", SHAPES[view], n_classes=2, channels=[4, 8], seed=1)
    meta = {"experiment": "tiny", "classes": ["pop", "rock"], "input": INPUTS[view]}
    config = {"layer": "conv2", "dream": {**QUICK, **dream}}
    work: Any = SimpleNamespace(spec=SimpleNamespace(config=config, seed=0))
    return _dream(model.eval(), meta, work, of or source(), guide)


@pytest.mark.parametrize("view", INPUTS)
def test_the_facts_of_every_view(view):
    generated = dreamt(view)
    facts = generated.facts
    assert generated.samples.shape == (RATE, 2)
    assert not np.array_equal(generated.samples, source().samples)
    assert facts["activation_after"] > facts["activation_before"]
    assert facts["heard_before"]["label"] in ("pop", "rock")
    assert np.isfinite(facts["snr_to_original_db"])
    assert "target" not in facts
    assert facts["octaves"]
    assert ("phase_edit_rms_rad" in facts) == (view in ("phase", "both"))
    picture = Image.open(io.BytesIO(generated.picture))
    assert picture.format == "PNG"
    row = {**facts, "path": "song.flac"}
    assert "times as strong" in figures(row)["layer response"]
    assert sound_rows({"sounds": [row]})[0]["track"] == "song.flac"


def test_the_phase_alone_keeps_the_amplitude():
    facts = dreamt("phase", step_size_rad=0.1).facts
    assert 0.0 < facts["phase_turn_rms_rad"] <= 0.5
    assert facts["phase_edit_rms_rad"] > facts["phase_turn_rms_rad"]  # turns add up


@pytest.mark.parametrize("view", INPUTS)
def test_a_guided_dream_names_the_label_of_the_guide(view):
    facts = dreamt(view, guide=source("other.flac", label="rock"), objective="guide").facts
    assert facts["activation_after"] > facts["activation_before"]
    assert facts["target"] == "rock"
    assert figures({**facts, "path": "x"})["moved towards"] == "rock"


@pytest.mark.parametrize("view", ["mel", "waveform"])
def test_a_class_is_named_by_its_label(view):
    facts = dreamt(view, objective="class", class_label="rock").facts
    assert facts["target"] == "rock"
    assert facts["activation_after"] > facts["activation_before"]
    with pytest.raises(UserError, match=r"no class 'jazz'[\s\S]*pop, rock"):
        dreamt(view, objective="class", class_label="jazz")


@pytest.mark.parametrize("view", INPUTS)
def test_silence_is_left_as_it_is(view):
    generated = dreamt(view, of=source(loudness=0.0))
    assert not generated.samples.any()
    assert generated.facts["note"] == "the excerpt is silent, so that there is nothing to change"
    assert "silent" in figures(generated.facts)["note"]


@pytest.mark.parametrize("view", INPUTS)
def test_a_source_that_is_too_short_is_refused_in_words(view):
    short = Source({"path": "a.flac"}, source().samples[:20], RATE, "00" * 32)
    with pytest.raises(UserError, match=r"20 samples .* shorter than a frame"):
        dreamt(view, of=short)


def test_another_representation_and_a_missing_guide_are_refused():
    with pytest.raises(UserError, match="needs a guide"):
        dreamt("mel", objective="guide")
    INPUTS["mfcc"] = {"representation": "mfcc", "transform": {}}
    SHAPES["mfcc"] = InputShape(1, 20, 40)
    try:
        with pytest.raises(UserError, match="trained on mfcc"):
            dreamt("mfcc")
    finally:
        del INPUTS["mfcc"], SHAPES["mfcc"]


def test_facts_of_older_sounds_are_still_shown():
    old = {"path": "a.mp3", "activation_before": 1.0, "activation_after": 2.0,
           "heard_before": {"label": "a", "probability": 0.5},
           "heard_after": {"label": "b", "probability": 0.5},
           "snr_to_original_db": 4.0, "identity_snr_db": 90.0}  # fmt: skip
    assert figures(old)["layer response"] == "2.00 times as strong"
    assert sound_rows({"sounds": [old]})
