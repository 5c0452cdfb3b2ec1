"""Waveform <-> spectrogram: one STFT, shared by every representation made from it.

Everything is computed in tiles of `TILE` frames, counted from the first frame of the track. A tile
fits a processor's cache, and because a tile is computed the same way wherever its samples came
from, a signal that arrives in blocks (`StftStream`) gives the bits of the whole signal (`stft`).
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import torch
import torchaudio

from melgraph.ml.spectral.framing import TILE, PaddedStream, pad

_BANDS = 16  # bands of a filter bank that are computed by one matrix product


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

    def attributes(self) -> dict[str, Any]:
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


# --- the STFT ----------------------------------------------------------------------------------


@lru_cache(maxsize=8)
def hann(n_fft: int) -> torch.Tensor:
    """The periodic Hann window: float32 `[n_fft]`."""
    return torch.hann_window(n_fft, periodic=True)


def _spectra(padded: np.ndarray, *, n_fft: int, hop: int) -> torch.Tensor:
    """The spectra of all whole frames of padded samples: complex64 `[bin, frame]`."""
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
        mono: float32 `[sample]`; half a window or less is padded with zeros on the right, to one
            sample more than the reflection needs.
        n_fft: window and transform length, samples.
        hop: samples between frames.

    Returns:
        complex64 `[bin, frame]`, bins 0..n_fft/2, `1 + len(mono) // hop` frames; the transposed of
        a contiguous `[frame, bin]`.
    """
    return _spectra(pad(mono, n_fft=n_fft), n_fft=n_fft, hop=hop)


class StftStream:
    """`stft` of a signal that arrives in blocks, in memory that does not grow with the signal.

    The frames of all calls, one after the other, are those of `stft` of the whole signal, bit for
    bit, however the signal is cut. `push` gives whole tiles only, so that whatever is computed from
    its blocks in tiles (`log_mel`, `ml.features.track_features.FeatureStream`) has the bits of the
    whole, too.
    """

    def __init__(self, n_fft: int, hop: int) -> None:
        self._n_fft, self._hop = n_fft, hop
        self._padded = PaddedStream(n_fft, hop)

    def push(self, mono: np.ndarray) -> torch.Tensor:
        """The next samples, float32 `[sample]`, any number.

        Returns:
            complex64 `[bin, frame]`: the frames that are complete now, a multiple of `TILE`, often
            none.
        """
        return _spectra(self._padded.push(mono), n_fft=self._n_fft, hop=self._hop)

    def finish(self) -> torch.Tensor:
        """The signal has ended: the frames that are left, complex64 `[bin, frame]`."""
        return _spectra(self._padded.finish(), n_fft=self._n_fft, hop=self._hop)


def istft(spectrum: torch.Tensor, *, n_fft: int, hop: int, length: int) -> np.ndarray:
    """Inverse of `stft` (least squares, Griffin & Lim 1984, eq. 6): float32 `[length]`."""
    signal = torch.istft(spectrum, n_fft, hop, window=hann(n_fft), center=True, length=length)
    return signal.numpy()


def spectrum_tiles(spectrum: torch.Tensor) -> Iterator[torch.Tensor]:
    """The tiles of complex64 `[bin, frame]`, turned: contiguous `[frame, bin]`, `TILE` frames."""
    for start in range(0, spectrum.shape[1], TILE):
        yield spectrum[:, start : start + TILE].T.contiguous()


def power_of(tile: torch.Tensor) -> torch.Tensor:
    """Squared magnitude of complex64, float32 of the same shape."""
    bins = tile.numpy()  # numpy reads the interleaved parts twice as fast as torch
    power = np.square(bins.real)
    power += np.square(bins.imag)
    return torch.from_numpy(power)


# --- filter banks ------------------------------------------------------------------------------


class FilterBank:
    """A matrix of filters that each cover few neighbouring bins, such as mel filters.

    Only the bins that a group of neighbouring bands touches are multiplied: an eighth of the dense
    product for 128 mel bands.
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
        self._doubled = [  # each weight twice: for the real and for the imaginary part of its bin
            (bands, slice(2 * bins.start, 2 * bins.stop), weights.repeat_interleave(2, dim=0))
            for bands, bins, weights in self._groups
        ]

    def of_spectrum(self, tile: torch.Tensor) -> torch.Tensor:
        """Contiguous complex64 `[frame, bin]` -> filtered power, float32 `[frame, band]`.

        As `self(power_of(tile))`, in two thirds of the time: the parts are squared as they lie, and
        added up by the product with the filters.
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
            next block of a `StftStream`.
        transform: the mel scale and the floor.

    Returns:
        float32 `[frame, mel]`, dB of power re 1.0, never below `transform.floor_db`.
    """
    filters, floor = _mel_filters(transform), 10.0 ** (transform.floor_db / 10.0)
    out = torch.empty(spectrum.shape[1], transform.n_mels)
    for number, tile in enumerate(spectrum_tiles(spectrum)):
        mel = filters.of_spectrum(tile).clamp_min_(floor).log10_().mul_(10.0)
        out[number * TILE : number * TILE + len(tile)] = mel
    return out.numpy()
