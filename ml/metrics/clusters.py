"""Agreement between clusters and labels, for many contingency tables at once.

scikit-learn computes these metrics for one pair of partitions at a time. For a thousand resamples
that takes hundreds of times as long.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment


def hungarian_accuracy(
    clusters: Sequence[int] | NDArray[np.int64], labels: Sequence[str]
) -> tuple[float, dict[int, str]]:
    """Accuracy under the one-to-one matching of clusters and labels that maximises it.

    Args:
        clusters: [n], cluster of each track, any integers.
        labels: [n], label of each track.

    Returns:
        The accuracy, and cluster -> label. If there are more clusters than labels or the reverse,
        some remain unmatched, and their tracks count as wrong.

    Raises:
        ValueError: there are no tracks, or clusters and labels differ in length.
    """
    names, columns = np.unique(np.asarray(labels, dtype=str), return_inverse=True)
    numbers, rows = np.unique(np.asarray(clusters), return_inverse=True)
    if not len(labels) == len(rows) > 0:
        raise ValueError(f"{len(rows)} clustered tracks, {len(labels)} labels")
    table = contingency(rows, columns, len(numbers), len(names))
    matching = linear_sum_assignment(table, maximize=True)
    mapping = {int(numbers[r]): str(names[c]) for r, c in zip(*matching, strict=True)}
    return float(table[matching].sum() / len(labels)), mapping


def contingency(
    rows: NDArray[np.int64], columns: NDArray[np.int64], n_rows: int, n_columns: int
) -> NDArray[np.int64]:
    """Number of tracks in each row and column: int64 [n_rows, n_columns].

    Args:
        rows: int64 [n], the row of each track.
        columns: int64 [n], the column of each track.
        n_rows: number of rows of the table.
        n_columns: number of columns of the table.
    """
    flat = np.bincount(rows * n_columns + columns, minlength=n_rows * n_columns)
    return flat.reshape(n_rows, n_columns)


def nmi(tables: NDArray[np.int64]) -> NDArray[np.float64]:
    """Normalised mutual information of contingency tables [..., clusters, labels], 0 to 1.

    It is the mutual information divided by the arithmetic mean of both entropies.
    """
    joint = tables / tables.sum(axis=(-2, -1), keepdims=True)

    def entropy(p: NDArray[np.float64], axes: tuple[int, ...]) -> NDArray[np.float64]:
        return -(p * np.log(p, out=np.zeros_like(p), where=p > 0)).sum(axis=axes)

    by_row, by_column = entropy(joint.sum(-1), (-1,)), entropy(joint.sum(-2), (-1,))
    mutual = by_row + by_column - entropy(joint, (-2, -1))
    mean = (by_row + by_column) / 2
    # Both entropies are 0 for one cluster and one label, which are the same partition: 1.
    ratio = np.divide(mutual, mean, out=np.ones_like(mean), where=mean > 0)
    return np.clip(ratio, 0.0, 1.0)


def ari(tables: NDArray[np.int64]) -> NDArray[np.float64]:
    """Adjusted Rand index (Hubert & Arabie 1985) of contingency tables [..., clusters, labels]."""

    def pairs(counts: NDArray[np.int64]) -> NDArray[np.float64]:
        return counts * (counts - 1.0) / 2

    together = pairs(tables).sum(axis=(-2, -1))
    in_rows, in_columns = pairs(tables.sum(-1)).sum(-1), pairs(tables.sum(-2)).sum(-1)
    expected = in_rows * in_columns / pairs(tables.sum(axis=(-2, -1)))
    span = (in_rows + in_columns) / 2 - expected
    return np.divide(together - expected, span, out=np.ones_like(span), where=span != 0)


def silhouettes(distances: NDArray[np.float32], codes: NDArray[np.int64]) -> NDArray[np.float64]:
    """Silhouette (Rousseeuw 1987) of each track [n]; NaN unless there are 2 to n - 1 groups.

    Args:
        distances: float32 [n, n], distance of each pair of tracks.
        codes: int64 [n], the group of each track.
    """
    _, codes, sizes = np.unique(codes, return_inverse=True, return_counts=True)
    n, rows = len(codes), np.arange(len(codes))
    if not 2 <= len(sizes) < n:
        return np.full(n, np.nan)
    member = np.zeros((n, len(sizes)), dtype=np.float32)
    member[rows, codes] = 1.0
    sums = (distances @ member).astype(np.float64)
    own = sums[rows, codes] / np.maximum(sizes[codes] - 1, 1)
    means = sums / sizes
    means[rows, codes] = np.inf
    other = means.min(axis=1)
    larger = np.maximum(own, other)
    # By definition, a track alone in its group has silhouette 0, and so have equal vectors.
    defined = (sizes[codes] > 1) & (larger > 0)
    return np.divide(other - own, larger, out=np.zeros(n), where=defined)
