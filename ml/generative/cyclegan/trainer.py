"""The training of a CycleGAN (Zhu et al. 2017): least squares, cycle and identity loss, batch 1.

Losses are of pixels in [-1, 1], as in the source, so that its weights of the losses apply.
Everything that is measured at the end of an epoch is of pixels in [0, 1].
"""

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import l1_loss, mse_loss
from torch.optim import Adam, Optimizer

from melgraph.ml.errors import UserError
from melgraph.ml.generative.base import (
    EpochEnd,
    GenerativeSetup,
    GenreTracks,
    Samples,
    Trainer,
)
from melgraph.ml.generative.cyclegan import failures
from melgraph.ml.generative.cyclegan.networks import CycleGan, build_discriminators
from melgraph.ml.generative.cyclegan.replay import ReplayBuffer
from melgraph.ml.inference.tracks import crop_batch

MAX_VALIDATION = 64  # recordings of a genre that are measured, evenly spread over all
MAX_SAMPLES = 6  # of a genre
_BETAS = (0.5, 0.999)
_NOISE_SEED = 0  # of the noise of the measures
_LOG = logging.getLogger("melgraph")


class CycleGanTrainer(Trainer):
    """The steps of a CycleGAN. Each step takes one crop of each genre.

    Args:
        network: on the device of the setup; trained in place.
        setup: `setup.config` is a `CycleGanTraining`.

    Raises:
        UserError: a genre has no recording to learn from, or none to validate with.
    """

    def __init__(self, network: CycleGan, setup: GenerativeSetup) -> None:
        super().__init__(network, setup)
        for name, tracks in (("training", setup.training), ("validation", setup.validation)):
            _check_genres(tracks, network.genres, name)
        self.discriminators = build_discriminators(network, setup.seed + 1).to(setup.device)
        rate = setup.config.learning_rate
        self._of_generators = Adam(network.generators.parameters(), rate, betas=_BETAS)
        self._of_discriminators = Adam(self.discriminators.parameters(), rate, betas=_BETAS)
        shape = (1, network.shape.bins, network.shape.frames)
        self.buffers = [ReplayBuffer(setup.config.buffer, shape, setup.device) for _ in range(2)]
        self._chosen: list[tuple[np.ndarray, np.ndarray]] = []

    @property
    def steps_per_epoch(self) -> int:
        """Crops of the larger genre."""
        larger = max(len(self.setup.training.of_genre(genre)) for genre in (0, 1))
        return int(self.setup.config.crops_per_track * larger)

    def modules(self) -> dict[str, nn.Module]:
        """The generators, in the network, and the discriminators."""
        return {"network": self.network, "discriminators": self.discriminators}

    def optimisers(self) -> dict[str, Optimizer]:
        """One optimiser of both generators and one of both discriminators."""
        return {"generators": self._of_generators, "discriminators": self._of_discriminators}

    def begin_epoch(self, epoch: int, rng: np.random.Generator) -> None:
        """Draw the order and the crops of both genres, and set the rate of the epoch.

        The recordings of the smaller genre are repeated, each time in another order.
        """
        steps = self.steps_per_epoch
        self._chosen = [
            _draw(self.setup.training, genre, steps, self._frames, rng) for genre in (0, 1)
        ]
        rate = self.setup.config.learning_rate * rate_factor(epoch, self.setup.epochs)
        for optimiser in self.optimisers().values():
            for group in optimiser.param_groups:
                group["lr"] = rate

    def step(self, number: int) -> dict[str, float]:
        """One step of the generators, then one of the discriminators.

        Returns:
            `train_loss`: of the generators, weighted. `adversarial`, `cycle` and `identity`: its
            terms, each the sum over both directions, not weighted. `discriminator`: the sum of
            both discriminators' losses.
        """
        real = [self._training_crop(genre, number) for genre in (0, 1)]
        self.discriminators.requires_grad_(False)
        losses, fake = self._generator_losses(real)
        config = self.setup.config
        total = (
            losses["adversarial"]
            + config.cycle * losses["cycle"]
            + config.identity * losses["identity"]
        )
        self._of_generators.zero_grad()
        total.backward()
        self._of_generators.step()
        self.discriminators.requires_grad_(True)
        losses["discriminator"] = self._discriminator_step(real, fake)
        return {
            name: float(value.detach()) for name, value in {"train_loss": total, **losses}.items()
        }

    def end_epoch(self, epoch: int) -> EpochEnd:
        """Measure both directions on one crop of each validation recording, and make samples.

        The crop is the middle of the recording. At most `MAX_VALIDATION` recordings of a genre are
        measured. `validation_loss` is the sum of the cycle loss and the identity loss, not
        weighted, each the mean over both genres, of pixels in [0, 1]. See `failures.measure` for
        the figures of each direction; `hidden` is by how much noise before the second generator
        raises the cycle loss.
        """
        noise = torch.Generator().manual_seed(_NOISE_SEED)
        chosen = [_middles(self.setup.validation, genre, self._frames) for genre in (0, 1)]
        images = [self._crops(self.setup.validation, *at)[:, 0] for at in chosen]
        figures: dict[str, float] = {}
        outputs, cycle, identity = [], [], []
        for source, direction in enumerate(failures.DIRECTIONS):
            target = 1 - source
            moved = self._move(images[source], target)
            probe = torch.randn(moved.shape, generator=noise) * failures.PROBE_NOISE
            cycle.append(float(l1_loss(self._move(moved, source), images[source])))
            with_noise = float(l1_loss(self._move(moved + probe, source), images[source]))
            identity.append(float(l1_loss(self._move(images[source], source), images[source])))
            of_direction = {
                **failures.measure(images[source], moved, images[target]),
                "hidden": with_noise - cycle[-1],
            }
            figures |= {f"{name}_{direction}": value for name, value in of_direction.items()}
            outputs.append(moved)
        losses = {"validation_cycle": sum(cycle) / 2, "validation_identity": sum(identity) / 2}
        figures = {"validation_loss": sum(losses.values()), **losses, **figures}
        for sentence in failures.notes([{"epoch": epoch, **figures}], self.network.genres):
            _LOG.warning("%s", sentence)
        return EpochEnd(figures, _samples(chosen, outputs))

    def memory(self) -> dict[str, Tensor]:
        """The images of the replay buffers."""
        return {f"replay_{number}": buffer.images for number, buffer in enumerate(self.buffers)}

    def restore_memory(self, memory: Mapping[str, Tensor]) -> None:
        """Fill the replay buffers."""
        for number, buffer in enumerate(self.buffers):
            buffer.restore(memory[f"replay_{number}"])

    def notes(self, curves: Sequence[Mapping[str, Any]]) -> list[str]:
        """The failures that any epoch showed, each with its figure and its remedy."""
        return failures.notes(curves, self.network.genres)

    @property
    def _frames(self) -> int:
        return int(self.network.shape.frames)

    def _generator_losses(self, real: Sequence[Tensor]) -> tuple[dict[str, Tensor], list[Tensor]]:
        """The terms of the generators' loss, and the generated image of each genre."""
        generators, deviation = self.network.generators, 2 * self.setup.config.cycle_noise
        fake = [generators[target](real[1 - target]) for target in (0, 1)]
        noisy = [image + deviation * torch.randn_like(image) for image in fake]
        back = [generators[source](noisy[1 - source]) for source in (0, 1)]
        losses = {
            "adversarial": sum(_judged(self.discriminators[g](fake[g]), 1.0) for g in (0, 1)),
            "cycle": sum(l1_loss(back[g], real[g]) for g in (0, 1)),
            "identity": torch.zeros((), device=real[0].device),
        }
        if self.setup.config.identity:
            losses["identity"] = sum(l1_loss(generators[g](real[g]), real[g]) for g in (0, 1))
        return losses, [image.detach() for image in fake]  # type: ignore[return-value]

    def _discriminator_step(self, real: Sequence[Tensor], fake: Sequence[Tensor]) -> Tensor:
        total = torch.zeros((), device=real[0].device)
        for genre, discriminator in enumerate(self.discriminators):
            earlier = self.buffers[genre].exchange(fake[genre])
            of_real = _judged(discriminator(real[genre]), 1.0)
            total = total + (of_real + _judged(discriminator(earlier), 0.0)) / 2
        self._of_discriminators.zero_grad()
        total.backward()  # type: ignore[no-untyped-call]
        self._of_discriminators.step()
        return total

    def _training_crop(self, genre: int, number: int) -> Tensor:
        """The crop of a step, float32 `[1, 1, row, column]` in [-1, 1], on the device."""
        tracks, starts = (values[number : number + 1] for values in self._chosen[genre])
        return 2 * self._crops(self.setup.training, tracks, starts).to(self.setup.device) - 1

    def _crops(self, of: GenreTracks, tracks: np.ndarray, starts: np.ndarray) -> Tensor:
        """Float32 `[crop, 1, row, column]` in [0, 1], on the CPU."""
        return crop_batch(of.arrays, tracks, starts, crop_frames=self._frames).float()

    def _move(self, images: Tensor, towards: int) -> Tensor:
        """Images `[image, row, column]` moved one by one, which bounds the memory; on the CPU."""
        moved = [
            self.network.move(image[None, None].to(self.setup.device), towards) for image in images
        ]
        return torch.cat(moved)[:, 0].cpu()


def rate_factor(epoch: int, epochs: int) -> float:
    """The rate of an epoch relative to the first: 1 in the first half, then linear towards 0.

    >>> [rate_factor(epoch, 4) for epoch in (1, 2, 3, 4)]
    [1.0, 1.0, 0.6666666666666667, 0.33333333333333337]
    """
    constant = epochs - epochs // 2
    return 1.0 - max(0, epoch - constant) / (epochs // 2 + 1)


def _judged(scores: Tensor, wanted: float) -> Tensor:
    """The least-squares loss of scores (Mao et al. 2017)."""
    return mse_loss(scores, torch.full_like(scores, wanted))


def _draw(
    tracks: GenreTracks, genre: int, n: int, frames: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Numbers of recordings of a genre, and first frames of their crops: int64 `[n]` each."""
    numbers = tracks.of_genre(genre)
    rounds = -(-n // len(numbers))
    order = np.concatenate([rng.permutation(numbers) for _ in range(rounds)])[:n]
    return order, rng.integers(0, np.maximum(1, tracks.lengths()[order] - frames + 1))


def _middles(tracks: GenreTracks, genre: int, frames: int) -> tuple[np.ndarray, np.ndarray]:
    """Recordings of a genre, evenly spread, and the first frames of their middle crops."""
    numbers = _spread(tracks.of_genre(genre), MAX_VALIDATION)
    return numbers, np.maximum(0, tracks.lengths()[numbers] - frames) // 2


def _spread(values: np.ndarray, n: int) -> np.ndarray:
    """At most `n` of the values, evenly spread."""
    places = np.arange(min(n, len(values))) * len(values) // min(n, len(values))
    chosen: np.ndarray = values[places]
    return chosen


def _samples(chosen: Sequence[tuple[np.ndarray, np.ndarray]], outputs: Sequence[Tensor]) -> Samples:
    """Some outputs of each genre, evenly spread: the samples of the sheet."""
    values, genres, tracks, starts = [], [], [], []
    for source, ((of_tracks, of_starts), images) in enumerate(zip(chosen, outputs, strict=True)):
        places = _spread(np.arange(len(images)), MAX_SAMPLES)
        values.append(images.numpy()[places].transpose(0, 2, 1).astype(np.float16))
        genres.append(np.full(len(places), 1 - source, np.int64))
        tracks.append(of_tracks[places])
        starts.append(of_starts[places])
    joined = (np.concatenate(parts) for parts in (values, genres, tracks, starts))
    return Samples(*joined)


def _check_genres(tracks: GenreTracks, genres: Sequence[str], name: str) -> None:
    for number, genre in enumerate(genres):
        if not len(tracks.of_genre(number)):
            raise UserError(
                f"no recording of {genre!r} is left for {name}",
                where="genres of the generative model",
                remedy="choose a genre with at least two recordings on the train side",
            )
