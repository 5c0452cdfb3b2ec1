"""Square images of a chunk's STFT for image networks, and edits of these applied to the STFT.

A 10 s chunk of `ml.spectral.stft_values` (1025 bins, 862 frames) becomes a 512 x 512 image in
[0, 1], as in "Dreaming in Music". An experiment asks for such images with the key `input.image`.

**Phase.** Shrinking an image averages neighbouring values. The average of wrapped angles means
nothing: pi and -pi are the same angle, and their mean is 0. Cosine and sine of the phase itself do
not survive either, because the phase of a steady tone turns from frame to frame. The phase
*difference* between a frame and the one before does: for a steady tone it is constant along time,
and the same in all bins of the tone. Its cosine and sine are the two images of the phase.
`benchmarks/phase_images.py` measures how much of each survives.

**Edits.** Shrinking loses detail: audio from an enlarged image has a signal-to-noise ratio of 7 dB
even with the original phase. An edit is therefore applied as the *difference* between the edited
and the original image. The difference is enlarged and added to the original amplitude or phase. If
nothing was edited, these stay bit-identical.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import torch

from melgraph.ml.specs.model_input import AMPLITUDE, IMAGES_OF


@dataclass(frozen=True)
class ImageMapping:
    """How amplitudes and phases are mapped to pixels.

    Amplitude: `low_db` and below is 0, `high_db` and above is 1, linear in dB between. Phase: the
    cosine and the sine of the difference from the frame before; -1 is 0 and 1 is 1. Rows are bins,
    the lowest first; columns are frames. Images are resized bilinearly with antialiasing, corners
    not aligned.
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
            "phase": "(1 + cos d) / 2 and (1 + sin d) / 2; d: difference from the frame before",
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


def amplitude_image(
    amplitude_db: np.ndarray, mapping: ImageMapping, *, columns: int | None = None
) -> np.ndarray:
    """The image of a chunk's amplitude.

    Args:
        amplitude_db: `[frame, bin]`, dB re 1.0.
        mapping: states the range of amplitudes and the size of the image.
        columns: of the image, if it is not square: for a part of a chunk.

    Returns:
        float32 `[size, columns]` (bin, frame), in [0, 1].
    """
    size = (mapping.size, columns or mapping.size)
    decibels = amplitude_db.T.astype(np.float32)
    unit = (decibels - mapping.low_db) / (mapping.high_db - mapping.low_db)
    return np.clip(_resize(np.clip(unit, 0.0, 1.0), size), 0.0, 1.0)


def phase_differences(phase: np.ndarray, *, before: np.ndarray | None = None) -> np.ndarray:
    """The phase of each frame minus that of the frame before.

    Args:
        phase: `[frame, bin]`, radians.
        before: `[bin]`, radians: the frame before the first. Without it, the first difference is 0.

    Returns:
        float32 `[frame, bin]`, radians, not wrapped.
    """
    wide = phase.astype(np.float32)
    first = wide[:1] if before is None else before.astype(np.float32)[None]
    return np.diff(wide, axis=0, prepend=first)


def phase_image(
    phase: np.ndarray,
    mapping: ImageMapping,
    *,
    before: np.ndarray | None = None,
    columns: int | None = None,
) -> np.ndarray:
    """The two images of a chunk's phase: cosine and sine of the differences between frames.

    Args:
        phase: `[frame, bin]`, radians.
        mapping: states the size of the images.
        before: `[bin]`, radians: the frame before the chunk. Without it, the first difference is 0.
        columns: of the images, if they are not square: for a part of a chunk.

    Returns:
        float32 `[2, size, columns]` (cosine and sine, bin, frame), in [0, 1].
    """
    size = (mapping.size, columns or mapping.size)
    turns = phase_differences(phase, before=before).T
    pixels = [_resize((1 + part) / 2, size) for part in (np.cos(turns), np.sin(turns))]
    return np.clip(np.stack(pixels), 0.0, 1.0)


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
    """The phase of its two images at full size, if the first frame has the phase 0.

    Args:
        image: float32 `[2, size, size]`, of `phase_image`.
        n_frames: of the result.
        n_bins: of the result.

    Returns:
        float32 `[frame, bin]`, radians, not wrapped: the sum of the differences between frames.
    """
    differences = _enlarged_angle(2 * image - 1, (n_bins, n_frames)).T
    differences[:1] = 0.0
    return np.cumsum(differences, axis=0, dtype=np.float64).astype(np.float32)


def _enlarged_angle(cosine_and_sine: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Angles, float32 of this shape, of `[2, row, column]`; the mean of angles is that of arrows.

    Never the mean of the angles themselves, which are wrapped.
    """
    cosine, sine = (_resize(part, shape) for part in cosine_and_sine)
    return np.arctan2(sine, cosine)


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
    """Apply the edit of the phase's images to the original phase.

    The images hold differences between frames, so the phase of a frame changes by the sum of the
    changes up to it.

    Args:
        phase: `[frame, bin]`, radians.
        before: the `phase_image` of `phase`.
        after: the edited images, of the same size.

    Returns:
        float32 `[frame, bin]`, radians, not wrapped; equal to `phase` if the images are equal.

    Raises:
        ValueError: the images differ in size, or are not two.
    """
    if before.shape != after.shape or before.ndim != 3 or len(before) != 2:
        raise ValueError(
            f"the images must have the same size [2, row, column], got {before.shape} and "
            f"{after.shape}"
        )
    (old_cos, old_sin), (new_cos, new_sin) = (2 * image - 1 for image in (before, after))
    # By how much each pixel is turned, as an arrow: exactly 0 where nothing was edited.
    turn = np.stack([new_cos * old_cos + new_sin * old_sin, new_sin * old_cos - new_cos * old_sin])
    change = _enlarged_angle(turn, (phase.shape[1], phase.shape[0])).T
    total = np.cumsum(change, axis=0, dtype=np.float64)
    return (phase.astype(np.float32) + total).astype(np.float32)


class ImageTrack:
    """A track as the images of its chunks side by side: `[column, row, channel]`.

    `size` consecutive columns are the image of one chunk. Pixels are computed when a slice of
    columns is taken, so the arrays may be memory maps, and a long track needs no memory. A slice of
    another length is computed in pieces of one chunk.

    Args:
        arrays: `amplitude` (dB) or `phase` (radians) or both, each `[frame, bin]` as stored. Their
            order is that of the channels: one of the amplitude, two of the phase.
        mapping: states the size of the images.
        chunk_frames: frames of a chunk.
    """

    def __init__(
        self, arrays: Mapping[str, np.ndarray], mapping: ImageMapping, *, chunk_frames: int
    ) -> None:
        self._arrays, self._mapping = dict(arrays), mapping
        self._frames_per_column = chunk_frames / mapping.size
        (self._n_frames,) = {len(array) for array in self._arrays.values()}
        columns = int(self._n_frames / self._frames_per_column)
        channels = sum(IMAGES_OF[name] for name in self._arrays)
        self.shape = (max(1, columns) if self._n_frames else 0, mapping.size, channels)
        self.ndim = len(self.shape)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, columns: slice) -> np.ndarray:
        start, stop, step = columns.indices(len(self))
        if step != 1:
            raise ValueError(f"columns must be consecutive, got a step of {step}")
        edges = [*range(start, stop, self._mapping.size), stop]
        pieces = [self._piece(a, b) for a, b in pairwise(edges) if a < b]
        return np.concatenate(pieces) if pieces else np.zeros((0, *self.shape[1:]), np.float32)

    def __array__(self, dtype: object = None, copy: bool | None = None) -> np.ndarray:
        return np.asarray(self[:], dtype)  # type: ignore[call-overload]

    def _piece(self, start: int, stop: int) -> np.ndarray:
        """At most a chunk's columns: float32 `[column, row, channel]`."""
        first = min(round(start * self._frames_per_column), self._n_frames - 1)
        last = max(first + 1, min(round(stop * self._frames_per_column), self._n_frames))
        images = []
        for name, array in self._arrays.items():
            rows, columns = array[first:last], stop - start
            if name == AMPLITUDE:
                images.append(amplitude_image(rows, self._mapping, columns=columns)[None])
            else:
                earlier = array[first - 1] if first else None
                images.append(phase_image(rows, self._mapping, before=earlier, columns=columns))
        return np.concatenate(images).transpose(2, 1, 0)
