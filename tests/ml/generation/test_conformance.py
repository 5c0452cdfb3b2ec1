"""What every generation method must do. A new method joins by one entry in METHODS.

An entry is a function from a model, a log-mel spectrogram `[frame, mel]` in dB and a seed to the
edit `[frame, mel]` in dB. Its key starts with the name of the method in the recipes.
"""

from collections.abc import Callable
from functools import partial
from typing import get_args

import numpy as np
import pytest
import torch

from melgraph.ml.generation.deep_dream import dream
from melgraph.ml.models import build
from melgraph.ml.models.base import Classifier, InputShape
from melgraph.ml.specs.methods.dream import DreamConfig
from melgraph.ml.specs.recipe import RecipeSpec, method_of

Method = Callable[[Classifier, np.ndarray, int], np.ndarray]
LIMIT_DB = 2.0
N_MELS = 128


def _deep_dream(model: Classifier, mel: np.ndarray, seed: int, *, objective: str) -> np.ndarray:
    config = DreamConfig(
        objective=objective,
        class_index=1 if objective == "class" else None,
        octaves=2,
        steps=4,
        step_size_db=0.5,
        max_delta_db=LIMIT_DB,
    )
    guide = spectrogram(70, seed=9) if objective == "guide" else None
    return dream(model, mel, layer="conv3", guide=guide, config=config, seed=seed).delta_db


METHODS: dict[str, Method] = {
    "deep_dream, layer": partial(_deep_dream, objective="layer"),
    "deep_dream, guide": partial(_deep_dream, objective="guide"),
    "deep_dream, class": partial(_deep_dream, objective="class"),
}


def spectrogram(frames: int = 96, *, seed: int = 0) -> np.ndarray:
    noise = np.random.default_rng(seed).standard_normal((frames, N_MELS))
    return (noise * 10 + np.linspace(0, -40, N_MELS)).astype(np.float32)


def test_every_method_of_the_recipes_has_an_entry():
    members = get_args(RecipeSpec)[0]
    names = {method_of(member) for member in (get_args(members) or (members,))}
    assert {key.split(",")[0] for key in METHODS} == names


@pytest.fixture(params=METHODS)
def method(request) -> Method:
    return METHODS[request.param]


@pytest.fixture
def model() -> Classifier:
    model = build("small_cnn", InputShape(1, N_MELS, 129), n_classes=4, seed=3)
    model.set_normalisation(np.linspace(0, -40, N_MELS)[None], np.full((1, N_MELS), 10.0))
    return model


@pytest.mark.parametrize("frames", [7, 96])
def test_an_edit_of_the_same_shape_finite_bounded_and_not_empty(method, model, frames):
    edit = method(model, spectrogram(frames), 0)
    assert edit.shape == (frames, N_MELS)
    assert edit.dtype == np.float32
    assert np.isfinite(edit).all()
    assert 0.0 < np.abs(edit).max() <= LIMIT_DB


def test_the_same_bytes_again_and_the_input_is_left_alone(method, model):
    mel = spectrogram()
    before = mel.tobytes()
    assert method(model, mel, 4).tobytes() == method(model, mel, 4).tobytes()
    assert mel.tobytes() == before


def test_no_global_state_is_used_or_changed(method, model):
    """Neither generator is read (other states, same bytes) nor moved; the threads stay."""
    mel, threads, edits = spectrogram(), torch.get_num_threads(), []
    before = torch.get_rng_state(), np.random.get_state()
    try:
        for seed in (1, 2):
            torch.manual_seed(seed)
            np.random.seed(seed)
            torch_state, numpy_state = torch.get_rng_state(), np.random.get_state()
            edits.append(method(model, mel, 0).tobytes())
            assert torch.equal(torch.get_rng_state(), torch_state)
            assert np.array_equal(np.random.get_state()[1], numpy_state[1])
            assert np.random.get_state()[2] == numpy_state[2]
    finally:
        torch.set_rng_state(before[0])
        np.random.set_state(before[1])
    assert edits[0] == edits[1]
    assert torch.get_num_threads() == threads


@pytest.mark.parametrize("training", [True, False])
def test_the_model_is_left_untouched(method, model, training):
    model.train(training)
    next(model.parameters()).requires_grad_(False)  # a mixed setting must stay mixed

    def state() -> dict[str, object]:
        return {
            "values": {k: v.numpy().tobytes() for k, v in model.state_dict().items()},
            "gradients": [(p.requires_grad, p.grad is None) for p in model.parameters()],
            "modes": [m.training for m in model.modules()],
            "hooks": [len(m._forward_hooks) for m in model.modules()],
        }

    before = state()
    assert any("running_var" in name for name in before["values"])  # there are BN statistics
    method(model, spectrogram(), 0)
    assert state() == before
