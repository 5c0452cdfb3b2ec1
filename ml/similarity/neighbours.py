"""Scaling of vectors for cosine similarity, and the labels of neighbours."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from melgraph.ml.errors import UserError


def normalise(vectors: NDArray[np.floating]) -> NDArray[np.float32]:
    """Scales each vector to length 1; a vector of zeros stays zero.

    Args:
        vectors: float [n, d], finite.

    Returns:
        float32 [n, d].

    Raises:
        UserError: the array is not two-dimensional, or has values that are not finite.
    """
    wide = np.asarray(vectors, dtype=np.float64)
    if wide.ndim != 2:
        raise UserError(
            f"vectors of shape {wide.shape}",
            where="the vectors to compare",
            remedy="give one row per track: [n, d]",
        )
    bad_rows = np.flatnonzero(~np.isfinite(wide).all(axis=1))
    if len(bad_rows):
        raise UserError(
            f"{len(bad_rows)} of {len(wide)} vectors have NaN or infinite values, the first in row "
            f"{bad_rows[0]}",
            where="the vectors to compare",
            remedy="leave these tracks out, or compute their embeddings again",
        )
    # Divided by the largest value first: squares of very large or small numbers would overflow.
    largest = np.abs(wide).max(axis=1, keepdims=True, initial=0.0)
    scaled = np.divide(wide, largest, out=np.zeros_like(wide), where=largest > 0)
    length = np.sqrt((scaled * scaled).sum(axis=1, keepdims=True))
    return np.divide(scaled, length, out=scaled, where=length > 0).astype(np.float32)


@dataclass(frozen=True)
class LabelAgreement:
    """How often the neighbours of a track have one of its labels.

    Attributes:
        precision: the share of neighbours that share a label with the query, averaged over the
            queries. NaN if there is no query with neighbours.
        low: lower end of its 95 % confidence interval, over the groups of the queries.
        high: upper end.
        chance: the expected precision of random neighbours, for the same queries.
        n_queries: number of queries with at least one neighbour of another group.
        n_groups: number of their groups.
    """

    precision: float
    low: float
    high: float
    chance: float
    n_queries: int
    n_groups: int


def label_agreement(
    neighbours: Mapping[int, Sequence[int]],
    labels: Sequence[Collection[str]],
    groups: NDArray[np.int64],
) -> LabelAgreement:
    """Precision of the neighbours of some tracks, and its chance level.

    Neighbours of the query's own group (artist or recording) do not count: an artist is known by
    more than the label. The chance level of a query is the share of the tracks of other groups that
    share a label with it.

    Args:
        neighbours: row of each query -> rows of its neighbours.
        labels: of each track that was searched; at least one each.
        groups: int [n], of each track that was searched.

    >>> labels, groups = [["a"], ["a"], ["b"], ["b"]], np.arange(4)
    >>> agreement = label_agreement({0: [1, 2], 2: [3]}, labels, groups)
    >>> agreement.precision, agreement.n_queries
    (0.75, 2)
    """
    # Imported here: intervals import scikit-learn, and `normalise` is used without them.
    from melgraph.ml.similarity.quality import (
        Relevance,
        expected_precision,
        mean_figure,
        precision_at,
    )

    queries = np.array(list(neighbours), np.int64)
    ranking = np.full((len(queries), max(map(len, neighbours.values()), default=0)), -1, np.int64)
    for row, tracks in zip(ranking, neighbours.values(), strict=True):
        row[: len(tracks)] = tracks
    relevance = Relevance(labels, groups)
    figure = mean_figure(
        precision_at(ranking.shape[1], relevance, queries, ranking),
        expected_precision(relevance, queries),
        relevance.groups[queries],
    )
    return LabelAgreement(
        figure.mean, figure.low, figure.high, figure.chance, figure.n_queries, figure.n_groups
    )
