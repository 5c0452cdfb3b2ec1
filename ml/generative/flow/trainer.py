"""The training of a rectified flow: the velocity at random times of random crops.

Times are logit-normal (Esser et al. 2024): times in the middle are the hardest and are drawn most
often. The genre of a share of the crops is hidden, so that the same network can be sampled with
and without it (Ho and Salimans 2022). The weights that are kept, measured and sampled are an
exponential moving average, with a shorter memory in the first steps (Karras et al. 2022).
"""

from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from typing import Any

import numpy as np
import torch
from scipy.special import ndtri
from torch import Tensor, nn
from torch.optim import AdamW, Optimizer

from melgraph.ml.errors import UserError
from melgraph.ml.generative.base import (
    EpochEnd,
    GenerativeSetup,
    GenreTracks,
    Samples,
    Trainer,
    fell,
    figure_names,
)
from melgraph.ml.generative.flow.networks import RectifiedFlow
from melgraph.ml.generative.flow.sampling import Guide, integrate
from melgraph.ml.inference.tracks import crop_batch

WARM_UP = 50  # steps until the learning rate is reached
LARGEST_GRADIENT = 1.0  # norm
SAMPLE_STEPS = 24
SAMPLES_PER_GENRE, MOST_SAMPLES = 6, 60
VALIDATION_CROPS = 16  # per genre
RISE = 1.02  # ratio of the last validation loss to the lowest from which it is called a rise


class FlowTrainer(Trainer):
    """Trains a `RectifiedFlow` and the moving average of its weights.

    The statistics of the network are set from the training recordings.

    Args:
        network: on the device of the setup; trained in place.
        setup: the recordings and the settings (`CompositionTraining`).

    Raises:
        UserError: a genre has no training recording, or there is no validation recording.
    """

    def __init__(self, network: RectifiedFlow, setup: GenerativeSetup) -> None:
        super().__init__(network, setup)
        _check(network, setup)
        self.config = setup.config
        network.set_statistics(setup.training.arrays)
        self.ema = deepcopy(network).requires_grad_(False)
        self.optimiser = AdamW(network.parameters(), lr=self.config.learning_rate)
        self.frames = network.shape.frames
        self.validation = ValidationCrops(network, setup)
        self.done = 0  # steps before the current epoch

    @property
    def steps_per_epoch(self) -> int:
        """Optimiser steps of an epoch."""
        steps: int = self.config.steps_per_epoch
        return steps

    def modules(self) -> dict[str, nn.Module]:
        """The network, and the moving average of its weights."""
        return {"network": self.network, "ema": self.ema}

    def optimisers(self) -> dict[str, Optimizer]:
        """AdamW."""
        return {"adamw": self.optimiser}

    def begin_epoch(self, epoch: int, rng: np.random.Generator) -> None:
        """Draw the crops: a genre, then a recording of it, then a start, each uniformly."""
        n_crops = self.steps_per_epoch * self.config.batch_size
        tracks = self.setup.training
        self.done = (epoch - 1) * self.steps_per_epoch
        self.crop_genres = rng.integers(len(self.network.genres), size=n_crops)
        self.crop_tracks = np.zeros(n_crops, np.int64)
        for genre in range(len(self.network.genres)):
            crops = np.flatnonzero(self.crop_genres == genre)
            self.crop_tracks[crops] = rng.choice(tracks.of_genre(genre), size=len(crops))
        last_starts = np.maximum(tracks.lengths()[self.crop_tracks] - self.frames, 0)
        self.crop_starts = rng.integers(last_starts + 1)

    def step(self, number: int) -> dict[str, float]:
        """One step of AdamW on the squared error of the velocity; then of the moving average."""
        size = self.config.batch_size
        crops = slice(number * size, (number + 1) * size)
        data = self._standardised(self.crop_tracks[crops], self.crop_starts[crops])
        device = data.device
        noise = torch.randn(data.shape, device=device)
        times = torch.randn(size, device=device).sigmoid()
        genres = torch.from_numpy(self.crop_genres[crops]).to(device)
        hidden = torch.rand(size, device=device) < self.config.genre_dropout
        genres = torch.where(hidden, self.network.no_genre, genres)
        n_steps = self.done + number
        for group in self.optimiser.param_groups:
            group["lr"] = self.config.learning_rate * min(1.0, (n_steps + 1) / WARM_UP)
        loss = velocity_errors(self.network, data, noise, times, genres).mean()
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.network.parameters(), LARGEST_GRADIENT)
        self.optimiser.step()
        self._average(min(self.config.ema, (1 + n_steps) / (10 + n_steps)))
        return {"train_loss": float(loss.detach())}

    def _standardised(self, tracks: np.ndarray, starts: np.ndarray) -> Tensor:
        batch = crop_batch(self.setup.training.arrays, tracks, starts, crop_frames=self.frames)
        standardised: Tensor = self.network.standardise(batch.to(self.setup.device))
        return standardised

    @torch.no_grad()
    def _average(self, decay: float) -> None:
        weights = zip(self.ema.parameters(), self.network.parameters(), strict=True)
        for average, weight in weights:
            average.lerp_(weight, 1 - decay)

    def end_epoch(self, epoch: int) -> EpochEnd:
        """The validation loss and the samples of the moving average, from fixed noise."""
        del epoch
        return EpochEnd(self.validation.figures(self.ema), self._samples())

    def _samples(self) -> Samples:
        """At most 60 samples, and at most 6 of each genre."""
        n_genres = len(self.network.genres)
        per_genre = max(1, min(SAMPLES_PER_GENRE, MOST_SAMPLES // n_genres))
        genres = np.repeat(np.arange(n_genres, dtype=np.int64), per_genre)[:MOST_SAMPLES]
        generator = torch.Generator().manual_seed(self.setup.seed)
        shape = (len(genres), 1, self.network.shape.bins, self.frames)
        noise = torch.randn(shape, generator=generator).to(self.setup.device)
        numbers = torch.from_numpy(genres).to(self.setup.device)
        values = self.ema.levels(integrate(self.ema, noise, numbers, Guide(SAMPLE_STEPS)))
        return Samples(
            values=values[:, 0].transpose(1, 2).to(torch.float16).cpu().numpy(),
            genres=genres,
            tracks=np.full(len(genres), -1, np.int64),
            starts=np.zeros(len(genres), np.int64),
        )

    def notes(self, curves: Sequence[Mapping[str, Any]]) -> list[str]:
        """Whether the validation loss fell, and the remedy if it rises again."""
        return loss_notes(curves)

    def finish(self) -> None:
        """Leave the moving average in the network."""
        self.network.load_state_dict(self.ema.state_dict())


def velocity_errors(
    network: RectifiedFlow, data: Tensor, noise: Tensor, times: Tensor, genres: Tensor
) -> Tensor:
    """Mean squared error of the velocity of each crop: float32 `[crop]`.

    Args:
        network: on the device of the tensors.
        data: float32 `[crop, 1, bin, frame]`, standardised.
        noise: as the data, from a standard normal distribution.
        times: float32 `[crop]`, 0 to 1.
        genres: int64 `[crop]`, or `network.no_genre`.
    """
    t = times[:, None, None, None]
    velocity = network((1 - t) * noise + t * data, times, genres)
    errors: Tensor = (velocity - (data - noise)).square().mean(dim=(1, 2, 3))
    return errors


class ValidationCrops:
    """Crops, noises and times that stay the same, so that the losses of epochs can be compared.

    Each genre has 16 crops, spread evenly over its recordings, and the same 16 times: the
    quantiles of the logit-normal distribution in the middle of 16 equal parts.

    Args:
        network: knows the length of crops and the genres.
        setup: the validation recordings, the seed, the size of batches and the device.
    """

    def __init__(self, network: RectifiedFlow, setup: GenerativeSetup) -> None:
        self.keys, self.device = figure_names(network.genres), setup.device
        self.batch_size = setup.config.batch_size
        tracks, frames = setup.validation, network.shape.frames
        with_tracks = [g for g in range(len(network.genres)) if len(tracks.of_genre(g))]
        self.genres = np.repeat(np.array(with_tracks, np.int64), VALIDATION_CROPS)
        chosen, starts = zip(*(_spread(tracks, g, frames) for g in with_tracks), strict=True)
        self.crops = crop_batch(
            tracks.arrays, np.concatenate(chosen), np.concatenate(starts), crop_frames=frames
        )
        quantiles = (np.arange(VALIDATION_CROPS) + 0.5) / VALIDATION_CROPS
        times = torch.from_numpy(ndtri(quantiles)).float().sigmoid()
        self.times = times.repeat(len(with_tracks))
        generator = torch.Generator().manual_seed(setup.seed)
        self.noise = torch.randn(self.crops.shape, generator=generator)

    def figures(self, network: RectifiedFlow) -> dict[str, float]:
        """`validation_loss`, and `validation_loss_<genre>` of each genre with recordings."""
        errors = np.concatenate([self._errors(network, batch) for batch in self._batches()])
        figures = {"validation_loss": float(errors.mean())}
        for genre in np.unique(self.genres):
            mean = errors[self.genres == genre].mean()
            figures[f"validation_loss_{self.keys[genre]}"] = float(mean)
        return figures

    def _batches(self) -> Iterator[slice]:
        for first in range(0, len(self.genres), self.batch_size):
            yield slice(first, min(first + self.batch_size, len(self.genres)))

    @torch.no_grad()
    def _errors(self, network: RectifiedFlow, batch: slice) -> np.ndarray:
        data = network.standardise(self.crops[batch].to(self.device))
        noise, times = self.noise[batch].to(self.device), self.times[batch].to(self.device)
        genres = torch.from_numpy(self.genres[batch]).to(self.device)
        errors: np.ndarray = (
            velocity_errors(network, data, noise, times, genres).double().cpu().numpy()
        )
        return errors


def _spread(tracks: GenreTracks, genre: int, frames: int) -> tuple[np.ndarray, np.ndarray]:
    """Recordings and starts of the validation crops of a genre: int64 `[crop]` each.

    The recordings take turns, and the crops of one recording lie evenly between its ends.
    """
    numbers = tracks.of_genre(genre)
    crops = np.arange(VALIDATION_CROPS)
    chosen = numbers[crops * len(numbers) // VALIDATION_CROPS]
    places = (crops + 0.5) * len(numbers) / VALIDATION_CROPS % 1
    lasts = np.maximum(tracks.lengths()[chosen] - frames, 0)
    return chosen, (places * lasts).astype(np.int64)


def loss_notes(curves: Sequence[Mapping[str, Any]]) -> list[str]:
    """What is wrong with the losses of at least two epochs, in whole sentences."""
    if len(curves) < 2:
        return []
    losses = [float(row["validation_loss"]) for row in curves]
    lowest = int(np.argmin(losses))
    train_falls = float(curves[-1]["train_loss"]) < float(curves[lowest]["train_loss"])
    if losses[-1] > RISE * losses[lowest] and train_falls:
        return [
            f"Since epoch {curves[lowest]['epoch']} the validation loss rises while the training "
            "loss falls: the network memorises its training recordings. Train for "
            f"{curves[lowest]['epoch']} epochs, use a smaller network, or add recordings."
        ]
    if not fell(losses):
        return [
            "The network did not learn anything that helps on other recordings: the validation "
            f"loss is {losses[0]:.4f} after the first epoch and {losses[-1]:.4f} after the last. "
            "Train for more epochs, or change training.learning_rate."
        ]
    return []


def _check(network: RectifiedFlow, setup: GenerativeSetup) -> None:
    for genre, name in enumerate(network.genres):
        if not len(setup.training.of_genre(genre)):
            raise UserError(
                f"the genre {name!r} has no training recording",
                where="genres of the generative model",
                remedy="leave the genre out, or add recordings of it to the dataset",
            )
    if not len(setup.validation):
        raise UserError(
            "there is no validation recording",
            where="validation of the generative model",
            remedy="use a larger share for validation, or add recordings to the dataset",
        )
