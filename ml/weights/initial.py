"""Initial weights of a model from a file or from another checkpoint."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from melgraph.ml.errors import UserError
from melgraph.ml.models.base import Classifier
from melgraph.ml.weights import checkpoints
from melgraph.ml.weights.files import locate_weights as locate_weights
from melgraph.ml.weights.files import read_weights
from melgraph.ml.weights.published_taggers import PUBLISHED, our_names

NEVER_LOADED = ("mean", "std", "head.weight", "head.bias")  # of the new tracks and classes
COUNTER = "num_batches_tracked"  # of a batch norm: many published files lack it, nothing uses it
LEAST_SHARE = 0.9  # of the body's tensors that the file must have


@dataclass(frozen=True)
class LoadedWeights:
    """Which tensors of a file were loaded.

    Attributes:
        loaded: names in the model that were set.
        missing: names in the body of the model that the file lacks.
        unused: names in the file that the model does not use, such as its head.
    """

    loaded: tuple[str, ...]
    missing: tuple[str, ...]
    unused: tuple[str, ...]


def load_weights(model: Classifier, path: Path) -> LoadedWeights:
    """Set the body of a model to published weights, or to those of another of our models.

    The head and the normalisation stay, as classes and tracks are others. timm adapts the first
    convolution of a network for colour images to 1 or 2 channels, and the position embeddings of a
    transformer to its image.

    Args:
        model: from `ml.models.build`; changed in place.
        path: a `.pth` or `.safetensors` file, or the folder of one of our checkpoints.

    Raises:
        UserError: the file cannot be read, or is of another architecture.
    """
    if path.is_dir():
        other, _ = checkpoints.load(path)
        if other.architecture != model.architecture:
            raise _another(path, model, f"it is of the architecture {other.architecture!r}")
        tensors = dict(other.state_dict())
        prefix = ""
    else:
        tensors = read_weights(path)
        if model.architecture in PUBLISHED:  # a tagger of the literature, under its public names
            tensors = our_names(model.architecture, tensors)
        prefix = "body." if hasattr(model, "body") else ""
        if prefix:
            tensors = _fit_to_timm_body(model, tensors)
    return _set(model, {prefix + name: value for name, value in tensors.items()}, path)


def _fit_to_timm_body(
    model: Classifier, tensors: dict[str, torch.Tensor]
) -> dict[str, torch.Tensor]:
    """The tensors in the shapes of the model's body: its channels, its position embeddings."""
    from timm.layers import resample_abs_pos_embed
    from timm.models import adapt_input_conv

    body: Any = model.get_submodule("body")
    first = f"{body.default_cfg['first_conv']}.weight"
    if first in tensors and tensors[first].ndim == 4 and tensors[first].shape[1] == 3:
        tensors = tensors | {first: adapt_input_conv(model.shape.channels, tensors[first])}
    position, ours = "pos_embed", getattr(body, "pos_embed", None)
    if ours is not None and position in tensors and tensors[position].shape != ours.shape:
        grid = body.patch_embed.grid_size
        tensors = tensors | {position: resample_abs_pos_embed(tensors[position], list(grid))}
    return tensors


def _set(model: Classifier, tensors: dict[str, torch.Tensor], path: Path) -> LoadedWeights:
    ours = model.state_dict()
    body = [
        name
        for name in ours
        if name not in NEVER_LOADED and (name in tensors or not name.endswith(COUNTER))
    ]
    fitting = [n for n in body if n in tensors and tensors[n].shape == ours[n].shape]
    if len(fitting) < LEAST_SHARE * len(body):
        different = [
            f"{n} is {tuple(tensors[n].shape)}, not {tuple(ours[n].shape)}"
            for n in body
            if n in tensors and n not in fitting
        ]
        different += [f"it has no {n}" for n in body if n not in tensors]
        summary = "; ".join(different[:3])
        raise _another(
            path, model, f"{len(different)} of {len(body)} tensors do not fit: {summary}"
        )
    model.load_state_dict({name: tensors[name] for name in fitting}, strict=False)
    return LoadedWeights(
        loaded=tuple(fitting),
        missing=tuple(n for n in body if n not in fitting),
        unused=tuple(n for n in tensors if n not in fitting and n not in NEVER_LOADED),
    )


def _another(path: Path, model: Classifier, why: str) -> UserError:
    return UserError(
        f"the weights {path.name} are not those of {model.architecture!r} on {model.shape}: {why}",
        where=str(path),
        remedy="name weights of this architecture, or the architecture of these weights",
    )
