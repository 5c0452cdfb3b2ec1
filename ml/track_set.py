"""Labelled tracks to train on or to validate with."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ml.errors import UserError


@dataclass(frozen=True)
class TrackSet:
    """Tracks with their labels.

    Args:
        spectrograms: per track a float16 or float32 array `[frame, mel]`, dB, at least 1 frame; may
            be a view of a memory map.
        labels: int64 `[track]`, the index of the class.

    Raises:
        UserError: no track, or arrays that do not fit together.
    """

    spectrograms: Sequence[np.ndarray]
    labels: np.ndarray

    def __post_init__(self) -> None:
        if len(self.spectrograms) == 0:
            raise UserError(
                "the set holds no track",
                where="TrackSet",
                remedy="check the split and the least class size of the dataset",
            )
        labels = np.asarray(self.labels)
        if labels.shape != (len(self.spectrograms),) or labels.dtype.kind not in "iu":
            raise UserError(
                f"labels are {labels.dtype} {labels.shape} for {len(self.spectrograms)} tracks",
                where="TrackSet.labels",
                remedy="give one integer per track",
            )
        n_mels = self.spectrograms[0].shape[-1]
        for i, s in enumerate(self.spectrograms):
            if s.ndim != 2 or s.shape[0] < 1 or s.shape[1] != n_mels:
                raise UserError(
                    f"spectrogram {i} has shape {s.shape}, not [at least 1 frame, {n_mels} mel]",
                    where="TrackSet.spectrograms",
                    remedy="compute all of them with one transform, and leave empty tracks out",
                )

    def __len__(self) -> int:
        return len(self.spectrograms)
