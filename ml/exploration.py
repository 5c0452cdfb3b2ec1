"""Descriptive statistics of the classes and features of a collection, without a model.

Tracks of one artist are not independent, so `n` tracks carry less information than `n` independent
ones. The chance levels given here are therefore too low for a significance test.
"""

from collections.abc import Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.cluster.hierarchy import leaves_list, linkage, optimal_leaf_ordering
from scipy.spatial.distance import squareform
from scipy.special import betaincinv

_BLOCK = 512  # rows of a distance matrix in memory at once


def eta_squared(
    values: NDArray[np.float64], labels: Sequence[str] | NDArray[np.str_]
) -> NDArray[np.float64]:
    """Share of the variance of each column that lies between the classes, 0 to 1.

    This is the correlation ratio (Pearson 1905; Fisher 1925, Statistical Methods for Research
    Workers, ch. 8).

    Args:
        values: `[track, feature]`, finite.
        labels: `[track]`, the class of each track.

    Returns:
        `[feature]`; NaN for a column that does not vary, and for all columns if there is one class.

    Raises:
        ValueError: the numbers of labels and of rows differ.
    """
    values = np.asarray(values, dtype=np.float64)
    if len(values) != len(labels):
        raise ValueError(f"{len(values)} rows, {len(labels)} labels")
    if not len(values):
        return np.full(values.shape[1], np.nan)
    names, codes = np.unique(np.asarray(labels, dtype=str), return_inverse=True)
    if len(names) < 2:
        return np.full(values.shape[1], np.nan)
    centred = values - values.mean(axis=0)
    total = np.square(centred).sum(axis=0)
    sums = np.zeros((len(names), values.shape[1]))
    np.add.at(sums, codes, centred)
    between = (np.square(sums) / np.bincount(codes)[:, None]).sum(axis=0)
    is_varying = varies(values)
    return np.where(is_varying, between / np.where(is_varying, total, 1.0), np.nan).clip(max=1.0)


def eta_squared_by_chance(n_tracks: int, n_classes: int) -> tuple[float, float]:
    """The mean and the 95th percentile of eta squared for random labels.

    For independent tracks and normal values, its distribution is Beta((k - 1) / 2, (n - k) / 2).

    Returns:
        Mean and 95th percentile; NaN if there are fewer than two classes, or no more tracks than
        classes.
    """
    if n_classes < 2 or n_tracks <= n_classes:
        return float("nan"), float("nan")
    between, within = (n_classes - 1) / 2, (n_tracks - n_classes) / 2
    return between / (between + within), float(betaincinv(between, within, 0.95))


def varies(values: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Whether each column of `[track, feature]` has different values: bool `[feature]`."""
    if not len(values):
        return np.zeros(values.shape[1], dtype=bool)
    spread, size = np.ptp(values, axis=0), np.abs(values).max(axis=0)
    return spread > 1e-12 * size  # equal values may differ by rounding


def standardise(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Scales each column of `[track, feature]` to mean 0 and standard deviation 1.

    A column that does not vary becomes 0.
    """
    values = np.asarray(values, dtype=np.float64)
    is_varying = varies(values)
    if not is_varying.any():
        return np.zeros_like(values)
    deviation = np.where(is_varying, values.std(axis=0), 1.0)
    return np.where(is_varying, (values - values.mean(axis=0)) / deviation, 0.0)


def medoid(points: NDArray[np.float64]) -> int:
    """The row with the smallest sum of Euclidean distances to all others; the first of equal ones.

    Kaufman and Rousseeuw 1987. It is exact. The time is quadratic in the rows, the memory linear.

    Args:
        points: `[track, dimension]`.

    Raises:
        ValueError: there are no rows.
    """
    if not len(points):
        raise ValueError("no points: there is no medoid")
    lengths = np.square(points).sum(axis=1)
    sums = np.empty(len(points))
    for start in range(0, len(points), _BLOCK):
        rows = slice(start, start + _BLOCK)
        squares = lengths[rows, None] + lengths - 2 * points[rows] @ points.T
        sums[rows] = np.sqrt(squares.clip(min=0.0)).sum(axis=1)
    return int(np.argmax(sums <= sums.min() * (1 + 1e-9)))  # rounding must not decide


def rank_correlations(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Spearman's correlation of every two columns: `[feature, feature]`, -1 to 1.

    Ranks are used because many features have heavy-tailed distributions.

    Args:
        values: `[track, feature]`; every column varies (see `varies`).
    """
    ranked = pl.from_numpy(values).select(pl.all().rank("average")).to_numpy()
    ranks = standardise(ranked)
    return (ranks.T @ ranks / len(ranks)).clip(-1.0, 1.0)


def order_by_similarity(correlations: NDArray[np.float64]) -> list[int]:
    """An order of the columns in which similar ones are neighbours.

    Average linkage on 1 - |correlation|, with the leaves ordered as by Bar-Joseph et al. 2001.

    Args:
        correlations: `[feature, feature]`.
    """
    if len(correlations) < 3:
        return list(range(len(correlations)))
    distances = 1.0 - np.abs(correlations)
    distances = (distances + distances.T) / 2
    np.fill_diagonal(distances, 0.0)
    condensed = squareform(distances.clip(min=0.0), checks=False)
    tree = optimal_leaf_ordering(linkage(condensed, method="average"), condensed)
    return leaves_list(tree).tolist()


def select_features(
    scores: NDArray[np.float64],
    correlations: NDArray[np.float64],
    *,
    count: int,
    most_alike: float,
) -> list[int]:
    """The columns with the highest scores that are not too similar to each other, best first.

    Args:
        scores: `[feature]`; equal ones keep their order.
        correlations: `[feature, feature]`.
        count: largest number of columns.
        most_alike: a column is skipped if its |correlation| with a chosen one is greater.
    """
    chosen: list[int] = []
    for column in np.argsort(-np.round(scores, 9), kind="stable").tolist():
        if len(chosen) == count:
            break
        if all(abs(correlations[column, other]) <= most_alike for other in chosen):
            chosen.append(column)
    return chosen


def representativeness(correlations: NDArray[np.float64]) -> NDArray[np.float64]:
    """How well each column represents the others: its mean squared correlation, `[feature]`.

    This is a score for `select_features` if there are no classes.
    """
    if len(correlations) < 2:
        return np.zeros(len(correlations))
    squares = np.square(correlations)
    return (squares.sum(axis=1) - np.diag(squares)) / (len(squares) - 1)
