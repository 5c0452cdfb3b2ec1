"""How well clusters of vectors agree with labels, with confidence intervals and chance levels.

Each figure has a 95 % bootstrap interval, and a chance level from shuffled labels. The interval
resamples tracks of a fixed clustering, with the same matching and the same distances. It therefore
covers the choice of tracks, and not the variation of the clustering itself. Tracks are treated as
independent. Tracks of one artist are not, so the intervals are too narrow for a library with few
artists.
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
"""Largest number of tracks for silhouettes, whose cost is quadratic; of more, a seeded sample."""


@dataclass(frozen=True)
class Figure:
    """One figure with its interval and its chance level; all are NaN if it is not defined.

    Attributes:
        value: the figure.
        low, high: 95 % bootstrap interval over tracks; it contains `value`.
        chance: mean over shuffled labels.
        chance_95: 95th percentile over shuffled labels. A value below it may be due to chance.
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
        label_names: the sorted labels, which are the columns of `contingency`.
        contingency: int64 [clusters, labels], number of tracks.
        mapping: cluster -> label, matched by the Hungarian algorithm. If there are more clusters
            than labels, some clusters have no label, and their tracks count as wrong.
        accuracy: share of tracks whose cluster is matched with their label.
        nmi: mutual information divided by the arithmetic mean of both entropies, 0 .. 1.
        ari: adjusted Rand index: 0 expected at random, 1 for equal partitions.
        silhouette_by_label: mean silhouette of the labels: whether tracks of a label are nearer to
            each other than to those of the nearest other label. NaN for one label, or if every
            label has one track.
        silhouette_by_cluster: mean silhouette of the clusters: how well they are separated. Its
            chance level shuffles the clusters.
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
    """An order of the clusters and labels in which matched ones have the same place.

    Returns:
        All rows and all columns of `contingency`, by name of the label, unmatched ones last.
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
    """Compares clusters with labels; the description of the module says how.

    Args:
        vectors: float [n, d], finite, n >= 2.
        labels: [n] label of each track.
        clusters: int64 [n], cluster of each track, numbered from 0.
        seed: of the resampling, of the shuffling, and of the sample for silhouettes.
        n_bootstrap: number of resamples for the intervals.
        n_shuffles: number of shuffles for the chance level.
        scaling: how the vectors are scaled before distances are computed.

    Raises:
        UserError: there are fewer than two tracks, or values are not finite.
        ValueError: vectors, labels and clusters differ in number.
    """
    if not len(vectors) == len(labels) == len(clusters):
        raise ValueError(f"{len(vectors)} vectors, {len(labels)} labels, {len(clusters)} clusters")
    resampling, shuffling, sampling = _generators(len(labels), seed)
    names, columns = np.unique(np.asarray(labels, dtype=str), return_inverse=True)
    table = contingency(clusters, columns, int(clusters.max()) + 1, len(names))
    _, mapping = hungarian_accuracy(clusters, labels)

    # Resampling tracks draws (cluster, label) pairs: a multinomial over the contingency table.
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
    """How well clusters of tracks without labels are separated: their mean silhouette.

    This is `silhouette_by_cluster` of `ClusterFigures`. Arguments and errors are those of
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
    """A function from a grouping of these vectors to its mean silhouette, as a figure."""
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
    """A figure with the percentiles of resamples, shifted so that `value` is the median.

    A resample has some tracks several times, and these agree with themselves. NMI and ARI of
    resamples are therefore too high, and their plain percentiles might not contain the value.
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
