"""Pad a signal so that its frames are centred, for whole signals and for streams of blocks."""

import numpy as np

TILE = 128  # frames that are computed together: 2 MB of spectrum at 2048 samples a window


def pad(mono: np.ndarray, *, n_fft: int) -> np.ndarray:
    """Pad a signal by reflection with half a window on either side.

    Args:
        mono: float32 `[sample]`. A signal of half a window or less is first padded with zeros on
            the right, to half a window plus one sample: reflection needs that many.
        n_fft: window length, samples.

    Returns:
        float32 `[n_fft // 2 + sample + n_fft // 2]`.

    Raises:
        ValueError: `mono` is not one-dimensional.
    """
    if mono.ndim != 1:
        raise ValueError(f"mono must be [sample], got shape {mono.shape}")
    signal, half = np.asarray(mono, dtype=np.float32), n_fft // 2
    if len(signal) <= half:  # reflection needs at least one sample more than it copies
        signal = np.pad(signal, (0, half + 1 - len(signal)))
    return np.pad(signal, half, mode="reflect")


class PaddedStream:
    """`pad` for a signal that arrives in blocks: returns the samples of whole tiles of frames.

    Each result starts with the first sample of its first frame, so consecutive results overlap by
    `n_fft - hop` samples.
    """

    _NOTHING = np.zeros(0, dtype=np.float32)

    def __init__(self, n_fft: int, hop: int) -> None:
        """`n_fft`: samples per frame; `hop`: samples between frames."""
        self._n_fft, self._hop = n_fft, hop
        self._pending: list[np.ndarray] = []
        self._n_pending = 0  # samples
        self._started = False  # whether the left padding was added
        self._finished = False

    def push(self, mono: np.ndarray) -> np.ndarray:
        """Add the next samples, float32 `[sample]`.

        Returns:
            float32 `[sample]`: the samples of all tiles that are complete now; empty if none is.

        Raises:
            ValueError: `mono` is not one-dimensional, or `finish` was called before.
        """
        self._append(mono)
        step = TILE * self._hop
        available = self._n_pending + (0 if self._started else self._n_fft // 2)
        # One window more than is returned stays here: the right padding may need it.
        tiles = (available - self._n_fft) // step
        if tiles <= 0:
            return self._NOTHING
        padded = self._gather()
        self._pending = [padded[tiles * step :].copy()]
        self._n_pending = len(padded) - tiles * step
        return padded[: tiles * step - self._hop + self._n_fft]

    def finish(self) -> np.ndarray:
        """End the signal and return the remaining padded samples, float32 `[sample]`."""
        self._finished = True
        if not self._started:
            return pad(np.concatenate(self._pending or [self._NOTHING]), n_fft=self._n_fft)
        return np.pad(self._gather(), (0, self._n_fft // 2), mode="reflect")

    def _append(self, mono: np.ndarray) -> None:
        if self._finished:
            raise ValueError("this stream was finished; create a new one for the next signal")
        if mono.ndim != 1:
            raise ValueError(f"mono must be [sample], got shape {mono.shape}")
        self._pending.append(np.array(mono, dtype=np.float32))  # a copy: the caller may reuse it
        self._n_pending += len(mono)

    def _gather(self) -> np.ndarray:
        """All pending samples in one array; at the start of the signal with the left padding."""
        if not self._started:
            self._started = True
            signal = np.concatenate(self._pending)
            self._pending = [signal[self._n_fft // 2 : 0 : -1], signal]
        return np.concatenate(self._pending)
