"""Square images of a chunk's STFT, for networks that see; and edits of them, brought back.

A 10 s chunk of `ml.spectral.stft_values` (1025 bins, 862 frames) becomes a 512 x 512 image in [0,
1], as in "Dreaming in Music". What shrinking takes cannot be brought back by enlarging: sound from
an enlarged image keeps 7 dB of signal-to-noise ratio even with the original phase. So an edit comes
back as the *difference* of the edited and the unedited image, enlarged and added to the amplitude
or phase it was derived from. No edit then changes nothing, bit for bit.
"""

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch


@dataclass(frozen=True)
class ImageMapping:
    """How amplitudes and phases become pixels.

    Amplitude: `low_db` and below is 0, `high_db` and above is 1, linear in dB between. Phase: -pi
    is 0 and pi is 1. Rows are bins, the lowest first; columns are frames. Resized with bilinear
    weights that are widened when shrinking (antialiased), corners not aligned.
    """

    size: int = 512  # pixels on a side
    low_db: float = -50.0  # dB re 1.0; below: what is not heard beside a full-scale sine (54 dB)
    high_db: float = 55.0  # dB re 1.0

    def attributes(self) -> dict[str, Any]:
        """The mapping as JSON-ready attributes, with the conventions spelled out."""
        return {
            **asdict(self),
            "rows": "bins, lowest first",
            "columns": "frames",
            "amplitude": "(dB - low_db) / (high_db - low_db), clipped to [0, 1]",
            "phase": "(radians + pi) / (2 pi)",
            "resize": "bilinear, antialiased, corners not aligned",
        }


def _resize(image: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Float32 `[row, column]` at another size; in [0, 1] where the input is."""
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
        mapping: range and size.

    Returns:
        float32 `[size, size]` (bin, frame), in [0, 1].
    """
    decibels = amplitude_db.T.astype(np.float32)
    unit = (decibels - mapping.low_db) / (mapping.high_db - mapping.low_db)
    return np.clip(_resize(np.clip(unit, 0.0, 1.0), (mapping.size, mapping.size)), 0.0, 1.0)


def phase_image(phase: np.ndarray, mapping: ImageMapping) -> np.ndarray:
    """The image of a chunk's phase: `[frame, bin]` radians -> float32 `[size, size]` in [0, 1].

    Neighbouring phases are averaged as the numbers they are, across the jump from pi to -pi, too.
    """
    unit = (phase.T.astype(np.float32) + math.pi) / (2 * math.pi)
    return np.clip(_resize(unit, (mapping.size, mapping.size)), 0.0, 1.0)


def amplitude_from_image(
    image: np.ndarray, mapping: ImageMapping, *, n_frames: int, n_bins: int
) -> np.ndarray:
    """The amplitude an image shows, enlarged; what shrinking took stays lost.

    Returns:
        float32 `[frame, bin]`, dB re 1.0.
    """
    unit = _resize(image, (n_bins, n_frames))
    return (mapping.low_db + unit * (mapping.high_db - mapping.low_db)).T


def phase_from_image(image: np.ndarray, *, n_frames: int, n_bins: int) -> np.ndarray:
    """The phase an image shows, enlarged: float32 `[frame, bin]`, radians."""
    return (_resize(image, (n_bins, n_frames)) * (2 * math.pi) - math.pi).T


def _enlarged_difference(
    before: np.ndarray, after: np.ndarray, shape: tuple[int, ...]
) -> np.ndarray:
    """What an edit changed, `[frame, bin]`, in units of the image."""
    if before.shape != after.shape or before.ndim != 2:
        raise ValueError(f"two images of one size are needed, got {before.shape}, {after.shape}")
    return _resize(after.astype(np.float32) - before.astype(np.float32), (shape[1], shape[0])).T


def apply_amplitude_edit(
    amplitude_db: np.ndarray, before: np.ndarray, after: np.ndarray, mapping: ImageMapping
) -> np.ndarray:
    """The edit of an amplitude image, on the amplitude it was made of.

    Args:
        amplitude_db: `[frame, bin]`, dB re 1.0.
        before: its `amplitude_image`.
        after: the edited image, of the same size.
        mapping: of both.

    Returns:
        float32 `[frame, bin]`, dB re 1.0; where the images are equal, what was given.

    Raises:
        ValueError: where the images differ in size.
    """
    change = _enlarged_difference(before, after, amplitude_db.shape)
    return amplitude_db.astype(np.float32) + change * (mapping.high_db - mapping.low_db)


def apply_phase_edit(phase: np.ndarray, before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """The edit of a phase image, on the phase it was made of.

    Args:
        phase: `[frame, bin]`, radians.
        before: its `phase_image`.
        after: the edited image, of the same size.

    Returns:
        float32 `[frame, bin]`, radians; not wrapped back to -pi to pi, which no sine can tell.

    Raises:
        ValueError: where the images differ in size.
    """
    change = _enlarged_difference(before, after, phase.shape)
    return phase.astype(np.float32) + change * (2 * math.pi)
