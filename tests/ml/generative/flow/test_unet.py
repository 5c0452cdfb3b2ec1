"""The blocks of the U-Net."""

import pytest
import torch

from melgraph.ml.generative.flow.unet import Attention, ResidualBlock, UNet, sinusoids


def test_sinusoids_differ_between_times_and_have_their_shape():
    values = sinusoids(torch.tensor([0.0, 0.001, 0.5, 1.0]), 16)
    assert values.shape == (4, 16)
    distances = torch.cdist(values, values) + torch.eye(4)
    assert distances.min() > 0.1


@pytest.mark.parametrize(("channels_in", "channels"), [(8, 8), (8, 16), (24, 8)])
def test_a_residual_block_depends_on_the_condition(channels_in, channels):
    block = ResidualBlock(channels_in, channels, 4)
    x = torch.randn(2, channels_in, 6, 5)
    first, second = block(x, torch.zeros(2, 4)), block(x, torch.ones(2, 4))
    assert first.shape == (2, channels, 6, 5)
    assert not torch.allclose(first, second)


def test_attention_is_the_same_wherever_a_position_is():
    attention, x = Attention(16), torch.randn(1, 16, 3, 4)
    order = torch.randperm(12)
    moved = attention(x.flatten(2)[..., order].view_as(x))
    torch.testing.assert_close(moved.flatten(2), attention(x).flatten(2)[..., order])


@pytest.mark.parametrize("widths", [(8,), (8, 16), (8, 16, 16)])
@pytest.mark.parametrize("blocks", [1, 2])
def test_an_untrained_u_net_returns_zeros_of_the_size_of_its_input(widths, blocks):
    net = UNet(4, widths, blocks, 12)
    x = torch.randn(2, 4, 2 * net.multiple, 3 * net.multiple)
    y = net(x, torch.zeros(widths[0], x.shape[2]), torch.randn(2, 12))
    assert y.shape == x.shape
    assert not y.any()
