"""From an edited log-mel spectrogram back to sound, losing nothing that was not edited.

Inverting a mel spectrogram throws the phase and the detail between mel bands away. So an edit is
kept as a *delta* in decibels and applied as a gain to the full-resolution STFT of the original
file, at its own sample rate, each channel with its own phase: an empty edit gives the original
back. What that round trip costs, without an edit, is the ceiling of every method that uses it.
"""

from dataclasses import dataclass

import numpy as np
import torch
from scipy.fft import next_fast_len

from melgraph.ml.errors import UserError
from melgraph.ml.spectral import MelTransform, istft, mel_frequencies, stft

_FADE_BANDS = 4  # mel bands over which the edit fades out beyond the edges of the mel scale
_BLOCK = 1024  # STFT frames whose gains are held in memory at a time


@dataclass(frozen=True)
class Resynthesis:
    """A sound made by `apply_mel_delta`.

    Attributes:
        samples: float32 `[sample, channel]`, peak at most 1.
        gain: the one factor, at most 1, that every sample was multiplied with so that the peak
            fits; 1 where nothing had to be done.
        identity_snr_db: what the way there and back costs without any edit: the SNR of the original
            after STFT and inverse STFT alone. The ceiling of the method.
    """

    samples: np.ndarray
    gain: float
    identity_snr_db: float


def snr_db(reference: np.ndarray, estimate: np.ndarray) -> float:
    """Signal-to-noise ratio of an estimate, in dB, computed in float64.

    Args:
        reference: `[sample]` or `[sample, channel]`, the truth.
        estimate: the same shape.

    Returns:
        10 log10(sum reference^2 / sum (reference - estimate)^2); `inf` where they are equal, `-inf`
        where the reference is silent and the estimate is not.

    Raises:
        ValueError: where the shapes differ.
    """
    if reference.shape != estimate.shape:
        raise ValueError(f"shapes differ: reference {reference.shape}, estimate {estimate.shape}")
    truth = reference.astype(np.float64)
    noise = float(np.sum((truth - estimate) ** 2))
    signal = float(np.sum(truth**2))
    if noise == 0.0:
        return float("inf")
    return 10.0 * float(np.log10(signal / noise)) if signal > 0.0 else float("-inf")


def native_window(transform: MelTransform, sample_rate: int) -> tuple[int, int]:
    """The transform's window and hop, of the same duration at another sample rate.

    The window is the next even length that the FFT likes (only factors 2, 3 and 5): 4096 at
    44,100 Hz for 2048 at 22,050 Hz. At the transform's own rate both are the transform's own.

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
    """Apply the edit of a log-mel spectrogram to the sound it came from.

    Amplitudes of the file's own STFT are multiplied by 10^(delta / 20), with the delta interpolated
    linearly in time (by seconds) and on the mel axis; the phase stays. Beyond the edges of the mel
    scale the edit fades to 0 dB. All channels get the same edit, so the stereo image stays.

    Args:
        samples: float32 `[sample, channel]` at the file's own rate, the very stretch of audio that
            the spectrogram was made of.
        sample_rate: the file's own rate, Hz.
        delta_db: float32 `[frame, mel]`, edited minus original log-mel spectrogram, dB.
        transform: the transform that the log-mel spectrogram was made with.
        max_gain_db: deltas are clipped to +- this, dB.

    Raises:
        UserError: where the shapes, the values or the durations do not belong together.
    """
    _check(samples, sample_rate, delta_db, transform, max_gain_db)
    n_fft, hop = native_window(transform, sample_rate)
    delta = np.clip(delta_db, -max_gain_db, max_gain_db).astype(np.float32)
    to_bins = _mel_to_bins(transform, sample_rate=sample_rate, n_fft=n_fft)
    length = len(samples)
    edited = np.empty_like(samples, dtype=np.float32)
    identity = np.empty_like(edited)
    for channel in range(samples.shape[1]):
        spectrum = stft(samples[:, channel], n_fft=n_fft, hop=hop)  # [bin, frame]
        identity[:, channel] = istft(spectrum, n_fft=n_fft, hop=hop, length=length)
        for start in range(0, spectrum.shape[1], _BLOCK):
            frames = np.arange(start, min(start + _BLOCK, spectrum.shape[1]))
            at = frames * (hop / sample_rate) * transform.frames_per_second
            gain_db = _rows_at(delta, at) @ to_bins  # [frame, bin]
            spectrum[:, start : start + _BLOCK] *= torch.from_numpy(10.0 ** (gain_db.T / 20.0))
        edited[:, channel] = istft(spectrum, n_fft=n_fft, hop=hop, length=length)
    peak = float(np.abs(edited).max())
    gain = min(1.0, 1.0 / peak) if peak > 0.0 else 1.0
    fitted = np.clip(edited * np.float32(gain), -1.0, 1.0)  # the clip takes the last rounding step
    return Resynthesis(samples=fitted, gain=gain, identity_snr_db=snr_db(samples, identity))


def _rows_at(delta: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Rows of delta at fractional frame positions, linearly interpolated, the last one held."""
    at = np.clip(at, 0, len(delta) - 1)
    left = np.floor(at).astype(np.int64)
    right = np.minimum(left + 1, len(delta) - 1)
    weight = (at - left).astype(np.float32)[:, None]
    return (1 - weight) * delta[left] + weight * delta[right]


def _mel_to_bins(transform: MelTransform, *, sample_rate: int, n_fft: int) -> np.ndarray:
    """Interpolation weights from mel bands to linear-frequency bins: float32 `[mel, bin]`.

    The outermost bands hold from their centre to the edge of the mel scale, and fade from there.
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
    heights[0, 1] = heights[-1, -2] = 1.0  # hold; the outermost knots stay 0: fade
    return np.stack([np.interp(bins, knots, row) for row in heights]).astype(np.float32)


def _check(
    samples: np.ndarray,
    sample_rate: int,
    delta_db: np.ndarray,
    transform: MelTransform,
    max_gain_db: float,
) -> None:
    """Refuse what does not belong together; see `apply_mel_delta`."""
    if samples.ndim != 2 or 0 in samples.shape:
        raise UserError(
            f"samples of shape {samples.shape}",
            where="apply_mel_delta, samples",
            remedy="give [sample, channel] with at least one of each; mono is [sample, 1]",
        )
    if delta_db.ndim != 2 or delta_db.shape[1] != transform.n_mels or len(delta_db) == 0:
        raise UserError(
            f"a delta of shape {delta_db.shape} for a transform of {transform.n_mels} mel bands",
            where="apply_mel_delta, delta_db",
            remedy="give [frame, mel], from a spectrogram made with this same transform",
        )
    for name, values in (("samples", samples), ("delta_db", delta_db)):
        if not np.isfinite(values).all():
            raise UserError(
                f"{name} holds {int((~np.isfinite(values)).sum())} values that are not finite",
                where=f"apply_mel_delta, {name}",
                remedy="find the step that made them; nothing sensible can be heard from it",
            )
    if sample_rate <= 0 or max_gain_db < 0:
        raise UserError(
            f"sample_rate {sample_rate}, max_gain_db {max_gain_db}",
            where="apply_mel_delta",
            remedy="the rate must be positive, and the largest gain 0 dB or more",
        )
    # frames the transform itself gives for this much audio; shorter than half a window is padded
    at_its_rate = max(len(samples) / sample_rate * transform.sample_rate, transform.n_fft / 2)
    expected = 1 + at_its_rate / transform.hop
    if abs(len(delta_db) - expected) > 2 + transform.n_fft / transform.hop:
        raise UserError(
            f"a delta of {len(delta_db)} frames for {len(samples)} samples at {sample_rate} Hz, "
            f"which give about {round(expected)} frames",
            where="apply_mel_delta, delta_db",
            remedy="cut the audio and the spectrogram to the same stretch first",
        )
