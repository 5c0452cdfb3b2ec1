"""The network of a rectified flow: shapes, gradients, statistics."""

import numpy as np
import pytest
import torch

from melgraph.ml.errors import UserError
from melgraph.ml.models.base import InputShape
from tests.ml.generative.flow.toys import GENRES, SHAPE, awakened, toy_network, toy_tracks


@pytest.mark.parametrize("frames", [1, 31, 32, 33, 70])
@pytest.mark.parametrize("bins", [13, 16])
@pytest.mark.parametrize("patch", [1, 2, 3])
def test_any_size_keeps_its_shape(frames, bins, patch):
    network = awakened(toy_network(shape=InputShape(1, bins, 32), patch=patch))
    x = torch.randn(2, 1, bins, frames)
    velocity = network(x, torch.rand(2), torch.tensor([0, network.no_genre]))
    assert velocity.shape == x.shape
    assert velocity.isfinite().all()


def test_a_gradient_reaches_every_parameter():
    network = awakened(toy_network(multipliers=(1, 2, 2), blocks=2))
    genres = torch.arange(len(GENRES) + 1)
    network(torch.randn(3, 1, 16, 32), torch.rand(3), genres).square().mean().backward()
    without = [n for n, p in network.named_parameters() if p.grad is None or not p.grad.any()]
    assert without == []


def test_the_output_depends_on_time_genre_and_place():
    network = awakened(toy_network())
    x, half, zero = torch.zeros(1, 1, 16, 32), torch.full((1,), 0.5), torch.zeros(1).long()
    first = network(x, half, zero)
    assert not torch.allclose(first, network(x, half / 2, zero))
    assert not torch.allclose(first, network(x, half, zero + 1))
    assert not torch.allclose(first[:, :, 4:6], first[:, :, 8:10])


def test_statistics_standardise_the_recordings_and_come_back():
    network, arrays = toy_network(), toy_tracks().arrays
    network.set_statistics(arrays)
    x = torch.from_numpy(np.concatenate(arrays).T[None, None].astype(np.float32))
    standardised = network.standardise(x)
    assert standardised.mean(dim=3).abs().max() < 1e-3
    assert (standardised.std(dim=3) - 1).abs().max() < 1e-2
    torch.testing.assert_close(network.levels(standardised), x, atol=1e-3, rtol=0)
    assert network.limits.tolist() == [float(x.min()), float(x.max())]
    assert network.levels(standardised + 100).max() == x.max()


def test_equal_seeds_give_equal_weights():
    states = [toy_network(seed).state_dict() for seed in (1, 1, 2)]
    assert all(torch.equal(states[0][n], states[1][n]) for n in states[0])
    assert any(not torch.equal(states[0][n], states[2][n]) for n in states[0])


def test_wrong_inputs_are_refused():
    with pytest.raises(UserError, match="needs one channel"):
        toy_network(shape=InputShape(2, 16, 32))
    network = toy_network()
    for shape in [(1, 1, SHAPE.bins + 1, 32), (1, 2, SHAPE.bins, 32), (1, SHAPE.bins, 32)]:
        with pytest.raises(ValueError, match="x must be"):
            network(torch.zeros(shape), torch.zeros(1), torch.zeros(1).long())
