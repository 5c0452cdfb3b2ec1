"""Taggers from public state dicts: `sota-music-tagging-models`, and EfficientAT's MobileNetV3.

Won et al. 2020 and Schmid et al. 2023 published their PyTorch weights under names of their own.
Here these are mapped to our modules, one by one; an error lists what is missing, left over or of
another shape. Widths are read from the tensors, as weights of one architecture were published in
several sizes.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from melgraph.ml.errors import UserError
from melgraph.ml.models import InputShape, build
from melgraph.ml.models.mobilenet_v3 import WIDTHS, channels_of
from melgraph.ml.models.tagger import Tagger
from melgraph.ml.weights.files import read_weights

NEGLIGIBLE = 1e-20  # changes no sum of float32; and products of two are not denormal
State = Mapping[str, Tensor]
Rules = Sequence[tuple[str, str]]  # (pattern of a public name, our name for it)

_CONV = ((r"conv\.", "conv."), (r"bn\.", "norm."))
_TWO_CONVS = (
    (r"conv_([12])\.", r"conv\1."),
    (r"bn_([12])\.", r"norm\1."),
    (r"conv_3\.", "shortcut.0."),
    (r"bn_3\.", "shortcut.1."),
    (r"dense1\.", "squeeze."),
    (r"dense2\.", "excite."),
)
_SPECTROGRAM = (
    (r"spec_bn\.", "spectrogram.norm."),
    (r"spec\.spectrogram\.", "spectrogram.mel.spectrogram."),  # the window and the filters that it
    (r"spec\.mel_scale\.", "spectrogram.mel.mel_scale."),  # was trained with, to the last bit
)
_HEAD = (r"dense\.", "head.")
_HIDDEN_AND_HEAD = ((r"dense1\.", "hidden."), (r"bn\.", "norm."), (r"dense2\.", "head."))
_ATTENTION = (
    (r"encoder\.layer\.(\d+)\.attention\.output\.dense\.", r"encoder.\1.self_attn.out_proj."),
    (r"encoder\.layer\.(\d+)\.attention\.output\.LayerNorm\.", r"encoder.\1.norm1."),
    (r"encoder\.layer\.(\d+)\.intermediate\.dense\.", r"encoder.\1.linear1."),
    (r"encoder\.layer\.(\d+)\.output\.dense\.", r"encoder.\1.linear2."),
    (r"encoder\.layer\.(\d+)\.output\.LayerNorm\.", r"encoder.\1.norm2."),
    (r"encoder\.layer\.(\d+)\.in_proj_(\w+)", r"encoder.\1.self_attn.in_proj_\2"),
    (r"pooler\.dense\.", "pooler."),
)


@dataclass(frozen=True)
class Published:
    """How weights of one architecture are published.

    Attributes:
        samples: of a crop, at the rate of the architecture.
        rules: for names; the first rule whose pattern matches the beginning of a name counts.
        options: public tensors -> the options of our architecture.
        blocks: how the parts of `layer1`, `layer2`, ... are named.
        n_layers: how many of these are blocks.
        head: names of the last layer, of which the file has one.
    """

    samples: int
    rules: Rules
    options: Callable[[State], dict[str, Any]]
    blocks: Rules = _CONV
    n_layers: int = 0
    head: tuple[str, ...] = ("dense2", "dense")


def _width(state: State, name: str, axis: int = 0) -> int:
    return state[f"{name}.weight"].shape[axis]


def _mels(state: State, default: int) -> int:
    filters = state.get("spec.mel_scale.fb")
    return default if filters is None else filters.shape[1]


def _widths(state: State, part: str, n: int) -> list[int]:
    return [_width(state, f"layer{i}.{part}") for i in range(1, n + 1)]


def _fcn(state: State) -> dict[str, Any]:
    return {"channels": _widths(state, "conv", 5), "n_mels": _mels(state, 96)}


def _crnn(state: State) -> dict[str, Any]:
    hidden = state["layer5.weight_hh_l0"].shape[1]
    return {"channels": _widths(state, "conv", 4), "hidden": hidden, "n_mels": _mels(state, 96)}


def _musicnn(state: State) -> dict[str, Any]:
    return {
        "timbre": _width(state, "layers.0.conv"),
        "rhythm": _width(state, "layers.2.conv"),
        "back_end": _width(state, "layer1.conv"),
        "hidden": _width(state, "dense1"),
        "heights": [_width(state, f"layers.{i}.conv", 2) for i in range(2)],
        "lengths": [_width(state, f"layers.{i}.conv", 2) for i in range(2, 5)],
        "n_mels": _mels(state, 96),
    }


def _self_attention(state: State) -> dict[str, Any]:
    depth = len({name.split(".")[2] for name in state if name.startswith("encoder.layer.")})
    return {
        "channels": _width(state, "layer1.conv_1"),
        "depth": depth,
        "n_mels": _mels(state, 128),
    }


def _harmonic(state: State) -> dict[str, Any]:
    return {
        "channels": _width(state, "layer1.conv"),
        "n_harmonics": _width(state, "layer1.conv", 1),
    }


def _sample(state: State) -> dict[str, Any]:
    return {"channels": _widths(state, "conv", 11)}


def _sample_se(state: State) -> dict[str, Any]:
    return {"channels": _widths(state, "conv_1", 11), "hidden": _width(state, "dense1")}


def _mobilenet(state: State) -> dict[str, Any]:
    widths = _width(state, "features.0.0"), _width(state, "features.16.0")
    for width in WIDTHS:
        if widths == (channels_of(16, width), 6 * channels_of(160, width)):
            return {"width": width}
    raise KeyError(f"width that is published (its layers have {widths} channels)")


_LAYERS_OF_MUSICNN = tuple(
    (rf"layers\.{i}\.{public}\.", f"{part}.{i - first}.{ours}.")
    for part, first, last in (("vertical", 0, 2), ("horizontal", 2, 5))
    for i in range(first, last)
    for public, ours in (("conv", "conv"), ("bn", "norm"))
)
PUBLISHED: dict[str, Published] = {
    "fcn": Published(464000, (*_SPECTROGRAM, _HEAD), _fcn, n_layers=5),
    "crnn": Published(464000, (*_SPECTROGRAM, _HEAD, (r"layer5\.", "gru.")), _crnn, n_layers=4),
    "musicnn": Published(
        48000, (*_SPECTROGRAM, *_LAYERS_OF_MUSICNN, *_HIDDEN_AND_HEAD), _musicnn, n_layers=3
    ),
    "mobilenet_v3": Published(
        320000,
        (
            (r"(features\.\d+\.block\.\d+)\.conc_se_layers\.0\.", r"\1."),
            (r"classifier\.2\.", "hidden."),
            (r"classifier\.5\.", "head."),
        ),
        _mobilenet,
        head=("classifier.5",),
    ),
    "self_attention": Published(
        240000,
        (*_SPECTROGRAM, *_ATTENTION, (r"token$", "token"), _HEAD),
        _self_attention,
        _TWO_CONVS,
        n_layers=7,
    ),
    "harmonic_cnn": Published(
        80000,
        (
            (r"hstft\.bw_Q$", "harmonics.q"),
            (r"hstft\.spec\.", "harmonics.spectrum."),
            (r"hstft_bn\.", "harmonics.norm."),
            *_HIDDEN_AND_HEAD,
        ),
        _harmonic,
        (*_CONV, *_TWO_CONVS),
        n_layers=7,
    ),
    "sample_cnn": Published(59049, (_HEAD,), _sample, n_layers=11),
    "sample_cnn_se": Published(59049, _HIDDEN_AND_HEAD, _sample_se, _TWO_CONVS, n_layers=11),
}


def load_published_tagger(architecture: str, path: Path) -> Tagger:
    """A tagger with public weights, in evaluation mode on the CPU.

    Args:
        architecture: a key of `PUBLISHED`.
        path: a state dict, `.pth` or `.safetensors`; no pickle is executed.

    Raises:
        UserError: unknown architecture; the file cannot be read, or is of another architecture or
            of another spectrogram.
    """
    if architecture not in PUBLISHED:
        raise UserError(
            f"there is no published tagger {architecture!r}",
            where="architecture of the tagger",
            remedy=f"use one of: {', '.join(sorted(PUBLISHED))}",
        )
    how, state = PUBLISHED[architecture], read_weights(path)
    try:
        options = how.options(state)
        head = next((name for name in how.head if f"{name}.weight" in state), how.head[-1])
        n_tags = _width(state, head)
    except (KeyError, IndexError) as error:
        raise _another(path, architecture, f"it has no {error.args[0]}") from None
    model = build(architecture, InputShape(1, 1, how.samples), n_classes=n_tags, **options)
    assert isinstance(model, Tagger)
    _set(model, our_names(architecture, state), path)
    model.multi_label = True
    return model.eval()


def our_names(architecture: str, state: State) -> dict[str, Tensor]:
    """The tensors of a public state dict by the names of our module; unknown names as they are."""
    how = PUBLISHED[architecture]
    if any(".attention.self." in name for name in state):
        state = _join_attention(state)
    tensors = {}
    for name, value in state.items():
        tensors[_our_name(name, how)] = _without_denormals(value)
    return tensors


def _our_name(name: str, how: Published) -> str:
    layer = re.match(r"layer(\d+)\.", name)
    if layer and int(layer[1]) <= how.n_layers:
        rest = name[layer.end() :]
        return f"blocks.{int(layer[1]) - 1}.{_rename(rest, how.blocks)}"
    return _rename(name, how.rules)


def _rename(name: str, rules: Rules) -> str:
    for pattern, ours in rules:
        match = re.match(pattern, name)
        if match:
            return match.expand(ours) + name[match.end() :]
    return name


def _join_attention(state: State) -> dict[str, Tensor]:
    """Query, key and value in one matrix, as torch has them; and the class token, which the
    authors' code does not save but draws each time from a fixed seed.
    """
    tensors = {name: value for name, value in state.items() if ".attention.self." not in name}
    depths = {name.split(".")[2] for name in state if ".attention.self." in name}
    for depth in depths:
        start = f"encoder.layer.{depth}"
        for kind in ("weight", "bias"):
            parts = [f"{start}.attention.self.{part}.{kind}" for part in ("query", "key", "value")]
            if all(part in state for part in parts):
                matrix = torch.cat([state[part] for part in parts])
                tensors[f"{start}.in_proj_{kind}"] = matrix
    if "pooler.dense.bias" in state:
        drawn = np.random.RandomState(0).random_sample(len(state["pooler.dense.bias"]))
        tensors["token"] = torch.as_tensor(drawn, dtype=torch.float32)
    return tensors


def _set(model: Tagger, tensors: Mapping[str, Tensor], path: Path) -> None:
    ours = model.state_dict()
    # not learned; and the counters of batch norms, which older versions of torch did not save
    computed = (".window", ".fb", ".num_batches_tracked")
    needed = [name for name in ours if name not in ("mean", "std") and not name.endswith(computed)]
    wrong = [
        f"{name} is {tuple(tensors[name].shape)}, not {tuple(ours[name].shape)}"
        for name in ours
        if name in tensors and tensors[name].shape != ours[name].shape
    ]
    wrong += [f"it has no {name}" for name in needed if name not in tensors]
    wrong += [f"it has an unknown {n}" for n in tensors if n not in ours]
    if wrong:
        more = f"; {len(wrong)} in all" if len(wrong) > 3 else ""
        raise _another(path, model.architecture, "; ".join(wrong[:3]) + more)
    for name, value in tensors.items():
        if not torch.isfinite(value.float()).all():
            raise UserError(
                f"{name} of {path.name} holds values that are not finite",
                where=str(path),
                remedy="fetch the file again; if it is the same, these weights cannot be used",
            )
    model.load_state_dict(tensors, strict=False)


def _without_denormals(value: Tensor) -> Tensor:
    """Zero for negligible weights, which weight decay has reduced to denormal numbers.

    A processor computes with these a hundred times slower: the CRNN of MTG-Jamendo takes 20 times
    as long with them, Musicnn 75 times, for the same probabilities.
    """
    return value.masked_fill(value.abs() < NEGLIGIBLE, 0) if value.is_floating_point() else value


def _another(path: Path, architecture: str, why: str) -> UserError:
    return UserError(
        f"the weights {path.name} are not those of a published {architecture!r}: {why}",
        where=str(path),
        remedy=f"name the architecture of these weights: {', '.join(sorted(PUBLISHED))}",
    )
