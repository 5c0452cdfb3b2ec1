"""Do the vectors of an encoder cluster by label? Figures, and how uncertain they are.

Every figure comes with two companions: a 95 % interval, and what the same computation gives when
the labels are shuffled. What the interval covers: the tracks are resampled as they were clustered
(no new clustering, no new matching, the same distances), so it tells how far the figure would swing
with other tracks of the same kind under THIS clustering, not how far k-means itself would swing.
Tracks are taken as independent. Songs of one artist are not quite, so that the intervals of a
library with few artists are too narrow.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import pdist, squareform

from melgraph.ml.embeddings.scaling import Scaling, scale
from melgraph.ml.errors import UserError
from melgraph.ml.metrics.clusters import ari, contingency, hungarian_accuracy, nmi, silhouettes

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

    label_names: tuple[str, ...]
    contingency: NDArray[np.int64]
    mapping: dict[int, str]
    accuracy: Figure
    nmi: Figure
    ari: Figure
    silhouette_by_label: Figure
    silhouette_by_cluster: Figure


def matched_order(figures: ClusterFigures) -> tuple[list[int], list[int]]:
    """Clusters and labels in an order that puts matched ones side by side, by name of the label.

    Returns:
        Rows of `contingency` and its columns: all of them, those matched with nothing last.
    """
    numbers = {label: number for number, label in figures.mapping.items()}
    names = figures.label_names
    columns = sorted(range(len(names)), key=lambda at: (names[at] not in numbers, at))
    rows = [numbers[names[column]] for column in columns if names[column] in numbers]
    return rows + [n for n in range(len(figures.contingency)) if n not in rows], columns


def cluster_figures(
    vectors: NDArray[np.floating],
    labels: Sequence[str],
    clusters: NDArray[np.int64],
    *,
    seed: int,
    n_bootstrap: int = 1000,
    n_shuffles: int = 200,
    scaling: Scaling = "l2",
) -> ClusterFigures:
    """Compare clusters, however they were made, with labels; see the module's description.

    Args:
        vectors: float [n, d], finite, n >= 2.
        labels: [n] label of each track.
        clusters: int64 [n], cluster of each track, numbered from 0.
        seed: of the resampling, of the shuffling, and of the silhouettes' sample.
        n_bootstrap: resamples of the intervals.
        n_shuffles: shuffles of the baseline.
        scaling: what is done to the vectors before distances are taken.

    Raises:
        UserError: fewer than two tracks, values that are not finite.
        ValueError: vectors, labels and clusters of unequal number.
    """
    if not len(vectors) == len(labels) == len(clusters):
        raise ValueError(f"{len(vectors)} vectors, {len(labels)} labels, {len(clusters)} clusters")
    resampling, shuffling, sampling = _generators(len(labels), seed)
    names, columns = np.unique(np.asarray(labels, dtype=str), return_inverse=True)
    table = contingency(clusters, columns, int(clusters.max()) + 1, len(names))
    _, mapping = hungarian_accuracy(clusters, labels)

    # To resample tracks is to draw (cluster, label) pairs: a multinomial of the contingency table.
    resampled = resampling.multinomial(len(labels), table.ravel() / table.sum(), size=n_bootstrap)
    resampled = resampled.reshape(n_bootstrap, *table.shape)
    orders = [shuffling.permutation(len(labels)) for _ in range(n_shuffles)]
    shuffled = np.stack([contingency(clusters, columns[order], *table.shape) for order in orders])
    matched = np.zeros(table.shape, dtype=bool)
    for number, name in mapping.items():
        matched[number, np.searchsorted(names, name)] = True
    n = len(labels)
    best = [t[linear_sum_assignment(t, maximize=True)].sum() / n for t in shuffled]
    silhouette = _silhouette_of(vectors, scaling, orders, resampling, sampling, n_bootstrap)
    return ClusterFigures(
        label_names=tuple(str(name) for name in names),
        contingency=table,
        mapping=mapping,
        accuracy=_figure(
            table[matched].sum() / n, resampled[:, matched].sum(axis=1) / n, np.array(best), 0.0
        ),
        nmi=_figure(float(nmi(table)), nmi(resampled), nmi(shuffled), 0.0),
        ari=_figure(float(ari(table)), ari(resampled), ari(shuffled), -0.5),
        silhouette_by_label=silhouette(columns),
        silhouette_by_cluster=silhouette(clusters),
    )


def separation(
    vectors: NDArray[np.floating],
    clusters: NDArray[np.int64],
    *,
    seed: int,
    n_bootstrap: int = 1000,
    n_shuffles: int = 200,
    scaling: Scaling = "l2",
) -> Figure:
    """How separate clusters are where there are no labels to hold them against: their silhouette.

    `silhouette_by_cluster` of `ClusterFigures`; the arguments and errors are those of
    `cluster_figures`.
    """
    if len(vectors) != len(clusters):
        raise ValueError(f"{len(vectors)} vectors, {len(clusters)} clusters")
    resampling, shuffling, sampling = _generators(len(clusters), seed)
    orders = [shuffling.permutation(len(clusters)) for _ in range(n_shuffles)]
    return _silhouette_of(vectors, scaling, orders, resampling, sampling, n_bootstrap)(clusters)


def _generators(n: int, seed: int) -> list[np.random.Generator]:
    if n < 2:
        raise UserError(
            f"figures of {n} tracks",
            where="the vectors to cluster",
            remedy="embed at least two tracks",
        )
    return np.random.default_rng(seed).spawn(3)


def _silhouette_of(
    vectors: NDArray[np.floating],
    scaling: Scaling,
    orders: Sequence[NDArray[np.int64]],
    resampling: np.random.Generator,
    sampling: np.random.Generator,
    n_bootstrap: int,
) -> Callable[[NDArray[np.int64]], Figure]:
    """What gives the mean silhouette of groups of these vectors, as a figure."""
    sample = np.arange(len(vectors))
    if len(sample) > MAX_SILHOUETTE:
        sample = np.sort(sampling.choice(sample, MAX_SILHOUETTE, replace=False))
    draws = resampling.integers(len(sample), size=(n_bootstrap, len(sample)))
    distances = squareform(pdist(scale(vectors, scaling)[sample])).astype(np.float32)

    def silhouette(codes: NDArray[np.int64]) -> Figure:
        values = silhouettes(distances, codes[sample])
        chance = [silhouettes(distances, codes[order[sample]]).mean() for order in orders]
        return _figure(values.mean(), values[draws].mean(axis=1), np.array(chance), -1.0)

    return silhouette


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
