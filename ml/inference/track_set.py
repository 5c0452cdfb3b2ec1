"""Labelled tracks to train on or to validate with."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from melgraph.ml.errors import UserError


class StackedChannels:
    """Arrays of one track and one length, read together: `[frame, bin, channel]`.

    Nothing is copied before a slice is taken, so the arrays may be memory maps.

    Args:
        arrays: each `[frame, bin]`.
    """

    def __init__(self, arrays: Sequence[np.ndarray]) -> None:
        if len({array.shape for array in arrays}) != 1:
            raise ValueError(f"channels differ in shape: {[array.shape for array in arrays]}")
        self._arrays = tuple(arrays)
        self.shape = (*self._arrays[0].shape, len(self._arrays))
        self.ndim = len(self.shape)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, frames: slice) -> np.ndarray:
        return np.stack([array[frames] for array in self._arrays], axis=-1)

    def __array__(self, dtype: object = None, copy: bool | None = None) -> np.ndarray:
        return np.asarray(self[:], dtype)  # type: ignore[call-overload]


def width_of(array: np.ndarray) -> tuple[int, int]:
    """(bins, channels) of a track's array: `[frame]`, `[frame, bin]` or `[frame, bin, channel]`."""
    bins, channels = (*array.shape[1:], 1, 1)[:2] if array.ndim < 3 else array.shape[1:]
    return bins, channels


@dataclass(frozen=True)
class TrackSet:
    """Tracks with their labels.

    Args:
        arrays: per track an array `[frame]`, `[frame, bin]` or `[frame, bin, channel]` as stored
            (float16, float32 or int16), at least 1 frame; may be a view of a memory map, or
            `StackedChannels`.
        labels: int64 `[track]`, the index of the class; or float or bool `[track, class]`, 1 for
            each tag that the track has, else 0.
        least_std: see `ml.models.base.bin_statistics`; in the unit of the arrays.
        groups: int64 `[track]`, the group of each track (its artist, its recording); None where no
            learner needs it.
        blocks: for vectors, how many dimensions each of their sources has; empty: one source.

    Raises:
        UserError: no track, or arrays that do not fit together.

    >>> tracks = TrackSet([np.zeros((100, 64)), np.ones((50, 64))], labels=np.array([0, 1]))
    >>> len(tracks), tracks.has_tags
    (2, False)
    """

    arrays: Sequence[np.ndarray]
    labels: np.ndarray
    least_std: float = 1.0
    groups: np.ndarray | None = None
    blocks: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if len(self.arrays) == 0:
            raise UserError(
                "the set holds no track",
                where="TrackSet",
                remedy="check the split and the least class size of the dataset",
            )
        labels = np.asarray(self.labels)
        one_each = labels.ndim == 1 and labels.dtype.kind in "iu"
        tags = labels.ndim == 2 and labels.dtype.kind in "bf"
        if labels.shape[:1] != (len(self.arrays),) or not (one_each or tags):
            raise UserError(
                f"labels are {labels.dtype} {labels.shape} for {len(self.arrays)} tracks",
                where="TrackSet.labels",
                remedy="give one integer per track; or, for tags, floats [track, class]",
            )
        if tags and not np.isin(labels, (0, 1)).all():
            raise UserError(
                "tags hold values other than 0 and 1",
                where="TrackSet.labels",
                remedy="give 1 for a tag that the track has, else 0",
            )
        first = self.arrays[0]
        for i, s in enumerate(self.arrays):
            if s.ndim not in (1, 2, 3) or len(s) < 1 or s.shape[1:] != first.shape[1:]:
                raise UserError(
                    f"track {i} has shape {s.shape}, not [at least 1 frame, *{first.shape[1:]}]",
                    where="TrackSet.arrays",
                    remedy="compute all of them with one transform, and leave empty tracks out",
                )

    def __len__(self) -> int:
        return len(self.arrays)

    @property
    def has_tags(self) -> bool:
        """Whether a track may have several labels."""
        return self.labels.ndim == 2

    def take(self, rows: np.ndarray) -> "TrackSet":
        """The tracks of these rows, in this order."""
        chosen = [self.arrays[row] for row in rows.tolist()]
        groups = None if self.groups is None else self.groups[rows]
        return replace(self, arrays=chosen, labels=self.labels[rows], groups=groups)
