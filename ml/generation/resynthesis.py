"""Applies the edit of a spectrogram or its image to the sound, and leaves the rest as it was.

Inverting a mel spectrogram would lose the phase and the detail within mel bands. An edit is
therefore a *delta* in dB, which is applied as a gain to the STFT of the original file, at the
file's own sample rate. Each channel keeps its phase. Without an edit, the result is the original up
to the error of the STFT and its inverse, which is the upper limit of the SNR of every method.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from scipy.fft import next_fast_len

from melgraph.ml.audio import within_full_scale
from melgraph.ml.errors import UserError
from melgraph.ml.spectral import MelTransform, StftTransform, istft, mel_frequencies, stft

_FADE_BANDS = 4  # width of the fade of the edit beyond the edges of the mel scale, mel bands
_BLOCK = 1024  # STFT frames whose gains are computed together; a bound of the memory


@dataclass(frozen=True)
class Resynthesis:
    """A sound made by `apply_mel_delta` or `apply_rows_delta`.

    Attributes:
        samples: float32 `[sample, channel]`, peak at most 1.
        gain: the factor, at most 1, by which all samples were multiplied so that the peak is at
            most 1.
        identity_snr_db: the SNR of the original after STFT and inverse STFT without an edit: the
            upper limit of the method.
        phase_rms_rad: root mean square of the edit of the phase over all frames and bins, each
            wrapped to +- pi, radians; None if the phase was not edited. Unrelated phases have 1.81.
    """

    samples: np.ndarray
    gain: float
    identity_snr_db: float
    phase_rms_rad: float | None = None


def snr_db(reference: np.ndarray, estimate: np.ndarray) -> float:
    """Signal-to-noise ratio of an estimate in dB, computed in float64.

    Args:
        reference: `[sample]` or `[sample, channel]`, the true signal.
        estimate: the same shape.

    Returns:
        10 log10(sum reference^2 / sum (reference - estimate)^2); `inf` if they are equal, `-inf` if
        the reference is silent and the estimate is not.

    Raises:
        ValueError: the shapes differ.
    """
    if reference.shape != estimate.shape:
        raise ValueError(f"shapes differ: reference {reference.shape}, estimate {estimate.shape}")
    truth = reference.astype(np.float64)
    noise = float(np.sum((truth - estimate) ** 2))
    signal = float(np.sum(truth**2))
    if noise == 0.0:
        return float("inf")
    return 10.0 * float(np.log10(signal / noise)) if signal > 0.0 else float("-inf")


def native_window(transform: MelTransform | StftTransform, sample_rate: int) -> tuple[int, int]:
    """Window and hop of the same duration as the transform's, at another sample rate.

    The window is the next even length that is fast for the FFT (with factors 2, 3 and 5 only): 4096
    at 44,100 Hz for 2048 at 22,050 Hz. At the transform's own rate, both are the transform's own.

    Returns:
        n_fft and hop, samples.
    """
    if sample_rate == transform.sample_rate:
        return transform.n_fft, transform.hop
    ratio = sample_rate / transform.sample_rate
    n_fft = 2 * next_fast_len(max(2, round(transform.n_fft * ratio / 2)), real=True)
    return n_fft, max(1, min(round(transform.hop * ratio), n_fft // 2))


def apply_mel_delta(
    samples: np.ndarray,
    *,
    sample_rate: int,
    delta_db: np.ndarray,
    transform: MelTransform,
    max_gain_db: float,
) -> Resynthesis:
    """Applies the edit of a log-mel spectrogram to the sound that it was computed from.

    Amplitudes of the file's STFT are multiplied by 10^(delta / 20). The delta is interpolated
    linearly in time and on the mel axis, and fades to 0 dB beyond the edges of the mel scale. The
    phase does not change. All channels get the same edit, so that the stereo image is preserved.

    Args:
        samples: float32 `[sample, channel]` at the file's own rate: the stretch of audio that the
            spectrogram was computed from.
        sample_rate: the file's own rate, Hz.
        delta_db: float32 `[frame, mel]`, edited minus original log-mel spectrogram, dB.
        transform: the transform of the log-mel spectrogram.
        max_gain_db: deltas are clipped to +- this, dB.

    Raises:
        UserError: shapes, values or durations do not fit together.
    """
    _check(samples, sample_rate, delta_db, transform.n_mels, max_gain_db)
    # the number of frames of this much audio; audio shorter than half a window is padded
    at_its_rate = max(len(samples) / sample_rate * transform.sample_rate, transform.n_fft / 2)
    expected = 1 + at_its_rate / transform.hop
    _check_length(delta_db, expected, 2 + transform.n_fft / transform.hop, samples, sample_rate)
    n_fft, hop = native_window(transform, sample_rate)
    to_bins = _mel_to_bins(transform, sample_rate=sample_rate, n_fft=n_fft)

    def gains_db(delta: np.ndarray, seconds: np.ndarray) -> np.ndarray:
        return _rows_at(delta, seconds * transform.frames_per_second) @ to_bins

    return _apply_gains(samples, delta_db, gains_db, n_fft=n_fft, hop=hop, limit_db=max_gain_db,
                        sample_rate=sample_rate)  # fmt: skip


def apply_rows_delta(
    samples: np.ndarray,
    *,
    sample_rate: int,
    delta_db: np.ndarray,
    transform: StftTransform,
    frequencies: np.ndarray,
    rows_per_second: float,
    max_gain_db: float,
    turns: np.ndarray | None = None,
) -> Resynthesis:
    """Applies the edit of an image of an STFT to the sound that it was computed from.

    As `apply_mel_delta`, but the delta is interpolated linearly in time and in frequency. It is
    constant beyond the outermost centres of pixels. Turns of the phase add up over time, because an
    image of the phase shows differences between frames; a turn is the same change of frequency at
    each sample rate, so that it is scaled to the hop of the file's STFT.

    Args:
        samples: float32 `[sample, channel]` at the file's own rate.
        sample_rate: the file's own rate, Hz.
        delta_db: float32 `[column, row]`, edited minus original amplitude, dB.
        transform: the transform of the STFT.
        frequencies: of the centre of each row, Hz, ascending.
        rows_per_second: columns per second; the first one begins with the sound.
        max_gain_db: deltas are clipped to +- this, dB.
        turns: float32 `[column, row]`, edited minus original phase difference between two frames of
            the transform, radians; None if the phase stays.

    Raises:
        UserError: shapes, values or durations do not fit together.
    """
    _check(samples, sample_rate, delta_db, len(frequencies), max_gain_db)
    if turns is not None:
        _check(samples, sample_rate, turns, len(frequencies), max_gain_db)
    expected = len(samples) / sample_rate * rows_per_second
    spare = 2 + transform.n_fft / transform.sample_rate * rows_per_second
    _check_length(delta_db, expected, spare, samples, sample_rate)
    n_fft, hop = native_window(transform, sample_rate)
    bins = np.linspace(0.0, sample_rate / 2, n_fft // 2 + 1)
    places = np.interp(bins, frequencies, np.arange(len(frequencies)))

    def gains_db(delta: np.ndarray, seconds: np.ndarray) -> np.ndarray:
        # centres of columns; a frame is as wide as a hop, and the first one begins the first column
        columns = (seconds + transform.hop / transform.sample_rate / 2) * rows_per_second - 0.5
        at_frames = _rows_at(delta, columns)
        return _rows_at(at_frames.T, places).T

    turned = None
    if turns is not None:
        seconds = np.arange(len(samples) // hop + 1) * (hop / sample_rate)
        hops = hop / sample_rate * transform.sample_rate / transform.hop  # of the transform
        turned = np.cumsum(hops * gains_db(turns, seconds), axis=0, dtype=np.float64)
        turned[:, [0, -1]] = 0.0  # the lowest and the highest bin are real
    return _apply_gains(samples, delta_db, gains_db, n_fft=n_fft, hop=hop, limit_db=max_gain_db,
                        sample_rate=sample_rate, turned=turned)  # fmt: skip


def _apply_gains(
    samples: np.ndarray,
    delta_db: np.ndarray,
    gains_db: Callable[[np.ndarray, np.ndarray], np.ndarray],
    *,
    n_fft: int,
    hop: int,
    limit_db: float,
    sample_rate: int,
    turned: np.ndarray | None = None,
) -> Resynthesis:
    """The sound with its amplitudes multiplied by 10^(gain / 20), and its phase turned.

    Args:
        samples: float32 `[sample, channel]`.
        delta_db: `[frame, row]`, clipped to +- `limit_db`.
        gains_db: (clipped delta, times of frames in seconds) -> float32 `[frame, bin]`, dB.
        n_fft: of the file's STFT, samples.
        hop: of the file's STFT, samples.
        limit_db: largest gain, dB.
        sample_rate: Hz.
        turned: `[frame, bin]`, the edit of the phase, radians, not wrapped; None for no edit.
    """
    delta = np.clip(delta_db, -limit_db, limit_db).astype(np.float32)
    length = len(samples)
    edited = np.empty_like(samples, dtype=np.float32)
    identity = np.empty_like(edited)
    for channel in range(samples.shape[1]):
        spectrum = stft(samples[:, channel], n_fft=n_fft, hop=hop)  # [bin, frame]
        identity[:, channel] = istft(spectrum, n_fft=n_fft, hop=hop, length=length)
        for start in range(0, spectrum.shape[1], _BLOCK):
            frames = np.arange(start, min(start + _BLOCK, spectrum.shape[1]))
            gain_db = gains_db(delta, frames * (hop / sample_rate))  # [frame, bin]
            factors = 10.0 ** (gain_db.T / 20.0)
            if turned is not None:
                factors = factors * np.exp(1j * turned[frames].T).astype(np.complex64)
            spectrum[:, start : start + _BLOCK] *= torch.from_numpy(factors)
        edited[:, channel] = istft(spectrum, n_fft=n_fft, hop=hop, length=length)
    fitted, gain = within_full_scale(edited)
    return Resynthesis(
        samples=fitted,
        gain=gain,
        identity_snr_db=snr_db(samples, identity),
        phase_rms_rad=None if turned is None else _rms_of_angles(turned),
    )


def _rms_of_angles(angles: np.ndarray) -> float:
    """Root mean square of angles in radians, each wrapped to +- pi."""
    wrapped = np.mod(angles + np.pi, 2 * np.pi) - np.pi
    return float(np.sqrt(np.mean(np.square(wrapped))))


def _rows_at(delta: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Rows of delta at fractional positions, linearly interpolated; the last row is repeated."""
    at = np.clip(at, 0, len(delta) - 1)
    left = np.floor(at).astype(np.int64)
    right = np.minimum(left + 1, len(delta) - 1)
    weight = (at - left).astype(np.float32)[:, None]
    return (1 - weight) * delta[left] + weight * delta[right]


def _mel_to_bins(transform: MelTransform, *, sample_rate: int, n_fft: int) -> np.ndarray:
    """Interpolation weights from mel bands to linear-frequency bins: float32 `[mel, bin]`.

    The values of the outermost bands extend to the edges of the mel scale, and fade out from there.
    """

    def mel(hertz: np.ndarray) -> np.ndarray:
        return 1127.01048 * np.log1p(hertz / 700.0)

    centres = mel(mel_frequencies(transform).astype(np.float64))
    bins = mel(np.linspace(0.0, sample_rate / 2, n_fft // 2 + 1))
    low, high = mel(np.array([transform.f_min, transform.f_max]))
    fade = _FADE_BANDS * (high - low) / (transform.n_mels + 1)
    knots = np.concatenate([[low - fade, low], centres, [high, high + fade]])
    heights = np.zeros((transform.n_mels, len(knots)))
    heights[:, 2:-2] = np.eye(transform.n_mels)
    heights[0, 1] = heights[-1, -2] = 1.0  # the outermost knots remain 0, for the fade
    return np.stack([np.interp(bins, knots, row) for row in heights]).astype(np.float32)


def _check(
    samples: np.ndarray,
    sample_rate: int,
    delta_db: np.ndarray,
    n_rows: int,
    max_gain_db: float,
) -> None:
    """Raises the errors of `apply_mel_delta` and `apply_rows_delta`."""
    if samples.ndim != 2 or 0 in samples.shape:
        raise UserError(
            f"samples of shape {samples.shape}",
            where="samples",
            remedy="give [sample, channel], at least one of each; mono is [sample, 1]",
        )
    if delta_db.ndim != 2 or delta_db.shape[1] != n_rows or len(delta_db) == 0:
        raise UserError(
            f"a delta of shape {delta_db.shape} for a spectrogram of {n_rows} rows",
            where="delta_db",
            remedy="give [frame, row] of a spectrogram of this transform",
        )
    for name, values in (("samples", samples), ("delta_db", delta_db)):
        if not np.isfinite(values).all():
            raise UserError(
                f"{name} has {int((~np.isfinite(values)).sum())} values that are not finite",
                where=name,
                remedy="find the step that computed them",
            )
    if sample_rate <= 0 or max_gain_db < 0:
        raise UserError(
            f"sample_rate {sample_rate}, max_gain_db {max_gain_db}",
            where="sample_rate and max_gain_db",
            remedy="the rate must be positive, and the largest gain 0 dB or more",
        )


def _check_length(
    delta_db: np.ndarray, expected: float, spare: float, samples: np.ndarray, sample_rate: int
) -> None:
    """Raises an error unless the delta has about as many frames as the sound."""
    if abs(len(delta_db) - expected) > spare:
        raise UserError(
            f"a delta of {len(delta_db)} frames for {len(samples)} samples at {sample_rate} Hz, "
            f"which have about {round(expected)} frames",
            where="delta_db",
            remedy="cut the audio and the spectrogram to the same stretch first",
        )
