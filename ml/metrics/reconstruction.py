"""How near a reconstructed sound is to the original: by its spectrogram, and by its samples."""

import numpy as np
from numpy.typing import NDArray

RANGE_DB = 80.0  # amplitudes further below the loudest of the reference count as its floor


def spectral_convergence_db(
    reference: NDArray[np.floating], estimate: NDArray[np.floating]
) -> float:
    """Spectral convergence of two STFT amplitudes, in dB: lower is better.

    20 log10(||reference - estimate|| / ||reference||) with Frobenius norms (N. Sturmel and L.
    Daudet, "Signal Reconstruction from STFT Magnitude: A State of the Art", DAFx 2011).

    Args:
        reference: `[frame, bin]`, linear.
        estimate: the same shape.

    Returns:
        dB; `-inf` if they are equal, `inf` if only the reference is 0.

    Raises:
        ValueError: the shapes differ.
    """
    truth, other = _pair(reference, estimate)
    return _ratio_db(float(np.sum((truth - other) ** 2)), float(np.sum(truth**2)))


def log_spectral_distance_db(
    reference: NDArray[np.floating], estimate: NDArray[np.floating], *, range_db: float = RANGE_DB
) -> float:
    """Log-spectral distance of two STFT amplitudes, in dB: lower is better.

    The root mean square over bins of the difference of the levels, averaged over frames (A. Gray
    and J. Markel, "Distance Measures for Speech Processing", IEEE Trans. ASSP 24, 1976).

    Args:
        reference: `[frame, bin]`, linear.
        estimate: the same shape.
        range_db: levels further below the largest of the reference count as this floor, in both:
            otherwise inaudible bins decide the distance.

    Returns:
        dB, 0 if they are equal above the floor; `inf` if only the reference is 0.

    Raises:
        ValueError: the shapes differ.
    """
    truth, other = _pair(reference, estimate)
    floor = float(truth.max(initial=0.0)) * 10.0 ** (-range_db / 20.0)
    if floor == 0.0:
        return 0.0 if not other.any() else float("inf")
    levels = [20.0 * np.log10(np.maximum(x, floor)) for x in (truth, other)]
    return float(np.sqrt(np.mean((levels[0] - levels[1]) ** 2, axis=-1)).mean())


def si_sdr_db(reference: NDArray[np.floating], estimate: NDArray[np.floating]) -> float:
    """Scale-invariant signal-to-distortion ratio, in dB: higher is better.

    J. Le Roux, S. Wisdom, H. Erdogan and J. Hershey, "SDR - Half-baked or Well Done?", ICASSP 2019.
    It compares samples, so an estimated phase gives low values even for a sound that
    no listener can distinguish.

    Args:
        reference: `[sample]`.
        estimate: the same shape.

    Returns:
        dB; `inf` for a multiple of the reference, `-inf` if the estimate has no part of it.

    Raises:
        ValueError: the shapes differ.
    """
    truth, other = _pair(reference, estimate)
    energy = float(np.sum(truth**2))
    if energy == 0.0:
        return float("inf") if not other.any() else float("-inf")
    target = truth * (float(np.sum(truth * other)) / energy)
    return _ratio_db(float(np.sum(target**2)), float(np.sum((target - other) ** 2)))


def _pair(
    reference: NDArray[np.floating], estimate: NDArray[np.floating]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Both in float64."""
    if reference.shape != estimate.shape:
        raise ValueError(f"shapes differ: reference {reference.shape}, estimate {estimate.shape}")
    return reference.astype(np.float64), estimate.astype(np.float64)


def _ratio_db(power: float, of: float) -> float:
    """The ratio of two powers in dB."""
    if of == 0.0:
        return float("-inf") if power == 0.0 else float("inf")
    return 10.0 * float(np.log10(power / of)) if power > 0.0 else float("-inf")
