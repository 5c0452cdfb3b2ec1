"""The network of a rectified flow: a U-Net that predicts the velocity from noise to music.

A rectified flow (Liu et al. 2022) moves noise to data along x_t = (1 - t) * noise + t * data, with
t from 0 to 1. The network predicts the velocity data - noise from x_t, t and the genre. Data are
log-mel spectrograms, standardised per bin by constants that are buffers of the network.
"""

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from melgraph.ml.errors import UserError
from melgraph.ml.generative.base import GenerativeNetwork
from melgraph.ml.generative.flow.unet import UNet, sinusoids
from melgraph.ml.models.base import InputShape, bin_statistics

MAX_TRACKS = 2000  # recordings that the statistics are computed from, as in `bin_statistics`
CONDITION_PER_WIDTH = 4  # values of the condition, relative to the channels of the first level


class RectifiedFlow(GenerativeNetwork):
    """The velocity of a rectified flow on log-mel spectrograms, conditioned on the genre.

    Args:
        shape: of a crop; one channel.
        genres: names, in the order of their numbers.
        width: channels of the first level, a multiple of 8.
        multipliers: channels of each level, relative to `width`.
        blocks: residual blocks of each level, on each side of the U-Net.
        patch: side of the squares of the spectrogram that become channels of one pixel.

    Attributes:
        mean: float32 `[channel, bin]`, dB, of the training recordings.
        std: float32 `[channel, bin]`, dB.
        limits: float32 `[2]`, the lowest and the highest level of the training recordings, dB.

    Raises:
        UserError: the crops have several channels.
    """

    kind: ClassVar[str] = "rectified_flow"
    mean: Tensor
    std: Tensor
    limits: Tensor

    def __init__(
        self,
        shape: InputShape,
        genres: Sequence[str],
        *,
        width: int = 16,
        multipliers: Sequence[int] = (1, 2, 4, 8),
        blocks: int = 1,
        patch: int = 2,
    ) -> None:
        options: dict[str, Any] = {"width": width, "multipliers": list(multipliers)}
        super().__init__(shape, genres, **options, blocks=blocks, patch=patch)
        if shape.channels != 1:
            raise UserError(
                f"a rectified flow needs one channel, but its input is {shape}",
                where="input of the generative model",
                remedy="use log-mel spectrograms",
            )
        self.patch, self.width = patch, width
        condition = CONDITION_PER_WIDTH * width
        self.unet = UNet(patch**2, [width * m for m in multipliers], blocks, condition)
        self.size_multiple = patch * self.unet.multiple
        padded_bins = -(-shape.bins // self.size_multiple) * self.size_multiple
        self.rows = nn.Parameter(0.02 * torch.randn(width, padded_bins // patch))
        self.genre = nn.Embedding(len(self.genres) + 1, condition)
        self.time = nn.Sequential(
            nn.Linear(width, condition), nn.SiLU(), nn.Linear(condition, condition)
        )
        self.register_buffer("mean", torch.zeros(1, shape.bins))
        self.register_buffer("std", torch.ones(1, shape.bins))
        self.register_buffer("limits", torch.tensor([-100.0, 100.0]))

    @property
    def no_genre(self) -> int:
        """The number of the embedding that stands for no genre."""
        return len(self.genres)

    def set_statistics(self, arrays: Sequence[np.ndarray]) -> None:
        """Set `mean`, `std` and `limits` from recordings `[frame, bin]` in dB.

        Of more than 2000 recordings, 2000 are read, evenly spread.

        Raises:
            UserError: a recording holds a value that is not finite.
        """
        mean, std = bin_statistics(arrays, max_tracks=MAX_TRACKS)
        chosen = np.unique(np.linspace(0, len(arrays) - 1, MAX_TRACKS).astype(np.int64))
        lowest = min(float(np.min(arrays[i])) for i in chosen)
        highest = max(float(np.max(arrays[i])) for i in chosen)
        self.mean.copy_(torch.from_numpy(mean))
        self.std.copy_(torch.from_numpy(std))
        self.limits.copy_(torch.tensor([lowest, highest]))

    def standardise(self, x: Tensor) -> Tensor:
        """Levels in dB `[crop, 1, bin, frame]` as float32 of mean 0 and deviation 1 per bin."""
        return (x.float() - self.mean[:, :, None]) / self.std[:, :, None]

    def levels(self, x: Tensor) -> Tensor:
        """The inverse of `standardise`, within `limits`: float32 `[crop, 1, bin, frame]`, dB."""
        levels = x * self.std[:, :, None] + self.mean[:, :, None]
        return levels.clamp(self.limits[0], self.limits[1])

    def forward(self, x: Tensor, times: Tensor, genres: Tensor) -> Tensor:
        """The velocity: float32 of the shape of `x`.

        Args:
            x: float32 `[crop, 1, bin, frame]`, standardised; any number of frames.
            times: float32 `[crop]`, 0 (noise) to 1 (data).
            genres: int64 `[crop]`, numbers of genres, or `no_genre`.

        Raises:
            ValueError: the input has another number of channels or bins.
        """
        if x.ndim != 4 or x.shape[1:3] != (1, self.shape.bins) or not x.shape[3]:
            expected = f"[crop, 1 channel, {self.shape.bins} bin, at least 1 frame]"
            raise ValueError(f"x must be {expected}, got {tuple(x.shape)}")
        bins, frames = x.shape[2:]
        missing = (-frames % self.size_multiple, -bins % self.size_multiple)
        padded = functional.pad(x, (0, missing[0], 0, missing[1]), mode="replicate")
        condition = functional.silu(self.time(sinusoids(times, self.width)) + self.genre(genres))
        pixels = functional.pixel_unshuffle(padded, self.patch)
        velocity = functional.pixel_shuffle(self.unet(pixels, self.rows, condition), self.patch)
        return velocity[:, :, :bins, :frames]
