"""Figures that compare a generated sound with its source: what remains of it, and what changed."""

from dataclasses import dataclass

import numpy as np
import torch

from melgraph.ml.audio import check_sound, resample, to_mono
from melgraph.ml.audio.loudness import loudness_lufs, true_peak_db
from melgraph.ml.features.chroma import chroma_of, estimate_tuning
from melgraph.ml.features.tempo import onset_strength
from melgraph.ml.metrics.reconstruction import log_spectral_distance_db
from melgraph.ml.spectral import MelTransform, log_mel, power_of, stft

OCTAVE_BANDS_HZ = (31.5, 63.0, 125.0, 250.0, 500.0, 1000.0, 2000.0, 4000.0, 8000.0, 16_000.0)
"""Centres of the octave bands, Hz (IEC 61260, base 2 around 1 kHz; 31.5 and 63 are nominal)."""

COMMON_RATE = 22_050  # Hz, at which both sounds are compared, unless one of them has a lower rate
N_FFT, HOP = 2048, 512
RANGE_DB = 80.0  # levels further below the loudest bin of the source count as its floor

_CLIPPED = 0.999  # magnitudes from here on count as full scale
_CLIPPED_RUN = 3  # consecutive samples at full scale; a normalised peak is one
_SILENT_DB = -60.0  # RMS of a silent window, dB re full scale
_WINDOW_S = 0.05  # of the silence measure
_QUIET_FRAME_DB = 60.0  # frames of the source further below its loudest have no chroma
_FEW_FRAMES = 8  # no correlation of fewer frames
_BAND_FLOOR_DB = -100.0  # bands with less power are empty
_WELCH = 16_384  # samples: 2.7 Hz at 44,100 Hz, so that the band at 31.5 Hz has eight bins


@dataclass(frozen=True)
class Fidelity:
    """A generated sound beside its source. Figures that do not exist are None.

    Attributes:
        chroma_correlation: Pearson correlation of both chromagrams, over all frames and pitch
            classes: whether the harmony remains. 1 for the source itself.
        onset_correlation: Pearson correlation of the onset strengths: whether the rhythm remains.
        log_spectral_distance_db: RMS difference of the levels of a frame, mean over frames, dB.
            Both sounds are brought to the same power first, so that a gain alone is no distance.
        clipping_share: share of the samples of the generated sound that are clipped.
        silence_share: share of its windows of 50 ms that are below -60 dBFS.
        loudness_lufs: of the generated sound.
        loudness_difference_lu: loudness of the generated sound minus that of the source.
        true_peak_db: of the generated sound, dB re full scale.
        octave_difference_db: for each of `OCTAVE_BANDS_HZ`, its level minus that of the source, dB;
            None for bands that one of the rates does not have, or that are empty in the source.
    """

    chroma_correlation: float | None
    onset_correlation: float | None
    log_spectral_distance_db: float | None
    clipping_share: float
    silence_share: float
    loudness_lufs: float | None
    loudness_difference_lu: float | None
    true_peak_db: float
    octave_difference_db: tuple[float | None, ...]


def compare(
    source: np.ndarray, source_rate: int, generated: np.ndarray, generated_rate: int
) -> Fidelity:
    """All figures of a generated sound.

    Correlations and the log-spectral distance are those of the mono sounds at 22,050 Hz, or at the
    lower of both rates if that is less. The longer sound is cut to the length of the shorter one.

    Args:
        source: float32 `[sample, channel]`, full scale 1.0.
        source_rate: Hz.
        generated: float32 `[sample, channel]`.
        generated_rate: Hz.

    Raises:
        UserError: a sound has another shape, no samples, or values that are not finite.
    """
    for name, sound, its_rate in (
        ("the source", source, source_rate),
        ("the generated sound", generated, generated_rate),
    ):
        check_sound(sound, its_rate, name, where="fidelity of a generated sound")
    rate = min(COMMON_RATE, source_rate, generated_rate)
    first = resample(to_mono(np.asarray(source, np.float32)), source_rate, rate)
    second = resample(to_mono(np.asarray(generated, np.float32)), generated_rate, rate)
    length = min(len(first), len(second))
    spectra = [stft(mono[:length], n_fft=N_FFT, hop=HOP) for mono in (first, second)]
    loudness = loudness_lufs(generated, generated_rate)
    before = loudness_lufs(source, source_rate)
    return Fidelity(
        chroma_correlation=_chroma_correlation(*spectra, rate=rate),
        onset_correlation=_onset_correlation(*spectra, rate=rate),
        log_spectral_distance_db=spectral_distance_db(*spectra),
        clipping_share=clipping_share(generated),
        silence_share=silence_share(generated, generated_rate),
        loudness_lufs=loudness,
        loudness_difference_lu=None if loudness is None or before is None else loudness - before,
        true_peak_db=true_peak_db(generated, generated_rate),
        octave_difference_db=_octave_differences(
            octave_levels_db(source, source_rate), octave_levels_db(generated, generated_rate)
        ),
    )


def spectral_distance_db(source: torch.Tensor, generated: torch.Tensor) -> float | None:
    """Log-spectral distance of two STFTs at the same power.

    Levels more than 80 dB below the loudest bin of the source count as that floor, in both.

    Args:
        source: complex64 `[bin, frame]`.
        generated: the same shape.

    Returns:
        dB; None if one of both is silent.
    """
    amplitudes = [spectrum.T.abs().numpy().astype(np.float64) for spectrum in (source, generated)]
    powers = [float(np.square(amplitude).sum()) for amplitude in amplitudes]
    if min(powers) <= 0.0:
        return None
    return log_spectral_distance_db(
        amplitudes[0], amplitudes[1] * np.sqrt(powers[0] / powers[1]), range_db=RANGE_DB
    )


def clipping_share(samples: np.ndarray) -> float:
    """Share of the samples that are in a run of three or more at full scale, in one channel.

    Args:
        samples: float `[sample, channel]`, full scale 1.0.
    """
    full = np.asarray(np.abs(samples) >= _CLIPPED)
    if len(samples) < _CLIPPED_RUN:
        return 0.0
    windows = np.lib.stride_tricks.sliding_window_view(full, _CLIPPED_RUN, axis=0)
    runs = np.asarray(windows.all(axis=-1))
    clipped = np.zeros_like(full)
    for shift in range(_CLIPPED_RUN):
        clipped[shift : shift + runs.shape[0]] |= runs
    return float(clipped.mean())


def silence_share(samples: np.ndarray, rate: int) -> float:
    """Share of the windows of 50 ms whose RMS is below -60 dB re full scale.

    Args:
        samples: float `[sample, channel]`, full scale 1.0.
        rate: Hz.
    """
    size = max(1, min(len(samples), round(_WINDOW_S * rate)))
    count = len(samples) // size
    windows = samples[: count * size].reshape(count, -1)
    power = np.mean(np.square(windows, dtype=np.float64), axis=1)
    return float(np.mean(power < 10.0 ** (_SILENT_DB / 10.0)))


def octave_levels_db(samples: np.ndarray, rate: int) -> np.ndarray:
    """The power in each octave band, mean over channels.

    Args:
        samples: float `[sample, channel]`, full scale 1.0.
        rate: Hz.

    Returns:
        float64 `[band]`, dB re a power of 1, in the order of `OCTAVE_BANDS_HZ`; NaN for bands whose
        centre is not below half the rate.
    """
    from scipy.signal import welch

    size = min(_WELCH, len(samples))
    hertz, density = welch(
        samples.astype(np.float64), rate, nperseg=size, detrend=False, axis=0
    )  # [frequency, channel]
    power = density.mean(axis=1) * (hertz[1] if len(hertz) > 1 else 1.0)
    levels = np.full(len(OCTAVE_BANDS_HZ), np.nan)
    for band, centre in enumerate(OCTAVE_BANDS_HZ):
        if centre < rate / 2:
            inside = (hertz >= centre / np.sqrt(2)) & (hertz < centre * np.sqrt(2))
            levels[band] = 10.0 * np.log10(max(float(power[inside].sum()), 1e-20))
    return levels


def _octave_differences(source: np.ndarray, generated: np.ndarray) -> tuple[float | None, ...]:
    """Level minus the source's, no lower than the floor of both."""
    pairs = zip(source, np.maximum(generated, _BAND_FLOOR_DB), strict=True)
    return tuple(
        float(after - before) if before > _BAND_FLOOR_DB and not np.isnan(after) else None
        for before, after in pairs
    )


def _chroma_correlation(
    source: torch.Tensor, generated: torch.Tensor, *, rate: int
) -> float | None:
    """Over the frames in which the source is not silent, both with the source's tuning."""
    powers = [power_of(spectrum.T.contiguous()) for spectrum in (source, generated)]
    energy = powers[0].sum(dim=1).numpy()
    audible = energy > energy.max() * 10.0 ** (-_QUIET_FRAME_DB / 10.0)
    tuning = estimate_tuning(powers[0].numpy(), sample_rate=rate)
    chromas = [chroma_of(power, sample_rate=rate, tuning=tuning)[audible] for power in powers]
    return _correlation(*chromas)


def _onset_correlation(source: torch.Tensor, generated: torch.Tensor, *, rate: int) -> float | None:
    transform = MelTransform(sample_rate=rate, n_fft=N_FFT, hop=HOP, f_max=rate / 2)
    decibels = [log_mel(spectrum, transform) for spectrum in (source, generated)]
    # changes of the level below the range of a sound are no onsets
    floored = [np.maximum(levels, levels.max() - RANGE_DB) for levels in decibels]
    onsets = [onset_strength(levels) for levels in floored]
    return _correlation(*onsets)


def _correlation(first: np.ndarray, second: np.ndarray) -> float | None:
    """Pearson correlation of all values; None for few frames, or where one of both is constant."""
    if len(first) < _FEW_FRAMES:
        return None
    a = first.astype(np.float64).ravel() - float(first.mean(dtype=np.float64))
    b = second.astype(np.float64).ravel() - float(second.mean(dtype=np.float64))
    norm = float(np.sqrt((a @ a) * (b @ b)))
    return float(np.clip(a @ b / norm, -1.0, 1.0)) if norm > 1e-12 else None
