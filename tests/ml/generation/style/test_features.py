"""The networks of a style transfer as functions from pictures to named activations."""

import numpy as np
import pytest
import torch

from melgraph.ml.errors import UserError
from melgraph.ml.generation.style.features import (
    experiment_features,
    random_features,
    tagger_features,
    vgg_features,
)
from melgraph.ml.generation.views import ImageView, MelView
from melgraph.ml.models import build
from melgraph.ml.models.base import InputShape
from melgraph.ml.representations.images import ImageMapping
from melgraph.ml.spectral import MelTransform, StftTransform
from melgraph.ml.weights.feature_weights import Vgg

SMALL = StftTransform(sample_rate=22050, n_fft=64, hop=16)


def picture(rows: int, frames: int, seed: int = 0) -> torch.Tensor:
    values = np.random.default_rng(seed).normal(-20, 10, (rows, frames)).astype(np.float32)
    return torch.from_numpy(values)


def test_random_filters_move_along_time_only():
    network = random_features(filters=6, width=5, seed=0, transform=SMALL)
    image = picture(33, 40)
    activation = network.compute(image, ("conv",))["conv"]
    assert activation.shape == (6, 1, 40)
    later = network.compute(image.roll(7, dims=1), ("conv",))["conv"]
    torch.testing.assert_close(later[:, :, 12:35], activation.roll(7, dims=2)[:, :, 12:35])
    higher = network.compute(image.roll(1, dims=0), ("conv",))["conv"]
    assert not torch.allclose(higher[:, :, 12:35], activation[:, :, 12:35], rtol=1e-2)


def test_random_filters_are_those_of_their_seed():
    image = picture(33, 20)
    one, same, other = (
        random_features(filters=4, width=3, seed=seed, transform=SMALL).compute(image, ("conv",))
        for seed in (1, 1, 2)
    )
    assert torch.equal(one["conv"], same["conv"])
    assert not torch.equal(one["conv"], other["conv"])


def test_random_filters_see_the_logarithm_of_one_plus_the_amplitude():
    network = random_features(filters=4, width=1, seed=0, transform=SMALL)
    silent = network.compute(torch.full((33, 5), -400.0), ("conv",))["conv"]
    assert float(silent.abs().max()) < 1e-15


def test_vgg_sees_a_grey_picture():
    model = Vgg("vgg16", widths=(2, 3, 4, 5, 5)).eval()
    network = vgg_features(model, image=32)
    image = picture(32, 16)
    activations = network.compute(image, ("conv1_1", "conv2_1"))
    assert activations["conv1_1"].shape == (2, 32, 16)
    assert activations["conv2_1"].shape == (3, 16, 8)
    grey = ((image + 50.0) / 105.0).expand(1, 3, 32, 16)
    torch.testing.assert_close(activations["conv1_1"], model(grey, ("conv1_1",))["conv1_1"][0])
    assert network.layers[0] == "conv1_1"
    assert set(network.style_layers + network.content_layers) <= set(network.layers)


def test_the_layers_of_an_experiment_are_spread_over_its_depth():
    view = MelView(MelTransform())
    model = build("small_cnn", InputShape(1, 128, 64), n_classes=3, seed=0)
    network = experiment_features(model, view, name="experiment small-cnn")
    assert network.layers == tuple(model.layers())
    activations = network.compute(picture(128, 40), network.style_layers)
    assert set(activations) == set(network.style_layers)
    assert network.style_layers[0] == network.layers[0]
    assert not any(module._forward_hooks for module in model.modules())


def test_a_resnet_sees_the_picture_at_full_resolution():
    view = ImageView(StftTransform(), ImageMapping(64), 861)
    model = build("resnet18", InputShape(1, 64, 64), n_classes=3, seed=0)
    network = experiment_features(model, view, name="resnet")
    assert network.content_layers == ("conv13",)
    first = network.compute(picture(64, 96), ("conv1",))["conv1"]
    assert first.shape[1:] == (32, 48)


def test_an_experiment_without_amplitudes_or_layers_is_refused():
    view = ImageView(StftTransform(), ImageMapping(32), 861)
    both = build("small_cnn", InputShape(2, 32, 32), n_classes=2, channels=[2, 2])
    with pytest.raises(UserError, match="has no amplitudes of one channel"):
        experiment_features(both, view, name="both")


def test_mn04_takes_its_own_spectrogram_in_decibels():
    model = build("mobilenet_v3", InputShape(1, 1, 32000), n_classes=2, seed=1, width=0.1).eval()
    network = tagger_features(model, name="mn04")
    samples = np.random.default_rng(0).normal(0, 0.05, (32000, 1)).astype(np.float32)
    image = torch.from_numpy(network.view.picture(samples, 32000).T.copy())
    activations = network.compute(image, ("block3", "block15"))
    expected: list[torch.Tensor] = []
    handle = model.layers()["block15"].register_forward_hook(
        lambda _module, _inputs, output: expected.append(output)
    )
    model(torch.from_numpy(samples.T[None, None] * 32768.0))
    handle.remove()
    torch.testing.assert_close(activations["block15"], expected[0][0], atol=1e-3, rtol=1e-3)


def test_an_unknown_layer_is_refused_with_those_there_are():
    network = random_features(filters=2, width=3, seed=0, transform=SMALL)
    with pytest.raises(UserError, match="no layer 'conv9' in random_1d") as caught:
        network.chosen(("conv9",), network.style_layers, "style_layers")
    assert caught.value.remedy == "choose from conv"
