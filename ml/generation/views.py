"""How a network sees an excerpt of sound in dB, and how an edit of what it sees becomes sound.

A generator edits what the network sees: a log-mel spectrogram, or the image of an STFT's amplitude.
A view computes it from samples, and applies the edit to the amplitudes of the file, with the file's
own phase, sample rate and channels.
"""

import copy
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from melgraph.ml.audio import resample, to_mono
from melgraph.ml.errors import UserError
from melgraph.ml.generation.resynthesis import Resynthesis, apply_mel_delta, apply_rows_delta
from melgraph.ml.inference.model_input import crop_frames
from melgraph.ml.models.base import Classifier
from melgraph.ml.representations.images import ImageMapping, ImageTrack
from melgraph.ml.representations.registry import MEL, STFT, from_attributes
from melgraph.ml.specs.model_input import AMPLITUDE, InputSpec
from melgraph.ml.spectral import MelTransform, StftTransform, amplitude_and_phase, log_mel, stft


class View(ABC):
    """How a network sees sound: a picture `[frame, row]` in dB."""

    @property
    @abstractmethod
    def frequencies(self) -> np.ndarray:
        """Frequency of each row, Hz, ascending."""

    @property
    @abstractmethod
    def frames_per_second(self) -> float:
        """Frames of a picture per second of sound."""

    @abstractmethod
    def picture(self, samples: np.ndarray, sample_rate: int) -> np.ndarray:
        """The picture of an excerpt in mono: float32 `[frame, row]`, dB.

        Args:
            samples: float32 `[sample]` or `[sample, channel]`.
            sample_rate: Hz.
        """

    @abstractmethod
    def network(self, model: Classifier) -> Classifier:
        """The network as a function of pictures in dB; the model itself does not change."""

    @abstractmethod
    def apply(
        self, samples: np.ndarray, sample_rate: int, edit_db: np.ndarray, *, limit_db: float
    ) -> Resynthesis:
        """Apply an edit of the picture to the sound that the picture was computed from.

        Args:
            samples: float32 `[sample, channel]`.
            sample_rate: Hz.
            edit_db: float32 `[frame, row]`, edited minus original picture, dB.
            limit_db: edits are clipped to +- this, dB.

        Raises:
            UserError: shapes, values or durations do not fit together.
        """


@dataclass(frozen=True)
class MelView(View):
    """The log-mel spectrogram."""

    transform: MelTransform

    @property
    def frequencies(self) -> np.ndarray:
        """Centre of each mel band, Hz."""
        from melgraph.ml.spectral import mel_frequencies

        return mel_frequencies(self.transform)

    @property
    def frames_per_second(self) -> float:
        """Frames per second."""
        return self.transform.frames_per_second

    def picture(self, samples: np.ndarray, sample_rate: int) -> np.ndarray:
        """The log-mel spectrogram `[frame, mel]`, dB of power."""
        how = self.transform
        mono = resample(to_mono(samples), sample_rate, how.sample_rate)
        return log_mel(stft(mono, n_fft=how.n_fft, hop=how.hop), how)

    def network(self, model: Classifier) -> Classifier:
        """The model: it takes dB as they are."""
        return model

    def apply(
        self, samples: np.ndarray, sample_rate: int, edit_db: np.ndarray, *, limit_db: float
    ) -> Resynthesis:
        """As `ml.generation.resynthesis.apply_mel_delta`."""
        return apply_mel_delta(
            samples,
            sample_rate=sample_rate,
            delta_db=edit_db,
            transform=self.transform,
            max_gain_db=limit_db,
        )


@dataclass(frozen=True)
class ImageView(View):
    """The image of the amplitude of an STFT, with dB instead of pixel values.

    Attributes:
        transform: of the STFT.
        mapping: of amplitudes to pixels, and the number of rows.
        chunk_frames: frames of the STFT that `mapping.size` columns show.
    """

    transform: StftTransform
    mapping: ImageMapping
    chunk_frames: int

    @property
    def frequencies(self) -> np.ndarray:
        """Centre of each row, Hz."""
        bins = (np.arange(self.mapping.size) + 0.5) * self.transform.n_bins / self.mapping.size
        return (bins - 0.5) * self.transform.sample_rate / self.transform.n_fft

    @property
    def frames_per_second(self) -> float:
        """Columns per second."""
        return self.transform.frames_per_second * self.mapping.size / self.chunk_frames

    def picture(self, samples: np.ndarray, sample_rate: int) -> np.ndarray:
        """The image `[column, row]`, dB of amplitude."""
        how = self.transform
        mono = resample(to_mono(samples), sample_rate, how.sample_rate)
        amplitude, _ = amplitude_and_phase(stft(mono, n_fft=how.n_fft, hop=how.hop), how)
        track = ImageTrack({AMPLITUDE: amplitude}, self.mapping, chunk_frames=self.chunk_frames)
        return self.mapping.low_db + self._range_db * track[:][:, :, 0]

    def network(self, model: Classifier) -> Classifier:
        """A copy that takes dB: its mean and its deviation are in dB instead of pixel values."""
        network = copy.deepcopy(model)
        with torch.no_grad():
            network.mean.mul_(self._range_db).add_(self.mapping.low_db)
            network.std.mul_(self._range_db)
        return network

    def apply(
        self, samples: np.ndarray, sample_rate: int, edit_db: np.ndarray, *, limit_db: float
    ) -> Resynthesis:
        """Interpolated between the centres of pixels, and constant outside of them."""
        return apply_rows_delta(
            samples,
            sample_rate=sample_rate,
            delta_db=edit_db,
            transform=self.transform,
            frequencies=self.frequencies,
            rows_per_second=self.frames_per_second,
            max_gain_db=limit_db,
        )

    @property
    def _range_db(self) -> float:
        return self.mapping.high_db - self.mapping.low_db


def view_of(described: Mapping[str, Any], *, where: str) -> View:
    """The view of a network.

    Args:
        described: `input` in the meta of its checkpoint.
        where: names the network in the error message.

    Raises:
        UserError: the network takes something else, whose edit would not be one of amplitudes.
    """
    how = InputSpec.of_description(described)
    is_image = how.image is not None and how.channels == (AMPLITUDE,)
    if how.representation != MEL and not is_image:
        parts = f" ({' and '.join(how.channels)})" if how.representation == STFT else ""
        raise UserError(
            f"the network was trained on {how.representation}{parts}, but the recipe edits "
            f"{MEL} or images of the amplitude",
            where=where,
            remedy=f"use a recipe whose experiment takes {MEL} as its input, or {STFT} with "
            'channels = ["amplitude"] and image = 64, for example',
        )
    transform = from_attributes(how.representation, described["transform"])
    if how.image is None:
        return MelView(transform)
    return ImageView(transform, ImageMapping(how.image), crop_frames(how, transform))
