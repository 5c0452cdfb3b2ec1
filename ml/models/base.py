"""What every spectrogram classifier is: one shape, so that one trainer and one reader serve all."""

from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from ml.errors import UserError


class SpectrogramClassifier(nn.Module, ABC):
    """A classifier of log-mel spectrograms that carries its own normalisation.

    The input is raw dB as stored; `mean` and `std` (buffers, float32 `[mel]`, dB) come from the
    training data and travel in the checkpoint, so nothing beside it is needed to use the model.
    A subclass writes `embed`, `classify` and `layers`, and begins `embed` with `self.normalise(x)`.
    """

    architecture: str = ""  # the name in the registry, set by `ml.models.build`
    options: dict[str, object]  # the complete options, set by `ml.models.build`
    embedding_dim: int  # set by the subclass
    mean: Tensor
    std: Tensor

    def __init__(self, *, n_mels: int, n_classes: int) -> None:
        super().__init__()
        if n_mels < 1 or n_classes < 2:
            raise ValueError(f"need n_mels >= 1 and n_classes >= 2, got {n_mels} and {n_classes}")
        self.n_mels, self.n_classes = n_mels, n_classes
        self.options = {}
        self.register_buffer("mean", torch.zeros(n_mels))
        self.register_buffer("std", torch.ones(n_mels))

    @property
    def n_parameters(self) -> int:
        """The number of parameters (not buffers)."""
        return sum(p.numel() for p in self.parameters())

    def set_normalisation(self, mean: np.ndarray, std: np.ndarray) -> None:
        """Sets the per-band mean and standard deviation: float `[mel]`, dB.

        Raises:
            ValueError: wrong shape, not finite, or a standard deviation that is not positive.
        """
        for name, values in (("mean", mean), ("std", std)):
            if np.shape(values) != (self.n_mels,) or not np.isfinite(values).all():
                raise ValueError(f"{name} must be finite, shape ({self.n_mels},): {values!r}")
        if np.min(std) <= 0:
            raise ValueError(f"std must be positive, its least value is {np.min(std)}")
        self.mean.copy_(torch.as_tensor(mean, dtype=torch.float32))
        self.std.copy_(torch.as_tensor(std, dtype=torch.float32))

    def normalise(self, x: Tensor) -> Tensor:
        """Raw dB `[batch, 1, mel, frame]` to zero mean and unit variance per mel band."""
        if x.ndim != 4 or x.shape[1] != 1 or x.shape[2] != self.n_mels or x.shape[3] < 1:
            raise ValueError(
                f"x must be [batch, 1, {self.n_mels} mel, at least 1 frame], got {tuple(x.shape)}"
            )
        return (x - self.mean[:, None]) / self.std[:, None]

    def forward(self, x: Tensor) -> Tensor:
        """Logits `[batch, class]` of raw dB `[batch, 1, mel, frame]`, any number of frames."""
        return self.classify(self.embed(x))

    @abstractmethod
    def embed(self, x: Tensor) -> Tensor:
        """Embeddings `[batch, embedding_dim]` of raw dB `[batch, 1, mel, frame]`."""

    @abstractmethod
    def classify(self, embedding: Tensor) -> Tensor:
        """Logits `[batch, class]` of embeddings `[batch, embedding_dim]`."""

    @abstractmethod
    def layers(self) -> dict[str, nn.Module]:
        """The convolutions a deep dream can aim at, by name, from the input upwards.

        What a layer gives (seen with a forward hook) is `[batch, channel, height, width]`.
        """


def mel_statistics(
    spectrograms: Sequence[np.ndarray], *, max_tracks: int = 2000, least_std: float = 1.0
) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of each mel band over all frames: float32 `[mel]` each, dB.

    Args:
        spectrograms: per track `[frame, mel]`, dB.
        max_tracks: of more tracks, so many evenly spread ones are read.
        least_std: dB; a band without signal in training (above an MP3's cut-off, say) would else
            be divided by almost nothing, and blow up on the first track that has some.

    Raises:
        UserError: a spectrogram holds a value that is not finite.
    """
    chosen = np.unique(np.linspace(0, len(spectrograms) - 1, max_tracks).astype(np.int64))
    n, total, squares = 0, np.zeros(()), np.zeros(())
    for i in chosen:
        values = np.asarray(spectrograms[i], dtype=np.float64)
        if not np.isfinite(values).all():
            raise UserError(
                f"spectrogram {i} holds values that are not finite",
                where="the training tracks",
                remedy="compute its spectrogram again, or leave the track out",
            )
        n += len(values)
        total = total + values.sum(axis=0)
        squares = squares + np.square(values).sum(axis=0)
    mean = total / n
    std = np.sqrt(np.maximum(squares / n - mean**2, least_std**2))
    return mean.astype(np.float32), std.astype(np.float32)
