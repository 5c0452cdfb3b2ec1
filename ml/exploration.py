"""What is in a collection: statistics of classes and features that need no model.

Descriptive figures for people. Tracks of one artist are alike, so `n` tracks say less than `n`
independent ones would: what shuffled labels reach is a floor, not a test.
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
    """Share of each column's variance that lies between the classes: 0 nothing, 1 all of it.

    Correlation ratio (Pearson 1905; Fisher 1925, Statistical Methods for Research Workers, ch. 8).

    Args:
        values: `[track, feature]`, finite.
        labels: `[track]`, the class of each.

    Returns:
        `[feature]`; NaN for a column that does not vary, and for all where there is one class.

    Raises:
        ValueError: not as many labels as rows.
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
    moves = varies(values)
    return np.where(moves, between / np.where(moves, total, 1.0), np.nan).clip(max=1.0)


def eta_squared_by_chance(n_tracks: int, n_classes: int) -> tuple[float, float]:
    """What labels without a meaning reach: the mean of eta squared, and its 95th percentile.

    For independent tracks and normal values it is Beta((k - 1) / 2, (n - k) / 2) distributed.

    Returns:
        Mean and 95th percentile; NaN where there are fewer than two classes, or no more tracks
        than classes.
    """
    if n_classes < 2 or n_tracks <= n_classes:
        return float("nan"), float("nan")
    between, within = (n_classes - 1) / 2, (n_tracks - n_classes) / 2
    return between / (between + within), float(betaincinv(between, within, 0.95))


def varies(values: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which columns of `[track, feature]` hold different values: bool `[feature]`."""
    if not len(values):
        return np.zeros(values.shape[1], dtype=bool)
    spread, size = np.ptp(values, axis=0), np.abs(values).max(axis=0)
    return spread > 1e-12 * size  # what rounding alone makes of equal values is no variation


def standardised(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Each column of `[track, feature]` with mean 0 and deviation 1; 0 where it does not vary."""
    values = np.asarray(values, dtype=np.float64)
    moves = varies(values)
    if not moves.any():
        return np.zeros_like(values)
    deviation = np.where(moves, values.std(axis=0), 1.0)
    return np.where(moves, (values - values.mean(axis=0)) / deviation, 0.0)


def medoid(points: NDArray[np.float64]) -> int:
    """The row whose summed Euclidean distance to all others is least; of equal ones the first.

    Kaufman and Rousseeuw 1987. Exact, in time of the square of the rows and the memory of a block.

    Args:
        points: `[track, dimension]`.

    Raises:
        ValueError: no rows.
    """
    if not len(points):
        raise ValueError("no points, so none is in the middle")
    lengths = np.square(points).sum(axis=1)
    sums = np.empty(len(points))
    for start in range(0, len(points), _BLOCK):
        rows = slice(start, start + _BLOCK)
        squares = lengths[rows, None] + lengths - 2 * points[rows] @ points.T
        sums[rows] = np.sqrt(squares.clip(min=0.0)).sum(axis=1)
    return int(np.argmax(sums <= sums.min() * (1 + 1e-9)))  # the last bit decides nothing


def rank_correlations(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Spearman's correlation of every two columns: `[feature, feature]`, -1 to 1.

    Ranks, because variances have long tails.

    Args:
        values: `[track, feature]`; every column varies (see `varies`).
    """
    ranked = pl.from_numpy(values).select(pl.all().rank("average")).to_numpy()
    ranks = standardised(ranked)
    return (ranks.T @ ranks / len(ranks)).clip(-1.0, 1.0)


def similar_together(correlations: NDArray[np.float64]) -> list[int]:
    """An order of the columns in which alike ones are neighbours.

    Average linkage on 1 - |correlation|, leaves ordered by Bar-Joseph et al. 2001.

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


def chosen_features(
    scores: NDArray[np.float64],
    correlations: NDArray[np.float64],
    *,
    count: int,
    most_alike: float,
) -> list[int]:
    """The highest-scoring columns that do not repeat one another, best first.

    Args:
        scores: `[feature]`; of equal ones the first comes first.
        correlations: `[feature, feature]`.
        count: at most so many.
        most_alike: a column is passed over where its |correlation| with a chosen one is greater.
    """
    chosen: list[int] = []
    for column in np.argsort(-np.round(scores, 9), kind="stable").tolist():
        if len(chosen) == count:
            break
        if all(abs(correlations[column, other]) <= most_alike for other in chosen):
            chosen.append(column)
    return chosen


def representativeness(correlations: NDArray[np.float64]) -> NDArray[np.float64]:
    """How much each column says of the others: the mean of their squared correlations, `[feature]`.

    A score for `chosen_features` where there are no classes to tell apart.
    """
    if len(correlations) < 2:
        return np.zeros(len(correlations))
    squares = np.square(correlations)
    return (squares.sum(axis=1) - np.diag(squares)) / (len(squares) - 1)
