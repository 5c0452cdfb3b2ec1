"""Square images of a chunk's STFT for image networks, and edits of these applied to the STFT.

A 10 s chunk of `ml.spectral.stft_values` (1025 bins, 862 frames) becomes a 512 x 512 image in
[0, 1], as in "Dreaming in Music". Shrinking loses detail: audio from an enlarged image has a
signal-to-noise ratio of 7 dB even with the original phase. An edit is therefore applied as the
*difference* between the edited and the original image. The difference is enlarged and added to the
original amplitude or phase. If nothing was edited, these stay bit-identical.
"""

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch


@dataclass(frozen=True)
class ImageMapping:
    """How amplitudes and phases are mapped to pixels.

    Amplitude: `low_db` and below is 0, `high_db` and above is 1, linear in dB between. Phase: -pi
    is 0 and pi is 1. Rows are bins, the lowest first; columns are frames. Images are resized
    bilinearly with antialiasing, corners not aligned.
    """

    size: int = 512  # pixels on a side
    low_db: float = -50.0  # dB re 1.0; inaudible beside a full-scale sine, which has 54 dB
    high_db: float = 55.0  # dB re 1.0

    def attributes(self) -> dict[str, Any]:
        """All parameters and conventions as JSON-ready attributes."""
        return {
            **asdict(self),
            "rows": "bins, lowest first",
            "columns": "frames",
            "amplitude": "(dB - low_db) / (high_db - low_db), clipped to [0, 1]",
            "phase": "(radians + pi) / (2 pi)",
            "resize": "bilinear, antialiased, corners not aligned",
        }


def _resize(image: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Resize float32 `[row, column]`; values stay in [0, 1] if the input is in [0, 1]."""
    pixels = torch.from_numpy(np.ascontiguousarray(image, dtype=np.float32))[None, None]
    resized = torch.nn.functional.interpolate(
        pixels, size=shape, mode="bilinear", antialias=True, align_corners=False
    )
    return resized[0, 0].numpy()


def clipped_share(amplitude_db: np.ndarray, mapping: ImageMapping) -> tuple[float, float]:
    """Shares of amplitudes, `[frame, bin]` in dB, that are below and above the mapping's range."""
    return (
        float(np.mean(amplitude_db < mapping.low_db)),
        float(np.mean(amplitude_db > mapping.high_db)),
    )


def amplitude_image(amplitude_db: np.ndarray, mapping: ImageMapping) -> np.ndarray:
    """The image of a chunk's amplitude.

    Args:
        amplitude_db: `[frame, bin]`, dB re 1.0.
        mapping: states the range of amplitudes and the size of the image.

    Returns:
        float32 `[size, size]` (bin, frame), in [0, 1].
    """
    decibels = amplitude_db.T.astype(np.float32)
    unit = (decibels - mapping.low_db) / (mapping.high_db - mapping.low_db)
    return np.clip(_resize(np.clip(unit, 0.0, 1.0), (mapping.size, mapping.size)), 0.0, 1.0)


def phase_image(phase: np.ndarray, mapping: ImageMapping) -> np.ndarray:
    """The image of a chunk's phase: `[frame, bin]` radians -> float32 `[size, size]` in [0, 1].

    Resizing averages phases as plain numbers, even across the jump from pi to -pi.
    """
    unit = (phase.T.astype(np.float32) + math.pi) / (2 * math.pi)
    return np.clip(_resize(unit, (mapping.size, mapping.size)), 0.0, 1.0)


def amplitude_from_image(
    image: np.ndarray, mapping: ImageMapping, *, n_frames: int, n_bins: int
) -> np.ndarray:
    """The amplitude of an image at full size, without the detail that shrinking lost.

    Returns:
        float32 `[frame, bin]`, dB re 1.0.
    """
    unit = _resize(image, (n_bins, n_frames))
    return (mapping.low_db + unit * (mapping.high_db - mapping.low_db)).T


def phase_from_image(image: np.ndarray, *, n_frames: int, n_bins: int) -> np.ndarray:
    """The phase of an image at full size: float32 `[frame, bin]`, radians."""
    return (_resize(image, (n_bins, n_frames)) * (2 * math.pi) - math.pi).T


def _enlarged_difference(
    before: np.ndarray, after: np.ndarray, shape: tuple[int, ...]
) -> np.ndarray:
    """The change that an edit made, `[frame, bin]`, in units of the image."""
    if before.shape != after.shape or before.ndim != 2:
        raise ValueError(
            f"the images must have the same size, got {before.shape} and {after.shape}"
        )
    return _resize(after.astype(np.float32) - before.astype(np.float32), (shape[1], shape[0])).T


def apply_amplitude_edit(
    amplitude_db: np.ndarray, before: np.ndarray, after: np.ndarray, mapping: ImageMapping
) -> np.ndarray:
    """Apply the edit of an amplitude image to the original amplitude.

    Args:
        amplitude_db: `[frame, bin]`, dB re 1.0.
        before: the `amplitude_image` of `amplitude_db`.
        after: the edited image, of the same size.
        mapping: the mapping of both images.

    Returns:
        float32 `[frame, bin]`, dB re 1.0; equal to `amplitude_db` if the images are equal.

    Raises:
        ValueError: the images differ in size.
    """
    change = _enlarged_difference(before, after, amplitude_db.shape)
    return amplitude_db.astype(np.float32) + change * (mapping.high_db - mapping.low_db)


def apply_phase_edit(phase: np.ndarray, before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """Apply the edit of a phase image to the original phase.

    Args:
        phase: `[frame, bin]`, radians.
        before: the `phase_image` of `phase`.
        after: the edited image, of the same size.

    Returns:
        float32 `[frame, bin]`, radians. Values may lie outside of -pi to pi, which changes no sine.

    Raises:
        ValueError: the images differ in size.
    """
    change = _enlarged_difference(before, after, phase.shape)
    return phase.astype(np.float32) + change * (2 * math.pi)
