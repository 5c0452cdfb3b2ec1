"""What every generation method must do. A new method joins by one entry in METHODS.

An entry is a function from a model, a log-mel spectrogram `[frame, mel]` in dB and a seed to the
edit `[frame, mel]` in dB; or a `Case`, if the method takes something else, images or samples for
example. Its key starts with the name of the method in the recipes.
"""

from collections.abc import Callable
from functools import cache, partial
from typing import Any, NamedTuple, get_args

import numpy as np
import pytest
import torch
from torch import nn

from melgraph.ml.generation.deep_dream import dream
from melgraph.ml.generation.inversion import invert_stored
from melgraph.ml.generation.style.features import (
    experiment_features,
    random_features,
    tagger_features,
    vgg_features,
)
from melgraph.ml.generation.style_transfer import StyleComparison, transfer_style
from melgraph.ml.generation.views import MelView
from melgraph.ml.generation.waveform_dream import dream_waveform
from melgraph.ml.generative.base import GenerativeNetwork
from melgraph.ml.generative.flow.sampling import compose
from melgraph.ml.generative.kinds import build as build_generative
from melgraph.ml.models import build
from melgraph.ml.models.base import Classifier, InputShape
from melgraph.ml.specs.methods.dream import DreamConfig
from melgraph.ml.specs.methods.style_transfer import StyleTransferConfig
from melgraph.ml.specs.model_input import IMAGES_OF
from melgraph.ml.specs.recipe import RecipeSpec, method_of
from melgraph.ml.spectral import MelTransform, StftTransform, log_mel, stft
from melgraph.ml.weights.feature_weights import Vgg

Method = Callable[[Classifier, np.ndarray, int], np.ndarray]
LIMIT_DB = 2.0
N_MELS = 128
SIZE = 32  # rows of an image
RATE = 16000  # Hz, of a waveform


def spectrogram(frames: int = 96, *, seed: int = 0) -> np.ndarray:
    noise = np.random.default_rng(seed).standard_normal((frames, N_MELS))
    return (noise * 10 + np.linspace(0, -40, N_MELS)).astype(np.float32)


def images(channels: tuple[str, ...], frames: int = 96, *, seed: int = 0) -> np.ndarray:
    """A picture `[frame, row, channel]` of amplitude (dB) or phase (cosine, sine), or both."""
    rng = np.random.default_rng(seed)
    angles = rng.uniform(-np.pi, np.pi, (frames, SIZE))
    shown = {
        "amplitude": [rng.normal(-10, 10, (frames, SIZE))],
        "phase": [0.7 * np.cos(angles), 0.7 * np.sin(angles)],
    }
    return np.stack([p for name in channels for p in shown[name]], axis=2).astype(np.float32)


def waveform(frames: int = 96, *, seed: int = 0) -> np.ndarray:
    """Samples, 200 for each frame."""
    return np.random.default_rng(seed).normal(0, 0.1, 200 * frames).astype(np.float32)


def network_on_mel() -> Classifier:
    model = build("small_cnn", InputShape(1, N_MELS, 129), n_classes=4, seed=3)
    model.set_normalisation(np.linspace(0, -40, N_MELS)[None], np.full((1, N_MELS), 10.0))
    return model


def network_on_images(channels: int) -> Classifier:
    shape = InputShape(channels, SIZE, SIZE)
    return build("resnet18", shape, n_classes=4, seed=3)


def network_on_waveforms() -> Classifier:
    model = build("waveform_cnn", InputShape(1, 1, 1600), n_classes=4, width=8, seed=3)
    model.set_normalisation(np.zeros((1, 1)), np.full((1, 1), 3000.0))
    return model


class Case(NamedTuple):
    """A method, what it is given, and how large the values of each plane of its edit may be."""

    method: Method
    network: Callable[[], Classifier] = network_on_mel
    source: Callable[..., np.ndarray] = spectrogram
    limits: tuple[float, ...] = (LIMIT_DB,)


def _config(objective: str) -> DreamConfig:
    return DreamConfig(
        objective=objective,
        class_index=1 if objective == "class" else None,
        octaves=2,
        steps=4,
        step_size_db=0.5,
        max_delta_db=LIMIT_DB,
        step_size_rad=0.1,
    )


def _deep_dream(
    model: Classifier,
    mel: np.ndarray,
    seed: int,
    *,
    objective: str,
    guide: Callable[..., np.ndarray] = spectrogram,
    **arguments: Any,
) -> np.ndarray:
    song = guide(70, seed=9) if objective == "guide" else None
    config = _config(objective)
    arguments = {"layer": "conv3", **arguments}
    return dream(model, mel, guide=song, config=config, seed=seed, **arguments).edit


def _waveform_dream(
    model: Classifier, samples: np.ndarray, seed: int, *, objective: str
) -> np.ndarray:
    guide = waveform(70, seed=9) if objective == "guide" else None
    return dream_waveform(
        model, samples, RATE, layer="conv2", guide=guide, config=_config(objective), seed=seed
    ).edit


def _of_images(objective: str, *channels: str) -> Case:
    source = partial(images, channels)
    method = partial(
        _deep_dream, objective=objective, guide=source, channels=channels, layer="conv5"
    )
    limits = {"amplitude": LIMIT_DB, "phase": DreamConfig().max_turn_rad}
    network = partial(network_on_images, sum(IMAGES_OF[name] for name in channels))
    return Case(method, network, source, tuple(limits[name] for name in channels))


def _style_transfer(
    model: Classifier, mel: np.ndarray, seed: int, *, features: str, start: str = "content"
) -> np.ndarray:
    """Networks of its own see as many rows as the model has mel bands."""
    if features == "experiment":
        network = experiment_features(model, MelView(MelTransform(n_mels=N_MELS)), name="tiny")
    elif features == "vgg16":
        network = vgg_features(_drawn(Vgg("vgg16", widths=(2, 3, 4, 5, 5))), image=N_MELS)
    elif features == "mn04":
        network = tagger_features(_mobilenet(), name="mn04")
    else:
        transform = StftTransform(sample_rate=22050, n_fft=2 * N_MELS - 2, hop=64)
        network = random_features(filters=8, width=5, seed=seed, transform=transform)
    layers = ("conv2_1", "conv3_1") if features == "vgg16" else ()
    config = StyleTransferConfig(
        features=features,
        content_layers=layers,
        style_layers=layers,
        steps=4,
        start=start,
        max_delta_db=LIMIT_DB,
    )
    comparison = StyleComparison(network, mel, spectrogram(70, seed=9), config)
    return transfer_style(comparison, seed=seed).delta_db


def _drawn(network: nn.Module) -> nn.Module:
    """The network with weights of its own generator, in evaluation mode."""
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(0.3 * torch.randn(parameter.shape, generator=generator))
    return network.eval()


@cache
def _mobilenet() -> Classifier:
    return build("mobilenet_v3", InputShape(1, 1, 3200), n_classes=2, seed=1, width=0.1).eval()


def _inversion(model: Classifier, mel: np.ndarray, seed: int) -> np.ndarray:
    """It changes the spectrogram as far as no sound has this one. It has no network."""
    transform = MelTransform(n_mels=N_MELS)
    sound = invert_stored(mel, transform, seed=seed)
    change = log_mel(stft(sound, n_fft=transform.n_fft, hop=transform.hop), transform) - mel
    return np.clip(change, -LIMIT_DB, LIMIT_DB)


@cache
def _generative(kind: str) -> GenerativeNetwork:
    """A small network of the kind with initial weights, in evaluation mode."""
    options = {
        "cyclegan": {"width": 2, "blocks": 1, "discriminator_layers": 1},
        "recreation": {"widths": [8], "bottleneck": 2},
        "rectified_flow": {"width": 8, "multipliers": [1, 1], "patch": 4},
    }[kind]
    bins, frames = (SIZE, SIZE) if kind == "cyclegan" else (N_MELS, 16)
    return build_generative(kind, InputShape(1, bins, frames), ("a", "b"), options=options).eval()


def _genre_transfer(model: Classifier, image: np.ndarray, seed: int) -> np.ndarray:
    """Its edit is that of an image of amplitudes; it has a network of its own."""
    pixels = np.clip((image[:, :, 0] + 50) / 105, 0, 1).astype(np.float32)
    change = 105 * (_generative("cyclegan").translate(pixels, "b") - pixels)
    return np.clip(change, -LIMIT_DB, LIMIT_DB)[:, :, None].astype(np.float32)


def _recreation(model: Classifier, values: np.ndarray, seed: int) -> np.ndarray:
    change = _generative("recreation").recreate(values, "a") - values
    return np.clip(change, -LIMIT_DB, LIMIT_DB).astype(np.float32)


def _composition(model: Classifier, mel: np.ndarray, seed: int) -> np.ndarray:
    """It has no source: what differs from one is all of it."""
    network = _generative("rectified_flow")
    composed = compose(network, "a", len(mel), steps=2, guidance=2.0, seed=seed)
    return np.clip(composed - mel, -LIMIT_DB, LIMIT_DB).astype(np.float32)


METHODS: dict[str, Method | Case] = {
    "deep_dream, layer": partial(_deep_dream, objective="layer"),
    "deep_dream, guide": partial(_deep_dream, objective="guide"),
    "deep_dream, class": partial(_deep_dream, objective="class"),
    **{
        f"deep_dream, {objective} of images of {' and '.join(channels)}": _of_images(
            objective, *channels
        )
        for objective in ("layer", "guide", "class")
        for channels in (("amplitude",), ("phase",), ("amplitude", "phase"))
    },
    **{
        f"deep_dream, {objective} on the waveform": Case(
            partial(_waveform_dream, objective=objective), network_on_waveforms, waveform, (1.0,)
        )
        for objective in ("layer", "guide", "class")
    },
    **{
        f"style_transfer, {features}": partial(_style_transfer, features=features)
        for features in ("experiment", "vgg16", "mn04", "random_1d")
    },
    "inversion": _inversion,
    "genre_transfer": Case(
        _genre_transfer, partial(network_on_images, 1), partial(images, ("amplitude",))
    ),
    "recreation": _recreation,
    "composition": _composition,
}


def test_every_method_of_the_recipes_has_an_entry():
    members = get_args(RecipeSpec)[0]
    names = {method_of(member) for member in (get_args(members) or (members,))}
    assert {key.split(",")[0] for key in METHODS} == names


@pytest.fixture(params=METHODS)
def case(request) -> Case:
    entry = METHODS[request.param]
    return entry if isinstance(entry, Case) else Case(entry)


@pytest.fixture
def method(case) -> Method:
    return case.method


@pytest.fixture
def model(case) -> Classifier:
    return case.network()


@pytest.mark.parametrize("frames", [7, 96])
def test_an_edit_of_the_same_shape_finite_bounded_and_not_empty(case, model, frames):
    source = case.source(frames)
    edit = case.method(model, source, 0)
    of_channels = (*source.shape[:2], len(case.limits))
    assert edit.shape == (source.shape if source.ndim < 3 else of_channels)
    assert edit.dtype == np.float32
    assert np.isfinite(edit).all()
    for plane, limit in zip(np.atleast_3d(edit).T, case.limits, strict=True):
        assert 0.0 < np.abs(plane).max() <= limit


def test_the_same_bytes_again_and_the_input_is_left_alone(case, model):
    source = case.source()
    before = source.tobytes()
    first, again = (case.method(model, source, 4) for _ in range(2))
    assert first.tobytes() == again.tobytes()
    assert source.tobytes() == before


def test_no_global_state_is_used_or_changed(case, method, model):
    """Neither generator is read (other states, same bytes) nor moved; the threads stay."""
    mel, threads, edits = case.source(), torch.get_num_threads(), []
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
def test_the_model_is_left_untouched(case, method, model, training):
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
    method(model, case.source(), 0)
    assert state() == before
