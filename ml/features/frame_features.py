"""Features of each frame by itself: levels, crossings, the shape of the spectrum, mel decibels."""

from functools import lru_cache

import numpy as np
import torch
import torchaudio
from scipy.fft import dct

from melgraph.ml.spectral import FilterBank

N_FFT = 2048  # samples: 93 ms at 22050 Hz; also the frame of RMS and zero crossings
HOP = 512  # samples: 23 ms at 22050 Hz
N_MELS = 128
N_MFCC = 20
ROLLOFF = 0.85  # share of the magnitude below the roll-off frequency

_N_BINS = N_FFT // 2 + 1
_GROUP = 41  # bins whose moments are summed in float32; 25 groups are all the bins
_ZERO = 1e-10  # samples no further from zero count as zero (and as positive): librosa's threshold
_TINY = float(np.finfo(np.float32).tiny)
_MEL_AMIN = 1e-10  # mel power that has the lowest decibels, -100
_HOPS = N_FFT // HOP  # a frame is this many whole hops


# --- from the waveform -------------------------------------------------------------------------


def _over_frames(of_hops: np.ndarray) -> np.ndarray:
    """Sums over whole hops, `[hop]`, summed over each frame: `[frame]`."""
    return np.lib.stride_tricks.sliding_window_view(of_hops, _HOPS).sum(axis=1)


def waveform_features(padded: np.ndarray, *, first: bool, last: bool) -> np.ndarray:
    """Root mean square and zero-crossing rate of each frame.

    Args:
        padded: float32 `[sample]`, whole frames of a signal as `ml.spectral.framing` pads it.
        first: it begins with the mirror image on the left, in which no crossing is counted.
        last: it ends with the one on the right.

    Returns:
        float64 `[frame, 2]`: share of full scale; sign changes per sample.
    """
    if len(padded) < N_FFT:
        return np.zeros((0, 2))
    whole = len(padded) // HOP * HOP
    hops = padded[:whole].reshape(-1, HOP)
    rms = np.sqrt(_over_frames(np.vecdot(hops, hops)) / N_FFT)
    negative = padded < -_ZERO
    crossing = np.zeros(len(padded), dtype=bool)
    np.not_equal(negative[1:], negative[:-1], out=crossing[1:])
    if first:
        crossing[: N_FFT // 2 + 1] = False
    if last:
        crossing[len(crossing) - N_FFT // 2 :] = False
    of_bytes = np.bitwise_count(np.packbits(crossing[:whole]))  # of 8 samples each
    counts = _over_frames(of_bytes.reshape(-1, HOP // 8).sum(axis=1, dtype=np.int64))
    # the first sample of a frame has no predecessor inside the frame
    counts = counts - crossing[: len(counts) * HOP : HOP]
    return np.stack([rms, counts / N_FFT], axis=1)


# --- from the spectrum -------------------------------------------------------------------------


@lru_cache(maxsize=1)
def _local_moments() -> torch.Tensor:
    """Moments 0, 1 and 2 of a group of bins about its middle: float32 `[bin of group, moment]`."""
    offset = torch.arange(_GROUP, dtype=torch.float32) - _GROUP // 2
    return torch.stack([torch.ones(_GROUP), offset, offset.square()], dim=1)


def spectral_shape(magnitude: torch.Tensor, *, sample_rate: int) -> np.ndarray:
    """Centroid, bandwidth and roll-off of each frame.

    Sums over groups of 41 bins are in float32, about the middle of the group; what is made of them
    in float64: the second moment minus the squared first would lose half its digits for a tone.

    Args:
        magnitude: float32 `[frame, bin]`, contiguous.
        sample_rate: Hz.

    Returns:
        float64 `[frame, 3]`, Hz.
    """
    groups = magnitude.view(len(magnitude), -1, _GROUP)
    sums = torch.matmul(groups, _local_moments()).permute(2, 0, 1).double()
    mass, first, second = sums.contiguous().numpy()
    middle = np.arange(_N_BINS // _GROUP) * float(_GROUP) + _GROUP // 2
    total = mass.sum(axis=1)
    total[total < _TINY] = 1.0
    centroid = (first.sum(axis=1) + mass @ middle) / total
    distance = middle - centroid[:, None]
    spread = (second + distance * (2 * first + distance * mass)).sum(axis=1) / total
    bandwidth = np.sqrt(np.maximum(spread, 0.0))
    # roll-off: the group in which the share is reached, then the bin of that group
    cumulative = mass.cumsum(axis=1)
    wanted = ROLLOFF * cumulative[:, -1]
    group = np.minimum((cumulative < wanted[:, None]).sum(axis=1), mass.shape[1] - 1)
    rows = np.arange(len(mass))
    below = cumulative[rows, group] - mass[rows, group]
    inside = groups.numpy()[rows, group].cumsum(axis=1, dtype=np.float64)
    reached = (inside < (wanted - below)[:, None]).sum(axis=1)
    rolloff = group * _GROUP + np.minimum(reached, _GROUP - 1)
    return np.stack([centroid, bandwidth, rolloff], axis=1) * (sample_rate / N_FFT)


@lru_cache(maxsize=8)
def _mel_filters(sample_rate: int) -> FilterBank:
    """Slaney's mel scale and norm (Auditory Toolbox, 1998)."""
    filters = torchaudio.functional.melscale_fbanks(
        n_freqs=_N_BINS,
        f_min=0.0,
        f_max=sample_rate / 2,
        n_mels=N_MELS,
        sample_rate=sample_rate,
        norm="slaney",
        mel_scale="slaney",
    )
    return FilterBank(filters)


def mel_decibels(power: torch.Tensor, *, sample_rate: int) -> torch.Tensor:
    """Slaney mel bands, dB of power re 1.0: `[frame, bin]` -> float32 `[frame, mel]`."""
    return _mel_filters(sample_rate)(power).clamp_min_(_MEL_AMIN).log10_().mul_(10.0)


@lru_cache(maxsize=1)
def _dct_matrix() -> torch.Tensor:
    """Orthonormal DCT-II: float32 `[mel, coefficient]`."""
    return torch.from_numpy(dct(np.eye(N_MELS), axis=1, norm="ortho")[:, :N_MFCC]).float()


def mfcc_of(decibels: torch.Tensor) -> np.ndarray:
    """Mel-frequency cepstral coefficients: `[frame, mel]` dB -> float32 `[frame, coefficient]`."""
    return (decibels @ _dct_matrix()).numpy()
