"""Harmonic and percussive parts of a track (Fitzgerald 2010), while its spectrum arrives.

As `librosa.effects.hpss` has them: magnitudes are smoothed by a median over 31 frames (what is held
is harmonic) and over 31 bins (what is struck is percussive), and each share of the power is a soft
mask. Of the two waveforms only mean and variance are kept.
"""

from functools import lru_cache

import numpy as np
import torch

from melgraph.ml.features.frame_features import HOP, N_FFT
from melgraph.ml.features.moments import Moments
from melgraph.ml.features.sliding_median import WINDOW, sliding_median
from melgraph.ml.spectral import hann
from melgraph.ml.spectral.framing import TILE

_CONTEXT = WINDOW // 2  # frames, or bins, on either side
_HOPS = N_FFT // HOP
_TINY = float(np.finfo(np.float32).tiny)


class HarmonicPercussive:
    """Mean and variance of the harmonic and the percussive waveform of a track.

    The results do not depend on how the frames arrive, as long as all but the last tile are whole.
    Memory: three tiles.
    """

    def __init__(self) -> None:
        self._pending: list[tuple[np.ndarray, np.ndarray]] = []  # tiles, their magnitudes
        self._before: np.ndarray | None = None  # the magnitudes before the pending ones
        self._sums = [_OverlapAdd(), _OverlapAdd()]

    def add(self, spectrum: np.ndarray, magnitude: np.ndarray) -> None:
        """The next tile: complex64 `[frame, bin]` and its magnitude."""
        self._pending.append((spectrum, magnitude))
        # the last whole tile waits for its successor, and takes an incomplete one with it
        if len(self._pending) == 2 and len(magnitude) == TILE:
            after = magnitude[:_CONTEXT]
            self._separate(*self._pending.pop(0), after=after)

    def finish(self, n_samples: int) -> list[float]:
        """The track, of so many samples, has ended.

        Returns:
            Mean and variance of the harmonic waveform, mean and variance of the percussive one.
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
        """Mask one block of frames; at the ends of the track the magnitudes are mirrored."""
        known = [part for part in (self._before, magnitude, after) if part is not None]
        left = _CONTEXT if self._before is None else 0
        right = _CONTEXT if after is None else 0
        padded = np.pad(np.concatenate(known), ((left, right), (0, 0)), mode="symmetric")
        self._before = magnitude[-_CONTEXT:]
        held = np.square(sliding_median(padded))
        beside = np.pad(magnitude.T, ((_CONTEXT, _CONTEXT), (0, 0)), mode="symmetric")
        struck = np.square(np.ascontiguousarray(sliding_median(beside).T))
        total = held + struck
        silent = total < _TINY
        total[silent] = 1.0
        share = np.where(silent, np.float32(0.5), held / total)
        harmonic = spectrum * share
        self._sums[0].add(harmonic)
        self._sums[1].add(spectrum - harmonic)


@lru_cache(maxsize=1)
def _window() -> np.ndarray:
    return hann(N_FFT).numpy()


class _OverlapAdd:
    """Moments of the inverse STFT (least squares, Griffin & Lim 1984) of frames that arrive."""

    def __init__(self) -> None:
        self._moments = Moments()
        self._signal = np.zeros((_HOPS - 1, HOP), dtype=np.float32)  # what later frames add to
        self._weight = np.zeros_like(self._signal)
        self._skip = N_FFT // 2  # samples of padding still to come

    def add(self, spectrum: np.ndarray) -> None:
        """More frames: complex64 `[frame, bin]`."""
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
        """The moments over the first so many samples of the signal."""
        left = n_samples - self._moments.count
        self._emit(len(self._signal), at_most=left)
        return self._moments

    def _emit(self, n_hops: int, at_most: int | None = None) -> None:
        """Hops that no later frame adds to."""
        weight = np.maximum(self._weight[:n_hops], _TINY)
        samples = (self._signal[:n_hops] / weight).ravel()[self._skip :]
        self._skip = max(0, self._skip - n_hops * HOP)
        self._moments.add(samples[:at_most, None])
