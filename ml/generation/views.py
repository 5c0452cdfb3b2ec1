"""How a network sees an excerpt of sound, and how an edit of what it sees becomes sound.

A generator edits what the network sees: a log-mel spectrogram, or images of an STFT's amplitude,
of its phase, or of both. A view computes it from samples, and applies the edit to the amplitudes
and phases of the file, at the file's own sample rate and with its own channels. An amplitude or a
phase that is not edited stays that of the file.
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
from melgraph.ml.generation.waveform_dream import WaveformView
from melgraph.ml.inference.model_input import crop_frames
from melgraph.ml.models.base import Classifier
from melgraph.ml.representations.images import ImageMapping, ImageTrack
from melgraph.ml.representations.registry import (
    MEL,
    STFT,
    WAVEFORMS,
    WAVEFORMS_32K,
    from_attributes,
)
from melgraph.ml.specs.model_input import AMPLITUDE, IMAGES_OF, PHASE, InputSpec
from melgraph.ml.spectral import MelTransform, StftTransform, amplitude_and_phase, log_mel, stft

UNITS = {AMPLITUDE: "change, dB", PHASE: "turn, rad"}
"""The unit of an edit of each channel, for people."""


class View(ABC):
    """How a network sees sound: a picture `[frame, row]` in dB, or `[frame, row, channel]`.

    Attributes:
        channels: what the picture shows of the sound, and what an edit of it changes.
    """

    channels: tuple[str, ...] = (AMPLITUDE,)

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

        A picture of the phase is `[frame, row, channel]`, with the cosine and the sine of the phase
        differences; the first channel is the amplitude in dB if the picture shows it, too.

        Args:
            samples: float32 `[sample]` or `[sample, channel]`.
            sample_rate: Hz.
        """

    def levels(self, samples: np.ndarray, sample_rate: int) -> np.ndarray:
        """The amplitude, for people: float32 `[frame, row]`, dB; also if a picture has none.

        Args:
            samples: float32 `[sample]` or `[sample, channel]`.
            sample_rate: Hz.
        """
        return self.picture(samples, sample_rate)

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
            edit_db: float32 `[frame, row]`, edited minus original picture, dB; of a picture of the
                phase `[frame, row, plane]`: dB of the amplitude, radians of the turns.
            limit_db: edits of the amplitude are clipped to +- this, dB.

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
    """Images of an STFT: of the amplitude in dB instead of pixel values, of the phase, or of both.

    Attributes:
        transform: of the STFT.
        mapping: of amplitudes and phases to pixels, and the number of rows.
        chunk_frames: frames of the STFT that `mapping.size` columns show.
        channels: `amplitude` or `phase` or both, in the order of the images.
    """

    transform: StftTransform
    mapping: ImageMapping
    chunk_frames: int
    channels: tuple[str, ...] = (AMPLITUDE,)

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
        """The image `[column, row]`, dB of amplitude; with the phase `[column, row, channel]`."""
        images = self._images(samples, sample_rate, self.channels)
        return images[:, :, 0] if self.channels == (AMPLITUDE,) else images

    def levels(self, samples: np.ndarray, sample_rate: int) -> np.ndarray:
        """The image of the amplitude `[column, row]`, dB."""
        return self._images(samples, sample_rate, (AMPLITUDE,))[:, :, 0]

    def _images(
        self, samples: np.ndarray, sample_rate: int, channels: tuple[str, ...]
    ) -> np.ndarray:
        """Images `[column, row, channel]`: dB; cosine and sine."""
        how = self.transform
        mono = resample(to_mono(samples), sample_rate, how.sample_rate)
        amplitude, phase = amplitude_and_phase(stft(mono, n_fft=how.n_fft, hop=how.hop), how)
        arrays = {AMPLITUDE: amplitude, PHASE: phase}
        track = ImageTrack(
            {name: arrays[name] for name in channels}, self.mapping, chunk_frames=self.chunk_frames
        )
        low, size = self._units(channels)
        images: np.ndarray = low + size * track[:]
        return images

    def network(self, model: Classifier) -> Classifier:
        """A copy with mean and deviation in the units of the picture instead of pixel values."""
        network = copy.deepcopy(model)
        low, size = (torch.from_numpy(values)[:, None] for values in self._units(self.channels))
        with torch.no_grad():
            network.mean.mul_(size.to(network.mean.device)).add_(low.to(network.mean.device))
            network.std.mul_(size.to(network.std.device))
        return network

    def apply(
        self, samples: np.ndarray, sample_rate: int, edit_db: np.ndarray, *, limit_db: float
    ) -> Resynthesis:
        """Interpolated between the centres of pixels, and constant outside of them."""
        planes = edit_db[:, :, None] if edit_db.ndim == 2 else edit_db
        if planes.ndim != 3 or planes.shape[2] != len(self.channels):
            raise UserError(
                f"an edit of shape {edit_db.shape} for a picture of {' and '.join(self.channels)}",
                where="edit_db",
                remedy=f"give [frame, row, plane] with {len(self.channels)} planes",
            )
        edits = {name: planes[:, :, number] for number, name in enumerate(self.channels)}
        return apply_rows_delta(
            samples,
            sample_rate=sample_rate,
            delta_db=edits.get(AMPLITUDE, np.zeros_like(planes[:, :, 0])),
            transform=self.transform,
            frequencies=self.frequencies,
            rows_per_second=self.frames_per_second,
            max_gain_db=limit_db,
            turns=edits.get(PHASE),
        )

    def _units(self, channels: tuple[str, ...]) -> tuple[np.ndarray, np.ndarray]:
        """Value of a pixel of 0, and range from 0 to 1, of each image: float32 `[channel]`."""
        low, size = [], []
        for name in channels:
            decibels = (self.mapping.low_db, self.mapping.high_db - self.mapping.low_db)
            first, span = decibels if name == AMPLITUDE else (-1.0, 2.0)
            low += [first] * IMAGES_OF[name]
            size += [span] * IMAGES_OF[name]
        return np.array(low, np.float32), np.array(size, np.float32)


def waveform_view_of(described: Mapping[str, Any]) -> WaveformView | None:
    """The view of a network on the waveform; None for other networks.

    Args:
        described: `input` in the meta of its checkpoint.
    """
    how = InputSpec.of_description(described)
    if how.representation not in (WAVEFORMS, WAVEFORMS_32K):
        return None
    return WaveformView(from_attributes(how.representation, described["transform"]).sample_rate)


def view_of(described: Mapping[str, Any], *, where: str, with_phase: bool = False) -> View:
    """The view of a network.

    Args:
        described: `input` in the meta of its checkpoint.
        where: names the network in the error message.
        with_phase: whether the generator can edit pictures of the phase.

    Raises:
        UserError: the network takes something that the generator cannot edit.
    """
    how = InputSpec.of_description(described)
    is_image = how.image is not None and (with_phase or how.channels == (AMPLITUDE,))
    if how.representation != MEL and not is_image:
        parts = f" ({' and '.join(how.channels)})" if how.representation == STFT else ""
        editable = "amplitude or the phase" if with_phase else "amplitude"
        raise UserError(
            f"the network was trained on {how.representation}{parts}, but the recipe edits "
            f"{MEL} or images of the {editable}",
            where=where,
            remedy=f"use a recipe whose experiment takes {MEL} as its input, or {STFT} with "
            'channels = ["amplitude"] and image = 64, for example',
        )
    transform = from_attributes(how.representation, described["transform"])
    if how.image is None:
        return MelView(transform)
    chunk_frames = crop_frames(how, transform)
    return ImageView(transform, ImageMapping(how.image), chunk_frames, how.channels)
