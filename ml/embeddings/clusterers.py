"""Clusters of vectors, made without labels: k-means, a Gaussian mixture, and by density.

All that could be tuned is a rule, stated here before any label was looked at. Distances say little
in many dimensions and covariances need many tracks, so that the mixture and HDBSCAN see the vectors
through PCA (`reduce`); k-means needs neither and sees them whole.
"""

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import pdist, squareform
from sklearn.cluster import HDBSCAN, KMeans
from sklearn.decomposition import PCA
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from melgraph.ml.embeddings.scaling import Scaling, scale
from melgraph.ml.errors import UserError
from melgraph.ml.metrics.clusters import silhouettes

Clusterer = Literal["kmeans", "mixture"]
Covariance = Literal["full", "tied", "diag"]

N_INIT = 10
"""Starts of k-means and of the mixture, the best of which counts."""
MAX_DIMS = 20
"""Most dimensions that the mixture and HDBSCAN are given."""
TRACKS_PER_DIM = 10
"""Tracks for each of these dimensions."""
TRACKS_PER_PARAMETER = 5
"""Tracks for each free parameter of a mixture."""
DENSE_NEIGHBOURS = 5
"""HDBSCAN's `min_samples`, and the smallest cluster it may find."""
MOST_CLUSTERS = 10
"""Where no labels say how many clusters to look for: two to so many are tried."""
NOISE = -1
"""HDBSCAN's cluster of the tracks that lie in none."""
_View = Callable[[NDArray[np.float32]], NDArray[np.floating]]
_SAMPLE = 2000  # tracks of which silhouettes choose a number of clusters
_REGULARISATION = 1e-3  # added to a mixture's variances; that of the first axis is 1


@dataclass(frozen=True)
class Clusters:
    """Clusters, and where other vectors would fall.

    Attributes:
        labels: int64 [n], numbered from 0 in the order of their first track.
        how: how they were made, in words.
        assign: float [m, d] -> int64 [m], the cluster of each further vector.
    """

    labels: NDArray[np.int64]
    how: str
    assign: Callable[[NDArray[np.floating]], NDArray[np.int64]]


def cluster(
    vectors: NDArray[np.floating],
    *,
    n_clusters: int,
    seed: int,
    method: Clusterer = "kmeans",
    scaling: Scaling = "l2",
) -> Clusters:
    """Clusters of a number that is given.

    - `kmeans`: Lloyd's algorithm (1982) from k-means++ starts (Arthur & Vassilvitskii 2007).
    - `mixture`: a mixture of Gaussians by expectation maximisation (Dempster, Laird & Rubin 1977)
      from k-means, in the dimensions and with the covariance that `mixture_shape` gives it.

    Args:
        vectors: float [n, d], finite.
        n_clusters: clusters wanted, 1 .. n.
        seed: of the starts.
        method: which of the two.
        scaling: what is done to the vectors before.

    Returns:
        The clusters. Vectors of fewer than `n_clusters` distinct values make as many clusters as
        there are distinct values, and a component of a mixture may end without a track.

    Raises:
        UserError: no vectors, values that are not finite, or not between 1 and n clusters.
    """
    scaled = scale(vectors, scaling)
    if not 1 <= n_clusters <= len(scaled):
        raise UserError(
            f"{n_clusters} clusters of {len(scaled)} tracks",
            where="the number of clusters",
            remedy="ask for at least one cluster, and no more than there are tracks",
        )
    possible = min(n_clusters, len(np.unique(scaled, axis=0)))
    seen_by: _View = _whole
    model: KMeans | GaussianMixture = _kmeans(possible, seed)
    how = f"k-means, {possible} clusters"
    if method == "mixture" and possible > 1:
        n, d = scaled.shape
        dims, covariance = mixture_shape(n, d, possible)
        seen_by = _through_pca(scaled, dims, seed)
        model = GaussianMixture(
            possible, covariance_type=covariance, reg_covar=_REGULARISATION, n_init=N_INIT,
            random_state=seed,
        )  # fmt: skip
        how = f"{possible} Gaussians, {covariance} covariance, {dims} of {d} PCA axes"
    with _same_bytes():
        found = model.fit(seen_by(scaled)).predict(seen_by(scaled))
    numbers, first, labels = np.unique(found, return_index=True, return_inverse=True)
    order = np.argsort(np.argsort(first))

    def assign(others: NDArray[np.floating]) -> NDArray[np.int64]:
        with _same_bytes():
            near = model.predict(seen_by(scale(others, scaling, like=vectors)))
        # A component that none of the first tracks fell into gets the next number.
        renumbered = np.full(possible, len(numbers), dtype=np.int64)
        renumbered[numbers] = order
        return renumbered[near]

    return Clusters(order[labels].astype(np.int64), how, assign)


def density_clusters(
    vectors: NDArray[np.floating], *, seed: int, scaling: Scaling = "l2"
) -> NDArray[np.int64]:
    """Clusters by density, as many as the vectors themselves suggest, and noise.

    HDBSCAN (Campello, Moulavi & Sander 2013), in the PCA axes of `reduced_dims`. A cluster has at
    least max(5, sqrt(n) / 2) tracks.

    Args:
        vectors: float [n, d], finite.
        seed: of PCA, where there are many vectors.
        scaling: what is done to the vectors before.

    Returns:
        int64 [n], numbered from 0 in the order of their first track; `NOISE` for a track in none.
        All noise where there are too few tracks for two clusters, or all are equal.

    Raises:
        UserError: no vectors, or values that are not finite.
    """
    scaled = scale(vectors, scaling)
    smallest = max(DENSE_NEIGHBOURS, int(np.sqrt(len(scaled)) / 2))
    if len(scaled) < 2 * smallest or len(np.unique(scaled, axis=0)) == 1:
        return np.full(len(scaled), NOISE, dtype=np.int64)
    reduced = _through_pca(scaled, reduced_dims(len(scaled), scaled.shape[1]), seed)(scaled)
    with _same_bytes():
        found = HDBSCAN(
            min_cluster_size=smallest, min_samples=DENSE_NEIGHBOURS, n_jobs=1, copy=True
        ).fit_predict(reduced)
    labels = np.full(len(found), NOISE, dtype=np.int64)
    inside = found != NOISE
    if inside.any():
        _, first, numbers = np.unique(found[inside], return_index=True, return_inverse=True)
        labels[inside] = np.argsort(np.argsort(first))[numbers]
    return labels


def suggested_clusters(vectors: NDArray[np.floating], *, seed: int, scaling: Scaling = "l2") -> int:
    """How many clusters to look for where no labels say it.

    The number from 2 to `MOST_CLUSTERS` whose k-means has the largest mean silhouette (Rousseeuw
    1987), the smallest of equals; of many tracks, on a seeded sample of 2000.

    Args:
        vectors: float [n, d], finite.
        seed: of k-means and of the sample.
        scaling: what is done to the vectors before.

    Returns:
        The number; 1 for fewer than 3 tracks, or where all are equal.

    Raises:
        UserError: no vectors, or values that are not finite.
    """
    scaled = scale(vectors, scaling)
    if len(scaled) > _SAMPLE:
        rows = np.random.default_rng(seed).choice(len(scaled), _SAMPLE, replace=False)
        scaled = scaled[np.sort(rows)]
    distinct = len(np.unique(scaled, axis=0))
    candidates = range(2, min(MOST_CLUSTERS, distinct, len(scaled) - 1) + 1)
    distances = squareform(pdist(scaled)).astype(np.float32)
    scores = {}
    for count in candidates:
        with _same_bytes():
            labels = _kmeans(count, seed).fit_predict(scaled)
        scores[count] = float(np.nan_to_num(silhouettes(distances, labels).mean(), nan=-1.0))
    return max(scores, key=lambda count: (scores[count], -count), default=1)


def reduced_dims(n: int, d: int) -> int:
    """Axes of PCA that `n` tracks of `d` dimensions can bear: a tenth of the tracks, 2 .. 20."""
    return min(d, n, MAX_DIMS, max(2, n // TRACKS_PER_DIM))


def mixture_shape(n: int, d: int, n_clusters: int) -> tuple[int, Covariance]:
    """Dimensions and covariance of a mixture that `n` tracks of `d` dimensions can bear.

    The dimensions are those of `reduced_dims`. The covariance is the first of `full` (each cluster
    its own ellipse), `tied` (all the same), `diag` (each its own, along the axes) that leaves 5
    tracks for every free parameter; where none does, the one with the fewest parameters.
    """
    dims = reduced_dims(n, d)
    triangle = dims * (dims + 1) // 2
    means_and_weights = n_clusters * dims + n_clusters - 1
    parameters: dict[Covariance, int] = {
        "full": means_and_weights + n_clusters * triangle,
        "tied": means_and_weights + triangle,
        "diag": means_and_weights + n_clusters * dims,
    }
    for covariance, count in parameters.items():
        if n >= TRACKS_PER_PARAMETER * count:
            return dims, covariance
    return dims, min(parameters, key=lambda name: parameters[name])


def _kmeans(n_clusters: int, seed: int) -> KMeans:
    return KMeans(n_clusters=n_clusters, n_init=N_INIT, random_state=seed)


def _whole(scaled: NDArray[np.float32]) -> NDArray[np.floating]:
    return scaled


def _through_pca(scaled: NDArray[np.float32], dims: int, seed: int) -> _View:
    """What sees vectors along the first axes of these, the first with variance 1."""
    with _same_bytes():
        axes = PCA(dims, random_state=seed).fit(scaled.astype(np.float64))
    unit = np.sqrt(axes.explained_variance_[0]) or 1.0
    return lambda vectors: axes.transform(vectors.astype(np.float64)) / unit


@contextmanager
def _same_bytes() -> Iterator[None]:
    """One thread: several add up in the order they finish in, other last bits every time.

    Vectors that differ by rounding only can still end in one cluster: that is an answer, and no
    warning is needed.
    """
    with threadpool_limits(limits=1), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        yield
