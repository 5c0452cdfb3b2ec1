"""Chroma: the tuning of a recording, and pitch-class filters for that tuning (Ellis 2007)."""

from functools import lru_cache

import numpy as np
import torch

PITCHES = ("c", "c_sharp", "d", "d_sharp", "e", "f", "f_sharp", "g", "g_sharp", "a", "a_sharp", "b")

_PITCH_RANGE_HZ = (150.0, 4000.0)  # range of peaks for the tuning: librosa.piptrack's defaults
_PITCH_THRESHOLD = 0.1  # a peak must exceed this share of the frame's strongest bin
_TINY = float(np.finfo(np.float32).tiny)  # weaker frames are not normalised


class SpectralPeaks:
    """The spectral peaks of consecutive frames, from which the tuning is estimated.

    Peaks are refined by parabolic interpolation (J. O. Smith, Spectral Audio Signal Processing).
    Memory: 8 bytes per peak, about 5 to 50 peaks per frame.
    """

    def __init__(self, sample_rate: int, n_fft: int) -> None:
        """`sample_rate`: Hz; `n_fft`: samples per window."""
        self._hz_per_bin = sample_rate / n_fft
        low, high = (int(np.ceil(hz / self._hz_per_bin)) for hz in _PITCH_RANGE_HZ)
        self._low, self._high = low, min(high, n_fft // 2)
        self._frequencies: list[np.ndarray] = []
        self._heights: list[np.ndarray] = []

    def add(self, power: np.ndarray) -> None:
        """Add frames of power: float32 `[frame, bin]`."""
        low, high = self._low, self._high
        n_bins = power.shape[1]
        middle = power[:, low:high]
        peak = middle > _PITCH_THRESHOLD * power.max(axis=1, keepdims=True)
        peak &= middle > power[:, low - 1 : high - 1]
        peak &= middle >= power[:, low + 1 : high + 1]
        frame, bin_ = np.divmod(np.flatnonzero(peak), high - low)
        at = frame * n_bins + bin_ + low
        flat = power.reshape(-1)
        left, top, right = flat[at - 1], flat[at], flat[at + 1]
        curvature, slope = left + right - 2 * top, (right - left) / 2
        inside = np.abs(slope) < np.abs(curvature)  # otherwise the vertex is over a bin away
        shift = np.where(inside, -slope / np.where(inside, curvature, 1), 0)
        self._heights.append(top + 0.5 * slope * shift)
        frequency = (bin_ + low + shift) * self._hz_per_bin
        self._frequencies.append(frequency.astype(np.float32))

    def tuning(self) -> float:
        """Deviation from A = 440 Hz: the most frequent one in the louder half of the peaks.

        Returns:
            Semitones in [-0.5, 0.5], a multiple of 0.01; 0.0 if there is no peak.
        """
        heights = np.concatenate([np.zeros(0, dtype=np.float32), *self._heights])
        if not len(heights):
            return 0.0
        loud = np.concatenate(self._frequencies)[heights >= np.median(heights)]
        residual = np.mod(12 * np.log2(loud / (440.0 / 16)), 1.0)
        residual[residual >= 0.5] -= 1.0
        counts, edges = np.histogram(residual, bins=100, range=(-0.5, 0.5))
        return round(float(edges[counts.argmax()]), 2)


def estimate_tuning(power: np.ndarray, *, sample_rate: int) -> float:
    """Deviation of a recording from A = 440 Hz, semitones; see `SpectralPeaks.tuning`.

    Args:
        power: float32 `[frame, bin]`.
        sample_rate: Hz.
    """
    peaks = SpectralPeaks(sample_rate, 2 * (power.shape[1] - 1))
    peaks.add(np.ascontiguousarray(power))
    return peaks.tuning()


def chroma_of(power: torch.Tensor, *, sample_rate: int, tuning: float) -> np.ndarray:
    """Energy of each pitch class, relative to the strongest one of its frame.

    Args:
        power: float32 `[frame, bin]`.
        sample_rate: Hz.
        tuning: semitones, a multiple of 0.01.

    Returns:
        float32 `[frame, pitch]`, in the order of `PITCHES`.
    """
    chroma = (power @ _chroma_filters(sample_rate, 2 * (power.shape[1] - 1), tuning)).numpy()
    strongest = chroma.max(axis=1, keepdims=True)
    return chroma / np.where(strongest < _TINY, np.float32(1.0), strongest)


@lru_cache(maxsize=128)  # a tuning is one of 101 values; its filters take 49 kB
def _chroma_filters(sample_rate: int, n_fft: int, tuning: float) -> torch.Tensor:
    """Gaussian filters around each pitch class: float32 `[bin, pitch]`."""
    hz = np.arange(1, n_fft) * (sample_rate / n_fft)
    semitone = 12 * np.log2(hz / (440.0 * 2 ** (tuning / 12) / 16))
    # 0 Hz has no pitch. Placed 1.5 octaves below the first bin, its filter is broad and weak.
    semitone = np.concatenate([[semitone[0] - 18], semitone])
    width = np.concatenate([np.maximum(np.diff(semitone), 1.0), [1.0]])
    distance = np.mod(semitone - np.arange(12)[:, None] + 6 + 120, 12) - 6
    bumps = np.exp(-0.5 * (2 * distance / width) ** 2)
    bumps /= np.linalg.norm(bumps, axis=0)
    bumps *= np.exp(
        -0.5 * ((semitone / 12 - 5) / 2) ** 2
    )  # octaves near the fifth have the largest weights
    bumps = np.roll(bumps, -3, axis=0)  # start at C instead of A
    return torch.from_numpy(np.ascontiguousarray(bumps[:, : n_fft // 2 + 1].T)).float()
