"""Clustering of vectors without labels: k-means, a Gaussian mixture, and HDBSCAN.

Every parameter is fixed by a rule that was chosen without looking at labels. Distances carry little
information in many dimensions, and covariances need many tracks. The mixture and HDBSCAN therefore
work on the first PCA axes (`reduced_dims`). K-means works on the vectors themselves.
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
"""Number of starts of k-means and of the mixture; the best one is used."""
MAX_DIMS = 20
"""Largest number of PCA axes for the mixture and for HDBSCAN."""
TRACKS_PER_DIM = 10
"""Number of tracks that each of these axes needs."""
TRACKS_PER_PARAMETER = 5
"""Number of tracks that each free parameter of a mixture needs."""
DENSE_NEIGHBOURS = 5
"""HDBSCAN's `min_samples`, and a lower limit of its `min_cluster_size`."""
MOST_CLUSTERS = 10
"""Largest number of clusters that is tried if no labels say how many there are."""
NOISE = -1
"""HDBSCAN's label of the tracks that are in no cluster."""
_View = Callable[[NDArray[np.float32]], NDArray[np.floating]]
_SAMPLE = 2000  # largest number of tracks from which the number of clusters is chosen
_REGULARISATION = 1e-3  # added to the variances of a mixture; that of the first axis is 1


@dataclass(frozen=True)
class Clusters:
    """Clusters, and a function that assigns other vectors to them.

    Attributes:
        labels: int64 [n], the cluster of each track, numbered in the order of the first tracks.
        how: the method and its parameters in words. Reports store it.
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
    """Divides vectors into a given number of clusters.

    - `kmeans`: Lloyd's algorithm (1982) from k-means++ starts (Arthur & Vassilvitskii 2007).
    - `mixture`: a mixture of Gaussians by expectation maximisation (Dempster, Laird & Rubin 1977)
      from k-means, with the number of axes and the covariance that `mixture_shape` gives.

    Args:
        vectors: float [n, d], finite.
        n_clusters: number of clusters, 1 .. n.
        seed: of the starts.
        method: which of the two.
        scaling: how the vectors are scaled first.

    Returns:
        The clusters. There are fewer than `n_clusters` if there are fewer distinct vectors, or if a
        component of a mixture ends without a track.

    Raises:
        UserError: there are no vectors, values are not finite, or `n_clusters` is out of range.
    """
    scaled = scale(vectors, scaling)
    if not 1 <= n_clusters <= len(scaled):
        raise UserError(
            f"{n_clusters} clusters of {len(scaled)} tracks",
            where="the number of clusters",
            remedy="choose a number from 1 to the number of tracks",
        )
    possible = min(n_clusters, len(np.unique(scaled, axis=0)))
    view: _View = _unchanged
    model: KMeans | GaussianMixture = _kmeans(possible, seed)
    how = f"k-means, {possible} clusters"
    if method == "mixture" and possible > 1:
        n, d = scaled.shape
        dims, covariance = mixture_shape(n, d, possible)
        view = _first_pca_axes(scaled, dims, seed)
        model = GaussianMixture(
            possible, covariance_type=covariance, reg_covar=_REGULARISATION, n_init=N_INIT,
            random_state=seed,
        )  # fmt: skip
        how = f"{possible} Gaussians, {covariance} covariance, {dims} of {d} PCA axes"
    with _same_bytes():
        components = model.fit(view(scaled)).predict(view(scaled))
    numbers, first, labels = np.unique(components, return_index=True, return_inverse=True)
    order = np.argsort(np.argsort(first))

    def assign(others: NDArray[np.floating]) -> NDArray[np.int64]:
        with _same_bytes():
            components = model.predict(view(scale(others, scaling, like=vectors)))
        # A component that has none of the first tracks gets the next number.
        renumbered = np.full(possible, len(numbers), dtype=np.int64)
        renumbered[numbers] = order
        return renumbered[components]

    return Clusters(order[labels].astype(np.int64), how, assign)


def density_clusters(
    vectors: NDArray[np.floating], *, seed: int, scaling: Scaling = "l2"
) -> NDArray[np.int64]:
    """Clusters by density, in a number that follows from the vectors, and noise.

    This is HDBSCAN (Campello, Moulavi & Sander 2013) on the PCA axes of `reduced_dims`. A cluster
    has at least max(5, sqrt(n) / 2) tracks.

    Args:
        vectors: float [n, d], finite.
        seed: of PCA, which is randomised for many vectors.
        scaling: how the vectors are scaled first.

    Returns:
        int64 [n], the cluster of each track, numbered in the order of the first tracks; `NOISE` for
        a track that is in no cluster. All tracks are noise if there are too few for two clusters,
        or if all vectors are equal.

    Raises:
        UserError: there are no vectors, or values are not finite.
    """
    scaled = scale(vectors, scaling)
    smallest = max(DENSE_NEIGHBOURS, int(np.sqrt(len(scaled)) / 2))
    if len(scaled) < 2 * smallest or len(np.unique(scaled, axis=0)) == 1:
        return np.full(len(scaled), NOISE, dtype=np.int64)
    reduced = _first_pca_axes(scaled, reduced_dims(len(scaled), scaled.shape[1]), seed)(scaled)
    with _same_bytes():
        clusters = HDBSCAN(
            min_cluster_size=smallest, min_samples=DENSE_NEIGHBOURS, n_jobs=1, copy=True
        ).fit_predict(reduced)
    labels = np.full(len(clusters), NOISE, dtype=np.int64)
    inside = clusters != NOISE
    if inside.any():
        _, first, numbers = np.unique(clusters[inside], return_index=True, return_inverse=True)
        labels[inside] = np.argsort(np.argsort(first))[numbers]
    return labels


def suggested_clusters(vectors: NDArray[np.floating], *, seed: int, scaling: Scaling = "l2") -> int:
    """A number of clusters for vectors without labels.

    This is the number from 2 to `MOST_CLUSTERS` for which k-means has the largest mean silhouette
    (Rousseeuw 1987); the smallest such number if several are equal. Of more than 2000 tracks, a
    seeded sample is used.

    Args:
        vectors: float [n, d], finite.
        seed: of k-means and of the sample.
        scaling: how the vectors are scaled first.

    Returns:
        The number; 1 for fewer than 3 tracks, or if all vectors are equal.

    Raises:
        UserError: there are no vectors, or values are not finite.
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
    """The number of PCA axes for `n` tracks of `d` dimensions: one for 10 tracks, 2 .. 20."""
    return min(d, n, MAX_DIMS, max(2, n // TRACKS_PER_DIM))


def mixture_shape(n: int, d: int, n_clusters: int) -> tuple[int, Covariance]:
    """The number of PCA axes and the kind of covariance of a mixture of `n` tracks.

    The number of axes is that of `reduced_dims`. The covariance is the first of `full` (one for
    each cluster), `tied` (one for all clusters) and `diag` (a diagonal one for each cluster) that
    has at least 5 tracks for each free parameter; if none has, the one with the fewest parameters.
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


def _unchanged(scaled: NDArray[np.float32]) -> NDArray[np.floating]:
    return scaled


def _first_pca_axes(scaled: NDArray[np.float32], dims: int, seed: int) -> _View:
    """A function that projects vectors onto the first PCA axes of these.

    It scales them so that the first axis has variance 1.
    """
    with _same_bytes():
        axes = PCA(dims, random_state=seed).fit(scaled.astype(np.float64))
    unit = np.sqrt(axes.explained_variance_[0]) or 1.0
    return lambda vectors: axes.transform(vectors.astype(np.float64)) / unit


@contextmanager
def _same_bytes() -> Iterator[None]:
    """Runs the body in one thread, so that the result has the same bytes every time.

    Several threads add up numbers in the order in which they finish, which changes the last bits.
    The warning about fewer clusters than were asked for is suppressed: vectors that differ by
    rounding only may end in one cluster.
    """
    with threadpool_limits(limits=1), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        yield
