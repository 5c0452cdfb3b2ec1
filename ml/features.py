"""Tabular features of a track, as librosa 0.11 computes them, from the one shared STFT.

Chroma, centroid, bandwidth, roll-off and MFCC come from a single spectrum, RMS and zero crossings
from the waveform. The columns are those of the feature table published with GTZAN
(harmonic/percussive and tempo left out), plus each chroma bin by itself.

The ends are padded by reflection, as in `ml.spectral.stft` and in librosa up to 0.9. The published
table was made that way (it agrees to 0.006 %); librosa 0.10 and later pad with zeros unless told
`pad_mode="reflect"`, which moves a mean near zero over 30 s by up to 6 %.
"""

from functools import lru_cache

import numpy as np
import torch
import torchaudio
from scipy.fft import dct

N_FFT = 2048  # samples: 93 ms at 22050 Hz; also the frame of RMS and zero crossings
HOP = 512  # samples: 23 ms at 22050 Hz
N_MELS = 128
N_MFCC = 20
ROLLOFF = 0.85  # share of the magnitude below the roll-off frequency
TOP_DB = 80.0  # MFCC: mel bands further below the loudest are raised to this distance
PITCHES = ("c", "c_sharp", "d", "d_sharp", "e", "f", "f_sharp", "g", "g_sharp", "a", "a_sharp", "b")

_ZERO = 1e-10  # samples no further from zero count as zero (and as positive): librosa's threshold
_TINY = float(np.finfo(np.float32).tiny)  # frames with less than this are not normalised
_PITCH_RANGE_HZ = (150.0, 4000.0)  # where the tuning is looked for: librosa.piptrack's defaults
_PITCH_THRESHOLD = 0.1  # of the strongest bin of the frame
_BLOCKS = N_FFT // HOP  # a frame is this many whole hops


def _series() -> list[tuple[str, str, str]]:
    """Every per-frame series as (name, unit suffix of its mean, unit suffix of its variance)."""
    return [
        *((f"chroma_{pitch}", "", "") for pitch in PITCHES),
        ("rms", "", ""),
        ("spectral_centroid", "_hz", "_hz2"),
        ("spectral_bandwidth", "_hz", "_hz2"),
        ("spectral_rolloff", "_hz", "_hz2"),
        ("zero_crossing_rate", "", ""),
        *((f"mfcc_{number:02d}", "", "") for number in range(1, N_MFCC + 1)),
    ]


def feature_names() -> list[str]:
    """The columns of `track_features`, in order: mean then variance of each series over frames.

    `_hz` and `_hz2` are units; RMS is a share of full scale, the zero-crossing rate crossings per
    sample, chroma relative to the strongest bin of its frame, MFCC in dB (orthonormal DCT-II).
    `chroma_stft_*` is the mean and variance over all bins and frames together.
    """
    names = ["chroma_stft_mean", "chroma_stft_var"]
    for name, mean_unit, variance_unit in _series():
        names += [f"{name}_mean{mean_unit}", f"{name}_var{variance_unit}"]
    return names


def track_features(
    mono: np.ndarray, spectrum: torch.Tensor, *, sample_rate: int
) -> dict[str, float]:
    """Mean and variance over frames of the classical features of one track.

    Args:
        mono: float32 `[sample]`, finite, full scale 1.0; any length, even none.
        spectrum: complex64 `[bin, frame]` of the same samples: `ml.spectral.stft` with n_fft 2048
            and hop 512.
        sample_rate: of `mono`, Hz.

    Returns:
        A finite value per name of `feature_names`, in that order; variances are of the population.

    Raises:
        ValueError: the spectrum was made with another n_fft.
    """
    if spectrum.ndim != 2 or spectrum.shape[0] != N_FFT // 2 + 1:
        raise ValueError(
            f"spectrum must be [bin, frame] with {N_FFT // 2 + 1} bins, got {tuple(spectrum.shape)}"
        )
    mono = mono if len(mono) else np.zeros(1, dtype=np.float32)
    # [frame, bin] is how torch.stft leaves the memory; numpy is the faster one at this
    bins = spectrum.T.contiguous().numpy()
    power = torch.from_numpy(np.square(bins.real) + np.square(bins.imag))
    chroma = _chroma(power, sample_rate=sample_rate)
    values = [chroma.mean(dtype=np.float64), chroma.var(dtype=np.float64)]
    for series in (  # in the order of `_series`
        chroma,
        _rms(mono)[:, None],
        _spectral_shape(power.sqrt(), sample_rate=sample_rate),
        _zero_crossing_rate(mono)[:, None],
        _mfcc(power, sample_rate=sample_rate),
    ):
        mean, variance = series.mean(axis=0, dtype=np.float64), series.var(axis=0, dtype=np.float64)
        values.extend(np.stack([mean, variance], axis=1).ravel())
    return dict(zip(feature_names(), map(float, values), strict=True))


# --- from the waveform -------------------------------------------------------------------------


def _frame_sums(per_sample: np.ndarray, n_samples: int) -> np.ndarray:
    """Sum over each centred frame, from sums over whole hops: `[frame]`.

    `per_sample` is `[N_FFT / 2 + n_samples + N_FFT / 2]`, padding included.
    """
    n_frames = 1 + n_samples // HOP
    n_blocks = n_frames + _BLOCKS - 1
    blocks = per_sample[: n_blocks * HOP].reshape(n_blocks, HOP).sum(axis=1)
    return np.lib.stride_tricks.sliding_window_view(blocks, _BLOCKS).sum(axis=1)


def _rms(mono: np.ndarray) -> np.ndarray:
    """Root mean square of each centred, reflect-padded frame: `[frame]`, share of full scale."""
    power = np.pad(np.square(mono), N_FFT // 2, mode="reflect")
    return np.sqrt(_frame_sums(power, len(mono)) / N_FFT)


def _zero_crossing_rate(mono: np.ndarray) -> np.ndarray:
    """Sign changes per sample of each centred, edge-padded frame: `[frame]`."""
    negative = np.pad(mono, N_FFT // 2, mode="edge") < -_ZERO
    crossing = np.zeros(len(negative), dtype=np.int32)
    crossing[1:] = negative[1:] != negative[:-1]
    counts = _frame_sums(crossing, len(mono))
    # the first sample of a frame has no predecessor inside the frame
    return (counts - crossing[: len(counts) * HOP : HOP]) / N_FFT


# --- from the spectrum -------------------------------------------------------------------------


def _frequencies(sample_rate: int) -> torch.Tensor:
    """The frequency of each bin: float64 `[bin]`, Hz."""
    return torch.arange(N_FFT // 2 + 1, dtype=torch.float64) * (sample_rate / N_FFT)


def _spectral_shape(magnitude: torch.Tensor, *, sample_rate: int) -> np.ndarray:
    """Centroid, bandwidth and roll-off: `[frame, bin]` -> float64 `[frame, 3]`, Hz."""
    frequency = _frequencies(sample_rate)
    moments = torch.stack([torch.ones_like(frequency), frequency, frequency.square()], dim=1)
    # float64: the second moment minus the squared first loses half its digits for a pure tone
    total, first, second = (magnitude.double() @ moments).T
    total = torch.where(total < _TINY, 1.0, total)
    centroid = first / total
    bandwidth = (second / total - centroid.square()).clamp_min(0.0).sqrt()
    cumulative = magnitude.cumsum(dim=1)
    reached = torch.searchsorted(cumulative, ROLLOFF * cumulative[:, -1:])[:, 0]
    return torch.stack([centroid, bandwidth, frequency[reached]], dim=1).numpy()


@lru_cache(maxsize=8)
def _mel_filters(sample_rate: int) -> torch.Tensor:
    """Slaney's mel scale and norm (Auditory Toolbox, 1998): float32 `[bin, mel]`."""
    return torchaudio.functional.melscale_fbanks(
        n_freqs=N_FFT // 2 + 1,
        f_min=0.0,
        f_max=sample_rate / 2,
        n_mels=N_MELS,
        sample_rate=sample_rate,
        norm="slaney",
        mel_scale="slaney",
    )


@lru_cache(maxsize=1)
def _dct_matrix() -> torch.Tensor:
    """Orthonormal DCT-II: float32 `[mel, coefficient]`."""
    return torch.from_numpy(dct(np.eye(N_MELS), axis=1, norm="ortho")[:, :N_MFCC]).float()


def _mfcc(power: torch.Tensor, *, sample_rate: int) -> np.ndarray:
    """Mel-frequency cepstral coefficients: `[frame, bin]` -> float32 `[frame, coefficient]`."""
    decibels = 10.0 * torch.log10((power @ _mel_filters(sample_rate)).clamp_min(1e-10))
    decibels = decibels.clamp_min(float(decibels.max()) - TOP_DB)
    return (decibels @ _dct_matrix()).numpy()


# --- chroma ------------------------------------------------------------------------------------


def _chroma(power: torch.Tensor, *, sample_rate: int) -> np.ndarray:
    """Energy of each pitch class, the strongest of a frame at 1: float32 `[frame, pitch]`."""
    tuning = estimate_tuning(power.numpy(), sample_rate=sample_rate)
    chroma = (power @ _chroma_filters(sample_rate, tuning)).numpy()
    strongest = chroma.max(axis=1, keepdims=True)
    return chroma / np.where(strongest < _TINY, np.float32(1.0), strongest)


def estimate_tuning(power: np.ndarray, *, sample_rate: int) -> float:
    """Deviation of a recording from A = 440 Hz: the commonest one among its louder spectral peaks.

    Peaks are refined by parabolic interpolation (J. O. Smith, Spectral Audio Signal Processing).

    Args:
        power: float32 `[frame, bin]`.
        sample_rate: Hz.

    Returns:
        Semitones in [-0.5, 0.5], a multiple of 0.01; 0.0 where there is no peak.
    """
    low, high = (int(np.ceil(hz * N_FFT / sample_rate)) for hz in _PITCH_RANGE_HZ)
    high = min(high, power.shape[1] - 1)
    left, middle, right = (power[:, low + step : high + step] for step in (-1, 0, 1))
    threshold = _PITCH_THRESHOLD * power.max(axis=1, keepdims=True)
    peak = np.nonzero((middle > threshold) & (middle > left) & (middle >= right))
    if not len(peak[0]):
        return 0.0
    left, middle, right = left[peak], middle[peak], right[peak]
    curvature, slope = left + right - 2 * middle, (right - left) / 2
    inside = np.abs(slope) < np.abs(curvature)  # else the vertex is more than a bin away
    shift = np.where(inside, -slope / np.where(inside, curvature, 1), 0)
    height = middle + 0.5 * slope * shift
    loud = height >= np.median(height)
    frequency = ((peak[1] + low + shift)[loud] * (sample_rate / N_FFT)).astype(np.float32)
    residual = np.mod(12 * np.log2(frequency / (440.0 / 16)), 1.0)
    residual[residual >= 0.5] -= 1.0
    counts, edges = np.histogram(residual, bins=100, range=(-0.5, 0.5))
    return round(float(edges[counts.argmax()]), 2)


@lru_cache(maxsize=128)  # a tuning is one of 101 values: 49 kB each
def _chroma_filters(sample_rate: int, tuning: float) -> torch.Tensor:
    """Gaussian bumps around each pitch class (Ellis 2007, chroma features): `[bin, pitch]`."""
    hz = np.arange(1, N_FFT) * (sample_rate / N_FFT)
    semitone = 12 * np.log2(hz / (440.0 * 2 ** (tuning / 12) / 16))
    # 0 Hz has no pitch: an octave and a half below the first bin makes it broad and weak
    semitone = np.concatenate([[semitone[0] - 18], semitone])
    width = np.concatenate([np.maximum(np.diff(semitone), 1.0), [1.0]])
    distance = np.mod(semitone - np.arange(12)[:, None] + 6 + 120, 12) - 6
    bumps = np.exp(-0.5 * (2 * distance / width) ** 2)
    bumps /= np.linalg.norm(bumps, axis=0)
    bumps *= np.exp(-0.5 * ((semitone / 12 - 5) / 2) ** 2)  # octaves around the fifth weigh most
    bumps = np.roll(bumps, -3, axis=0)  # start at C instead of A
    return torch.from_numpy(np.ascontiguousarray(bumps[:, : N_FFT // 2 + 1].T)).float()
