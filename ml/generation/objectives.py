"""The objectives of a deep dream: functions from a spectrogram to the number to be raised."""

import contextlib
import copy
from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from torch.nn import functional as F  # noqa: N812 (torch's own name for it)

from melgraph.ml.errors import UserError
from melgraph.ml.models.base import Classifier

Objective = Callable[[torch.Tensor], torch.Tensor]
"""From pictures `[batch, channel, row, frame]`, of any size, to the scalar to be raised."""

_GUIDE_POSITIONS = 512  # of the guide's activation map, evenly spaced; a bound of the memory


class Dreamer:
    """A network that accepts pictures of any size.

    Classifiers normalise each row by its mean and standard deviation, and therefore accept their
    own number of rows only. For a smaller picture, mean and standard deviation are interpolated to
    its number of rows, so that its values are normalised in the same way. Networks that scale
    their input to a fixed size scale it by a fixed ratio instead, so that an octave is not enlarged
    to the size of the next one (`Classifier.keep_scale`). This class works on a copy in evaluation
    mode; the model itself does not change.

    Args:
        model: any classifier.

    Raises:
        UserError: the classifier accepts pictures of one size only.
    """

    def __init__(self, model: Classifier) -> None:
        self.name = type(model).__name__
        self._network = copy.deepcopy(model).eval().requires_grad_(False)
        self._network.keep_scale()
        self.n_rows, self._mean, self._std = model.shape.bins, model.mean, model.std

    @property
    def device(self) -> torch.device:
        """The device of the network, on which the pictures must be."""
        return self._mean.device

    def logits(self, x: torch.Tensor) -> torch.Tensor:
        """Logits `[batch, class]` of pictures `[batch, channel, row, frame]`, of any size."""
        rows = x.shape[2]
        self._network.shape = replace(self._network.shape, bins=rows)
        self._network.mean = _stretch(self._mean, rows)
        self._network.std = _stretch(self._std, rows)
        return self._network(x)

    def activation_of(self, layer: str) -> Objective:
        """A function from pictures to the activation of a layer.

        Raises:
            UserError: the model has no such layer; the message lists its layers.
        """
        layers = self._network.layers()
        if not layers:
            raise UserError(
                f"{self.name} has no layers to name, so that only its classes can be raised",
                where="dream, layer",
                remedy="name an experiment with convolutions, small-cnn for example, or set "
                'dream.objective = "class"',
            )
        if layer not in layers:
            raise UserError(
                f"no layer {layer!r} in the model {self.name}",
                where="dream, layer",
                remedy=f"choose one of {', '.join(layers)}",
            )
        outputs: list[torch.Tensor] = []

        def keep(_module: object, _inputs: object, output: torch.Tensor) -> None:
            # cloned, because a ReLU that works in place would change the activation afterwards
            outputs.append(output.clone())
            if not self._network.any_bins and self._network.shape.bins != self.n_rows:
                raise _LayerReached  # what follows accepts the trained number of rows only

        layers[layer].register_forward_hook(keep)

        def activation(x: torch.Tensor) -> torch.Tensor:
            outputs.clear()
            with contextlib.suppress(_LayerReached):
                self.logits(x)
            return outputs.pop()

        return activation


class _LayerReached(Exception):
    """Ends a forward pass at the layer whose activation is read."""


def _stretch(values: torch.Tensor, size: int) -> torch.Tensor:
    """Rows `[channel, row]`, linearly interpolated to another number; unchanged at their own."""
    return F.interpolate(values[None], size=size, mode="linear")[0]


def mean_square(activation: Objective) -> Objective:
    """The mean square of an activation: its squared L2 norm, comparable between sizes."""
    return lambda x: activation(x).square().mean()


def guide_similarity(activation: Objective, guide: torch.Tensor) -> Objective:
    """Similarity to a guide song (Mordvintsev et al. 2015, "controlling dreams").

    For each position of the activation map, this is the largest dot product with a position of the
    guide's activation map. The objective is the mean over positions.

    Args:
        activation: a function of `Dreamer.activation_of`.
        guide: pictures of the guide `[batch, channel, row, frame]`.
    """
    with torch.no_grad():
        features = _by_channel(activation(guide))  # [channel, position]
    count = features.shape[1]
    positions = torch.linspace(0, count - 1, min(count, _GUIDE_POSITIONS)).round().long()
    features = features[:, positions.to(features.device)]
    return lambda x: (_by_channel(activation(x)).T @ features).amax(dim=1).mean()


def _by_channel(activation: torch.Tensor) -> torch.Tensor:
    """`[batch, channel, ...]` as `[channel, position]`."""
    return activation.transpose(0, 1).flatten(1)


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
        return logits[:, class_index].mean()

    return logit


def class_number(label: str, classes: Sequence[str]) -> int:
    """The number of a class by its label.

    Raises:
        UserError: the network has no such class; the message lists its classes.
    """
    if label not in classes:
        raise UserError(
            f"the network has no class {label!r}",
            where="recipe: dream.class_label",
            remedy=f"use one of {', '.join(classes)}",
        )
    return list(classes).index(label)
