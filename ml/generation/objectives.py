"""What a dream climbs: scalar objectives of a spectrogram, read off a network's layers."""

import copy
from collections.abc import Callable
from dataclasses import replace

import torch
from torch.nn import functional as F  # noqa: N812 (torch's own name for it)

from melgraph.ml.errors import UserError
from melgraph.ml.models.base import Classifier

Objective = Callable[[torch.Tensor], torch.Tensor]
"""From a spectrogram `[1, 1, mel, frame]` in dB, of any size, to the scalar to be raised."""

_GUIDE_POSITIONS = 512  # of the guide's activation map that are kept, evenly spaced: bounds memory


class Dreamer:
    """A network that also looks at shrunk spectrograms.

    Classifiers here normalise each mel band by its own mean and deviation, so they take their own
    number of bands only. A shrunk spectrogram gets them interpolated to its bands: the network sees
    an octave as it would see music. It works on a copy; the model given is never touched.

    Args:
        model: any classifier; copied, in evaluation mode.
    """

    def __init__(self, model: Classifier) -> None:
        self.name = type(model).__name__
        if model.shape.channels != 1 or not model.layers():
            raise UserError(
                f"{self.name} on {model.shape} cannot be dreamt with",
                where="the experiment of the recipe",
                remedy="name one whose network has convolutions, on spectrograms of one channel",
            )
        self.n_mels, self._mean, self._std = model.shape.bins, model.mean[0], model.std[0]
        self._network = copy.deepcopy(model).eval().requires_grad_(False)

    @property
    def device(self) -> torch.device:
        """Where the spectrograms must be."""
        return self._mean.device

    def logits(self, x: torch.Tensor) -> torch.Tensor:
        """Logits `[1, class]` of dB `[1, 1, mel, frame]`, any number of either."""
        mels = x.shape[2]
        self._network.shape = replace(self._network.shape, bins=mels)
        self._network.mean = _stretch(self._mean, mels)[None]
        self._network.std = _stretch(self._std, mels)[None]
        return self._network(x)

    def activation_of(self, layer: str) -> Objective:
        """The function from a spectrogram to a layer's activation.

        Raises:
            UserError: where the model has no such layer; the message lists those it has.
        """
        layers = self._network.layers()
        if layer not in layers:
            raise UserError(
                f"no layer {layer!r} in the model {self.name}",
                where="dream, layer",
                remedy=f"choose one of {', '.join(layers)}",
            )
        seen: list[torch.Tensor] = []
        # cloned: a ReLU that works in place would change the activation under us
        layers[layer].register_forward_hook(lambda _m, _i, output: seen.append(output.clone()))

        def activation(x: torch.Tensor) -> torch.Tensor:
            seen.clear()
            self.logits(x)
            return seen.pop()

        return activation


def _stretch(values: torch.Tensor, size: int) -> torch.Tensor:
    """A vector linearly interpolated to another length; the same values at its own."""
    return F.interpolate(values[None, None], size=size, mode="linear")[0, 0]


def mean_square(activation: Objective) -> Objective:
    """The layer's L2 norm, squared and per value, so that sizes can be compared."""
    return lambda x: activation(x).square().mean()


def guided(activation: Objective, guide: torch.Tensor) -> Objective:
    """Likeness to a guide song (Mordvintsev et al. 2015, "controlling dreams").

    Each position of the activation map is compared, by dot product, with the position of the
    guide's map that it resembles most; the objective is the mean over positions.

    Args:
        activation: of `Dreamer.activation_of`.
        guide: spectrogram of the guide `[1, 1, mel, frame]`, dB.
    """
    with torch.no_grad():
        features = activation(guide)[0].flatten(1)  # [channel, position]
    count = features.shape[1]
    kept = torch.linspace(0, count - 1, min(count, _GUIDE_POSITIONS)).round().long()
    features = features[:, kept.to(features.device)]
    return lambda x: (activation(x)[0].flatten(1).T @ features).amax(dim=1).mean()


def class_logit(dreamer: Dreamer, class_index: int) -> Objective:
    """One class's logit.

    Raises (when called):
        UserError: where the model has fewer classes.
    """

    def logit(x: torch.Tensor) -> torch.Tensor:
        logits = dreamer.logits(x)
        if class_index >= logits.shape[1]:
            raise UserError(
                f"no class {class_index} in a model of {logits.shape[1]} classes",
                where="dream config, class_index",
                remedy=f"choose 0 to {logits.shape[1] - 1}",
            )
        return logits[0, class_index]

    return logit
