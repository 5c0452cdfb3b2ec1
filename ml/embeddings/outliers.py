"""Is a track unlike all that an encoder was trained on? Distances and conformal p-values.

Two distances to the training tracks, both in the encoder's space, with vectors of length 1:

- `knn_distances`: to the 5th nearest training track (Sun, Ming, Zhu & Li 2022, "Out-of-distribution
  detection with deep nearest neighbors"). Assumes nothing about the shape of the space.
- `mahalanobis_distances`: to the nearest class, under one covariance that all classes share (Lee,
  Lee, Lee & Shin 2018), shrunk as Ledoit & Wolf (2004) say: there are seldom tracks enough for it.

What is far is not decided by a threshold that someone chose, but by rank among tracks that are
known to be of the same kind, and which no training has seen: the conformal p-value (Vovk, Gammerman
& Shafer 2005; Laxhammar & Falkman 2010; Bates et al. 2023). Of tracks of that kind, at most 5 % get
a p-value of at most 5 %, whatever the distance; so that of many tracks some are flagged by chance.
It holds as far as calibration tracks and judged ones are drawn alike: songs of one artist are not.
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
"""The neighbour whose distance counts."""
VOTERS = 15
"""Nearest training tracks that vote for the nearest labels."""
LEVEL = 0.05
"""A track is flagged where its p-value is not above this."""
_BLOCK = 4096  # vectors at once, of a distance to every class


def knn_distances(
    vectors: NDArray[np.floating], training: NDArray[np.floating], *, k: int = NEIGHBOURS
) -> NDArray[np.float64]:
    """Cosine distance of each vector to its k-th nearest training vector, 0 .. 2.

    Args:
        vectors: float [n, d], finite.
        training: float [m, d], finite.
        k: which neighbour; of fewer training vectors, the farthest of them.

    Returns:
        float64 [n].

    Raises:
        UserError: no vectors, no training vectors, or values that are not finite.
    """
    return _nearest(vectors, training, k)[0][:, -1]


def own_knn_distances(
    training: NDArray[np.floating], *, k: int = NEIGHBOURS
) -> NDArray[np.float64]:
    """The same for the training vectors among themselves: none is its own neighbour.

    Args:
        training: float [m, d], finite, m >= 2.
        k: which neighbour; of fewer training vectors, the farthest of them.

    Returns:
        float64 [m].

    Raises:
        UserError: fewer than two vectors, or values that are not finite.
    """
    _need_two(training)
    # Where vectors are equal, any of them may come first: all have distance 0 to it.
    return _nearest(training, training, k + 1)[0][:, -1]


def nearest_labels(
    vectors: NDArray[np.floating],
    training: NDArray[np.floating],
    labels: Sequence[Sequence[str]],
    *,
    voters: int = VOTERS,
    most: int = 3,
) -> list[list[tuple[str, float]]]:
    """Which labels are nearest: the nearest training tracks have one vote each.

    Args:
        vectors: float [n, d], finite.
        training: float [m, d], finite.
        labels: [m] labels of each training track; its vote is split among several.
        voters: how many of the nearest vote.
        most: labels told.

    Returns:
        Per vector the labels with most votes, with their share of the votes; of equal votes, the
        label of the nearer track.

    Raises:
        UserError: no vectors, no training vectors, or values that are not finite.
        ValueError: not as many labels as training vectors.
    """
    if len(labels) != len(training):
        raise ValueError(f"{len(training)} training vectors, labels of {len(labels)}")
    _, indices = _nearest(vectors, training, voters)
    found = []
    for row in indices:
        votes: dict[str, float] = defaultdict(float)  # in the order of nearness
        for index in row:
            for label in labels[index]:
                votes[label] += 1 / len(labels[index])
        # `sorted` keeps the order of equal votes.
        best = sorted(votes, key=lambda label: -round(votes[label], 9))[:most]
        found.append([(label, votes[label] / len(row)) for label in best])
    return found


def _nearest(
    vectors: NDArray[np.floating], training: NDArray[np.floating], k: int
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    known, asked = scale(training, "l2"), scale(vectors, "l2")
    with threadpool_limits(limits=1):
        index = NearestNeighbors(n_neighbors=min(k, len(known)), algorithm="brute").fit(known)
        distances, indices = index.kneighbors(asked)
    # Of vectors of length 1, half the squared distance is the cosine distance.
    return distances.astype(np.float64) ** 2 / 2, indices


@dataclass(frozen=True)
class Gaussians:
    """A Gaussian for each class, with one covariance.

    Attributes:
        means: float64 [class, d].
        lower: float64 [d, d], the lower Cholesky factor of the covariance.
        shrinkage: 0 .. 1, how far it was shrunk towards a sphere.
    """

    means: NDArray[np.float64]
    lower: NDArray[np.float64]
    shrinkage: float


def fit_gaussians(training: NDArray[np.floating], labels: Sequence[str] | None = None) -> Gaussians:
    """The Gaussians of training vectors of length 1.

    Args:
        training: float [m, d], finite, m >= 2.
        labels: [m], the class of each; None for one class.

    Raises:
        UserError: fewer than two vectors, or values that are not finite.
        ValueError: not as many labels as vectors.
    """
    _need_two(training)
    if labels is not None and len(labels) != len(training):
        raise ValueError(f"{len(training)} training vectors, {len(labels)} labels")
    known = scale(training, "l2").astype(np.float64)
    names = np.asarray(labels if labels is not None else [""] * len(known), dtype=str)
    _, codes, sizes = np.unique(names, return_inverse=True, return_counts=True)
    means = np.zeros((len(sizes), known.shape[1]))
    np.add.at(means, codes, known)
    means /= sizes[:, None]
    with threadpool_limits(limits=1):
        shrunk = LedoitWolf(assume_centered=True).fit(known - means[codes])
        covariance = shrunk.covariance_
        # A space of fewer dimensions than it says has no inverse: a thousandth of the mean variance
        # (or of anything, where all are equal) is as far as rounding reaches.
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
        UserError: no vectors, or values that are not finite.
    """
    asked = scale(vectors, "l2").astype(np.float64)

    def whiten(rows: NDArray[np.float64]) -> NDArray[np.float64]:
        return solve_triangular(gaussians.lower, rows.T, lower=True).T

    with threadpool_limits(limits=1):
        centres = whiten(gaussians.means)
        found = [
            cdist(whiten(asked[at : at + _BLOCK]), centres).min(axis=1)
            for at in range(0, len(asked), _BLOCK)
        ]
    return np.concatenate(found)


def conformal_p_values(
    scores: NDArray[np.float64], calibration: NDArray[np.float64]
) -> NDArray[np.float64]:
    """How rare a score as large as this is among the calibration scores.

    (1 + how many are at least as large) / (1 + their number); never below 1 / (1 + their number),
    so that fewer than 19 calibration tracks cannot flag anything at 5 %.

    Args:
        scores: float [n], larger is stranger.
        calibration: float [m], of tracks of the same kind that no training has seen.

    Returns:
        float64 [n], 0 < p <= 1; all 1 without calibration scores.
    """
    ordered = np.sort(calibration)
    at_least = len(ordered) - np.searchsorted(ordered, scores, side="left")
    return (1 + at_least) / (1 + len(ordered))


def flagging_distance(calibration: NDArray[np.float64], *, level: float = LEVEL) -> float | None:
    """The score above which a p-value is not above `level`; None where none can be that small.

    Args:
        calibration: float [m].
        level: 0 .. 1.
    """
    allowed = int(np.floor(level * (1 + len(calibration)) + 1e-9)) - 1  # at least as large
    return float(np.sort(calibration)[::-1][allowed]) if 0 <= allowed < len(calibration) else None


def own_p_values(calibration: NDArray[np.float64]) -> NDArray[np.float64]:
    """The p-value of each calibration score among the others.

    Args:
        calibration: float [m].

    Returns:
        float64 [m], 0 < p <= 1.
    """
    ordered = np.sort(calibration)
    # Of all that are at least as large, itself is one: it stands for the 1 of the formula.
    at_least = len(ordered) - np.searchsorted(ordered, calibration, side="left")
    return at_least / max(len(ordered), 1)


def _need_two(training: NDArray[np.floating]) -> None:
    if len(training) < 2:
        raise UserError(
            f"a training distribution of {len(training)} tracks",
            where="the training vectors",
            remedy="embed at least two training tracks",
        )
