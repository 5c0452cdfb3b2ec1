"""Toy genres: stripes of a random place, dark in the first genre and light in the second."""

import numpy as np
import torch

from melgraph.ml.generative.base import GenerativeSetup, GenreTracks
from melgraph.ml.generative.cyclegan.networks import CycleGan
from melgraph.ml.generative.kinds import build
from melgraph.ml.models.base import InputShape
from melgraph.ml.specs.generative_model import CycleGanTraining

SIDE = 32
GENRES = ("dark", "light")
SMALL = {"width": 4, "blocks": 1, "discriminator_width": 4, "discriminator_layers": 2}


def striped(level: float, seed: int, *, columns: int = 48, side: int = SIDE) -> np.ndarray:
    """A recording with horizontal stripes: float32 `[frame, row]`, mostly within 0.2 of a level."""
    rng = np.random.default_rng(seed)
    rows = 0.15 * np.sin(np.arange(side) * rng.uniform(0.3, 0.8) + rng.uniform(0, 6))
    noise = 0.02 * rng.normal(size=(columns, side))
    return np.clip(level + rows + noise, 0, 1).astype(np.float32)


def recordings(n_dark: int, n_light: int, *, seed: int = 0) -> GenreTracks:
    """Recordings of both genres, with the third dimension of images: `[frame, row, 1]`."""
    levels = [0.3] * n_dark + [0.7] * n_light
    arrays = [striped(level, 100 * seed + n)[:, :, None] for n, level in enumerate(levels)]
    return GenreTracks(arrays, np.array([0] * n_dark + [1] * n_light, np.int64))


def network(seed: int = 0, *, side: int = SIDE, **options: int) -> CycleGan:
    """A small network with initial weights."""
    built = build("cyclegan", InputShape(1, side, side), GENRES, seed=seed, options=SMALL | options)
    assert isinstance(built, CycleGan)
    return built


def setup(**changes) -> GenerativeSetup:
    """A short training; `config` has the keys of `CycleGanTraining`."""
    config = CycleGanTraining(**{"epochs": 2, "buffer": 2} | changes.pop("config", {}))
    arguments = {
        "training": recordings(3, 2),
        "validation": recordings(2, 2, seed=1),
        "config": config,
        "epochs": config.epochs,
        "seed": 3,
        "save_every_s": 0.0,
    }
    return GenerativeSetup(**arguments | changes)


def stripes(n: int = 4) -> torch.Tensor:
    """Images of several recordings: float32 `[image, row, column]`."""
    arrays = [striped(0.5, seed, columns=SIDE).T for seed in range(n)]
    return torch.from_numpy(np.stack(arrays))
