"""From a spectrogram back to sound: with a given phase, or with an estimated one.

>>> import numpy as np
>>> from melgraph.ml.generation.inversion import invert
>>> from melgraph.ml.spectral import stft
>>> tone = np.sin(2 * np.pi * 440 * np.arange(22_050) / 22_050).astype(np.float32)  # 1 s
>>> amplitude = stft(tone, n_fft=2048, hop=256).abs().numpy().T
>>> invert(amplitude, n_fft=2048, hop=256, length=len(tone)).shape
(22050,)

Without a phase, it is estimated by phase gradient heap integration and improved by fast
Griffin-Lim (`ml.generation.reconstruction`). The result sounds like the original, but its samples
differ: an amplitude does not say where a period begins. docs/results/inversion.md has the figures.
"""

from typing import Literal, get_args

import numpy as np

from melgraph.ml.errors import UserError
from melgraph.ml.generation.reconstruction.griffin_lim import (
    FixedAmplitude,
    fast_griffin_lim,
    frames_of,
)
from melgraph.ml.generation.reconstruction.mel_power import MelInverse, bin_power
from melgraph.ml.generation.reconstruction.phase_gradient import (
    phase_from_amplitude,
    random_phase,
)
from melgraph.ml.spectral import MelTransform, MfccTransform, StftTransform, log_mel_from_mfcc

Method = Literal["phase-gradient", "random-phase"]
ITERATIONS = 8  # of fast Griffin-Lim, where no phase is given
MOMENTUM = 0.99  # of Perraudin et al. 2013; above 1, the search diverges
OVERLAP = 8  # windows over each sample, wherever a sound must come back: hop = n_fft / OVERLAP

_LOUDEST_DB = 300.0  # re 1.0; a full-scale sine has 54 dB with 2048 samples a window
# float16 stores the first MFCC of silence in steps that change the level by up to this much.
_MFCC_STEP_DB = 0.1


def invert(
    amplitude: np.ndarray,
    *,
    n_fft: int,
    hop: int,
    length: int | None = None,
    phase: np.ndarray | None = None,
    iterations: int | None = None,
    momentum: float = MOMENTUM,
    method: Method = "phase-gradient",
    seed: int = 0,
) -> np.ndarray:
    """A sound with the amplitudes of an STFT as `ml.spectral.stft` computes it.

    Args:
        amplitude: `[frame, bin]`, |D|, linear and not negative.
        n_fft: length of the periodic Hann window, samples.
        hop: samples between frames, at most half a window. An eighth of it sounds best; above a
            quarter, the last samples of a sound may be in the fading end of a window only.
        length: of the sound, samples. Absent: from the centre of the first frame to that of the
            last one.
        phase: `[frame, bin]`, radians: the original or a modified phase. Absent: it is estimated.
        iterations: of fast Griffin-Lim. Absent: 8, and none for a given phase.
        momentum: of fast Griffin-Lim, 0 to 1.
        method: the first phase where none is given. "random-phase" is that of Griffin and Lim.
        seed: of random phases. Equal arguments give equal bytes.

    Returns:
        float32 `[length]`; silence for an amplitude of 0.

    Raises:
        UserError: shapes or values do not fit together, or are not finite.
    """
    _check_window(n_fft, hop)
    amplitude = _checked(amplitude, "amplitude", n_fft)
    if amplitude.min() < 0.0:
        raise UserError(
            f"the lowest amplitude is {amplitude.min():.4g}",
            where="amplitude",
            remedy="give linear amplitudes, not decibels: 10 ** (dB / 20) for amplitudes in dB",
        )
    is_whole = length is not None
    length = (len(amplitude) - 1) * hop if length is None else length
    _check_length(len(amplitude), length, n_fft, hop)
    if phase is not None:
        phase = _checked(phase, "phase", n_fft)
        if phase.shape != amplitude.shape:
            raise UserError(
                f"a phase of shape {phase.shape} for an amplitude of shape {amplitude.shape}",
                where="phase",
                remedy="give the phase of the same frames and bins",
            )
    iterations = (ITERATIONS if phase is None else 0) if iterations is None else iterations
    _check_search(iterations, momentum, method)
    largest = float(amplitude.max())
    if largest == 0.0:
        return np.zeros(length, np.float32)
    shares = amplitude / np.float32(largest)
    if phase is None:
        generator = np.random.default_rng(seed)
        phase = (
            random_phase(shares.shape, generator)
            if method == "random-phase"
            else phase_from_amplitude(shares, n_fft=n_fft, hop=hop, generator=generator)
        )
    target = FixedAmplitude(shares, n_fft=n_fft, hop=hop, length=length, is_whole=is_whole)
    sound = fast_griffin_lim(
        target, target.with_phase(phase), iterations=iterations, momentum=momentum
    )
    return sound * np.float32(largest)


def invert_stored(
    values: np.ndarray,
    transform: StftTransform | MelTransform | MfccTransform,
    *,
    length: int | None = None,
    phase: np.ndarray | None = None,
    iterations: int | None = None,
    momentum: float = MOMENTUM,
    method: Method = "phase-gradient",
    mel_inverse: MelInverse = "multiplicative",
    seed: int = 0,
) -> np.ndarray:
    """A sound from the values of a track in a spectrogram store.

    Args:
        values: `[frame, bin]`, `[frame, mel]` or `[frame, coefficient]`, as they are stored.
        transform: of the store; `ml.representations.registry.from_attributes` rebuilds it.
        length: as for `invert`, samples at `transform.sample_rate`.
        phase: as for `invert`; a store of STFTs has it in `phase`.
        iterations: as for `invert`.
        momentum: as for `invert`.
        method: as for `invert`.
        mel_inverse: how mel bands become bins; see `ml.generation.reconstruction.mel_power`.
        seed: as for `invert`.

    Returns:
        float32 `[length]` at `transform.sample_rate`.

    Raises:
        UserError: shapes or values do not fit together, or are not finite.
    """
    return invert(
        stored_amplitude(values, transform, mel_inverse=mel_inverse),
        n_fft=transform.n_fft,
        hop=transform.hop,
        length=length,
        phase=phase,
        iterations=iterations,
        momentum=momentum,
        method=method,
        seed=seed,
    )


def stored_amplitude(
    values: np.ndarray,
    transform: StftTransform | MelTransform | MfccTransform,
    *,
    mel_inverse: MelInverse = "multiplicative",
) -> np.ndarray:
    """The STFT amplitude of values in a spectrogram store. Values at the floor stand for silence.

    Args:
        values: as for `invert_stored`.
        transform: of the store.
        mel_inverse: as for `invert_stored`.

    Returns:
        float32 `[frame, bin]`, linear: exact from an STFT, an estimate from mel bands, and a smooth
        estimate from MFCC.

    Raises:
        UserError: the values have another shape, are not finite, or are beyond the range of audio.
    """
    if mel_inverse not in get_args(MelInverse):
        raise UserError(
            f"unknown inverse of the mel filters {mel_inverse!r}",
            where="mel_inverse",
            remedy=f"use one of {', '.join(get_args(MelInverse))}",
        )
    name, columns = _columns_of(transform)
    values = np.asarray(values)
    if values.ndim != 2 or values.shape[1] != columns or len(values) == 0:
        raise UserError(
            f"values of shape {values.shape}, for {type(transform).__name__}",
            where="values",
            remedy=f"give [frame, {columns}]: {columns} {name} per frame, and at least one frame",
        )
    decibels, floor_db = values.astype(np.float32), transform.floor_db
    if isinstance(transform, MfccTransform):
        _check_finite(decibels, "values")
        decibels = log_mel_from_mfcc(decibels, transform)
        transform, floor_db = transform.mel, floor_db + _MFCC_STEP_DB
    _check_finite(decibels, "values")
    if decibels.max() > _LOUDEST_DB:
        raise UserError(
            f"a level of {decibels.max():.4g} dB is beyond all audio",
            where="values",
            remedy="give decibels re 1.0, as they are stored, not linear amplitudes",
        )
    is_audible = decibels > floor_db
    silenced = np.where(is_audible, decibels, np.float32(-np.inf))
    if isinstance(transform, StftTransform):
        return np.power(np.float32(10.0), silenced / 20, dtype=np.float32)
    power = np.power(np.float32(10.0), silenced / 10, dtype=np.float32)
    amplitude: np.ndarray = np.sqrt(bin_power(power, transform, inverse=mel_inverse))
    return amplitude


def _columns_of(transform: StftTransform | MelTransform | MfccTransform) -> tuple[str, int]:
    """What a frame of a representation holds, and how many."""
    if isinstance(transform, StftTransform):
        return "bins", transform.n_bins
    if isinstance(transform, MelTransform):
        return "mel bands", transform.n_mels
    return "coefficients", transform.n_mfcc


def _check_window(n_fft: int, hop: int) -> None:
    if n_fft < 2 or n_fft % 2 or not 1 <= hop <= n_fft // 2:
        raise UserError(
            f"n_fft {n_fft} and hop {hop}",
            where="n_fft and hop",
            remedy="n_fft must be even, and the hop 1 to half of it: otherwise windows leave gaps",
        )


def _checked(array: np.ndarray, name: str, n_fft: int) -> np.ndarray:
    """The array as contiguous float32, if it is finite and of the shape `[frame, bin]`."""
    array, n_bins = np.asarray(array), n_fft // 2 + 1
    if array.ndim != 2 or array.shape[1] != n_bins or len(array) == 0:
        raise UserError(
            f"the {name} has the shape {array.shape}",
            where=name,
            remedy=f"give [frame, {n_bins}] for n_fft = {n_fft}, and at least one frame",
        )
    with np.errstate(over="ignore"):  # an overflow is infinite, and refused
        array = np.ascontiguousarray(array, dtype=np.float32)
    _check_finite(array, name)
    return array


def _check_finite(array: np.ndarray, name: str) -> None:
    if not np.isfinite(array).all():
        raise UserError(
            f"{int((~np.isfinite(array)).sum())} of {array.size} values are not finite",
            where=name,
            remedy="find the step that computed them",
        )


def _check_length(n_frames: int, length: int, n_fft: int, hop: int) -> None:
    expected = frames_of(length, n_fft=n_fft, hop=hop)
    if length < 0 or expected != n_frames:
        fewest = frames_of(0, n_fft=n_fft, hop=hop)
        raise UserError(
            f"{n_frames} frames for {length} samples, which have {expected}",
            where="length",
            remedy=f"give the number of samples that the spectrogram was computed from; with n_fft "
            f"{n_fft} and hop {hop}, even the shortest sound has {fewest} frames",
        )


def _check_search(iterations: int, momentum: float, method: str) -> None:
    if iterations < 0 or not 0.0 <= momentum <= 1.0:
        raise UserError(
            f"iterations {iterations}, momentum {momentum}",
            where="iterations and momentum",
            remedy="iterations must be 0 or more, and the momentum 0 to 1",
        )
    if method not in get_args(Method):
        raise UserError(
            f"unknown method {method!r}",
            where="method",
            remedy=f"use one of {', '.join(get_args(Method))}",
        )
