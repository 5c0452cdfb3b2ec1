"""The blocks of the U-Net: residual blocks, conditioned on the time and the genre, and attention.

The residual blocks follow Dhariwal and Nichol 2021 (adaptive group normalisation), with one block
per level and no dropout by default, because a few million parameters are trained on two cores.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

GROUPS = 8  # of the group normalisations; widths are multiples of it
HEADS = 4  # of the attention
TIME_SCALE = 1000.0  # times from 0 to 1 are multiplied by it, as steps of a diffusion model are
LONGEST_PERIOD = 10_000.0


def sinusoids(times: Tensor, dim: int) -> Tensor:
    """Sines and cosines of times at geometrically spaced frequencies (Vaswani et al. 2017).

    Args:
        times: float32 `[crop]`, 0 to 1.
        dim: even number of values per time.

    Returns:
        float32 `[crop, dim]`.
    """
    exponents = torch.arange(dim // 2, device=times.device, dtype=torch.float32) / (dim // 2)
    angles = TIME_SCALE * times[:, None] * torch.exp(-math.log(LONGEST_PERIOD) * exponents)
    return torch.cat([angles.sin(), angles.cos()], dim=1)


class ResidualBlock(nn.Module):
    """Two convolutions; the condition scales and shifts the channels between them.

    Args:
        channels_in: of the input, a multiple of 8.
        channels: of the output, a multiple of 8.
        condition: values of the condition.
    """

    def __init__(self, channels_in: int, channels: int, condition: int) -> None:
        super().__init__()
        self.norm_in = nn.GroupNorm(GROUPS, channels_in)
        self.conv_in = nn.Conv2d(channels_in, channels, 3, padding=1)
        self.film = nn.Linear(condition, 2 * channels)
        self.norm_out = nn.GroupNorm(GROUPS, channels)
        self.conv_out = nn.Conv2d(channels, channels, 3, padding=1)
        same = channels_in == channels
        self.skip = nn.Identity() if same else nn.Conv2d(channels_in, channels, 1)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        """float32 `[crop, channel, row, column]` of the same size.

        Args:
            x: float32 `[crop, channel_in, row, column]`.
            condition: float32 `[crop, value]`.
        """
        h = self.conv_in(functional.silu(self.norm_in(x)))
        scale, shift = self.film(condition)[:, :, None, None].chunk(2, dim=1)
        h = self.norm_out(h) * (1 + scale) + shift
        result: Tensor = self.skip(x) + self.conv_out(functional.silu(h))
        return result


class Attention(nn.Module):
    """Self-attention between all positions, added to the input.

    The scores are computed explicitly, so that equal inputs give equal bits with any version of
    the fused kernels. At the lowest level of a crop there are a few hundred positions.

    Args:
        channels: a multiple of 8.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(GROUPS, channels)
        self.queries_keys_values = nn.Conv2d(channels, 3 * channels, 1)
        self.out = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """float32 `[crop, channel, row, column]` of the same shape as `x`."""
        crops, channels, rows, columns = x.shape
        heads = self.queries_keys_values(self.norm(x)).view(crops, 3, HEADS, -1, rows * columns)
        queries, keys, values = heads.unbind(1)  # each [crop, head, channel, position]
        scores = torch.matmul(queries.transpose(2, 3), keys) / math.sqrt(channels // HEADS)
        mixed = torch.matmul(values, scores.softmax(dim=-1).transpose(2, 3))
        result: Tensor = x + self.out(mixed.reshape(crops, channels, rows, columns))
        return result


class UNet(nn.Module):
    """A U-Net on images of any size that is a multiple of `self.multiple`.

    The last convolution begins at zero, so the output of an untrained network is zero.

    Args:
        channels: of the input and of the output.
        widths: channels of each level, multiples of 8.
        blocks: residual blocks of each level on the way down, and as many on the way up.
        condition: values of the condition.
    """

    def __init__(self, channels: int, widths: Sequence[int], blocks: int, condition: int) -> None:
        super().__init__()
        self.multiple = 2 ** (len(widths) - 1)
        self.enter = nn.Conv2d(channels, widths[0], 3, padding=1)
        self.down, self.smaller = nn.ModuleList(), nn.ModuleList()
        width = widths[0]
        for level, wanted in enumerate(widths):
            if level:
                self.smaller.append(nn.Conv2d(width, wanted, 3, stride=2, padding=1))
                width = wanted
            self.down.append(_blocks(width, wanted, blocks, condition))
        self.middle = ResidualBlock(width, width, condition)
        self.attention = Attention(width)
        self.up = nn.ModuleList()
        for wanted in reversed(widths):
            self.up.append(_blocks(width + wanted, wanted, blocks, condition))
            width = wanted
        self.norm = nn.GroupNorm(GROUPS, width)
        self.leave = nn.Conv2d(width, channels, 3, padding=1)
        nn.init.zeros_(self.leave.weight)
        nn.init.zeros_(self.leave.bias)  # type: ignore[arg-type]  # Conv2d has a bias by default

    def forward(self, x: Tensor, rows: Tensor, condition: Tensor) -> Tensor:
        """float32 of the shape of `x`.

        Args:
            x: float32 `[crop, channel, row, column]`.
            rows: float32 `[width, row]`, added to each column after the first convolution. It
                tells the network which frequencies a row is.
            condition: float32 `[crop, value]`.
        """
        h = self.enter(x) + rows[None, :, :, None]
        outputs = []
        for level, down in enumerate(self.down):
            if level:
                h = self.smaller[level - 1](h)
            for block in down:  # type: ignore[attr-defined]  # a ModuleList of ModuleLists
                h = block(h, condition)
            outputs.append(h)
        h = self.attention(self.middle(h, condition))
        for level, up in enumerate(self.up):
            if level:
                h = functional.interpolate(h, scale_factor=2.0, mode="nearest")
            h = torch.cat([h, outputs.pop()], dim=1)
            for block in up:  # type: ignore[attr-defined]
                h = block(h, condition)
        result: Tensor = self.leave(functional.silu(self.norm(h)))
        return result


def _blocks(channels_in: int, channels: int, blocks: int, condition: int) -> nn.ModuleList:
    """Residual blocks in a row, of which the first changes the number of channels."""
    inputs = [channels_in, *[channels] * (blocks - 1)]
    return nn.ModuleList(ResidualBlock(each, channels, condition) for each in inputs)
