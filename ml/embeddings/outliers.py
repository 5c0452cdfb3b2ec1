"""Out-of-distribution detection: distances to the training tracks, and conformal p-values.

Two distances are computed in the space of the encoder, with vectors of length 1:

- `knn_distances`: to the 5th nearest training track (Sun, Ming, Zhu & Li 2022, "Out-of-distribution
  detection with deep nearest neighbors"). It makes no assumption about the distribution.
- `mahalanobis_distances`: to the nearest class, with one covariance for all classes (Lee, Lee, Lee
  & Shin 2018), shrunk by the method of Ledoit & Wolf (2004), because there are seldom enough tracks
  to estimate it.

The threshold is a conformal p-value (Vovk, Gammerman & Shafer 2005; Laxhammar & Falkman 2010; Bates
et al. 2023): the rank of a distance among those of calibration tracks, which are of the same kind
as the training tracks and were not used in training. Of tracks of that kind, at most 5 % get a
p-value of at most 5 %, for any distance measure. So a few of many tracks are flagged by chance.
This assumes that calibration tracks and the other tracks are drawn independently from the same
distribution, which is not quite true for tracks of one artist.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import solve_triangular
from scipy.spatial.distance import cdist
from sklearn.covariance import LedoitWolf
from sklearn.neighbors import NearestNeighbors
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from melgraph.ml.embeddings.scaling import scale
from melgraph.ml.errors import UserError

NEIGHBOURS = 5
"""The distance to this nearest neighbour is used."""
VOTERS = 15
"""Number of nearest training tracks that vote for the nearest labels."""
LEVEL = 0.05
"""A track is flagged if its p-value is at most this."""
_BLOCK = 4096  # vectors whose distances are computed together, a bound of the memory


def knn_distances(
    vectors: NDArray[np.floating], training: NDArray[np.floating], *, k: int = NEIGHBOURS
) -> NDArray[np.float64]:
    """Cosine distance of each vector to its k-th nearest training vector, 0 .. 2.

    Args:
        vectors: float [n, d], finite.
        training: float [m, d], finite.
        k: which neighbour; if there are fewer training vectors, the farthest of them.

    Returns:
        float64 [n].

    Raises:
        UserError: there are no vectors or no training vectors, or values are not finite.
    """
    return _nearest(vectors, training, k)[0][:, -1]


def training_knn_distances(
    training: NDArray[np.floating], *, k: int = NEIGHBOURS
) -> NDArray[np.float64]:
    """`knn_distances` among the training vectors, where none is its own neighbour.

    Args:
        training: float [m, d], finite, m >= 2.
        k: which neighbour; if there are fewer training vectors, the farthest of them.

    Returns:
        float64 [m].

    Raises:
        UserError: there are fewer than two vectors, or values are not finite.
    """
    _need_two(training)
    # Among equal vectors, the first neighbour may be another one. Its distance is 0 as well.
    return _nearest(training, training, k + 1)[0][:, -1]


def nearest_labels(
    vectors: NDArray[np.floating],
    training: NDArray[np.floating],
    labels: Sequence[Sequence[str]],
    *,
    voters: int = VOTERS,
    most: int = 3,
) -> list[list[tuple[str, float]]]:
    """The nearest labels, by one vote of each of the nearest training tracks.

    Args:
        vectors: float [n, d], finite.
        training: float [m, d], finite.
        labels: [m] labels of each training track, which share its vote equally.
        voters: number of nearest tracks that vote.
        most: largest number of labels to return.

    Returns:
        For each vector, the labels with most votes, with their share of the votes. Of equal votes,
        the label of the nearer track comes first.

    Raises:
        UserError: there are no vectors or no training vectors, or values are not finite.
        ValueError: the numbers of labels and of training vectors differ.
    """
    if len(labels) != len(training):
        raise ValueError(f"{len(training)} training vectors, labels of {len(labels)}")
    _, indices = _nearest(vectors, training, voters)
    nearest = []
    for row in indices:
        votes: dict[str, float] = defaultdict(float)  # in the order of nearness
        for index in row:
            for label in labels[index]:
                votes[label] += 1 / len(labels[index])
        # `sorted` keeps the order of equal votes.
        best = sorted(votes, key=lambda label: -round(votes[label], 9))[:most]
        nearest.append([(label, votes[label] / len(row)) for label in best])
    return nearest


def _nearest(
    vectors: NDArray[np.floating], training: NDArray[np.floating], k: int
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    base, queries = scale(training, "l2"), scale(vectors, "l2")
    with threadpool_limits(limits=1):
        index = NearestNeighbors(n_neighbors=min(k, len(base)), algorithm="brute").fit(base)
        distances, indices = index.kneighbors(queries)
    # For vectors of length 1, half the squared distance is the cosine distance.
    return distances.astype(np.float64) ** 2 / 2, indices


@dataclass(frozen=True)
class Gaussians:
    """A Gaussian for each class, with one covariance for all.

    Attributes:
        means: float64 [class, d].
        lower: float64 [d, d], the lower Cholesky factor of the covariance.
        shrinkage: 0 .. 1, the weight of the sphere that the covariance was shrunk towards.
    """

    means: NDArray[np.float64]
    lower: NDArray[np.float64]
    shrinkage: float


def fit_gaussians(training: NDArray[np.floating], labels: Sequence[str] | None = None) -> Gaussians:
    """Fits Gaussians to training vectors, which are scaled to length 1 first.

    Args:
        training: float [m, d], finite, m >= 2.
        labels: [m], the class of each; None for one class.

    Raises:
        UserError: there are fewer than two vectors, or values are not finite.
        ValueError: the numbers of labels and of vectors differ.
    """
    _need_two(training)
    if labels is not None and len(labels) != len(training):
        raise ValueError(f"{len(training)} training vectors, {len(labels)} labels")
    unit = scale(training, "l2").astype(np.float64)
    names = np.asarray(labels if labels is not None else [""] * len(unit), dtype=str)
    _, codes, sizes = np.unique(names, return_inverse=True, return_counts=True)
    means = np.zeros((len(sizes), unit.shape[1]))
    np.add.at(means, codes, unit)
    means /= sizes[:, None]
    with threadpool_limits(limits=1):
        shrunk = LedoitWolf(assume_centered=True).fit(unit - means[codes])
        covariance = shrunk.covariance_
        # If the vectors span fewer dimensions than they have, the covariance has no inverse. A
        # thousandth of the mean variance (or 1e-12, if all are equal) is larger than rounding.
        floor = max(float(np.trace(covariance)) / len(covariance) * 1e-3, 1e-12)
        lower = np.linalg.cholesky(covariance + floor * np.eye(len(covariance)))
    return Gaussians(means, lower, float(shrunk.shrinkage_))


def mahalanobis_distances(
    vectors: NDArray[np.floating], gaussians: Gaussians
) -> NDArray[np.float64]:
    """Distance of each vector to the nearest class, in standard deviations.

    Args:
        vectors: float [n, d], finite.
        gaussians: of the training vectors.

    Returns:
        float64 [n].

    Raises:
        UserError: there are no vectors, or values are not finite.
    """
    queries = scale(vectors, "l2").astype(np.float64)

    def whiten(rows: NDArray[np.float64]) -> NDArray[np.float64]:
        return solve_triangular(gaussians.lower, rows.T, lower=True).T

    with threadpool_limits(limits=1):
        centres = whiten(gaussians.means)
        distances = [
            cdist(whiten(queries[at : at + _BLOCK]), centres).min(axis=1)
            for at in range(0, len(queries), _BLOCK)
        ]
    return np.concatenate(distances)


def conformal_p_values(
    scores: NDArray[np.float64], calibration: NDArray[np.float64]
) -> NDArray[np.float64]:
    """The conformal p-value of each score.

    It is (1 + number of calibration scores that are at least as large) / (1 + number of calibration
    scores). As it is at least 1 / (1 + number of calibration scores), no track can be flagged at
    5 % with fewer than 19 of them.

    Args:
        scores: float [n]; larger scores are less typical.
        calibration: float [m], scores of tracks of the same kind that were not used in training.

    Returns:
        float64 [n], 0 < p <= 1; all 1 without calibration scores.
    """
    ordered = np.sort(calibration)
    at_least = len(ordered) - np.searchsorted(ordered, scores, side="left")
    return (1 + at_least) / (1 + len(ordered))


def flagging_distance(calibration: NDArray[np.float64], *, level: float = LEVEL) -> float | None:
    """The score above which p-values are at most `level`; None if none can be that small.

    Args:
        calibration: float [m].
        level: 0 .. 1.
    """
    allowed = int(np.floor(level * (1 + len(calibration)) + 1e-9)) - 1  # may be as large
    return float(np.sort(calibration)[::-1][allowed]) if 0 <= allowed < len(calibration) else None


def calibration_p_values(calibration: NDArray[np.float64]) -> NDArray[np.float64]:
    """The conformal p-value of each calibration score among the others.

    Args:
        calibration: float [m].

    Returns:
        float64 [m], 0 < p <= 1.
    """
    ordered = np.sort(calibration)
    # The score itself is one of those that are at least as large: the 1 of the formula.
    at_least = len(ordered) - np.searchsorted(ordered, calibration, side="left")
    return at_least / max(len(ordered), 1)


def _need_two(training: NDArray[np.floating]) -> None:
    if len(training) < 2:
        raise UserError(
            f"a training distribution of {len(training)} tracks",
            where="the training vectors",
            remedy="embed at least two training tracks",
        )
