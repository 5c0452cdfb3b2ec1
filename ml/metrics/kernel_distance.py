"""Kernel audio distance (KAD) of a set of sounds to a reference set, by their embeddings.

Chung et al. 2025, "KAD: No More FAD! An Effective and Efficient Evaluation Metric for Audio
Generation" (arXiv 2502.15602): the unbiased estimate of the squared maximum mean discrepancy
(Gretton et al. 2012, eq. 3) with the kernel exp(-d^2 / (2 sigma^2)), where sigma is the median
distance in the reference set, times 100 (the scale of the authors' kadtk).

A song often has several embeddings, one per segment. Segments of one song are alike, so that pairs
within a song would bias the estimate upwards. Here a pair is a pair of songs: its kernel is the
mean over their segments, and each song counts once. With one embedding per song, this is the
estimate of the paper.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from melgraph.ml.errors import UserError

MIN_REFERENCE_SONGS = 20  # with fewer, the distance is undetermined
SCALE = 100.0
_BATCH = 200  # permutations or bootstrap samples that are computed together


@dataclass(frozen=True)
class KernelDistance:
    """The kernel audio distance of generated sounds to reference songs.

    Attributes:
        value: 100 MMD^2, unbiased: it is below 0 about as often as above if both sets have the same
            distribution. None where it is undetermined: fewer than 20 reference songs, or fewer
            than 2 generated sounds.
        low: lower end of the 95 % percentile interval of the bootstrap over songs.
        high: upper end.
        p_value: of the permutation test of equal distributions, one-sided.
        bandwidth: sigma, the median distance of embeddings of different reference songs.
        n_reference: reference songs.
        n_generated: generated sounds (songs).
    """

    value: float | None
    low: float | None
    high: float | None
    p_value: float | None
    bandwidth: float | None
    n_reference: int
    n_generated: int

    @property
    def undetermined(self) -> bool:
        """Whether there are too few songs for a figure."""
        return self.value is None


def kernel_distance(
    reference: np.ndarray,
    generated: np.ndarray,
    *,
    reference_songs: Sequence[object] | None = None,
    generated_songs: Sequence[object] | None = None,
    seed: int = 0,
    permutations: int = 999,
    resamples: int = 1000,
) -> KernelDistance:
    """KAD with a permutation test and a bootstrap over songs.

    Args:
        reference: float `[segment, dimension]`, embeddings of the reference songs.
        generated: float `[segment, dimension]`, embeddings of the generated sounds.
        reference_songs: the song of each segment of the reference; without, each is a song.
        generated_songs: the same for the generated sounds.
        seed: of the permutations and of the bootstrap. Two calls with the same seed and the same
            numbers of songs draw the same songs.
        permutations: of songs between both sets. The bandwidth remains that of the reference.
        resamples: of the bootstrap.

    Raises:
        UserError: embeddings of different dimensions, none, not finite, or without any distance.
    """
    kernels = SongKernels.of(
        reference, generated, reference_songs=reference_songs, generated_songs=generated_songs
    )
    n, m = kernels.n_reference, len(kernels.matrix) - kernels.n_reference
    if kernels.bandwidth is None or n < MIN_REFERENCE_SONGS or m < 2:
        return KernelDistance(None, None, None, None, kernels.bandwidth, n, m)
    value = kernels.distance()
    exceeding = int((kernels.permuted(permutations, seed) >= value - 1e-12).sum())
    low, high = np.percentile(kernels.bootstrapped(resamples, seed), [2.5, 97.5])
    return KernelDistance(
        value=value,
        low=float(low),
        high=float(high),
        p_value=(1 + exceeding) / (1 + permutations),
        bandwidth=kernels.bandwidth,
        n_reference=n,
        n_generated=m,
    )


@dataclass(frozen=True)
class SongKernels:
    """The kernel of each pair of songs, from which all estimates follow.

    Attributes:
        matrix: float64 `[song, song]`, the reference songs first. The diagonal is not used.
        n_reference: how many of the songs are the reference.
        bandwidth: sigma; None if there are fewer than two reference songs.
    """

    matrix: np.ndarray
    n_reference: int
    bandwidth: float | None

    @classmethod
    def of(
        cls,
        reference: np.ndarray,
        generated: np.ndarray,
        *,
        reference_songs: Sequence[object] | None = None,
        generated_songs: Sequence[object] | None = None,
    ) -> "SongKernels":
        """The kernels of embeddings; see `kernel_distance` for the arguments."""
        check_embeddings(reference, generated)
        first = _songs_of(reference, reference_songs)
        second = _songs_of(generated, generated_songs)
        n = int(first.max()) + 1
        both = np.concatenate([reference, generated]).astype(np.float64)
        songs = np.concatenate([first, second + n])
        squared = _squared_distances(both)
        inside = squared[: len(first), : len(first)]
        if n < 2:
            return cls(np.zeros((n + int(second.max()) + 1,) * 2), n, None)
        bandwidth = float(np.median(np.sqrt(inside[first[:, None] < first[None, :]])))
        if bandwidth == 0.0:
            raise UserError(
                "half of the reference songs or more have the same embedding",
                where="kernel audio distance, reference",
                remedy="use reference songs that differ, and an embedding that tells them apart",
            )
        kernel = np.exp(squared / (-2.0 * bandwidth**2))
        mean = np.zeros((int(songs.max()) + 1, len(songs)))
        mean[songs, np.arange(len(songs))] = 1.0
        mean /= mean.sum(axis=1, keepdims=True)
        return cls(mean @ kernel @ mean.T, n, bandwidth)

    def distance(self) -> float:
        """100 MMD^2, unbiased."""
        n = self.n_reference
        weights = np.zeros((1, len(self.matrix)))
        weights[0, :n] = 1.0
        return float(self._distances(weights, 1.0 - weights)[0])

    def permuted(self, count: int, seed: int) -> np.ndarray:
        """The distance after each of `count` random exchanges of songs: float64 `[count]`."""
        random = np.random.default_rng([seed, 1])
        total, n = len(self.matrix), self.n_reference
        order = random.permuted(np.tile(np.arange(total), (count, 1)), axis=1)
        weights = (order < n).astype(np.float64)
        return self._distances(weights, 1.0 - weights)

    def bootstrapped(self, count: int, seed: int) -> np.ndarray:
        """The distance of `count` resamples of the songs of both sets: float64 `[count]`.

        A pair of a song with its own copy is no pair of songs, and is left out.
        """
        random = np.random.default_rng([seed, 2])
        n, m = self.n_reference, len(self.matrix) - self.n_reference
        drawn = random.multinomial(n, np.full(n, 1.0 / n), size=count)
        also = random.multinomial(m, np.full(m, 1.0 / m), size=count)
        # a resample of one song alone has no pair; it says nothing, and is rare
        usable = (np.count_nonzero(drawn, axis=1) > 1) & (np.count_nonzero(also, axis=1) > 1)
        first = np.pad(drawn[usable].astype(np.float64), ((0, 0), (0, m)))
        second = np.pad(also[usable].astype(np.float64), ((0, 0), (n, 0)))
        return self._distances(first, second)

    def _distances(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        """100 MMD^2 for each row of weights of the songs in both sets, `[row, song]` each."""
        pairs = self.matrix.copy()
        np.fill_diagonal(pairs, 0.0)
        results = []
        for start in range(0, len(first), _BATCH):
            x, y = first[start : start + _BATCH], second[start : start + _BATCH]
            within = _mean_pair(x, pairs) + _mean_pair(y, pairs)
            across = ((x @ self.matrix) * y).sum(axis=1) / (x.sum(axis=1) * y.sum(axis=1))
            results.append(SCALE * (within - 2.0 * across))
        return np.concatenate([np.zeros(0), *results])


def distance_change(
    before: SongKernels, after: SongKernels, *, seed: int = 0, resamples: int = 1000
) -> tuple[float, float, float]:
    """How the distance of generated sounds to the same reference changed.

    The same songs are drawn for both in each resample, so that songs which are always far away do
    not widen the interval.

    Args:
        before: kernels of the reference and of the generated sounds at first.
        after: of the same reference and as many generated sounds later.
        seed: of the bootstrap.
        resamples: of the bootstrap.

    Returns:
        After minus before, and the ends of its 95 % percentile interval over songs.
    """
    drawn = after.bootstrapped(resamples, seed) - before.bootstrapped(resamples, seed)
    low, high = np.percentile(drawn, [2.5, 97.5])
    return after.distance() - before.distance(), float(low), float(high)


def check_embeddings(*sets: np.ndarray) -> None:
    """Raise a `UserError` unless all are `[item, dimension]` of one dimension, and finite."""
    shapes = [embeddings.shape for embeddings in sets]
    if any(len(shape) != 2 or 0 in shape for shape in shapes) or len({s[1] for s in shapes}) > 1:
        raise UserError(
            f"embeddings of shapes {' and '.join(map(str, shapes))}",
            where="distance of two sets of embeddings",
            remedy="give [segment, dimension] of one embedding, at least one segment each",
        )
    bad = sum(int((~np.isfinite(embeddings)).sum()) for embeddings in sets)
    if bad:
        raise UserError(
            f"the embeddings have {bad} values that are not finite",
            where="distance of two sets of embeddings",
            remedy="find the sounds that have them, and leave them out",
        )


def _mean_pair(weights: np.ndarray, pairs: np.ndarray) -> np.ndarray:
    """The weighted mean over pairs of different songs, for each row of weights."""
    total = weights.sum(axis=1)
    mean: np.ndarray = ((weights @ pairs) * weights).sum(axis=1)
    mean /= total**2 - (weights**2).sum(axis=1)
    return mean


def _songs_of(embeddings: np.ndarray, songs: Sequence[object] | None) -> np.ndarray:
    """The number of the song of each segment, in the order of appearance: int64 `[segment]`."""
    if songs is None:
        return np.arange(len(embeddings))
    if len(songs) != len(embeddings):
        raise UserError(
            f"{len(songs)} songs for {len(embeddings)} segments",
            where="kernel audio distance",
            remedy="name the song of each segment",
        )
    numbers: dict[object, int] = {}
    return np.array([numbers.setdefault(song, len(numbers)) for song in songs], np.int64)


def _squared_distances(points: np.ndarray) -> np.ndarray:
    """Squared Euclidean distances, float64 `[point, point]`, never below 0."""
    centred = points - points.mean(axis=0)  # the differences of large norms would lose digits
    norms = (centred**2).sum(axis=1)
    squared: np.ndarray = norms[:, None] + norms[None, :] - 2.0 * (centred @ centred.T)
    np.maximum(squared, 0.0, out=squared)
    np.fill_diagonal(squared, 0.0)
    return squared
