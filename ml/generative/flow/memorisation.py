"""Whether samples are copies of training recordings: their distances to the nearest crops.

A crop is compared with every crop of every training recording whose start is a multiple of 2
frames. A stride such as a quarter of a crop would miss copies: music that is shifted by a tenth of
a second already differs from itself. Crops are standardised per bin and averaged over squares of 4
bins and 4 frames, so that the shift of 1 frame that remains has little effect. A difference in
level is ignored: the distance is that at the level which makes it smallest, so that a quieter copy
is still a copy.

A distance says nothing by itself, because blurred crops are near to many others. It is therefore
read beside the same distance of held-out recordings (as in Somepalli et al. 2023 for images).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

POOL = 4  # bins and frames that are averaged
STRIDE = 2  # frames between the starts of two compared crops
NEAREST_SHARE = 0.05  # of the held-out crops, whose distance is the threshold
SAME_RECORDING = 0.5  # ratio of the threshold to the median of held-out crops: see `summarise`


@dataclass(frozen=True)
class Nearest:
    """The nearest training crop of each crop.

    Attributes:
        distances: float32 `[crop]`, the root of the mean squared difference after pooling, in
            standard deviations of a bin.
        tracks: int64 `[crop]`, the number of the training recording.
        starts: int64 `[crop]`, the first frame of the nearest crop in it.
    """

    distances: np.ndarray
    tracks: np.ndarray
    starts: np.ndarray


@dataclass(frozen=True)
class Memorisation:
    """The distances of samples beside those of held-out crops, in standard deviations.

    Attributes:
        median: of the samples.
        least: of the samples.
        held_out_median: of the held-out crops.
        held_out_least: of the held-out crops.
        threshold: the distance below which the nearest 5 % of the held-out crops are.
        share_nearer: share of the samples that are nearer than the threshold, 0 to 1.
        sentence: what these figures say.
    """

    median: float
    least: float
    held_out_median: float
    held_out_least: float
    threshold: float
    share_nearer: float
    sentence: str


def nearest_crops(
    crops: np.ndarray, arrays: Sequence[np.ndarray], mean: np.ndarray, std: np.ndarray
) -> Nearest:
    """The nearest training crop of each crop, over all recordings.

    The memory used grows with one recording and with the number of crops, but not with the number
    of recordings.

    Args:
        crops: float `[crop, frame, bin]`, dB: samples, or crops of held-out recordings.
        arrays: the training recordings `[frame, bin]`, dB; may be memory maps. One that is shorter
            than a crop is repeated until it fills it.
        mean: float `[bin]`, dB, of the training recordings.
        std: float `[bin]`, dB, positive.

    Raises:
        ValueError: there is no recording, or the numbers of bins differ.
    """
    _, frames, bins = crops.shape
    if not len(arrays) or mean.shape != (bins,) or std.shape != (bins,):
        raise ValueError(
            f"need recordings, and statistics of {bins} bins: got {len(arrays)} recordings, "
            f"mean {mean.shape}, std {std.shape}"
        )
    pool = _Pooling(mean, std, frames)
    wanted = np.stack([pool.unlevelled(pool(crop)[None])[0] for crop in crops])
    best = np.full(len(crops), np.inf, np.float32)
    tracks, starts = np.zeros(len(crops), np.int64), np.zeros(len(crops), np.int64)
    for track, array in enumerate(arrays):
        values = np.asarray(array)
        if len(values) < frames:
            values = np.resize(values, (frames, bins))
        for phase in range(0, min(pool.frames, len(values) - frames + 1), STRIDE):
            windows = pool.windows(pool(values[phase:]))
            distances, numbers = _nearest_window(wanted, windows, pool)
            nearer = distances < best
            best[nearer], tracks[nearer] = distances[nearer], track
            starts[nearer] = phase + numbers[nearer] * pool.frames
    return Nearest(best, tracks, starts)


class _Pooling:
    """Standardises per bin, averages over squares, and removes the level.

    Args:
        mean: float `[bin]`.
        std: float `[bin]`.
        frames: of a crop.
    """

    def __init__(self, mean: np.ndarray, std: np.ndarray, frames: int) -> None:
        self.mean, self.std = mean.astype(np.float32), std.astype(np.float32)
        self.frames, self.bins = min(POOL, frames), min(POOL, len(mean))
        self.length = frames // self.frames
        # 1 dB more in every bin moves the pooled values along this direction
        louder = self._averaged(1 / self.std[None])
        direction = np.tile(louder[0], self.length)
        self.direction = direction / np.linalg.norm(direction)

    def __call__(self, levels: np.ndarray) -> np.ndarray:
        """float32 `[pooled frame, pooled bin]` of levels `[frame, bin]`."""
        n_frames = len(levels) // self.frames * self.frames
        standardised = (levels[:n_frames].astype(np.float32) - self.mean) / self.std
        by_frame = standardised.reshape(-1, self.frames, len(self.mean)).mean(axis=1)
        return self._averaged(by_frame)

    def _averaged(self, values: np.ndarray) -> np.ndarray:
        n_bins = values.shape[1] // self.bins * self.bins
        averages: np.ndarray = values[:, :n_bins].reshape(len(values), -1, self.bins).mean(axis=2)
        return averages

    def windows(self, pooled: np.ndarray) -> np.ndarray:
        """All crops of a pooled recording: float32 `[window, pooled frame * pooled bin]`."""
        views = np.lib.stride_tricks.sliding_window_view(pooled, self.length, axis=0)
        return np.ascontiguousarray(views.transpose(0, 2, 1)).reshape(len(views), -1)

    def unlevelled(self, vectors: np.ndarray) -> np.ndarray:
        """Pooled crops `[crop, value]` without their component along a change of level."""
        flat = vectors.reshape(len(vectors), -1)
        rest: np.ndarray = flat - (flat @ self.direction)[:, None] * self.direction
        return rest


def _nearest_window(
    wanted: np.ndarray, windows: np.ndarray, pool: _Pooling
) -> tuple[np.ndarray, np.ndarray]:
    """Distance and number of the nearest window: float32 `[crop]` and int64 `[crop]`.

    The nearest window is found by a matrix product; its distance is then computed from the
    difference itself, because the product loses the digits that tell a copy from a near copy.
    """
    squares = np.square(windows).sum(axis=1) - np.square(windows @ pool.direction)
    numbers = (squares[None] - 2 * (wanted @ windows.T)).argmin(axis=1).astype(np.int64)
    differences = wanted - pool.unlevelled(windows[numbers])
    return np.sqrt(np.square(differences).mean(axis=1)).astype(np.float32), numbers


def evenly_spaced_crops(
    arrays: Sequence[np.ndarray], *, frames: int, per_track: int = 2
) -> np.ndarray:
    """Crops of held-out recordings, spread evenly: `[crop, frame, bin]`, as stored.

    Args:
        arrays: recordings `[frame, bin]`. One that is shorter than a crop is repeated until it
            fills it, and gives one crop.
        frames: of a crop.
        per_track: crops of each longer recording.
    """
    crops = []
    for array in arrays:
        last = len(array) - frames
        if last <= 0:
            crops.append(np.resize(np.asarray(array), (frames, array.shape[1])))
            continue
        places = (np.arange(per_track) + 0.5) / per_track
        crops.extend(np.asarray(array[s : s + frames]) for s in (places * last).astype(np.int64))
    return np.stack(crops)


def summarise(samples: np.ndarray, held_out: np.ndarray) -> Memorisation:
    """The distances of samples beside those of held-out crops.

    If the threshold is less than half the median of the held-out crops, some held-out recordings
    are probably in the training recordings too, under another name. The threshold is then too low
    to reveal copies, and the sentence says so.

    Args:
        samples: float `[sample]`, `Nearest.distances` of the samples.
        held_out: float `[crop]`, `Nearest.distances` of crops of recordings that the network was
            not trained on.

    Raises:
        ValueError: one of them is empty.
    """
    if not len(samples) or not len(held_out):
        raise ValueError("need the distance of at least one sample and of one held-out crop")
    threshold = float(np.quantile(held_out, NEAREST_SHARE))
    nearer = int((samples < threshold).sum())
    median, held_out_median = float(np.median(samples)), float(np.median(held_out))
    sentence = (
        f"{nearer} of {len(samples)} samples are nearer to a training crop than the nearest 5 % of "
        f"{len(held_out)} held-out crops. The median distance is {median:.2f} standard deviations "
        f"for samples and {held_out_median:.2f} for held-out crops."
    )
    if threshold < SAME_RECORDING * held_out_median:
        sentence += (
            f" The nearest held-out crops have a distance of {threshold:.2f}, which is so small "
            "that their recordings are probably duplicates of training recordings, and copies may "
            "be missed. Keep duplicates on one side of the split."
        )
    return Memorisation(
        median=median,
        least=float(samples.min()),
        held_out_median=held_out_median,
        held_out_least=float(held_out.min()),
        threshold=threshold,
        share_nearer=nearer / len(samples),
        sentence=sentence,
    )
