"""Do the vectors of an encoder cluster by label? Clusters, maps, figures and their uncertainty.

Every figure comes with two companions: a 95 % interval, and what the same computation gives when
the labels are shuffled. What the interval covers: the tracks are resampled as they were clustered
(no new clustering, no new matching, the same distances), so it tells how far the figure would swing
with other tracks of the same kind under THIS clustering, not how far k-means itself would swing.
Tracks are taken as independent. Songs of one artist are not quite, so that the intervals of a
library with few artists are too narrow.
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import pdist, squareform
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA
from sklearn.exceptions import ConvergenceWarning
from sklearn.manifold import TSNE
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from ml.cluster_metrics import ari, contingency, hungarian_accuracy, nmi, silhouettes
from ml.errors import UserError
from ml.similarity import normalise

Scaling = Literal["l2", "standard"]
"""`l2`: vectors of length 1, so that distance is cosine distance; `standard`: each dimension with
mean 0 and variance 1."""

N_INIT = 10
"""Starts of k-means, the best of which counts."""
MAX_SILHOUETTE = 2000
"""Tracks the silhouettes are computed on (a seeded sample of more): their cost is quadratic."""


@dataclass(frozen=True)
class Figure:
    """One figure with its interval and its baseline; all NaN where it is not defined.

    Attributes:
        value: the figure itself.
        low, high: 95 % bootstrap interval over tracks; contains `value`.
        chance: mean over shuffled labels.
        chance_95: 95th percentile over shuffled labels. Below it, the figure is no finding.
    """

    value: float
    low: float
    high: float
    chance: float
    chance_95: float


@dataclass(frozen=True)
class ClusterFigures:
    """How well clusters and labels agree.

    Attributes:
        clusters: int64 [n], cluster of each track, numbered in the order of their first track.
        label_names: labels in sorted order, the columns of `contingency`.
        contingency: int64 [clusters found, labels], tracks.
        mapping: cluster -> label by the Hungarian algorithm; with more clusters than labels, some
            clusters have none, and their tracks count as wrong.
        accuracy: share of tracks whose cluster is mapped to their label.
        nmi: mutual information over the arithmetic mean of both entropies, 0 .. 1.
        ari: Rand index adjusted for chance: 0 at random, 1 for equal partitions.
        silhouette_by_label: mean silhouette of the true labels in the space: are tracks of a label
            nearer to each other than to those of the next label? Undefined (NaN) for one label, or
            where every label has one track.
        silhouette_by_cluster: the same for the clusters: how separate are they at all? Its baseline
            shuffles the clusters.
    """

    clusters: NDArray[np.int64]
    label_names: tuple[str, ...]
    contingency: NDArray[np.int64]
    mapping: dict[int, str]
    accuracy: Figure
    nmi: Figure
    ari: Figure
    silhouette_by_label: Figure
    silhouette_by_cluster: Figure


def cluster(
    vectors: NDArray[np.floating], *, n_clusters: int, seed: int, scaling: Scaling = "l2"
) -> NDArray[np.int64]:
    """Clusters by k-means (Lloyd, k-means++ starts, `N_INIT` of them, one thread).

    Args:
        vectors: float [n, d], finite.
        n_clusters: clusters wanted, 1 .. n.
        seed: of the starts.
        scaling: what is done to the vectors before.

    Returns:
        int64 [n], numbered from 0 in the order of their first track. Vectors of fewer than
        `n_clusters` distinct values make as many clusters as there are distinct values.

    Raises:
        UserError: no vectors, values that are not finite, or not between 1 and n clusters.
    """
    scaled = _scale(vectors, scaling)
    if not 1 <= n_clusters <= len(scaled):
        raise UserError(
            f"{n_clusters} clusters of {len(scaled)} tracks",
            where="the number of clusters",
            remedy="ask for at least one cluster, and no more than there are tracks",
        )
    possible = min(n_clusters, len(np.unique(scaled, axis=0)))
    model = KMeans(n_clusters=possible, n_init=N_INIT, random_state=seed)
    # Several threads add up the centres in the order they finish in: other last bits every time.
    with threadpool_limits(limits=1), warnings.catch_warnings():
        # Vectors that differ by rounding only can still end in one cluster: that is an answer.
        warnings.simplefilter("ignore", ConvergenceWarning)
        found = model.fit_predict(scaled)
    _, first, inverse = np.unique(found, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first))[inverse].astype(np.int64)


def project(
    vectors: NDArray[np.floating],
    *,
    method: Literal["pca", "tsne"],
    seed: int,
    scaling: Scaling = "l2",
) -> NDArray[np.float32]:
    """A map of the vectors in the plane.

    PCA has a fixed sign: the largest loading of each axis is positive. t-SNE (van der Maaten &
    Hinton 2008) starts from PCA, with perplexity min(30, (n - 1) / 3); of fewer than 5 tracks it is
    no use and PCA is given instead. Vectors that are all equal lie in (0, 0); an axis that the
    vectors do not have (one dimension, two tracks) is 0.

    Args:
        vectors: float [n, d], finite, n >= 1.
        method: `pca` or `tsne`.
        seed: of t-SNE.
        scaling: what is done to the vectors before.

    Returns:
        float32 [n, 2].

    Raises:
        UserError: no vectors, or values that are not finite.
    """
    scaled = _scale(vectors, scaling).astype(np.float64)
    plane = np.zeros((len(scaled), 2))
    # Beyond rounding there is nothing to see: a map of noise would look like one of music.
    if np.ptp(scaled, axis=0).max() <= 1e-6 * max(1.0, np.abs(scaled).max()):
        return plane.astype(np.float32)
    n_axes = min(2, *scaled.shape)
    with threadpool_limits(limits=1):
        plane[:, :n_axes] = PCA(n_axes, random_state=seed).fit_transform(scaled)
        if method == "tsne" and len(scaled) >= 5:
            plane = TSNE(
                perplexity=min(30.0, (len(scaled) - 1) / 3),
                init=(plane / plane[:, 0].std() * 1e-4).astype(np.float32),
                learning_rate="auto",
                random_state=seed,
                n_jobs=1,
            ).fit_transform(scaled)
    return plane.astype(np.float32)


def cluster_figures(
    vectors: NDArray[np.floating],
    labels: Sequence[str],
    *,
    n_clusters: int | None = None,
    seed: int,
    n_bootstrap: int = 1000,
    n_shuffles: int = 200,
    scaling: Scaling = "l2",
) -> ClusterFigures:
    """Cluster the vectors and compare the clusters with the labels; see the module's description.

    Args:
        vectors: float [n, d], finite, n >= 2.
        labels: [n] label of each track.
        n_clusters: clusters wanted; by default as many as there are labels.
        seed: of k-means, of the resampling, of the shuffling, and of the silhouettes' sample.
        n_bootstrap: resamples of the intervals.
        n_shuffles: shuffles of the baseline.
        scaling: what is done to the vectors before.

    Raises:
        UserError: fewer than two tracks, fewer tracks than clusters, values that are not finite.
        ValueError: vectors and labels of unequal number.
    """
    if len(vectors) != len(labels):
        raise ValueError(f"{len(vectors)} vectors, {len(labels)} labels")
    if len(labels) < 2:
        raise UserError(
            f"figures of {len(labels)} tracks",
            where="the vectors to cluster",
            remedy="embed at least two labelled tracks",
        )
    names, columns = np.unique(np.asarray(labels, dtype=str), return_inverse=True)
    found = cluster(vectors, n_clusters=n_clusters or len(names), seed=seed, scaling=scaling)
    table = contingency(found, columns, int(found.max()) + 1, len(names))
    _, mapping = hungarian_accuracy(found, labels)

    resampling, shuffling, sampling = np.random.default_rng(seed).spawn(3)
    # To resample tracks is to draw (cluster, label) pairs: a multinomial of the contingency table.
    resampled = resampling.multinomial(len(labels), table.ravel() / table.sum(), size=n_bootstrap)
    resampled = resampled.reshape(n_bootstrap, *table.shape)
    orders = [shuffling.permutation(len(labels)) for _ in range(n_shuffles)]
    shuffled = np.stack([contingency(found, columns[order], *table.shape) for order in orders])
    matched = np.zeros(table.shape, dtype=bool)
    for number, name in mapping.items():
        matched[number, np.searchsorted(names, name)] = True

    def silhouette(codes: NDArray[np.int64]) -> Figure:
        values = silhouettes(distances, codes[sample])
        chance = [silhouettes(distances, codes[order[sample]]).mean() for order in orders]
        return _figure(values.mean(), values[draws].mean(axis=1), np.array(chance), -1.0)

    sample = np.arange(len(labels))
    if len(sample) > MAX_SILHOUETTE:
        sample = np.sort(sampling.choice(sample, MAX_SILHOUETTE, replace=False))
    draws = resampling.integers(len(sample), size=(n_bootstrap, len(sample)))
    distances = squareform(pdist(_scale(vectors, scaling)[sample])).astype(np.float32)
    n = len(labels)
    best = [t[linear_sum_assignment(t, maximize=True)].sum() / n for t in shuffled]
    return ClusterFigures(
        clusters=found,
        label_names=tuple(str(name) for name in names),
        contingency=table,
        mapping=mapping,
        accuracy=_figure(
            table[matched].sum() / n, resampled[:, matched].sum(axis=1) / n, np.array(best), 0.0
        ),
        nmi=_figure(float(nmi(table)), nmi(resampled), nmi(shuffled), 0.0),
        ari=_figure(float(ari(table)), ari(resampled), ari(shuffled), -0.5),
        silhouette_by_label=silhouette(columns),
        silhouette_by_cluster=silhouette(found),
    )


def _scale(vectors: NDArray[np.floating], scaling: Scaling) -> NDArray[np.float32]:
    unit = normalise(vectors)
    if 0 in unit.shape:
        raise UserError(
            f"vectors of shape {unit.shape}",
            where="the vectors to cluster",
            remedy="give at least one track",
        )
    if scaling == "l2":
        return unit
    wide = np.asarray(vectors, dtype=np.float64)
    spread = wide.std(axis=0)
    # A constant dimension has, up to rounding, no spread, and says nothing.
    varies = spread > 1e-12 * np.abs(wide).max(axis=0)
    centred = (wide - wide.mean(axis=0)) * varies
    return (centred / np.where(varies, spread, 1.0)).astype(np.float32)


def _figure(
    value: float, resampled: NDArray[np.float64], shuffled: NDArray[np.float64], lowest: float
) -> Figure:
    """Resampled percentiles, moved so that their median is the value.

    A resample holds some tracks twice, which agree with themselves: NMI and ARI of resamples lie
    above the figure they vary around, and plain percentiles might not even contain it.
    """
    if np.isnan(value):
        return Figure(*[float("nan")] * 5)
    low, middle, high = np.quantile(resampled, [0.025, 0.5, 0.975])
    low, high = np.clip([value + low - middle, value + high - middle], lowest, 1.0)
    return Figure(
        float(value),
        float(low),
        float(high),
        float(shuffled.mean()),
        float(np.quantile(shuffled, 0.95)),
    )
