"""Harmonic-percussive separation (Fitzgerald 2010) of a track whose spectrum arrives in tiles.

As in `librosa.effects.hpss`, a median over 31 frames enhances the harmonic part of the magnitudes
and a median over 31 bins the percussive part. The share of each in their total power is a soft
mask. Only mean and variance of the two resulting waveforms are returned.
"""

from functools import lru_cache

import numpy as np
import torch

from melgraph.ml.features.frame_features import HOP, N_FFT
from melgraph.ml.features.sliding_median import WINDOW, sliding_median
from melgraph.ml.moments import Moments
from melgraph.ml.spectral import hann
from melgraph.ml.spectral.framing import TILE

_CONTEXT = WINDOW // 2  # frames or bins on either side of a median's centre
_HOPS = N_FFT // HOP
_TINY = float(np.finfo(np.float32).tiny)


class HarmonicPercussive:
    """Mean and variance of the harmonic and the percussive waveform of a track.

    All tiles but the last must be complete; the results are then those of the whole spectrum at
    once. Memory: three tiles.
    """

    def __init__(self) -> None:
        self._pending: list[tuple[np.ndarray, np.ndarray]] = []  # tiles and their magnitudes
        self._before: np.ndarray | None = None  # last magnitudes before the pending tiles
        self._sums = [_OverlapAdd(), _OverlapAdd()]

    def add(self, spectrum: np.ndarray, magnitude: np.ndarray) -> None:
        """Add the next tile: complex64 `[frame, bin]` and its magnitude."""
        self._pending.append((spectrum, magnitude))
        # A tile waits for its successor, and an incomplete successor is processed with it.
        if len(self._pending) == 2 and len(magnitude) == TILE:
            after = magnitude[:_CONTEXT]
            self._separate(*self._pending.pop(0), after=after)

    def finish(self, n_samples: int) -> list[float]:
        """End the track, which has `n_samples` samples.

        Returns:
            Mean and variance of the harmonic waveform, then mean and variance of the percussive
            one.
        """
        if self._pending:
            spectra, magnitudes = zip(*self._pending, strict=True)
            self._separate(np.concatenate(spectra), np.concatenate(magnitudes), after=None)
        values = []
        for part in self._sums:
            moments = part.finish(n_samples)
            values += [float(moments.mean[0]), float(moments.variance[0])]
        return values

    def _separate(
        self, spectrum: np.ndarray, magnitude: np.ndarray, *, after: np.ndarray | None
    ) -> None:
        """Separate one block of frames. Magnitudes are mirrored at both ends of the track."""
        blocks = [part for part in (self._before, magnitude, after) if part is not None]
        left = _CONTEXT if self._before is None else 0
        right = _CONTEXT if after is None else 0
        padded = np.pad(np.concatenate(blocks), ((left, right), (0, 0)), mode="symmetric")
        self._before = magnitude[-_CONTEXT:]
        harmonic_power = np.square(sliding_median(padded))
        padded_bins = np.pad(magnitude.T, ((_CONTEXT, _CONTEXT), (0, 0)), mode="symmetric")
        percussive_power = np.square(np.ascontiguousarray(sliding_median(padded_bins).T))
        total = harmonic_power + percussive_power
        silent = total < _TINY
        total[silent] = 1.0
        share = np.where(silent, np.float32(0.5), harmonic_power / total)
        harmonic = spectrum * share
        self._sums[0].add(harmonic)
        self._sums[1].add(spectrum - harmonic)


@lru_cache(maxsize=1)
def _window() -> np.ndarray:
    return hann(N_FFT).numpy()


class _OverlapAdd:
    """Mean and variance of the inverse STFT (least squares, Griffin & Lim 1984) of a stream."""

    def __init__(self) -> None:
        self._moments = Moments()
        self._signal = np.zeros(
            (_HOPS - 1, HOP), dtype=np.float32
        )  # hops that later frames still add to
        self._weight = np.zeros_like(self._signal)
        self._skip = N_FFT // 2  # samples of left padding that are still to be dropped

    def add(self, spectrum: np.ndarray) -> None:
        """Add frames: complex64 `[frame, bin]`."""
        window = _window()
        frames = torch.fft.irfft(torch.from_numpy(spectrum), n=N_FFT).numpy()
        frames *= window
        frames = frames.reshape(-1, _HOPS, HOP)
        squared = np.square(window).reshape(_HOPS, HOP)
        later = ((0, len(frames)), (0, 0))
        self._signal = np.pad(self._signal, later)
        self._weight = np.pad(self._weight, later)
        for hop in range(_HOPS):
            self._signal[hop : hop + len(frames)] += frames[:, hop]
            self._weight[hop : hop + len(frames)] += squared[hop]
        self._emit(len(frames))
        self._signal, self._weight = self._signal[len(frames) :], self._weight[len(frames) :]

    def finish(self, n_samples: int) -> Moments:
        """The moments of the first `n_samples` samples of the signal."""
        left = n_samples - self._moments.count
        self._emit(len(self._signal), at_most=left)
        return self._moments

    def _emit(self, n_hops: int, at_most: int | None = None) -> None:
        """Add the first hops to the moments; no later frame changes them."""
        weight = np.maximum(self._weight[:n_hops], _TINY)
        samples = (self._signal[:n_hops] / weight).ravel()[self._skip :]
        self._skip = max(0, self._skip - n_hops * HOP)
        self._moments.add(samples[:at_most, None])
