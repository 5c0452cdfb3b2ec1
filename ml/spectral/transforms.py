"""Waveform to spectrogram and back: the STFT, the mel filters and the log-mel spectrogram.

Everything is computed in tiles of `TILE` frames, counted from the first frame of the track. A tile
fits a processor's cache. A tile is computed the same way whether its samples came in blocks or at
once, so a stream (`StftStream`) and a whole signal (`stft`) give the same bits.
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import torch
import torchaudio

from melgraph.ml.spectral.framing import TILE, PaddedStream, pad

_BANDS = 16  # bands of a filter bank that one matrix product computes


@dataclass(frozen=True)
class MelTransform:
    """All parameters that are needed to compute, read or invert our log-mel spectrograms.

    The power spectrogram of a centred, reflect-padded STFT with a periodic Hann window is filtered
    by triangular filters of peak 1 on the HTK mel scale (mel = 1127.01048 ln(1 + f / 700)). Values
    are decibels of power re 1.0.

    >>> MelTransform().frames(seconds=3.0)
    129
    """

    sample_rate: int = 22050  # Hz; the audio is mono at this rate
    n_fft: int = 2048  # samples per window: 93 ms at 22050 Hz
    hop: int = 512  # samples between frames: 23 ms at 22050 Hz
    n_mels: int = 128
    f_min: float = 0.0  # Hz
    f_max: float = 11025.0  # Hz
    floor_db: float = -100.0  # the lowest value, so that silence is finite

    def attributes(self) -> dict[str, Any]:
        """All parameters and conventions as JSON-ready attributes of a store."""
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


# --- the STFT ----------------------------------------------------------------------------------


@lru_cache(maxsize=8)
def hann(n_fft: int) -> torch.Tensor:
    """The periodic Hann window: float32 `[n_fft]`."""
    return torch.hann_window(n_fft, periodic=True)


def _spectra(padded: np.ndarray, *, n_fft: int, hop: int) -> torch.Tensor:
    """Spectra of all complete frames of padded samples: complex64 `[bin, frame]`."""
    n_frames = max(0, 1 + (len(padded) - n_fft) // hop)
    spectra = torch.empty(n_frames, n_fft // 2 + 1, dtype=torch.complex64)
    if n_frames:
        frames = torch.from_numpy(padded).unfold(0, n_fft, hop)
        for start in range(0, n_frames, TILE):
            windowed = frames[start : start + TILE] * hann(n_fft)
            torch.fft.rfft(windowed, out=spectra[start : start + TILE])
    return spectra.T


def stft(mono: np.ndarray, *, n_fft: int, hop: int) -> torch.Tensor:
    """Short-time Fourier transform: centred frames, reflect padding, periodic Hann window.

    Args:
        mono: float32 `[sample]`. A signal of half a window or less is first padded with zeros on
            the right, to half a window plus one sample.
        n_fft: window and transform length, samples.
        hop: samples between frames.

    Returns:
        complex64 `[bin, frame]`: bins 0 to n_fft / 2 and `1 + len(mono) // hop` frames, as the
        transpose of a contiguous array `[frame, bin]`.
    """
    return _spectra(pad(mono, n_fft=n_fft), n_fft=n_fft, hop=hop)


class StftStream:
    """`stft` of a signal that arrives in blocks, in memory that does not grow with the signal.

    The concatenated frames of all calls are bit-identical to `stft` of the whole signal, whatever
    the sizes of the blocks. `push` returns whole tiles only. Whatever is computed from these in
    tiles (`log_mel`, `ml.features.track_features.FeatureStream`) therefore has the same bits as if
    the signal were processed at once.
    """

    def __init__(self, n_fft: int, hop: int) -> None:
        self._n_fft, self._hop = n_fft, hop
        self._padded = PaddedStream(n_fft, hop)

    def push(self, mono: np.ndarray) -> torch.Tensor:
        """Add the next samples, float32 `[sample]`, any number.

        Returns:
            complex64 `[bin, frame]`: the frames of all tiles that are complete now; often none.
        """
        return _spectra(self._padded.push(mono), n_fft=self._n_fft, hop=self._hop)

    def finish(self) -> torch.Tensor:
        """End the signal and return the remaining frames, complex64 `[bin, frame]`."""
        return _spectra(self._padded.finish(), n_fft=self._n_fft, hop=self._hop)


def istft(spectrum: torch.Tensor, *, n_fft: int, hop: int, length: int) -> np.ndarray:
    """Inverse of `stft` (least squares, Griffin & Lim 1984, eq. 6): float32 `[length]`."""
    signal = torch.istft(spectrum, n_fft, hop, window=hann(n_fft), center=True, length=length)
    return signal.numpy()


def spectrum_tiles(spectrum: torch.Tensor) -> Iterator[torch.Tensor]:
    """Cut complex64 `[bin, frame]` into tiles: contiguous `[frame, bin]` of `TILE` frames each."""
    for start in range(0, spectrum.shape[1], TILE):
        yield spectrum[:, start : start + TILE].T.contiguous()


def power_of(tile: torch.Tensor) -> torch.Tensor:
    """Squared magnitude of complex64, float32 of the same shape."""
    bins = tile.numpy()  # numpy reads interleaved real and imaginary parts twice as fast
    power = np.square(bins.real)
    power += np.square(bins.imag)
    return torch.from_numpy(power)


# --- filter banks ------------------------------------------------------------------------------


class FilterBank:
    """A matrix of filters that each cover few neighbouring bins, such as mel filters.

    Neighbouring bands are multiplied in groups, and only with the bins that they cover. For 128 mel
    bands that is an eighth of the dense product.
    """

    def __init__(self, filters: torch.Tensor) -> None:
        """`filters`: float32 `[bin, band]`."""
        self._n_bands = filters.shape[1]
        self._groups: list[tuple[slice, slice, torch.Tensor]] = []
        for start in range(0, self._n_bands, _BANDS):
            bands = slice(start, min(start + _BANDS, self._n_bands))
            touched = filters[:, bands].any(dim=1).nonzero().ravel()
            if len(touched):
                bins = slice(int(touched[0]), int(touched[-1]) + 1)
                self._groups.append((bands, bins, filters[bins, bands].contiguous()))
        self._doubled = [  # each weight twice: for the real and the imaginary part of its bin
            (bands, slice(2 * bins.start, 2 * bins.stop), weights.repeat_interleave(2, dim=0))
            for bands, bins, weights in self._groups
        ]

    def of_spectrum(self, tile: torch.Tensor) -> torch.Tensor:
        """Contiguous complex64 `[frame, bin]` -> filtered power, float32 `[frame, band]`.

        The same as `self(power_of(tile))` in two thirds of the time: real and imaginary parts are
        squared without separating them, and the product with the filters adds them up.
        """
        squares = torch.from_numpy(np.square(tile.numpy().view(np.float32)))
        out = torch.zeros(len(tile), self._n_bands)
        for bands, parts, weights in self._doubled:
            torch.mm(squares[:, parts], weights, out=out[:, bands])
        return out

    def __call__(self, power: torch.Tensor) -> torch.Tensor:
        """Float32 `[frame, bin]` -> float32 `[frame, band]`."""
        out = torch.zeros(len(power), self._n_bands)
        for bands, bins, weights in self._groups:
            torch.mm(power[:, bins], weights, out=out[:, bands])
        return out


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


@lru_cache(maxsize=8)
def _mel_filters(transform: MelTransform) -> FilterBank:
    return FilterBank(mel_filterbank(transform).T)


def mel_frequencies(transform: MelTransform) -> np.ndarray:
    """Centre frequency of each mel filter: float32 `[mel]`, Hz."""
    low, high = (1127.01048 * np.log1p(f / 700.0) for f in (transform.f_min, transform.f_max))
    points = np.linspace(low, high, transform.n_mels + 2)[1:-1]
    return (700.0 * np.expm1(points / 1127.01048)).astype(np.float32)


def log_mel(spectrum: torch.Tensor, transform: MelTransform) -> np.ndarray:
    """Log-mel spectrogram of an STFT.

    Args:
        spectrum: complex64 `[bin, frame]` from `stft` with the transform's n_fft and hop, or the
            next block of an `StftStream`.
        transform: states the mel scale and the floor.

    Returns:
        float32 `[frame, mel]`, dB of power re 1.0, never below `transform.floor_db`.
    """
    filters, floor = _mel_filters(transform), 10.0 ** (transform.floor_db / 10.0)
    out = torch.empty(spectrum.shape[1], transform.n_mels)
    for number, tile in enumerate(spectrum_tiles(spectrum)):
        mel = filters.of_spectrum(tile).clamp_min_(floor).log10_().mul_(10.0)
        out[number * TILE : number * TILE + len(tile)] = mel
    return out.numpy()
