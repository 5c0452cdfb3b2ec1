"""Fast Griffin-Lim: a sound whose STFT has given amplitudes, by alternating projections.

D. Griffin and J. Lim, "Signal Estimation from Modified Short-Time Fourier Transform", IEEE Trans.
ASSP 32 (1984), with the momentum of N. Perraudin, P. Balazs and P. Sondergaard, "A Fast Griffin-Lim
Algorithm", WASPAA 2013.

Both sources compute with spectra. The STFT is linear, so the momentum can be added to the samples
instead. Then no spectrum of the whole sound is needed, only one of `TILE` frames at a time, which
fits a processor's cache.
"""

import numpy as np
import torch

from melgraph.ml.compilation import compiled
from melgraph.ml.spectral import hann
from melgraph.ml.spectral.framing import pad

TILE = 64  # frames; their spectrum and their samples take 1 MB at 2048 samples a window
_TINY = 1e-30  # power below which a bin has no phase


def frames_of(length: int, *, n_fft: int, hop: int) -> int:
    """Number of frames of the STFT of a sound: `ml.spectral.stft` pads short sounds."""
    return 1 + max(length, n_fft // 2 + 1) // hop


class FixedAmplitude:
    """All sounds of one length, and the STFT amplitudes that they should have.

    Frames, window and padding are those of `ml.spectral.stft`.

    Args:
        amplitude: float32 `[frame, bin]`, not negative.
        n_fft: window length, samples.
        hop: samples between frames, at most half a window.
        length: of the sound, samples; `frames_of(length)` must be the number of frames.
        is_whole: whether the frames are of a sound of this length. Otherwise it may have been
            longer, by less than a hop, and is reflected at another sample.
    """

    def __init__(
        self,
        amplitude: np.ndarray,
        *,
        n_fft: int,
        hop: int,
        length: int,
        is_whole: bool = True,
    ) -> None:
        self._amplitude = np.ascontiguousarray(amplitude)
        self._n_fft, self._hop, self._length = n_fft, hop, length
        self._padded_length = max(length, n_fft // 2 + 1) + n_fft
        self._is_whole = is_whole
        self._window = hann(n_fft)
        weights = np.zeros(self._padded_length, np.float32)
        windows = np.broadcast_to(self._window.numpy(), (TILE, n_fft)).copy()
        for tile in self._tiles():
            count = tile.stop - tile.start
            _add_frames(windows[:count], self._window.numpy(), hop, tile.start, weights)
        self._weights = np.maximum(self._inside(weights), np.float32(1e-8))

    def with_phase(self, phase: np.ndarray) -> np.ndarray:
        """The inverse STFT of the amplitudes with a phase (Griffin & Lim 1984, equation 6).

        Args:
            phase: float32 `[frame, bin]`, radians.

        Returns:
            float32 `[length]`.
        """
        total = np.zeros(self._padded_length, np.float32)
        for tile in self._tiles():
            amplitude, angle = self._amplitude[tile], phase[tile]
            spectrum = np.empty(
                amplitude.shape, np.complex64
            )  # torch.polar takes four times as long
            spectrum.real, spectrum.imag = amplitude * np.cos(angle), amplitude * np.sin(angle)
            self._add(torch.from_numpy(spectrum), tile.start, total)
        return self._sound(total)

    def project(self, sound: np.ndarray) -> np.ndarray:
        """The inverse STFT of the amplitudes with the phase of a sound: float32 `[length]`.

        Args:
            sound: float32 `[length]`.
        """
        frames = torch.from_numpy(pad(sound, n_fft=self._n_fft)).unfold(0, self._n_fft, self._hop)
        total = np.zeros(self._padded_length, np.float32)
        for tile in self._tiles():
            spectrum = torch.fft.rfft(frames[tile] * self._window)
            _set_amplitude(torch.view_as_real(spectrum).numpy(), self._amplitude[tile])
            self._add(spectrum, tile.start, total)
        return self._sound(total)

    def _tiles(self) -> list[slice]:
        """The frames of each tile."""
        count = len(self._amplitude)
        return [slice(start, min(start + TILE, count)) for start in range(0, count, TILE)]

    def _add(self, spectrum: torch.Tensor, first: int, total: np.ndarray) -> None:
        """Add the frames of complex64 `[frame, bin]` to the padded sound."""
        frames = torch.fft.irfft(spectrum, self._n_fft)
        _add_frames(frames.numpy(), self._window.numpy(), self._hop, first, total)

    def _sound(self, total: np.ndarray) -> np.ndarray:
        """The sound of the sum of all windowed frames."""
        sound: np.ndarray = self._inside(total) / self._weights
        return sound

    def _inside(self, padded: np.ndarray) -> np.ndarray:
        """A padded sound without its padding, which is added to the samples that it repeats.

        The STFT has the first and the last samples twice. Their mean, weighted by the windows, is
        what least squares asks for; without it, both ends converge to a worse sound.
        """
        half = self._n_fft // 2
        sound = padded[half:-half].copy()
        sound[1 : half + 1] += padded[half - 1 :: -1]
        if self._is_whole:
            sound[-half - 1 : -1] += padded[: -half - 1 : -1]
        return sound[: self._length]


def fast_griffin_lim(
    target: FixedAmplitude, sound: np.ndarray, *, iterations: int, momentum: float
) -> np.ndarray:
    """Bring the amplitudes of a sound nearer to the target.

    Args:
        target: the amplitudes.
        sound: float32 `[sample]`, where the search starts.
        iterations: each costs an STFT and an inverse STFT; 0 returns `sound`.
        momentum: alpha of Perraudin et al.; 0 is the algorithm of Griffin and Lim.

    Returns:
        float32 `[sample]`.
    """
    ahead = previous = sound
    for _ in range(iterations):
        sound = target.project(ahead)
        ahead = sound + np.float32(momentum) * (sound - previous)
        previous = sound
    return sound


@compiled("void(float32[:,:,::1], float32[:,::1])", fastmath=True)  # vectorised only with it
def _set_amplitude(spectrum: np.ndarray, amplitude: np.ndarray) -> None:
    """Give each bin its amplitude and let it keep its phase, in place.

    Args:
        spectrum: float32 `[frame, bin, part]`, the real and the imaginary part.
        amplitude: float32 `[frame, bin]`.
    """
    for frame in range(amplitude.shape[0]):
        for bin_ in range(amplitude.shape[1]):
            real, imaginary = spectrum[frame, bin_, 0], spectrum[frame, bin_, 1]
            power = max(real * real + imaginary * imaginary, np.float32(_TINY))
            factor = amplitude[frame, bin_] / np.sqrt(power)
            spectrum[frame, bin_, 0] = real * factor
            spectrum[frame, bin_, 1] = imaginary * factor


@compiled("void(float32[:,::1], float32[::1], int64, int64, float32[::1])")
def _add_frames(
    frames: np.ndarray, window: np.ndarray, hop: int, first: int, total: np.ndarray
) -> None:
    """Add windowed frames to the padded sound in which they overlap.

    Args:
        frames: float32 `[frame, sample]`.
        window: float32 `[sample]`.
        hop: samples between frames.
        first: the number of the first frame.
        total: float32, the padded sound; it changes.
    """
    for frame in range(frames.shape[0]):
        start = (first + frame) * hop
        for sample in range(frames.shape[1]):
            total[start + sample] += frames[frame, sample] * window[sample]
