"""Starting a model from weights that were trained elsewhere."""

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

OUR_OWN = ("mean", "std", "head.weight", "head.bias")  # of the new data, and of the new classes
LEAST_SHARE = 0.9  # of the body's tensors that must be found


@dataclass(frozen=True)
class LoadedWeights:
    """What became of the tensors of a file.

    Attributes:
        loaded: names in our model that were set.
        missing: names in our body that the file has nothing for.
        unused: names in the file that nothing here wants, such as its head.
    """

    loaded: tuple[str, ...]
    missing: tuple[str, ...]
    unused: tuple[str, ...]


def load_weights(model: Classifier, path: Path) -> LoadedWeights:
    """Set the body of a model to published weights, or to those of another of our models.

    The head and the normalisation stay: classes and data are others. The first convolution of a
    network for colour images is adapted to 1 or 2 channels, the position embeddings of a
    transformer to its image (both by timm).

    Args:
        model: from `ml.models.build`; changed in place.
        path: a `.pth` or `.safetensors` file, or the folder of a checkpoint of ours.

    Raises:
        UserError: the file cannot be read, or is of another architecture.
    """
    if path.is_dir():
        other, _ = checkpoints.load(path)
        if other.architecture != model.architecture:
            raise _another(path, model, f"it is of the architecture {other.architecture!r}")
        found = dict(other.state_dict())
        prefix = ""
    else:
        found = read_weights(path)
        if model.architecture in PUBLISHED:  # a tagger of the literature, under its public names
            found = our_names(model.architecture, found)
        prefix = "body." if hasattr(model, "body") else ""
        if prefix:
            found = _as_timm_has_it(model, found)
    return _set(model, {prefix + name: value for name, value in found.items()}, path)


def _as_timm_has_it(model: Classifier, found: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The tensors in the shapes of our body: its channels, its position embeddings."""
    from timm.layers import resample_abs_pos_embed
    from timm.models import adapt_input_conv

    body: Any = model.get_submodule("body")
    first = f"{body.default_cfg['first_conv']}.weight"
    if first in found and found[first].ndim == 4 and found[first].shape[1] == 3:
        found = found | {first: adapt_input_conv(model.shape.channels, found[first])}
    position, ours = "pos_embed", getattr(body, "pos_embed", None)
    if ours is not None and position in found and found[position].shape != ours.shape:
        grid = body.patch_embed.grid_size
        found = found | {position: resample_abs_pos_embed(found[position], list(grid))}
    return found


def _set(model: Classifier, found: dict[str, torch.Tensor], path: Path) -> LoadedWeights:
    ours = model.state_dict()
    body = [name for name in ours if name not in OUR_OWN]
    fitting = [n for n in body if n in found and found[n].shape == ours[n].shape]
    if len(fitting) < LEAST_SHARE * len(body):
        different = [
            f"{n} is {tuple(found[n].shape)}, not {tuple(ours[n].shape)}"
            for n in body
            if n in found and n not in fitting
        ]
        different += [f"it has no {n}" for n in body if n not in found]
        told = "; ".join(different[:3])
        raise _another(path, model, f"{len(different)} of {len(body)} tensors do not fit: {told}")
    model.load_state_dict({name: found[name] for name in fitting}, strict=False)
    return LoadedWeights(
        loaded=tuple(fitting),
        missing=tuple(n for n in body if n not in fitting),
        unused=tuple(n for n in found if n not in fitting and n not in OUR_OWN),
    )


def _another(path: Path, model: Classifier, why: str) -> UserError:
    return UserError(
        f"the weights {path.name} are not those of {model.architecture!r} on {model.shape}: {why}",
        where=str(path),
        remedy="name weights of this architecture, or the architecture of these weights",
    )
