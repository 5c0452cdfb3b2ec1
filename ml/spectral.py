"""Waveform <-> spectrogram: one STFT, shared by every representation made from it."""

from dataclasses import asdict, dataclass
from functools import lru_cache

import numpy as np
import torch
import torchaudio


@dataclass(frozen=True)
class MelTransform:
    """Everything a stranger needs to compute, read or invert our log-mel spectrograms.

    Power spectrogram of a centred, reflect-padded, periodic-Hann STFT; HTK mel scale
    (mel = 1127.01048 ln(1 + f / 700)), triangular filters of peak 1; decibels of power, re 1.0.
    """

    sample_rate: int = 22050  # Hz; the audio is mono at this rate
    n_fft: int = 2048  # samples per window: 93 ms at 22050 Hz
    hop: int = 512  # samples between frames: 23 ms at 22050 Hz
    n_mels: int = 128
    f_min: float = 0.0  # Hz
    f_max: float = 11025.0  # Hz
    floor_db: float = -100.0  # silence is finite: nothing is below this

    def attributes(self) -> dict[str, object]:
        """The transform as JSON-ready attributes of a store, with the conventions spelled out."""
        return {
            **asdict(self),
            "window": "hann, periodic",
            "padding": "centred, reflect",
            "mel_scale": "htk",
            "filter_norm": "none",
            "unit": "dB of power, re 1.0",
        }

    @property
    def frames_per_second(self) -> float:
        """Frames per second of audio."""
        return self.sample_rate / self.hop

    def frames(self, seconds: float) -> int:
        """The number of whole frames nearest to `seconds`, at least 1."""
        return max(1, round(seconds * self.frames_per_second))


@lru_cache(maxsize=8)
def _hann(n_fft: int) -> torch.Tensor:
    return torch.hann_window(n_fft, periodic=True)


def stft(mono: np.ndarray, *, n_fft: int, hop: int) -> torch.Tensor:
    """Short-time Fourier transform.

    Args:
        mono: float32 `[sample]`; half a window or less is padded with zeros on the right, to one
            sample more than the reflection needs.
        n_fft: window and transform length, samples.
        hop: samples between frames.

    Returns:
        complex64 `[bin, frame]`, bins 0..n_fft/2, `1 + len(mono) // hop` frames.
    """
    signal = torch.from_numpy(np.ascontiguousarray(mono, dtype=np.float32))
    if len(signal) <= n_fft // 2:  # reflect padding needs more samples than it mirrors
        signal = torch.nn.functional.pad(signal, (0, n_fft // 2 + 1 - len(signal)))
    return torch.stft(
        signal,
        n_fft,
        hop,
        window=_hann(n_fft),
        center=True,
        pad_mode="reflect",
        return_complex=True,
    )


def istft(spectrum: torch.Tensor, *, n_fft: int, hop: int, length: int) -> np.ndarray:
    """Inverse of `stft` (least squares, Griffin & Lim 1984, eq. 6): float32 `[length]`."""
    signal = torch.istft(spectrum, n_fft, hop, window=_hann(n_fft), center=True, length=length)
    return signal.numpy()


@lru_cache(maxsize=8)
def mel_filterbank(transform: MelTransform) -> torch.Tensor:
    """The triangular mel filters of `transform`: float32 `[mel, bin]`."""
    filters = torchaudio.functional.melscale_fbanks(
        n_freqs=transform.n_fft // 2 + 1,
        f_min=transform.f_min,
        f_max=transform.f_max,
        n_mels=transform.n_mels,
        sample_rate=transform.sample_rate,
        norm=None,
        mel_scale="htk",
    )
    return filters.T.contiguous()


def mel_frequencies(transform: MelTransform) -> np.ndarray:
    """Centre frequency of each mel filter: float32 `[mel]`, Hz."""
    low, high = (1127.01048 * np.log1p(f / 700.0) for f in (transform.f_min, transform.f_max))
    points = np.linspace(low, high, transform.n_mels + 2)[1:-1]
    return (700.0 * np.expm1(points / 1127.01048)).astype(np.float32)


def log_mel(spectrum: torch.Tensor, transform: MelTransform) -> np.ndarray:
    """Log-mel spectrogram of an STFT.

    Args:
        spectrum: complex64 `[bin, frame]` from `stft` with the transform's n_fft and hop.
        transform: the mel scale and the floor.

    Returns:
        float32 `[frame, mel]`, dB of power re 1.0, never below `transform.floor_db`.
    """
    power = spectrum.real.square() + spectrum.imag.square()
    mel = mel_filterbank(transform) @ power
    floor = 10.0 ** (transform.floor_db / 10.0)
    return (10.0 * torch.log10(mel.clamp_min(floor))).T.contiguous().numpy()
