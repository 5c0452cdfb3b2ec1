"""A signal cut into centred frames: its padding, whole or while it arrives in blocks."""

import numpy as np

TILE = 128  # frames that are computed together: 2 MB of spectrum at 2048 samples a window


def pad(mono: np.ndarray, *, n_fft: int) -> np.ndarray:
    """The signal with half a window of its mirror image on either side.

    Args:
        mono: float32 `[sample]`; half a window or less is first padded with zeros on the right, to
            one sample more than the reflection needs.
        n_fft: window length, samples.

    Returns:
        float32 `[n_fft // 2 + sample + n_fft // 2]`.

    Raises:
        ValueError: where `mono` is not `[sample]`.
    """
    if mono.ndim != 1:
        raise ValueError(f"mono must be [sample], got shape {mono.shape}")
    signal, half = np.asarray(mono, dtype=np.float32), n_fft // 2
    if len(signal) <= half:  # reflection needs more samples than it mirrors
        signal = np.pad(signal, (0, half + 1 - len(signal)))
    return np.pad(signal, half, mode="reflect")


class PaddedStream:
    """A signal that arrives in blocks, handed on padded, as much as whole tiles of frames need.

    Consecutive results overlap by `n_fft - hop` samples: each starts where its first frame does.
    """

    _NOTHING = np.zeros(0, dtype=np.float32)

    def __init__(self, n_fft: int, hop: int) -> None:
        """`n_fft`: samples per frame; `hop`: samples between frames."""
        self._n_fft, self._hop = n_fft, hop
        self._held: list[np.ndarray] = []
        self._n_held = 0  # samples
        self._started = False  # the mirror image on the left is in place
        self._finished = False

    def push(self, mono: np.ndarray) -> np.ndarray:
        """The next samples, float32 `[sample]`.

        Returns:
            float32 `[sample]`: what a multiple of `TILE` frames needs, or nothing.

        Raises:
            ValueError: where `mono` is not `[sample]`, or the signal had ended.
        """
        self._hold(mono)
        step = TILE * self._hop
        held = self._n_held + (0 if self._started else self._n_fft // 2)
        # a whole window more than is handed on: what the mirror image on the right may need
        tiles = (held - self._n_fft) // step
        if tiles <= 0:
            return self._NOTHING
        padded = self._gather()
        self._held, self._n_held = [padded[tiles * step :].copy()], len(padded) - tiles * step
        return padded[: tiles * step - self._hop + self._n_fft]

    def finish(self) -> np.ndarray:
        """The signal has ended: what is left of it, float32 `[sample]`."""
        self._finished = True
        if not self._started:
            return pad(np.concatenate(self._held or [self._NOTHING]), n_fft=self._n_fft)
        return np.pad(self._gather(), (0, self._n_fft // 2), mode="reflect")

    def _hold(self, mono: np.ndarray) -> None:
        if self._finished:
            raise ValueError("the signal has ended: make a new stream for the next one")
        if mono.ndim != 1:
            raise ValueError(f"mono must be [sample], got shape {mono.shape}")
        self._held.append(np.array(mono, dtype=np.float32))  # a copy: the caller may reuse his
        self._n_held += len(mono)

    def _gather(self) -> np.ndarray:
        """All that is held, with the mirror image on the left where it is still missing."""
        if not self._started:
            self._started = True
            signal = np.concatenate(self._held)
            self._held = [signal[self._n_fft // 2 : 0 : -1], signal]
        return np.concatenate(self._held)
