"""The dream on the architecture that the shipped recipe dreams with."""

import hashlib
import subprocess
import sys

import numpy as np
import pytest
import torch

from melgraph.ml.errors import UserError
from melgraph.ml.generation.deep_dream import dream, objective_value
from melgraph.ml.models import build
from melgraph.ml.models.base import Classifier, InputShape
from melgraph.ml.specs.methods.dream import DreamConfig

QUICK = DreamConfig(octaves=2, steps=4, step_size_db=0.3)
LAYERS = ["conv1", "conv2", "conv3", "conv4"]


def small_cnn() -> Classifier:
    model = build("small_cnn", InputShape(1, 128, 129), n_classes=4, seed=3)
    model.set_normalisation(np.linspace(0, -40, 128)[None], np.full((1, 128), 10.0))
    return model


def spectrogram(frames: int = 96) -> np.ndarray:
    noise = np.random.default_rng(1).standard_normal((frames, 128))
    return (noise * 10 + np.linspace(0, -40, 128)).astype(np.float32)


@pytest.fixture
def model() -> Classifier:
    return small_cnn()


@pytest.mark.parametrize("layer", LAYERS)
def test_every_layer_rises_within_the_limit(model, layer):
    mel = spectrogram()
    result = dream(model, mel, layer=layer, config=QUICK, seed=0)
    assert result.after > 1.05 * result.before
    assert 0.1 < np.abs(result.delta_db).max() <= QUICK.max_delta_db
    again = objective_value(model, mel + result.delta_db, layer=layer, config=QUICK)
    assert again == result.after


@pytest.mark.parametrize("class_index", range(4))
def test_the_logit_of_the_chosen_class_rises(model, class_index):
    config = QUICK.model_copy(update={"objective": "class", "class_index": class_index})
    mel = spectrogram()
    result = dream(model, mel, config=config, seed=0)
    model.eval()
    with torch.no_grad():
        logits = [
            float(model(torch.from_numpy(x.T.copy())[None, None])[0, class_index])
            for x in (mel, mel + result.delta_db)
        ]
    assert logits == pytest.approx([result.before, result.after], abs=1e-5)
    assert logits[1] > logits[0]


def test_the_limit_binds(model):
    config = QUICK.model_copy(update={"step_size_db": 5.0, "max_delta_db": 0.5})
    delta = dream(model, spectrogram(), layer="conv3", config=config, seed=0).delta_db
    assert np.abs(delta).max() == np.float32(0.5)


def test_no_steps_no_edit(model):
    config = QUICK.model_copy(update={"steps": 0})
    result = dream(model, spectrogram(), layer="conv3", config=config, seed=0)
    assert not result.delta_db.any()
    assert result.after == result.before


@pytest.mark.parametrize("frames", [1, 2, 3, 15, 24])
def test_very_short_excerpts(model, frames):
    result = dream(model, spectrogram(frames), layer="conv4", config=QUICK, seed=0)
    assert result.delta_db.shape == (frames, 128)
    assert np.isfinite(result.delta_db).all()
    assert result.after > result.before


def test_an_unknown_layer_lists_the_known(model):
    with pytest.raises(UserError, match=r"no layer 'conv5'[\s\S]*conv1, conv2, conv3, conv4"):
        dream(model, spectrogram(), layer="conv5", config=QUICK, seed=0)


def test_a_dead_layer_is_reported(model):
    with torch.no_grad():
        model.layers()["conv3"].weight.zero_()
    with pytest.raises(UserError, match="the layer is dead"):
        dream(model, spectrogram(), layer="conv3", config=QUICK, seed=0)


def test_one_value_that_is_not_a_number_is_refused(model):
    mel = spectrogram()
    mel[5, 7] = np.nan
    with pytest.raises(UserError, match="with 1 values that are not finite"):
        dream(model, mel, layer="conv3", config=QUICK, seed=0)


def digest() -> str:
    result = dream(small_cnn(), spectrogram(), layer="conv3", config=QUICK, seed=5)
    return hashlib.sha256(result.delta_db.tobytes()).hexdigest()


def test_the_same_bytes_in_another_process():
    threads = torch.get_num_threads()
    code = (
        f"import torch; torch.set_num_threads({threads})\n"
        f"from {__name__} import digest; print(digest())"
    )
    other = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120
    )
    assert other.stdout.split()[-1] == digest()


def test_the_configuration_imports_no_torch():
    code = "import sys, melgraph.ml.specs.methods.dream; print('torch' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.split() == ["False"]
