"""What every kind of generative model has: a network with a description, and its training.

A kind is a subclass of `GenerativeNetwork`, which is what a checkpoint holds, and a subclass of
`Trainer`, which computes the steps. `ml.generative.kinds` names both for each kind, and
`ml.generative.loop` runs the training, saves its state, and resumes it.
"""

import re
import unicodedata
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from torch import Tensor, nn
from torch.optim import Optimizer

from melgraph.ml.models.base import InputShape

SAVE_EVERY_S = 20.0
LEAST_FALL = 0.01  # of a validation loss, as a share of the first one: less is no fall


class GenerativeNetwork(nn.Module):
    """The networks that a generative model consists of, with the statistics of its input.

    Attributes:
        kind: as in the TOML file.
        shape: of a crop.
        genres: names, in the order of the numbers by which the network knows them.
        options: the keyword arguments of the constructor besides shape and genres, JSON-ready.
    """

    kind: ClassVar[str]

    def __init__(self, shape: InputShape, genres: Sequence[str], **options: Any) -> None:
        super().__init__()
        self.shape, self.genres, self.options = shape, tuple(genres), options

    @property
    def n_parameters(self) -> int:
        """Number of trained values."""
        return sum(parameter.numel() for parameter in self.parameters())


@dataclass(frozen=True)
class GenreTracks:
    """Recordings of several genres.

    Attributes:
        arrays: of each recording `[frame, bin]` or `[frame, bin, channel]`, as stored; slices of
            frames are taken from it.
        genres: int64 `[track]`, the number of the genre.
    """

    arrays: Sequence[Any]
    genres: np.ndarray

    def __len__(self) -> int:
        return len(self.arrays)

    def of_genre(self, genre: int) -> np.ndarray:
        """The numbers of the recordings of a genre: int64."""
        return np.flatnonzero(self.genres == genre)

    def lengths(self) -> np.ndarray:
        """Frames of each recording: int64 `[track]`."""
        return np.array([len(array) for array in self.arrays], np.int64)


@dataclass(frozen=True)
class GenerativeSetup:
    """Everything that the training of a generative model needs besides the network.

    Attributes:
        training: recordings to learn from.
        validation: recordings of the train side that are set aside; nothing is learned from them.
        config: the table `training` of the specification.
        epochs: the fixed budget.
        seed: of the weights and of all random draws.
        device: torch device.
        state: folder in which the training saves its state, and from which a later call with the
            same setup resumes. None saves nothing.
        save_every_s: seconds between two saves.
    """

    training: GenreTracks
    validation: GenreTracks
    config: Any
    epochs: int
    seed: int = 0
    device: str = "cpu"
    state: Path | None = None
    save_every_s: float = SAVE_EVERY_S


@dataclass(frozen=True)
class Samples:
    """What the network made at the end of an epoch, always from the same noise or recordings.

    Attributes:
        values: float16 `[sample, frame, bin]`, in the unit of the input.
        genres: int64 `[sample]`, the genre that each is meant to be of.
        tracks: int64 `[sample]`, number of the validation recording that it was made from; -1 if
            it was made from noise.
        starts: int64 `[sample]`, first frame of the crop of that recording.
    """

    values: np.ndarray
    genres: np.ndarray
    tracks: np.ndarray
    starts: np.ndarray


@dataclass(frozen=True)
class EpochEnd:
    """What is measured at the end of an epoch.

    Attributes:
        figures: value by name, without the losses of the training steps. `validation_loss` is
            among them.
        samples: for the sheet of the epoch.
    """

    figures: dict[str, float]
    samples: Samples


@dataclass(frozen=True)
class GenerativeResult:
    """The figures of a training; the weights are in the network.

    Attributes:
        curves: a mapping of figures per epoch: `epoch`, `train_loss`, `validation_loss`, `seconds`,
            and those of the kind.
        samples: of each epoch.
        notes: what a reader must know, such as a failure that the loss does not show.
        seconds: duration, also of the parts before interruptions.
        peak_memory_bytes: of the process on the CPU, of torch on CUDA.
    """

    curves: list[dict[str, Any]]
    samples: list[Samples]
    notes: list[str]
    seconds: float
    peak_memory_bytes: int


class Trainer(ABC):
    """The steps of a training. Everything that changes from step to step is in its attributes.

    Torch's global generator may be used for draws: the loop seeds it, and saves its state.

    Args:
        network: on the device of the setup; trained in place.
        setup: the recordings, the settings and where it runs.
    """

    def __init__(self, network: Any, setup: GenerativeSetup) -> None:
        self.network, self.setup = network, setup

    @property
    @abstractmethod
    def steps_per_epoch(self) -> int:
        """Optimiser steps of an epoch."""

    @abstractmethod
    def modules(self) -> dict[str, nn.Module]:
        """Every module with a state, the network itself included."""

    @abstractmethod
    def optimisers(self) -> dict[str, Optimizer]:
        """Every optimiser."""

    @abstractmethod
    def begin_epoch(self, epoch: int, rng: np.random.Generator) -> None:
        """Draw which crops the steps of an epoch take. A resumed training draws them again."""

    @abstractmethod
    def step(self, number: int) -> dict[str, float]:
        """Compute one step of the epoch.

        Args:
            number: of the step, from 0.

        Returns:
            Its losses. `train_loss` is among them.
        """

    @abstractmethod
    def end_epoch(self, epoch: int) -> EpochEnd:
        """Measure on the validation recordings, and make the samples of the sheet.

        It must not change the state of torch's generator: draws have a generator of their own.
        """

    def memory(self) -> dict[str, Tensor]:
        """Further tensors that decide the next steps, such as a replay buffer."""
        return {}

    def restore_memory(self, memory: Mapping[str, Tensor]) -> None:
        """Take the tensors of `memory` back."""
        del memory

    def notes(self, curves: Sequence[Mapping[str, Any]]) -> list[str]:
        """What the figures up to the last epoch say: failures, each with its remedy."""
        return []

    def finish(self) -> None:
        """Leave the weights in the network that the checkpoint keeps; those of now by default."""
        return


def fell(losses: Sequence[float]) -> bool:
    """Whether the last validation loss is lower than the first one, by at least 1 %."""
    return losses[-1] < (1 - LEAST_FALL) * losses[0]


def figure_names(genres: Sequence[str]) -> list[str]:
    """Names of genres for the keys of figures: lower-case ASCII letters, digits and underscores.

    Names that would be equal get a number.

    >>> figure_names(["Hip Hop", "Chanson française", "hip-hop", "日本"])
    ['hip_hop', 'chanson_francaise', 'hip_hop_3', 'genre']

    Args:
        genres: names, each different.
    """
    names: list[str] = []
    for number, genre in enumerate(genres, start=1):
        ascii_only = unicodedata.normalize("NFKD", genre).encode("ascii", "ignore").decode()
        name = re.sub(r"[^a-z0-9]+", "_", ascii_only.lower()).strip("_") or "genre"
        while name in names:
            name = f"{name}_{number}"
        names.append(name)
    return names
