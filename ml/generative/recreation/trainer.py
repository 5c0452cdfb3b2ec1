"""The training of recreations: each genre's network learns from its own recordings only.

A step is one batch of crops of one genre, and changes the network of this genre only. In an epoch,
the genres follow each other. Each recording gives `crops_per_track` random crops.
"""

from collections.abc import Mapping, Sequence
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from melgraph.ml.errors import UserError
from melgraph.ml.generative.base import (
    EpochEnd,
    GenerativeSetup,
    Samples,
    Trainer,
    fell,
    figure_names,
)
from melgraph.ml.generative.recreation.networks import Recreations
from melgraph.ml.inference.tracks import crop_batch, segment_starts
from melgraph.ml.models.base import bin_statistics

SAMPLES_PER_GENRE = 6
SAMPLE_CROPS = 4  # length of a sample in crops: a crop alone is too short to listen to
_VALIDATION_CROPS = 10  # of a recording at most, evenly spread
_RISE = 0.02  # a last loss that is higher than the lowest one by less than this share is level


class RecreationTrainer(Trainer):
    """Adam on the mean squared error of standardised MFCC, one optimiser for each genre.

    The mean and deviation of the MFCC are those of the training recordings of all genres.

    The figures of an epoch are `train_loss` and `validation_loss`, which are means over the
    genres, and for each genre `train_loss_<genre>` and `validation_loss_<genre>` (the names of
    `figure_names`). A genre without validation recordings has no validation loss.

    Args:
        network: on the device of the setup; trained in place.
        setup: the recordings, the settings (`RecreationTraining`) and where it runs.

    Raises:
        UserError: a genre has no training recording, or no genre has a validation recording.
    """

    def __init__(self, network: Recreations, setup: GenerativeSetup) -> None:
        super().__init__(network, setup)
        numbers = range(len(network.genres))
        self._tracks = [setup.training.of_genre(number) for number in numbers]
        self._require_recordings()
        mean, std = bin_statistics(setup.training.arrays)
        network.set_normalisation(mean[0], std[0])
        self._names = figure_names(network.genres)
        rate = setup.config.learning_rate
        self._adams = [
            torch.optim.Adam(network.of_genre[number].parameters(), lr=rate) for number in numbers
        ]
        self._batches: list[tuple[int, np.ndarray, np.ndarray]] = []  # (genre, tracks, starts)

    @property
    def steps_per_epoch(self) -> int:
        """Batches of all genres; the last batch of a genre may be smaller."""
        return sum(-(-self._crops_of(genre) // self._batch_size) for genre in self._numbers)

    def modules(self) -> dict[str, nn.Module]:
        """The network; its optimisers are apart."""
        return {"network": self.network}

    def optimisers(self) -> dict[str, Optimizer]:
        """One Adam for each genre, by its number."""
        return {f"genre-{number}": adam for number, adam in enumerate(self._adams)}

    def begin_epoch(self, epoch: int, rng: np.random.Generator) -> None:
        """Draw the crops of each genre and their order."""
        del epoch
        last = np.maximum(self.setup.training.lengths() - self.network.shape.frames, 0)
        self._batches = []
        for genre in self._numbers:
            crops = np.repeat(self._tracks[genre], self.setup.config.crops_per_track)
            tracks = rng.permutation(crops)
            starts = rng.integers(0, last[tracks] + 1)
            for first in range(0, len(tracks), self._batch_size):
                batch = slice(first, first + self._batch_size)
                self._batches.append((genre, tracks[batch], starts[batch]))

    def step(self, number: int) -> dict[str, float]:
        """One batch of one genre.

        Its losses are weighted such that their mean over the steps of an epoch is the mean over
        all crops of a genre, and `train_loss` the mean over the genres.
        """
        genre, tracks, starts = self._batches[number]
        network, adam = self.network.of_genre[genre], self._adams[genre]
        x = self._crops(self.setup.training.arrays, tracks, starts)
        loss = (network(x) - x).square().mean()
        adam.zero_grad()
        loss.backward()
        adam.step()
        value = float(loss.detach()) * self.steps_per_epoch * len(tracks) / self._crops_of(genre)
        return {
            "train_loss": value / len(self.network.genres),
            f"train_loss_{self._names[genre]}": value,
        }

    def end_epoch(self, epoch: int) -> EpochEnd:
        """The validation loss of each genre, and recreations of the same crops at each epoch."""
        del epoch
        losses = {
            f"validation_loss_{self._names[genre]}": self._validation_loss(genre)
            for genre in self._validated
        }
        mean = float(np.mean(list(losses.values())))
        return EpochEnd({"validation_loss": mean, **losses}, self._samples())

    def notes(self, curves: Sequence[Mapping[str, Any]]) -> list[str]:
        """Genres whose validation loss does not fall, rises again, or is not known."""
        notes = []
        for genre, (name, key) in enumerate(zip(self.network.genres, self._names, strict=True)):
            if genre not in self._validated:
                notes.append(
                    f"The genre {name} has no validation recording, so its validation loss is not "
                    "known. Add recordings of other artists, or raise validation."
                )
                continue
            losses = [float(row[f"validation_loss_{key}"]) for row in curves]
            if losses and (problem := _problem(name, losses)):
                notes.append(problem)
        return notes

    @property
    def _numbers(self) -> range:
        return range(len(self.network.genres))

    @property
    def _batch_size(self) -> int:
        return int(self.setup.config.batch_size)

    @property
    def _validated(self) -> list[int]:
        """The genres that have validation recordings."""
        return [g for g in self._numbers if len(self.setup.validation.of_genre(g))]

    def _crops_of(self, genre: int) -> int:
        """Crops of a genre in an epoch."""
        return len(self._tracks[genre]) * int(self.setup.config.crops_per_track)

    def _require_recordings(self) -> None:
        missing = [
            name
            for name, tracks in zip(self.network.genres, self._tracks, strict=True)
            if not len(tracks)
        ]
        if missing:
            raise UserError(
                f"no recording to learn from: {', '.join(missing)}",
                where="genres of the generative model, on the train side of the dataset",
                remedy="leave these genres out, or add recordings of them",
            )
        if not self._validated:
            raise UserError(
                "no recording is set aside to measure the validation loss",
                where="validation of the generative model",
                remedy="raise validation, or add recordings of other artists",
            )

    def _crops(
        self,
        arrays: Sequence[Any],
        tracks: np.ndarray,
        starts: np.ndarray,
        frames: int | None = None,
    ) -> Tensor:
        """Standardised crops: float32 `[crop, frame, coefficient]` on the device."""
        frames = frames or self.network.shape.frames
        crops = crop_batch(arrays, tracks, starts, crop_frames=frames)
        x = crops[:, 0].transpose(1, 2).to(self.setup.device)
        return cast("Tensor", self.network.standardise(x)).contiguous()

    def _validation_loss(self, genre: int) -> float:
        """Mean over the recordings of a genre; each is cut into consecutive crops."""
        arrays, frames = self.setup.validation.arrays, self.network.shape.frames
        network = self.network.of_genre[genre]
        losses = []
        for track in self.setup.validation.of_genre(genre):
            starts = segment_starts(
                len(arrays[track]), crop_frames=frames, max_segments=_VALIDATION_CROPS
            )
            x = self._crops(arrays, np.full(len(starts), track), starts)
            losses.append(float((network(x) - x).square().mean()))
        return float(np.mean(losses))

    def _samples(self) -> Samples:
        """Recreations of the middle of the first validation recordings of each genre."""
        arrays, frames = self.setup.validation.arrays, SAMPLE_CROPS * self.network.shape.frames
        of_genre = [self.setup.validation.of_genre(genre) for genre in self._numbers]
        tracks = np.concatenate([chosen[:SAMPLES_PER_GENRE] for chosen in of_genre])
        starts = np.array([max(len(arrays[track]) - frames, 0) // 2 for track in tracks], np.int64)
        genres = self.setup.validation.genres[tracks].astype(np.int64)
        values = []
        for track, start, genre in zip(tracks, starts, genres, strict=True):
            x = self._crops(arrays, np.array([track]), np.array([start]), frames)
            recreation = self.network.of_genre[genre](x) * self.network.std + self.network.mean
            values.append(recreation[0].cpu().numpy().astype(np.float16))
        return Samples(np.stack(values), genres, tracks.astype(np.int64), starts)


def _problem(genre: str, losses: Sequence[float]) -> str | None:
    """What is wrong with the validation losses of a genre; None if nothing is."""
    first, last = losses[0], losses[-1]
    lowest, epoch = min(losses), int(np.argmin(losses)) + 1
    figures = (
        f"{first:.3f} after epoch 1, {lowest:.3f} at its lowest (epoch {epoch}), "
        f"{last:.3f} after epoch {len(losses)}"
    )
    if last > lowest * (1 + _RISE) and lowest < first:
        return (
            f"The validation loss of {genre} fell and then rose again, so its network begins to "
            f"fit single recordings: {figures}. Lower training.epochs or network.widths, or add "
            "recordings of this genre."
        )
    if len(losses) > 1 and not fell(losses):
        return (
            f"The validation loss of {genre} did not fall: {figures}. Change "
            "training.learning_rate, train for more epochs, or add recordings of this genre."
        )
    return None
