"""Network architectures by name; only the module of the one that is built is imported.

>>> model = build("small_cnn", InputShape(channels=1, bins=128, frames=129), n_classes=4)
>>> model.architecture, model.n_classes, model.embedding_dim
('small_cnn', 4, 128)
"""

import inspect
from collections.abc import Mapping
from importlib import import_module

import torch

from melgraph.ml.errors import UserError
from melgraph.ml.models.base import Classifier, InputShape

_ARCHITECTURES = {  # name: (module, class)
    "conv_lstm": ("melgraph.ml.models.conv_lstm", "ConvLSTM"),
    "crnn": ("melgraph.ml.models.crnn", "CRNN"),
    "dense": ("melgraph.ml.models.dense", "Dense"),
    "efficientnet": ("melgraph.ml.models.efficientnet", "EfficientNet"),
    "fcn": ("melgraph.ml.models.fcn", "FCN"),
    "harmonic_cnn": ("melgraph.ml.models.harmonic_cnn", "HarmonicCNN"),
    "mfcc_cnn": ("melgraph.ml.models.mfcc_cnn", "MfccCNN"),
    "mobilenet_v3": ("melgraph.ml.models.mobilenet_v3", "MobileNetV3"),
    "musicnn": ("melgraph.ml.models.musicnn", "Musicnn"),
    "probe": ("melgraph.ml.models.probe", "Probe"),
    "resnet18": ("melgraph.ml.models.resnet18", "ResNet18"),
    "sample_cnn": ("melgraph.ml.models.sample_cnn", "SampleCNN"),
    "sample_cnn_se": ("melgraph.ml.models.sample_cnn_se", "SampleCNNSE"),
    "self_attention": ("melgraph.ml.models.self_attention", "SelfAttention"),
    "small_cnn": ("melgraph.ml.models.small_cnn", "SmallCNN"),
    "vit": ("melgraph.ml.models.vit", "ViT"),
    "waveform_cnn": ("melgraph.ml.models.waveform_cnn", "WaveformCNN"),
}

__all__ = ["Classifier", "InputShape", "build", "default_options", "names"]


def names() -> list[str]:
    """The names `build` knows, sorted."""
    return sorted(_ARCHITECTURES)


def build(
    name: str, shape: InputShape, *, n_classes: int, seed: int = 0, **options: object
) -> Classifier:
    """A fresh model with initial weights drawn from `seed`; the global random state is untouched.

    Args:
        name: one of `names()`.
        shape: of the crops it is given.
        n_classes: classes of the output.
        seed: seed of the initial weights.
        options: the architecture's own options (see its file); defaults where not given.

    Returns:
        The model on the CPU, in training mode. `build` makes the same architecture again from
        `model.architecture` and `model.options` (complete, JSON-ready).

    Raises:
        UserError: unknown name, an option that the architecture does not have or cannot use, or a
            shape that it cannot take.
    """
    cls, defaults = _class_of(name), default_options(name)
    unknown = sorted(set(options) - set(defaults))
    if unknown:
        raise UserError(
            f"architecture {name!r} has no option {', '.join(map(repr, unknown))}",
            where="the options of the model",
            remedy=f"use some of: {', '.join(sorted(defaults)) or 'none'}",
        )
    complete = {**defaults, **options}
    with torch.random.fork_rng(devices=[]):  # weights are drawn on the CPU: no GPU state to save
        torch.default_generator.manual_seed(seed)
        model = cls(shape, n_classes, **complete)
    model.architecture = name
    model.options = _json_ready(complete)
    return model


def default_options(name: str) -> dict[str, object]:
    """The options of an architecture, with their defaults.

    Raises:
        UserError: unknown name.
    """
    return {
        key: parameter.default
        for key, parameter in inspect.signature(_class_of(name)).parameters.items()
        if key not in ("shape", "n_classes")
    }


def _class_of(name: str) -> type[Classifier]:
    if name not in _ARCHITECTURES:
        raise UserError(
            f"unknown architecture {name!r}",
            where="the name of the model",
            remedy=f"use one of: {', '.join(names())}",
        )
    module, cls = _ARCHITECTURES[name]
    return getattr(import_module(module), cls)


def _json_ready(options: Mapping[str, object]) -> dict[str, object]:
    """The options as JSON gives them back: tuples are lists."""
    return {k: list(v) if isinstance(v, tuple) else v for k, v in options.items()}
