"""Features of single frames: RMS, zero crossings, spectral shape, mel bands and MFCC."""

from functools import lru_cache

import numpy as np
import torch
import torchaudio
from scipy.fft import dct

from melgraph.ml.spectral import FilterBank

N_FFT = 2048  # samples: 93 ms at 22050 Hz; also the frame length of RMS and zero crossings
HOP = 512  # samples: 23 ms at 22050 Hz
N_MELS = 128
N_MFCC = 20
ROLLOFF = 0.85  # share of the magnitude below the roll-off frequency

_N_BINS = N_FFT // 2 + 1
_GROUP = 41  # bins whose moments are summed in float32; 25 groups cover all bins
_ZERO = 1e-10  # smaller magnitudes count as zero, which is positive: librosa's threshold
_TINY = float(np.finfo(np.float32).tiny)
_MEL_AMIN = 1e-10  # lowest mel power: -100 dB
_HOPS = N_FFT // HOP  # hops per frame


# --- from the waveform -------------------------------------------------------------------------


def _frame_sums(hop_sums: np.ndarray) -> np.ndarray:
    """Sums over hops, `[hop]` -> sums over frames, `[frame]`."""
    return np.lib.stride_tricks.sliding_window_view(hop_sums, _HOPS).sum(axis=1)


def waveform_features(padded: np.ndarray, *, first: bool, last: bool) -> np.ndarray:
    """Root mean square and zero-crossing rate of each frame.

    Args:
        padded: float32 `[sample]`, complete frames of a signal padded by `ml.spectral.framing`.
        first: `padded` begins with the left padding, where no crossing is counted.
        last: `padded` ends with the right padding, where no crossing is counted.

    Returns:
        float64 `[frame, 2]`: RMS as a share of full scale, and sign changes per sample.
    """
    if len(padded) < N_FFT:
        return np.zeros((0, 2))
    whole = len(padded) // HOP * HOP
    hops = padded[:whole].reshape(-1, HOP)
    rms = np.sqrt(_frame_sums(np.vecdot(hops, hops)) / N_FFT)
    negative = padded < -_ZERO
    crossing = np.zeros(len(padded), dtype=bool)
    np.not_equal(negative[1:], negative[:-1], out=crossing[1:])
    if first:
        crossing[: N_FFT // 2 + 1] = False
    if last:
        crossing[len(crossing) - N_FFT // 2 :] = False
    byte_counts = np.bitwise_count(np.packbits(crossing[:whole]))  # of 8 samples each
    counts = _frame_sums(byte_counts.reshape(-1, HOP // 8).sum(axis=1, dtype=np.int64))
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

    Moments of groups of 41 bins are taken in float32 about the middle of the group, and combined in
    float64. This keeps the precision for a pure tone, where the second moment minus the squared
    first moment would lose half of its digits.

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
    # Roll-off: find the group in which the share is reached, then the bin in that group.
    cumulative = mass.cumsum(axis=1)
    target = ROLLOFF * cumulative[:, -1]
    group = np.minimum((cumulative < target[:, None]).sum(axis=1), mass.shape[1] - 1)
    rows = np.arange(len(mass))
    below = cumulative[rows, group] - mass[rows, group]
    inside = groups.numpy()[rows, group].cumsum(axis=1, dtype=np.float64)
    bins_below = (inside < (target - below)[:, None]).sum(axis=1)
    rolloff = group * _GROUP + np.minimum(bins_below, _GROUP - 1)
    return np.stack([centroid, bandwidth, rolloff], axis=1) * (sample_rate / N_FFT)


@lru_cache(maxsize=8)
def _mel_filters(sample_rate: int) -> FilterBank:
    """Mel filters with Slaney's scale and norm (Auditory Toolbox, 1998)."""
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
    """Power in Slaney mel bands, dB re 1.0: `[frame, bin]` -> float32 `[frame, mel]`."""
    return _mel_filters(sample_rate)(power).clamp_min_(_MEL_AMIN).log10_().mul_(10.0)


@lru_cache(maxsize=1)
def _dct_matrix() -> torch.Tensor:
    """Orthonormal DCT-II: float32 `[mel, coefficient]`."""
    return torch.from_numpy(dct(np.eye(N_MELS), axis=1, norm="ortho")[:, :N_MFCC]).float()


def mfcc_of(decibels: torch.Tensor) -> np.ndarray:
    """Mel-frequency cepstral coefficients: `[frame, mel]` dB -> float32 `[frame, coefficient]`."""
    return (decibels @ _dct_matrix()).numpy()
