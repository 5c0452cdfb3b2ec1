"""Two genres of simple spectrograms, and networks that learn them in seconds."""

from dataclasses import replace

import numpy as np
import torch

from melgraph.ml.generative.base import GenerativeSetup, GenreTracks
from melgraph.ml.generative.flow.trainer import FlowTrainer
from melgraph.ml.generative.kinds import build
from melgraph.ml.generative.loop import train_generative
from melgraph.ml.models.base import InputShape
from melgraph.ml.specs.generative_model import CompositionTraining

SHAPE = InputShape(1, 16, 32)
GENRES = ("bass", "clicks")
OPTIONS = {"width": 8, "multipliers": (1, 2), "patch": 2}


def toy(genre, frames, seed):
    """Lines in the low bins, or clicks in all bins, on noise: float16 `[frame, 16]`, dB."""
    rng = np.random.default_rng(seed)
    levels = rng.normal(-60, 3, (frames, SHAPE.bins))
    if genre == 0:
        levels[:, 2:6] += 40
    else:
        levels[rng.integers(8) :: 8] += 40
    return levels.astype(np.float16)


def toy_tracks(per_genre=4, frames=100, seed=0) -> GenreTracks:
    arrays = [toy(g, frames, [seed, g, i]) for g in range(2) for i in range(per_genre)]
    return GenreTracks(arrays, np.repeat([0, 1], per_genre).astype(np.int64))


def toy_network(seed=0, shape=SHAPE, **options):
    return build("rectified_flow", shape, GENRES, seed=seed, options={**OPTIONS, **options})


def toy_setup(**changes) -> GenerativeSetup:
    config = CompositionTraining(
        epochs=2, steps_per_epoch=3, batch_size=4, learning_rate=2e-3, ema=0.9
    )
    config = config.model_copy(update=changes.pop("config", {}))
    setup = GenerativeSetup(
        toy_tracks(), toy_tracks(2, seed=1), config, config.epochs, seed=3, save_every_s=0.0
    )
    return replace(setup, **changes)


def trained_toy(**config):
    """A network that was trained for a few seconds, and the result of its training."""
    network = toy_network()
    result = train_generative(network, FlowTrainer, toy_setup(config=config))
    return network, result


def awakened(network):
    """The network with an output that is not zero, as after some steps."""
    with torch.no_grad():
        network.unet.leave.weight.normal_(generator=torch.Generator().manual_seed(0), std=0.1)
    return network
