"""One autoencoder for each genre, which recreates the MFCC of its songs.

The source, "Music signal generation and classification", trains genre-specific networks with and
without an LSTM layer. It states no architecture. This one is a dense autoencoder (Hinton &
Salakhutdinov 2006, "Reducing the dimensionality of data with neural networks") of single frames:
dense layers with ReLU from the coefficients of a frame to a bottleneck, and the same layers in
reverse. With `lstm`, an LSTM (Hochreiter & Schmidhuber 1997) reads the frames in the order of time
between the dense layers of the encoder and the bottleneck.

The dense layers begin with the weights of He et al. 2015 ("Delving deep into rectifiers", section
2.2). The smaller weights that torch gives by default learn more slowly at the learning rate of
the source.
"""

from collections.abc import Sequence
from copy import deepcopy
from itertools import pairwise
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from melgraph.ml.errors import UserError
from melgraph.ml.generative.base import GenerativeNetwork
from melgraph.ml.models.base import InputShape

_BEGINNING = (
    0.1  # factor of the first weights of the last layer: the first answers are near the mean
)


class Recreation(nn.Module):
    """The autoencoder of one genre, on standardised MFCC.

    Args:
        coefficients: of a frame.
        widths: units of the dense layers of the encoder; the decoder has them in reverse.
        bottleneck: numbers that a frame is recreated from.
        lstm_units: of the LSTM layer; 0 for none.
    """

    def __init__(
        self, coefficients: int, widths: Sequence[int], bottleneck: int, lstm_units: int
    ) -> None:
        super().__init__()
        self.encoder = nn.Sequential(*_dense([coefficients, *widths]))
        self.lstm = nn.LSTM(widths[-1], lstm_units, batch_first=True) if lstm_units else None
        self.bottleneck = nn.Linear(lstm_units or widths[-1], bottleneck)
        last = nn.Linear(widths[0], coefficients)
        self.decoder = nn.Sequential(*_dense([bottleneck, *reversed(widths)]), last)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
                nn.init.zeros_(module.bias)
        last.weight.data.mul_(_BEGINNING)

    def forward(self, x: Tensor) -> Tensor:
        """The recreation of float32 `[crop, frame, coefficient]`: the same shape."""
        hidden = self.encoder(x)
        if self.lstm is not None:
            hidden, _ = self.lstm(hidden)
        recreation: Tensor = self.decoder(self.bottleneck(hidden))
        return recreation


class Recreations(GenerativeNetwork):
    """The autoencoders of all genres, with the statistics of the MFCC that they learned from.

    All autoencoders begin with equal weights and standardise their input with the same mean and
    deviation, so that their errors can be compared. Any number of frames is accepted.

    Args:
        shape: of a crop: 1 channel, and one bin for each coefficient.
        genres: names, in the order of their autoencoders.
        widths: units of the dense layers of the encoder; the decoder has them in reverse.
        bottleneck: numbers that a frame is recreated from.
        lstm: whether an LSTM layer follows the dense layers of the encoder.
        lstm_units: of this layer.

    Attributes:
        of_genre: the autoencoder of each genre.
        mean: float32 `[coefficient]`, as stored.
        std: float32 `[coefficient]`, as stored.

    Raises:
        UserError: crops have several channels, or there is no genre.
    """

    kind: ClassVar[str] = "recreation"
    mean: Tensor
    std: Tensor

    def __init__(
        self,
        shape: InputShape,
        genres: Sequence[str],
        *,
        widths: Sequence[int] = (128, 64),
        bottleneck: int = 8,
        lstm: bool = False,
        lstm_units: int = 64,
    ) -> None:
        options = {
            "widths": list(widths),
            "bottleneck": bottleneck,
            "lstm": lstm,
            "lstm_units": lstm_units,
        }
        super().__init__(shape, genres, **options)
        if shape.channels != 1:
            raise UserError(
                f"recreations need 1 channel, but the input is {shape}",
                where="input of the generative model",
                remedy="use MFCC",
            )
        if not self.genres:
            raise UserError(
                "recreations need at least one genre",
                where="genres of the generative model",
                remedy="name genres of the dataset, or use a dataset that has labels",
            )
        first = Recreation(shape.bins, widths, bottleneck, lstm_units if lstm else 0)
        self.of_genre = nn.ModuleList([first, *(deepcopy(first) for _ in self.genres[1:])])
        self.register_buffer("mean", torch.zeros(shape.bins))
        self.register_buffer("std", torch.ones(shape.bins))

    def set_normalisation(self, mean: np.ndarray, std: np.ndarray) -> None:
        """Set the mean and deviation of the input: float `[coefficient]`, as stored.

        Raises:
            ValueError: a wrong shape, a value that is not finite, or a deviation of 0.
        """
        for name, values in (("mean", mean), ("std", std)):
            if np.shape(values) != (self.shape.bins,) or not np.isfinite(values).all():
                raise ValueError(f"{name} must be {self.shape.bins} finite values: {values!r}")
        if np.min(std) <= 0:
            raise ValueError(f"std must be positive, its least value is {np.min(std)}")
        self.mean.copy_(torch.as_tensor(mean, dtype=torch.float32))
        self.std.copy_(torch.as_tensor(std, dtype=torch.float32))

    def standardise(self, x: Tensor) -> Tensor:
        """MFCC `[crop, frame, coefficient]` as stored to mean 0 and deviation 1: float32."""
        return (x.float() - self.mean) / self.std

    def forward(self, x: Tensor, genre: int) -> Tensor:
        """The recreation by the autoencoder of a genre.

        Args:
            x: MFCC `[crop, frame, coefficient]` as stored, of any float type.
            genre: its number.

        Returns:
            float32, of the same shape and in the same unit.
        """
        recreation: Tensor = self.of_genre[genre](self.standardise(x)) * self.std + self.mean
        return recreation

    def number_of(self, genre: str) -> int:
        """The number of a genre.

        Raises:
            UserError: the network has no such genre.
        """
        if genre not in self.genres:
            raise UserError(
                f"there is no network for the genre {genre!r}",
                where="genre of the recreation",
                remedy=f"use one of {', '.join(self.genres)}",
            )
        return self.genres.index(genre)

    def recreate(self, values: np.ndarray, genre: str) -> np.ndarray:
        """The recreation of a song, or of a part of it, by the network of a genre.

        Args:
            values: float `[frame, coefficient]`, MFCC as stored; at least 1 frame.
            genre: its name.

        Returns:
            float32 `[frame, coefficient]`, in the same unit.

        Raises:
            UserError: the network has no such genre.
            ValueError: the values have another shape.
        """
        number = self.number_of(genre)
        with torch.no_grad():
            recreation: np.ndarray = self(self._batch(values), number)[0].cpu().numpy()
        return recreation

    def errors(self, values: np.ndarray) -> np.ndarray:
        """The mean squared error of the recreation by each network, of standardised MFCC.

        Args:
            values: float `[frame, coefficient]`, MFCC as stored; at least 1 frame.

        Returns:
            float64 `[genre]`, in variances: 1 is the error of a network that always answers with
            the mean of the recordings that it was trained on.

        Raises:
            ValueError: the values have another shape.
        """
        with torch.no_grad():
            x = self.standardise(self._batch(values))
            differences = [(network(x) - x).double() for network in self.of_genre]
            return np.array([float(d.square().mean()) for d in differences])

    def _batch(self, values: np.ndarray) -> Tensor:
        """float32 `[1, frame, coefficient]` on the device of the network."""
        if values.ndim != 2 or values.shape[1] != self.shape.bins or not len(values):
            raise ValueError(
                f"values must be [at least 1 frame, {self.shape.bins} coefficient], "
                f"got {values.shape}"
            )
        array = np.ascontiguousarray(values, dtype=np.float32)
        return torch.from_numpy(array).to(self.mean.device)[None]


def _dense(widths: Sequence[int]) -> list[nn.Module]:
    """Dense layers between the widths, each with ReLU."""
    layers: list[nn.Module] = []
    for before, after in pairwise(widths):
        layers += [nn.Linear(before, after), nn.ReLU()]
    return layers
