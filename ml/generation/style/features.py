"""The networks of a style transfer, as functions from a picture in dB to named activations.

- VGG-16 and VGG-19 (Simonyan and Zisserman 2015), trained on ImageNet, as in Gatys et al. 2016:
  the amplitude of the STFT as a grey picture.
- The network of an experiment, on what it was trained on, at full resolution.
- EfficientAT mn04 (Schmid et al. 2023), on its own log-mel spectrogram.
- One layer of random filters along time, with the frequencies as channels (Ulyanov and Lebedev
  2016, "Audio texture synthesis and style transfer"). Kernels made for images move along the
  frequency axis, too, where a shifted chord is another chord (Huzaifah and Wyse 2020).
"""

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 (torch's own name for it)

from melgraph.ml.errors import UserError
from melgraph.ml.generation.style.views import EmphasisedMelView, StftView, from_decibels
from melgraph.ml.generation.views import ImageView, MelView, View
from melgraph.ml.models.base import Classifier
from melgraph.ml.representations.images import ImageMapping
from melgraph.ml.spectral import StftTransform
from melgraph.ml.weights.feature_weights import Vgg

RANDOM_TRANSFORM = StftTransform(sample_rate=22050)  # as Ulyanov and Lebedev: 1025 bins, hop 512
PICTURE_S = 10.0  # seconds of sound that a square picture shows
_DEPTH = 0.75  # of a network of an experiment that the default layers come from
_STYLE_LAYERS = 5  # as many as Gatys et al. use


@dataclass(frozen=True)
class FeatureNetwork:
    """A network as a function from pictures to activations.

    Attributes:
        name: for messages.
        layers: names of all layers, in order from the input.
        content_layers: those that compare the content, unless a recipe names others.
        style_layers: those that compare the style, unless a recipe names others.
        view: what the network sees of a sound.
        compute: from `[row, frame]` in dB and names of layers to `[channel, height, frame]` each.
        device: that the pictures must be on.
    """

    name: str
    layers: tuple[str, ...]
    content_layers: tuple[str, ...]
    style_layers: tuple[str, ...]
    view: View
    compute: Callable[[Tensor, tuple[str, ...]], Mapping[str, Tensor]]
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))

    def chosen(self, names: Sequence[str], default: tuple[str, ...], key: str) -> tuple[str, ...]:
        """The layers that a recipe names, or the default.

        Raises:
            UserError: the network has no such layer; the message lists its layers.
        """
        unknown = [name for name in names if name not in self.layers]
        if unknown:
            raise UserError(
                f"no layer {unknown[0]!r} in {self.name}",
                where=f"style, {key}",
                remedy=f"choose from {', '.join(self.layers)}",
            )
        return tuple(dict.fromkeys(names)) or default


def vgg_features(model: Vgg, *, image: int) -> FeatureNetwork:
    """VGG on the amplitude of the STFT as a grey picture.

    Args:
        model: of `ml.weights.feature_weights.load_vgg`.
        image: rows of a picture, and columns per 10 s.
    """
    transform, mapping = StftTransform(), ImageMapping(image)
    frames = round(PICTURE_S * transform.frames_per_second)
    range_db = mapping.high_db - mapping.low_db

    def compute(picture: Tensor, layers: tuple[str, ...]) -> dict[str, Tensor]:
        grey = (picture - mapping.low_db) / range_db
        activations = model(grey.expand(1, 3, *grey.shape), layers)
        return {name: value[0] for name, value in activations.items()}

    return FeatureNetwork(
        model.network,
        tuple(model.names.values()),
        ("conv4_2",),
        ("conv1_1", "conv2_1", "conv3_1", "conv4_1", "conv5_1"),  # both of Gatys et al., figure 2
        ImageView(transform, mapping, frames),
        compute,
        model.mean.device,
    )


def experiment_features(model: Classifier, view: View, *, name: str) -> FeatureNetwork:
    """The network of an experiment; its layers are those that a deep dream can use.

    Args:
        model: a classifier with layers, on spectrograms of one channel. It does not change.
        view: what it sees.
        name: of the experiment, for messages.

    Raises:
        UserError: the classifier has no layers, or does not see amplitudes.
    """
    if not isinstance(view, MelView | ImageView) or model.shape.channels != 1:
        raise UserError(
            f"{name} sees {model.shape}, which has no amplitudes of one channel to edit",
            where="the experiment of the recipe",
            remedy="name an experiment on log-mel spectrograms or on images of the amplitude",
        )
    network = copy.deepcopy(view.network(model)).eval().requires_grad_(False)
    modules = network.layers()
    if not modules:
        raise UserError(
            f"{name} has no layers that style can be taken from",
            where="the experiment of the recipe",
            remedy="name an experiment with convolutions",
        )
    names = tuple(modules)
    places = np.linspace(0, _DEPTH * (len(names) - 1), min(_STYLE_LAYERS, len(names)))
    style = tuple(dict.fromkeys(names[round(place)] for place in places))
    return FeatureNetwork(
        name,
        names,
        (names[round(_DEPTH * (len(names) - 1))],),
        style,
        view,
        lambda picture, layers: _hooked(network, modules, picture, layers),
        model.mean.device,
    )


def tagger_features(model: Classifier, *, name: str) -> FeatureNetwork:
    """EfficientAT's network on its own log-mel spectrogram, after the layers of its front end.

    Args:
        model: `MobileNetV3` with published weights. It does not change.
        name: of the tagger, for messages.
    """
    body = copy.deepcopy(model).eval().requires_grad_(False)
    modules = body.layers()
    features = body.get_submodule("features")

    def compute(picture: Tensor, layers: tuple[str, ...]) -> dict[str, Tensor]:
        return _hooked(features, modules, from_decibels(picture), layers)

    return FeatureNetwork(
        name,
        tuple(modules),
        ("block9",),  # a sixteenth of the resolution, after nine of fifteen blocks
        ("block1", "block3", "block6", "block9", "block12"),  # one of each resolution, and block9
        EmphasisedMelView(),
        compute,
        model.mean.device,
    )


def random_features(
    *, filters: int, width: int, seed: int, transform: StftTransform = RANDOM_TRANSFORM
) -> FeatureNetwork:
    """Random filters along time on log(1 + amplitude), with frequencies as channels, and ReLU.

    Args:
        filters: their number; Ulyanov and Lebedev use 4096.
        width: frames.
        seed: of the filters. They are normal, scaled to keep the variance (He et al. 2015).
        transform: of the STFT.
    """
    shape = (filters, transform.n_bins, width)
    drawn = np.random.default_rng(seed).standard_normal(shape, dtype=np.float32)
    weight = torch.from_numpy(drawn * np.float32(np.sqrt(2.0 / (transform.n_bins * width))))

    def compute(picture: Tensor, layers: tuple[str, ...]) -> dict[str, Tensor]:
        amplitude = torch.pow(10.0, picture / 20.0)
        before, after = width // 2, (width - 1) // 2
        padded = F.pad(torch.log1p(amplitude)[None], (before, after), mode="replicate")
        return {"conv": torch.relu(F.conv1d(padded, weight))[0][:, None]}

    return FeatureNetwork(
        f"random_1d with {filters} filters",
        ("conv",),
        ("conv",),
        ("conv",),
        StftView(transform),
        compute,
    )


def _hooked(
    network: nn.Module, modules: Mapping[str, nn.Module], picture: Tensor, layers: tuple[str, ...]
) -> dict[str, Tensor]:
    """The outputs of some modules when a network is given a picture."""
    outputs: dict[str, Tensor] = {}

    def keep(name: str) -> Callable[[nn.Module, object, Tensor], None]:
        # cloned, because a ReLU that works in place would change the activation afterwards
        return lambda _module, _inputs, output: outputs.update({name: output[0].clone()})

    handles = [modules[name].register_forward_hook(keep(name)) for name in layers]
    try:
        network(picture[None, None])
    finally:
        for handle in handles:
            handle.remove()
    return outputs
