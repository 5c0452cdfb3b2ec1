"""The objectives of a deep dream: functions from a spectrogram to the number to be raised."""

import copy
from collections.abc import Callable
from dataclasses import replace

import torch
from torch.nn import functional as F  # noqa: N812 (torch's own name for it)

from melgraph.ml.errors import UserError
from melgraph.ml.models.base import Classifier

Objective = Callable[[torch.Tensor], torch.Tensor]
"""From a spectrogram `[1, 1, mel, frame]` in dB, of any size, to the scalar to be raised."""

_GUIDE_POSITIONS = 512  # of the guide's activation map, evenly spaced; a bound of the memory


class Dreamer:
    """A network that accepts spectrograms of any size.

    Classifiers normalise each mel band by its mean and standard deviation, and therefore accept
    their own number of bands only. For a smaller spectrogram, mean and standard deviation are
    interpolated to its number of bands, so that its values are normalised in the same way. This
    class works on a copy in evaluation mode; the model itself does not change.

    Args:
        model: any classifier with layers, on spectrograms of one channel.

    Raises:
        UserError: the classifier has no layers, or other inputs.
    """

    def __init__(self, model: Classifier) -> None:
        self.name = type(model).__name__
        if model.shape.channels != 1 or not model.layers():
            raise UserError(
                f"{self.name} on {model.shape} cannot make a deep dream",
                where="the experiment of the recipe",
                remedy="name an experiment with convolutions, on spectrograms of one channel",
            )
        self.n_mels, self._mean, self._std = model.shape.bins, model.mean[0], model.std[0]
        self._network = copy.deepcopy(model).eval().requires_grad_(False)

    @property
    def device(self) -> torch.device:
        """The device of the network, on which the spectrograms must be."""
        return self._mean.device

    def logits(self, x: torch.Tensor) -> torch.Tensor:
        """Logits `[1, class]` of a spectrogram `[1, 1, mel, frame]` in dB, of any size."""
        mels = x.shape[2]
        self._network.shape = replace(self._network.shape, bins=mels)
        self._network.mean = _stretch(self._mean, mels)[None]
        self._network.std = _stretch(self._std, mels)[None]
        return self._network(x)

    def activation_of(self, layer: str) -> Objective:
        """A function from a spectrogram to the activation of a layer.

        Raises:
            UserError: the model has no such layer; the message lists its layers.
        """
        layers = self._network.layers()
        if layer not in layers:
            raise UserError(
                f"no layer {layer!r} in the model {self.name}",
                where="dream, layer",
                remedy=f"choose one of {', '.join(layers)}",
            )
        outputs: list[torch.Tensor] = []
        # cloned, because a ReLU that works in place would change the activation afterwards
        layers[layer].register_forward_hook(lambda _m, _i, output: outputs.append(output.clone()))

        def activation(x: torch.Tensor) -> torch.Tensor:
            outputs.clear()
            self.logits(x)
            return outputs.pop()

        return activation


def _stretch(values: torch.Tensor, size: int) -> torch.Tensor:
    """A vector, linearly interpolated to another length; unchanged at its own length."""
    return F.interpolate(values[None, None], size=size, mode="linear")[0, 0]


def mean_square(activation: Objective) -> Objective:
    """The mean square of an activation: its squared L2 norm, comparable between sizes."""
    return lambda x: activation(x).square().mean()


def guide_similarity(activation: Objective, guide: torch.Tensor) -> Objective:
    """Similarity to a guide song (Mordvintsev et al. 2015, "controlling dreams").

    For each position of the activation map, this is the largest dot product with a position of the
    guide's activation map. The objective is the mean over positions.

    Args:
        activation: a function of `Dreamer.activation_of`.
        guide: spectrogram of the guide `[1, 1, mel, frame]`, dB.
    """
    with torch.no_grad():
        features = activation(guide)[0].flatten(1)  # [channel, position]
    count = features.shape[1]
    positions = torch.linspace(0, count - 1, min(count, _GUIDE_POSITIONS)).round().long()
    features = features[:, positions.to(features.device)]
    return lambda x: (activation(x)[0].flatten(1).T @ features).amax(dim=1).mean()


def class_logit(dreamer: Dreamer, class_index: int) -> Objective:
    """The logit of one class.

    Raises (when the objective is called):
        UserError: the model has fewer classes.
    """

    def logit(x: torch.Tensor) -> torch.Tensor:
        logits = dreamer.logits(x)
        if class_index >= logits.shape[1]:
            raise UserError(
                f"no class {class_index} in a model of {logits.shape[1]} classes",
                where="dream, class_index",
                remedy=f"choose 0 to {logits.shape[1] - 1}",
            )
        return logits[0, class_index]

    return logit
