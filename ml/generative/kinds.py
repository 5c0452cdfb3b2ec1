"""The kinds of generative models: which network and which trainer belong to each."""

from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any

import torch

from melgraph.ml.errors import UserError
from melgraph.ml.generative.base import GenerativeNetwork, Trainer
from melgraph.ml.models.base import InputShape

# kind -> the class of the network, and the class that trains it
_KINDS = {
    "cyclegan": ("cyclegan.networks:CycleGan", "cyclegan.trainer:CycleGanTrainer"),
    "recreation": ("recreation.networks:Recreations", "recreation.trainer:RecreationTrainer"),
    "rectified_flow": ("flow.networks:RectifiedFlow", "flow.trainer:FlowTrainer"),
}


def kinds() -> list[str]:
    """The names of all kinds."""
    return sorted(_KINDS)


def build(
    kind: str,
    shape: InputShape,
    genres: Sequence[str],
    *,
    seed: int = 0,
    options: Mapping[str, Any],
) -> GenerativeNetwork:
    """A network with initial weights. The global random state does not change.

    Args:
        kind: as in the TOML file.
        shape: of a crop.
        genres: names of the genres.
        seed: of the initial weights.
        options: the table `network` of the specification.

    Raises:
        UserError: there is no such kind, or the network cannot take such crops.
    """
    network, _ = _known(kind)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        built: GenerativeNetwork = _imported(network)(shape, genres, **options)
    return built


def trainer_of(kind: str) -> type[Trainer]:
    """The class that computes the steps of a training."""
    cls: type[Trainer] = _imported(_known(kind)[1])
    return cls


def _imported(place: str) -> Any:
    module, _, name = place.partition(":")
    return getattr(import_module(f"melgraph.ml.generative.{module}"), name)


def _known(kind: str) -> tuple[str, str]:
    if kind not in _KINDS:
        raise UserError(
            f"there is no kind of generative model {kind!r}",
            where="kind",
            remedy=f"use one of {', '.join(kinds())}",
        )
    return _KINDS[kind]
