"""Tempo of a track: the strongest period of its onset strength (Ellis 2007, beat tracking)."""

import numpy as np
from scipy.fft import irfft, next_fast_len, rfft
from scipy.signal import get_window

from melgraph.ml.spectral.framing import TILE

_SPAN_S = 8.0  # seconds around each frame over which onset strength is autocorrelated
_START_BPM = 120.0  # centre of the log-normal prior, whose deviation is one octave
_MAX_BPM = 320.0
_ONSET_DELAY = 3  # frames: one for the difference, two for half a window


def onset_strength(decibels: np.ndarray) -> np.ndarray:
    """Median over bands of the increase in level since the previous frame.

    Args:
        decibels: float32 `[frame, mel]`, dB.

    Returns:
        float32 `[frame]`, dB per frame.
    """
    rises = np.maximum(np.diff(decibels, axis=0), 0.0)
    delayed = np.zeros(len(decibels) + _ONSET_DELAY - 1, dtype=np.float32)
    delayed[_ONSET_DELAY:][: len(rises)] = np.median(rises, axis=1)[: len(delayed) - _ONSET_DELAY]
    return delayed[: len(decibels)]


class TempoEstimate:
    """The tempo from the mean tempogram over all frames, as in `librosa.beat.beat_track`."""

    def __init__(self, sample_rate: int, hop: int) -> None:
        """`sample_rate`: Hz; `hop`: samples between frames."""
        self._frames_per_minute = 60.0 * sample_rate / hop
        self._span = max(2, int(_SPAN_S * sample_rate) // hop)  # frames
        self._sum = np.zeros(self._span)
        self._n_frames = 0

    def add(self, decibels: np.ndarray) -> None:
        """Add the mel bands of one window: float32 `[frame, mel]`, dB."""
        if not len(decibels):
            return
        onsets = onset_strength(decibels)
        half = self._span // 2
        padded = np.pad(onsets, (half, half), mode="linear_ramp", end_values=0)
        around = np.lib.stride_tricks.sliding_window_view(padded, self._span)[: len(onsets)]
        window = get_window("hann", self._span).astype(np.float32)
        size = next_fast_len(2 * self._span - 1, real=True)
        for start in range(0, len(around), TILE):
            spectrum = rfft(around[start : start + TILE] * window, n=size)
            power = np.square(spectrum.real) + np.square(spectrum.imag)
            correlation = irfft(power, n=size)[:, : self._span]
            strongest = np.abs(correlation).max(axis=1, keepdims=True)
            strongest[strongest < np.finfo(np.float32).tiny] = 1.0
            self._sum += (correlation / strongest).sum(axis=0, dtype=np.float64)
        self._n_frames += len(onsets)

    def finish(self) -> float:
        """Beats per minute; 0 if the level never increases."""
        if not self._sum.any():
            return 0.0
        tempi = self._frames_per_minute / np.arange(1, self._span)
        prior = -0.5 * np.log2(tempi / _START_BPM) ** 2
        score = np.log1p(1e6 * self._sum[1:] / self._n_frames) + prior
        score[tempi >= _MAX_BPM] = -np.inf
        return float(tempi[score.argmax()])
