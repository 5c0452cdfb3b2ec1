"""The registry: every architecture is built by name, and only its own file is imported."""

import inspect
from collections.abc import Mapping
from importlib import import_module

import torch

from melgraph.ml.errors import UserError
from melgraph.ml.models.base import Classifier, InputShape

_ARCHITECTURES = {  # name: (module, class); a module is imported when it is first built
    "conv_lstm": ("melgraph.ml.models.conv_lstm", "ConvLSTM"),
    "crnn": ("melgraph.ml.models.crnn", "CRNN"),
    "dense": ("melgraph.ml.models.dense", "Dense"),
    "fcn": ("melgraph.ml.models.fcn", "FCN"),
    "harmonic_cnn": ("melgraph.ml.models.harmonic_cnn", "HarmonicCNN"),
    "mfcc_cnn": ("melgraph.ml.models.mfcc_cnn", "MfccCNN"),
    "musicnn": ("melgraph.ml.models.musicnn", "Musicnn"),
    "resnet18": ("melgraph.ml.models.resnet18", "ResNet18"),
    "sample_cnn": ("melgraph.ml.models.sample_cnn", "SampleCNN"),
    "sample_cnn_se": ("melgraph.ml.models.sample_cnn_se", "SampleCNNSE"),
    "self_attention": ("melgraph.ml.models.self_attention", "SelfAttention"),
    "small_cnn": ("melgraph.ml.models.small_cnn", "SmallCNN"),
    "vit": ("melgraph.ml.models.vit", "ViT"),
    "waveform_cnn": ("melgraph.ml.models.waveform_cnn", "WaveformCNN"),
}


__all__ = ["InputShape", "build", "default_options", "names"]


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
        options: the architecture's own options (see its file); what is not given has its default.

    Returns:
        The model on the CPU, in training mode. `model.architecture` and `model.options` (complete,
        JSON-ready) are what `build` needs to make the same architecture again.

    Raises:
        UserError: unknown name, an option the architecture does not have or that is of no use, or
            a shape that it cannot take.
    """
    cls, known = _class_of(name), default_options(name)
    unknown = sorted(set(options) - set(known))
    if unknown:
        raise UserError(
            f"architecture {name!r} has no option {', '.join(map(repr, unknown))}",
            where="the options of the model",
            remedy=f"use some of: {', '.join(sorted(known)) or 'none'}",
        )
    complete = {**known, **options}
    with torch.random.fork_rng(
        devices=[]
    ):  # the weights are drawn on the CPU: no GPU state to save
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
