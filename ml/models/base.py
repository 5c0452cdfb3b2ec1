"""The interface of every classifier, so that one training loop and one inference serve all."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from melgraph.ml.errors import UserError
from melgraph.ml.moments import PowerSums

Aggregate = Literal["mean", "vote"]


@dataclass(frozen=True)
class InputShape:
    """The shape of a classifier's input: one crop of a representation.

    Every representation fits it: a waveform is one bin of many frames (its samples), the tabular
    features are many bins of one frame.

    >>> print(InputShape(channels=1, bins=128, frames=129))
    [1 channel, 128 bin, 129 frame]

    Attributes:
        channels: 1; 2 where amplitude and phase are given together.
        bins: mel bands, frequencies, coefficients or features; 1 for a waveform.
        frames: of a crop; training and inference cut tracks into pieces of this length.
    """

    channels: int
    bins: int
    frames: int

    def __post_init__(self) -> None:
        if min(self.channels, self.bins, self.frames) < 1:
            raise ValueError(f"need at least one channel, bin and frame, got {self}")

    def __str__(self) -> str:
        return f"[{self.channels} channel, {self.bins} bin, {self.frames} frame]"


class Classifier(nn.Module, ABC):
    """A classifier of crops that carries its own normalisation.

    The input is as stored (dB, coefficients, samples, features); `mean` and `std` (buffers,
    float32 `[channel, bin]`, in the same unit) come from the training data and travel in the
    checkpoint, so a model needs nothing besides it. A subclass implements `embed`, `classify` and
    `layers`, and begins `embed` with `self.normalise(x)`. One that cannot take every shape raises
    `self.cannot_take(...)` in its `__init__`.
    """

    architecture: str = ""  # the name in the registry, set by `ml.models.build`
    options: dict[str, object]  # the complete options, set by `ml.models.build`
    multi_label: bool = False  # whether the classes are tags, each predicted alone; set by training
    aggregate: Aggregate = "mean"  # how segments decide for a track; set from the experiment
    any_length: bool = True  # whether crops may have other lengths than `shape.frames`
    any_bins: bool = True  # whether its layers after the convolutions accept other numbers of bins
    learns_normalisation: bool = True  # whether training sets `mean` and `std` from its tracks
    embedding_dim: int  # set by the subclass
    mean: Tensor
    std: Tensor

    def __init__(self, shape: InputShape, n_classes: int) -> None:
        super().__init__()
        if n_classes < 2:
            raise UserError(
                f"a classifier of {n_classes} class(es) has nothing to tell apart",
                where="the classes of the dataset",
                remedy="give it at least two classes with enough tracks",
            )
        self.shape, self.n_classes = shape, n_classes
        self.options = {}
        self.register_buffer("mean", torch.zeros(shape.channels, shape.bins))
        self.register_buffer("std", torch.ones(shape.channels, shape.bins))

    def cannot_take(self, needs: str, remedy: str) -> UserError:
        """The error of an architecture that cannot take its input shape."""
        return UserError(
            f"{type(self).__name__} needs {needs}, but its input is {self.shape}",
            where="input and model.architecture of the experiment",
            remedy=remedy,
        )

    @property
    def n_parameters(self) -> int:
        """The number of parameters (not buffers)."""
        return sum(p.numel() for p in self.parameters())

    def set_normalisation(self, mean: np.ndarray, std: np.ndarray) -> None:
        """Set the mean and standard deviation: float `[channel, bin]`, in the input's unit.

        Raises:
            ValueError: wrong shape, not finite, or a standard deviation that is not positive.
        """
        expected = (self.shape.channels, self.shape.bins)
        for name, values in (("mean", mean), ("std", std)):
            if np.shape(values) != expected or not np.isfinite(values).all():
                raise ValueError(f"{name} must be finite, shape {expected}: {values!r}")
        if np.min(std) <= 0:
            raise ValueError(f"std must be positive, its least value is {np.min(std)}")
        self.mean.copy_(torch.as_tensor(mean, dtype=torch.float32))
        self.std.copy_(torch.as_tensor(std, dtype=torch.float32))

    def normalise(self, x: Tensor) -> Tensor:
        """Input `[batch, channel, bin, frame]` to zero mean and unit variance per channel and bin.

        Raises:
            ValueError: the input has another shape than the model was built for.
        """
        c, b, f = self.shape.channels, self.shape.bins, self.shape.frames
        fits = x.ndim == 4 and x.shape[1:3] == (c, b) and x.shape[3] >= 1
        if not fits or not (self.any_length or x.shape[3] == f):
            frames = "at least 1" if self.any_length else str(f)
            raise ValueError(
                f"x must be [batch, {c} channel, {b} bin, {frames} frame], got {tuple(x.shape)}"
            )
        return (x - self.mean[:, :, None]) / self.std[:, :, None]

    def keep_scale(self) -> None:
        """From now on, scale inputs of other sizes by the ratio of training, not to its size.

        Changes this object, so call it on a copy. Networks that do not scale their input have
        nothing to change.

        Raises:
            UserError: the network accepts images of one size only.
        """

    def forward(self, x: Tensor) -> Tensor:
        """Logits `[batch, class]` of input as stored `[batch, channel, bin, frame]`."""
        return self.classify(self.embed(x))

    @abstractmethod
    def embed(self, x: Tensor) -> Tensor:
        """Embeddings `[batch, embedding_dim]` of input as stored `[batch, channel, bin, frame]`."""

    @abstractmethod
    def classify(self, embedding: Tensor) -> Tensor:
        """Logits `[batch, class]` of embeddings `[batch, embedding_dim]`."""

    @abstractmethod
    def layers(self) -> dict[str, nn.Module]:
        """The convolutions that a deep dream can aim at, by name, in order from the input.

        The output of a layer (read by a forward hook) is `[batch, channel, height, width]`; of a
        network on the waveform `[batch, channel, position]`. Empty for an architecture without
        such layers.
        """


def bin_statistics(
    arrays: Sequence[np.ndarray], *, max_tracks: int = 2000, least_std: float = 1.0
) -> tuple[np.ndarray, np.ndarray]:
    """Mean and deviation of each channel and bin over all frames: float32 `[channel, bin]`.

    Args:
        arrays: per track `[frame]`, `[frame, bin]` or `[frame, bin, channel]`.
        max_tracks: of more tracks, only this many are read, evenly spread.
        least_std: lower bound of the deviation, in the unit of the arrays. Without it a band that
            has no signal in the training tracks (above an MP3's cut-off, say) would be divided by
            almost 0, and its values would explode on the first track that has a signal there.

    Raises:
        UserError: an array holds a value that is not finite.
    """
    chosen = np.unique(np.linspace(0, len(arrays) - 1, max_tracks).astype(np.int64))
    sums = PowerSums()
    for i in chosen:
        array = arrays[i]
        for start in range(0, len(array), 1 << 16):  # bounded memory, however long the track
            values = np.asarray(array[start : start + (1 << 16)], dtype=np.float64)
            if not np.isfinite(values).all():
                raise UserError(
                    f"track {i} of the set holds values that are not finite",
                    where="the training tracks",
                    remedy="materialize its representation again, or leave the track out",
                )
            sums.add(values)
    std = np.sqrt(np.maximum(sums.variance, least_std**2))
    return _channel_first(sums.mean), _channel_first(std)


def _channel_first(values: np.ndarray) -> np.ndarray:
    """`[]`, `[bin]` or `[bin, channel]` as float32 `[channel, bin]`."""
    wide = values.reshape(1, -1) if values.ndim < 2 else values.T
    return np.ascontiguousarray(wide, dtype=np.float32)
