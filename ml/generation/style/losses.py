"""The distances that a style transfer lowers: of content, of style and of rhythm.

Gatys, Ecker and Bethge 2016, "Image style transfer using convolutional neural networks", sections
2.1 and 2.2. Their sums grow with the size of the picture and with the scale of the activations, so
that a ratio alpha / beta means something else for each network. Here every distance is divided by
the squared norm of its target: 0 is the target itself, and a network that is multiplied by a
number gives the same distances.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

RHYTHM_LAGS_S = (0.2, 2.0)  # of the autocorrelation; beats of 30 to 300 per minute
_TINY = 1e-20  # against the division by zero where a target is zero everywhere

Activations = Mapping[str, Tensor]
"""Activations `[channel, height, frame]` of the layers of a network, by name."""


@dataclass(frozen=True)
class Distances:
    """The distances of a picture from its content and from its style; scalars.

    Attributes:
        content: mean over the content layers.
        style: mean over the style layers.
        rhythm: mean over the style layers; 0 where no rhythm is asked for.
    """

    content: Tensor
    style: Tensor
    rhythm: Tensor


def gram_matrix(activation: Tensor) -> Tensor:
    """Correlations of the channels: `[channel, channel]` of `[channel, height, frame]`.

    The sum over positions is divided by their number, so that songs of different lengths can be
    compared. Any permutation of the positions gives the same matrix.
    """
    flat = activation.flatten(1)
    gram: Tensor = flat @ flat.T / flat.shape[1]
    return gram


def autocorrelation(activation: Tensor, first_lag: int, last_lag: int) -> Tensor:
    """The autocorrelation of each channel along time: `[channel, lag]`, both lags included.

    Antognini, Hoffman and Weiss 2019, "Audio texture synthesis with random neural networks", use
    it to keep rhythms. The channel is averaged over its height, its mean over time is removed, and
    the sums are divided by the number of frames.

    Args:
        activation: `[channel, height, frame]`.
        first_lag: frames.
        last_lag: frames.
    """
    series = activation.mean(dim=1)
    series = series - series.mean(dim=1, keepdim=True)
    frames = series.shape[1]
    spectrum = torch.fft.rfft(series, n=2 * frames)  # padded, or it would be circular
    power = spectrum.real.square() + spectrum.imag.square()
    correlation: Tensor = torch.fft.irfft(power, n=2 * frames) / frames
    return correlation[:, first_lag : last_lag + 1]


def relative_distance(value: Tensor, target: Tensor) -> Tensor:
    """The squared distance from a target, divided by the squared norm of the target."""
    return (value - target).square().sum() / target.square().sum().clamp_min(_TINY)


class Targets:
    """What the activations of a picture are compared with.

    Args:
        content: activations of the source.
        style: activations of the guide.
        content_layers: names of the layers that compare the content.
        style_layers: names of the layers that compare the style and the rhythm.
        seconds: length of the source; 0: the rhythm is not compared.
    """

    def __init__(
        self,
        content: Activations,
        style: Activations,
        *,
        content_layers: Sequence[str],
        style_layers: Sequence[str],
        seconds: float = 0.0,
    ) -> None:
        self._content = {name: content[name] for name in content_layers}
        self._gram = {name: gram_matrix(style[name]) for name in style_layers}
        self._lags = {name: _lags(content[name].shape[2], seconds) for name in style_layers}
        self._rhythm = {
            name: autocorrelation(content[name], *lags)
            for name, lags in self._lags.items()
            if lags is not None
        }

    def content_distance(self, activations: Activations) -> Tensor:
        """The distance from the content; activations of another length are repeated or cut."""
        distances = [
            relative_distance(_as_long(activations[name], target.shape[2]), target)
            for name, target in self._content.items()
        ]
        return torch.stack(distances).mean()

    def distances(self, activations: Activations) -> Distances:
        """The distances of a picture of the length of the source with these activations."""
        style = [
            relative_distance(gram_matrix(activations[name]), target)
            for name, target in self._gram.items()
        ]
        rhythm = [
            relative_distance(autocorrelation(activations[name], *self._lags_of(name)), target)
            for name, target in self._rhythm.items()
        ]
        nothing = style[0].new_zeros(())
        return Distances(
            content=self.content_distance(activations),
            style=torch.stack(style).mean(),
            rhythm=torch.stack(rhythm).mean() if rhythm else nothing,
        )

    def _lags_of(self, name: str) -> tuple[int, int]:
        lags = self._lags[name]
        assert lags is not None
        return lags


def _lags(frames: int, seconds: float) -> tuple[int, int] | None:
    """The first and the last lag in frames of a layer; None if the excerpt is too short."""
    if seconds <= 0.0:
        return None
    per_second = frames / seconds
    first, last = (round(lag * per_second) for lag in RHYTHM_LAGS_S)
    last = min(last, frames - 1)
    return (max(1, first), last) if last >= max(1, first) else None


def _as_long(activation: Tensor, frames: int) -> Tensor:
    """An activation repeated or cut along time to a number of frames."""
    if activation.shape[2] == frames:
        return activation
    repeats = -(-frames // activation.shape[2])
    return activation.repeat(1, 1, repeats)[:, :, :frames]
