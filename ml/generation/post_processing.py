"""Post-processing of a generated sound: the named steps of a recipe, in the order of the recipe."""

import math
from collections.abc import Callable, Sequence
from typing import Any, assert_never

import numpy as np
import torch
from scipy.ndimage import minimum_filter1d, uniform_filter
from scipy.signal import butter, get_window, sosfiltfilt

from melgraph.ml.audio import check_sound
from melgraph.ml.audio.loudness import loudness_lufs, true_peak_db, true_peak_envelope
from melgraph.ml.errors import UserError
from melgraph.ml.specs.methods.post_processing import (
    Fades,
    HighPass,
    Loudness,
    PostStep,
    SpectralGate,
    TruePeakLimiter,
)
from melgraph.ml.spectral import istft, stft

_GATE_S = 0.046  # window of the spectral gate, seconds: 2048 samples at 44,100 Hz
_GATE_SMOOTHING = (5, 3)  # bins and frames over which the gain of the gate is averaged
_GATE_KNEE_DB = 3.0  # the gain of the gate rises from 12 % to 88 % within +- 2 knees
_SILENT_DB = -140.0  # floor of the levels that the gate compares
_ROUNDS = 8  # how often the limiter measures and corrects its own result

Facts = dict[str, Any]


def apply(
    samples: np.ndarray, rate: int, steps: Sequence[PostStep]
) -> tuple[np.ndarray, list[Facts]]:
    """Apply the steps one after the other.

    All channels get the same gains, so that the stereo image is preserved. Nothing is clipped: if
    the result exceeds full scale, all of it is attenuated at the end, and the last entry of the
    facts says by how much. Nothing is random.

    Args:
        samples: float `[sample, channel]`, full scale 1.0.
        rate: Hz.
        steps: of a recipe.

    Returns:
        float32 `[sample, channel]`, peak at most 1, and one table per step: its name as `step`, and
        what it measured.

    Raises:
        UserError: samples of another shape or not finite; a cutoff that the rate does not have.
    """
    check_sound(samples, rate, "the sound", where="post-processing")
    sound, facts = np.asarray(samples, np.float32), list[Facts]()
    for number, step in enumerate(steps, start=1):
        sound, measured = _function_of(step)(sound, rate, f"post-processing, step {number}")
        facts.append({"step": step.step, **measured})
    peak = float(np.abs(sound).max())
    if peak > 1.0:
        sound = np.clip(sound / np.float32(peak), -1.0, 1.0)  # the clip removes rounding errors
        facts.append({"step": "full_scale", "gain_db": _decibels(1.0 / peak)})
    return sound, facts


_Function = Callable[[np.ndarray, int, str], tuple[np.ndarray, Facts]]


def _function_of(step: PostStep) -> _Function:
    match step:
        case HighPass():
            return lambda samples, rate, where: _high_pass(samples, rate, step, where)
        case SpectralGate():
            return lambda samples, rate, _: _spectral_gate(samples, rate, step)
        case Loudness():
            return lambda samples, rate, _: _normalise_loudness(samples, rate, step)
        case TruePeakLimiter():
            return lambda samples, rate, _: _limit(samples, rate, step)
        case Fades():
            return lambda samples, rate, _: _fade(samples, rate, step)
        case _:
            assert_never(step)


def _high_pass(
    samples: np.ndarray, rate: int, step: HighPass, where: str
) -> tuple[np.ndarray, Facts]:
    """A Butterworth filter forwards and backwards: zero phase, and twice its attenuation."""
    if step.cutoff_hz >= rate / 2:
        raise UserError(
            f"a high-pass at {step.cutoff_hz:g} Hz, but a sound sampled at {rate} Hz has no "
            f"frequencies above {rate / 2:g} Hz",
            where=where,
            remedy="give a lower cutoff_hz",
        )
    sections = butter(step.order, step.cutoff_hz, "highpass", fs=rate, output="sos")
    padding = min(len(samples) - 1, int(3 * rate / step.cutoff_hz))  # the filter settles in it
    filtered = sosfiltfilt(sections, samples.astype(np.float64), axis=0, padlen=padding)
    before, after = _power(samples), _power(filtered)
    removed = 1.0 - after / before if before > 0 else 0.0
    return filtered.astype(np.float32), {"removed_share_of_power": round(max(0.0, removed), 6)}


def _spectral_gate(samples: np.ndarray, rate: int, step: SpectralGate) -> tuple[np.ndarray, Facts]:
    """A stationary spectral gate: the noise floor of each bin is a percentile of its levels.

    The gain is computed from the power of all channels together, falls smoothly around the
    threshold, and is averaged over neighbouring bins and frames against musical noise.
    """
    n_fft = 2 ** max(6, round(math.log2(_GATE_S * rate)))
    hop = n_fft // 4
    spectra = [stft(channel, n_fft=n_fft, hop=hop) for channel in np.ascontiguousarray(samples.T)]
    power = torch.stack([spectrum.abs().square() for spectrum in spectra]).mean(dim=0).numpy()
    level = 10.0 * np.log10(np.maximum(power, 10.0 ** (_SILENT_DB / 10.0)))  # [bin, frame]
    floor = np.percentile(level, step.percentile, axis=1, keepdims=True)
    excess = (level - floor - step.above_floor_db) / _GATE_KNEE_DB
    opening = uniform_filter(1.0 / (1.0 + np.exp(-np.clip(excess, -50.0, 50.0))), _GATE_SMOOTHING)
    gain_db = -step.reduction_db * (1.0 - np.clip(opening, 0.0, 1.0))
    gain = torch.from_numpy((10.0 ** (gain_db / 20.0)).astype(np.float32))
    gated = [istft(s * gain, n_fft=n_fft, hop=hop, length=len(samples)) for s in spectra]
    return np.stack(gated, axis=1), {"mean_reduction_db": round(float(-gain_db.mean()), 2)}


def _normalise_loudness(samples: np.ndarray, rate: int, step: Loudness) -> tuple[np.ndarray, Facts]:
    """One gain for the whole sound. What has no loudness (silence, under 0.4 s) is not changed."""
    before = loudness_lufs(samples, rate)
    if before is None:
        return samples, {"before_lufs": None, "after_lufs": None, "gain_db": 0.0}
    gain_db = min(step.target_lufs - before, step.max_gain_db)
    scaled = samples * np.float32(10.0 ** (gain_db / 20.0))
    facts = {"before_lufs": before, "after_lufs": before + gain_db, "gain_db": gain_db}
    return scaled, {key: round(value, 2) for key, value in facts.items()}


def _limit(samples: np.ndarray, rate: int, step: TruePeakLimiter) -> tuple[np.ndarray, Facts]:
    """A look-ahead limiter: the gain falls before a peak, and rises slowly after it.

    A gain that changes moves the peaks between the samples a little. The result is therefore
    measured again, and the gain computed for a ceiling that is lower by the excess.
    """
    before = true_peak_db(samples, rate)
    envelope = true_peak_envelope(samples, rate)
    ceiling_db, limited, gain_db = step.ceiling_db, samples, np.zeros(len(samples))
    for _ in range(_ROUNDS):
        gain_db = _limiter_gain_db(envelope, rate, step, ceiling_db)
        limited = samples * (10.0 ** (gain_db / 20.0)).astype(np.float32)[:, None]
        excess = true_peak_db(limited, rate) - step.ceiling_db
        if excess <= 0.0:
            break
        ceiling_db -= excess + 1e-3
    else:  # one gain for all cannot miss the ceiling
        limited = limited * np.float32(10.0 ** (-(excess + 1e-3) / 20.0))
    return limited, {
        "before_db": round(before, 2),
        "after_db": round(true_peak_db(limited, rate), 2),
        "largest_reduction_db": round(float(-gain_db.min(initial=0.0)), 2),
    }


def _limiter_gain_db(
    envelope: np.ndarray, rate: int, step: TruePeakLimiter, ceiling_db: float
) -> np.ndarray:
    """The gain of each sample, never above what its true peak allows: float64 `[sample]`, dB."""
    ahead = max(1, round(step.lookahead_ms * rate / 1000))
    allowed = np.minimum(0.0, ceiling_db - 20.0 * np.log10(np.maximum(envelope, 1e-10)))
    padded = np.concatenate([np.zeros(ahead), allowed])
    # the minimum over each sample and the `ahead` samples after it
    lowest = minimum_filter1d(
        padded, ahead + 1, mode="constant", cval=0.0, origin=-((ahead + 1) // 2)
    )
    rise = step.release_db_s / rate * np.arange(len(padded))
    released = np.minimum.accumulate(lowest - rise) + rise  # rises at most by the release
    window = get_window("hann", ahead + 3, fftbins=False)[1:-1]
    smooth = np.convolve(released, window / window.sum(), mode="full")[
        ahead : ahead + len(envelope)
    ]
    return np.minimum(smooth, 0.0)


def _fade(samples: np.ndarray, rate: int, step: Fades) -> tuple[np.ndarray, Facts]:
    """Half a period of a cosine at either end, each at most half of the sound."""
    faded, half = samples.copy(), len(samples) // 2
    into = min(round(step.in_ms * rate / 1000), half)
    out = min(round(step.out_ms * rate / 1000), half)
    faded[:into] *= _ramp(into)
    faded[len(faded) - out :] *= _ramp(out)[::-1]
    milliseconds = {"in_ms": 1000 * into / rate, "out_ms": 1000 * out / rate}
    return faded, {key: round(value, 2) for key, value in milliseconds.items()}


def _ramp(length: int) -> np.ndarray:
    phase = np.arange(length) / max(1, length)  # the first sample is silent
    ramp: np.ndarray = (0.5 - 0.5 * np.cos(np.pi * phase)).astype(np.float32)[:, None]
    return ramp


def _power(samples: np.ndarray) -> float:
    return float(np.mean(np.square(samples, dtype=np.float64)))


def _decibels(factor: float) -> float:
    return round(20.0 * float(np.log10(factor)), 2)
