"""How the networks of a style transfer see sound, where `ml.generation.views` has no view for it.

Both give a picture `[frame, row]` in dB and apply an edit of it to the file's own amplitudes.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch

from melgraph.ml.audio import resample, to_mono
from melgraph.ml.generation.resynthesis import Resynthesis, apply_rows_delta
from melgraph.ml.generation.views import MelView, View
from melgraph.ml.models.base import Classifier
from melgraph.ml.models.mobilenet_v3 import F_MAX, HOP, N_FFT, N_MELS, RATE, EmphasisedLogMel
from melgraph.ml.spectral import MelTransform, StftTransform, amplitude_and_phase, stft

_FADE = 1.05  # the edit fades to 0 dB between the highest bin and this multiple of its frequency
EFFICIENT_AT = MelTransform(RATE, N_FFT, HOP, N_MELS, 0.0, F_MAX)
DB_PER_NEPER = 10.0 / math.log(10.0)  # decibels of power per unit of its natural logarithm


@dataclass(frozen=True)
class StftView(View):
    """The amplitude of an STFT at full resolution, in dB."""

    transform: StftTransform

    @property
    def frequencies(self) -> np.ndarray:
        """Frequency of each bin, Hz."""
        return np.linspace(0.0, self.transform.sample_rate / 2, self.transform.n_bins)

    @property
    def frames_per_second(self) -> float:
        """Frames per second."""
        return self.transform.frames_per_second

    def picture(self, samples: np.ndarray, sample_rate: int) -> np.ndarray:
        """The amplitude `[frame, bin]`, dB re 1.0."""
        how = self.transform
        mono = resample(to_mono(samples), sample_rate, how.sample_rate)
        amplitude, _ = amplitude_and_phase(stft(mono, n_fft=how.n_fft, hop=how.hop), how)
        return amplitude.astype(np.float32)

    def network(self, model: Classifier) -> Classifier:
        """The model: it takes dB as they are."""
        return model

    def apply(
        self, samples: np.ndarray, sample_rate: int, edit_db: np.ndarray, *, limit_db: float
    ) -> Resynthesis:
        """Interpolated in time and frequency; it fades out above the highest bin."""
        frequencies = self.frequencies
        return apply_rows_delta(
            samples,
            sample_rate=sample_rate,
            delta_db=np.pad(edit_db, ((0, 0), (0, 1))),
            transform=self.transform,
            frequencies=np.append(frequencies, _FADE * frequencies[-1]),
            rows_per_second=self.frames_per_second,
            max_gain_db=limit_db,
        )


@dataclass(frozen=True)
class EmphasisedMelView(MelView):
    """The log-mel spectrogram of EfficientAT, in dB instead of its scaled natural logarithm.

    An edit is applied as that of any log-mel spectrogram: the network cannot distinguish the bins
    of a band, so that an edit of the band is all that it can ask for, and the detail within the
    band is that of the file. The way back through the front end to single bins would have four
    times as many unknowns, and would amplify the bins that are strong already.
    """

    transform: MelTransform = EFFICIENT_AT

    def picture(self, samples: np.ndarray, sample_rate: int) -> np.ndarray:
        """The log-mel spectrogram `[frame, mel]`, dB of power after the pre-emphasis."""
        mono = resample(to_mono(samples), sample_rate, RATE)
        mono = np.pad(mono, (0, max(0, N_FFT - len(mono))))
        with torch.no_grad():
            scaled = EmphasisedLogMel()(torch.from_numpy(np.ascontiguousarray(mono))[None])
        return to_decibels(scaled[0, 0].T).contiguous().numpy()


def to_decibels(scaled: torch.Tensor) -> torch.Tensor:
    """What EfficientAT's network takes, in dB of power."""
    return (5.0 * scaled - 4.5) * DB_PER_NEPER


def from_decibels(decibels: torch.Tensor) -> torch.Tensor:
    """The inverse of `to_decibels`."""
    return (decibels / DB_PER_NEPER + 4.5) / 5.0
