"""Toy songs of two genres whose MFCC lie on different planes, and trainings on them."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from melgraph.ml.generative.base import GenerativeSetup, GenreTracks
from melgraph.ml.generative.kinds import build
from melgraph.ml.generative.loop import train_generative
from melgraph.ml.generative.recreation.networks import Recreations
from melgraph.ml.generative.recreation.trainer import RecreationTrainer
from melgraph.ml.models.base import InputShape
from melgraph.ml.specs.generative_model import RecreationTraining

GENRES = ("metal", "blues")
SHAPE = InputShape(channels=1, bins=6, frames=8)
SMALL = {"widths": [16, 8], "bottleneck": 2, "lstm_units": 8}
LSTM = [False, True]


def songs(seed: int, each: int = 3) -> GenreTracks:
    """Songs `[frame, 6]` of both genres: two waves of random pitch, mixed by the genre."""
    rng = np.random.default_rng(seed)
    mixtures = np.random.default_rng(99).normal(size=(len(GENRES), 2, SHAPE.bins)) * 20
    arrays, genres = [], []
    for genre in range(len(GENRES)):
        for _ in range(each):
            frames = np.arange(40 + 7 * genre)[:, None]
            waves = np.sin(frames * rng.uniform(0.2, 0.6, 2) + rng.uniform(0, 6, 2))
            arrays.append((waves @ mixtures[genre] - 50).astype(np.float16))
            genres.append(genre)
    return GenreTracks(arrays, np.array(genres, np.int64))


def setup_of(folder: Path | None = None, **changes) -> GenerativeSetup:
    training = {"epochs": 3, "batch_size": 4, "crops_per_track": 3}
    settings = RecreationTraining(**(training | changes.pop("training", {})))
    setup = GenerativeSetup(
        songs(1), songs(2), settings, settings.epochs, seed=5, state=folder, save_every_s=0.0
    )
    return replace(setup, **changes)


def network_of(*, lstm: bool = False, genres=GENRES) -> Recreations:
    network = build("recreation", SHAPE, genres, seed=3, options=SMALL | {"lstm": lstm})
    assert isinstance(network, Recreations)
    return network


class Stopping(RecreationTrainer):
    """Is interrupted before one of its steps."""

    def __init__(self, network, setup, stop_at=None, steps=None):
        super().__init__(network, setup)
        self.stop_at, self.done = stop_at, 0
        self.steps = [] if steps is None else steps

    def step(self, number):
        if self.done == self.stop_at:
            raise KeyboardInterrupt
        self.done += 1
        self.steps.append(number)
        return super().step(number)


def trained(setup, *, lstm=False, **arguments):
    network = network_of(lstm=lstm)
    result = train_generative(network, lambda n, s: Stopping(n, s, **arguments), setup)
    return network, result


def equal_weights(one: torch.nn.Module, other: torch.nn.Module) -> bool:
    pairs = zip(one.state_dict().values(), other.state_dict().values(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)
