"""Quality of rankings: precision at k and mean average precision for labels, artists and albums.

One description of the right answers serves all three. For "same genre", the labels are genres and
the groups are artists, so that no track of the query's artist counts: tracks of one artist
are similar for more reasons than their genre. For "same artist" or "same album", the labels are
artists or albums, and the groups are recordings, so that a copy of the query does not count.
"""

from collections.abc import Collection, Hashable, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from melgraph.ml.evaluation.paired import estimate

CHUNK = 1 << 22  # pairs of a query and a track that are judged at once: bounds the memory
NO_LABEL = -1


class Relevance:
    """Which tracks are right answers to a query.

    A track is *judged* for a query if it has a label and is not in the group of the query. A judged
    track is a *right answer* if it shares a label with the query.
    """

    def __init__(self, labels: Sequence[Collection[Hashable]], groups: NDArray[np.integer]) -> None:
        """Describes the right answers among the n tracks of a catalogue.

        Args:
            labels: of each track. A track without labels is not judged.
            groups: int [n]; tracks with equal values are one group. Without duplicates in the
                catalogue, `np.arange(n)` makes each track its own group.

        Raises:
            ValueError: the lengths differ.
        """
        if len(labels) != len(groups):
            raise ValueError(f"labels of {len(labels)} tracks, and groups of {len(groups)}")
        self._groups = np.unique(np.asarray(groups), return_inverse=True)[1].astype(np.int64)
        numbers: dict[Hashable, int] = {}
        self._sets = [
            tuple(sorted({numbers.setdefault(label, len(numbers)) for label in one}))
            for one in labels
        ]
        width = max(map(len, self._sets), default=0)
        self._codes = np.full((len(labels), max(width, 1)), NO_LABEL, np.int64)
        for row, codes in enumerate(self._sets):
            self._codes[row, : len(codes)] = codes
        self._has_label = self._codes[:, 0] != NO_LABEL

    @property
    def groups(self) -> NDArray[np.int64]:
        """int64 [n], the groups of the tracks, numbered from 0."""
        return self._groups

    def judge(
        self, queries: NDArray[np.integer], ranking: NDArray[np.integer]
    ) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Whether each track of a ranking is judged, and whether it is a right answer.

        Args:
            queries: int [q], rows of the queries.
            ranking: int [q, m], rows of tracks for each query; -1 where there is none.

        Returns:
            Two bool arrays [q, m]. No track is judged for a query without labels.
        """
        exists = ranking != -1
        judged = exists & self._has_label[ranking] & self._has_label[queries][:, None]
        judged &= self._groups[ranking] != self._groups[queries][:, None]
        shares = np.zeros(ranking.shape, bool)
        for column in self._codes.T:
            codes = column[queries][:, None]
            for other in self._codes.T:
                shares |= (codes != NO_LABEL) & (codes == other[ranking])
        return judged, judged & shares

    def totals(self, queries: NDArray[np.integer]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The numbers of judged tracks and of right answers in the catalogue.

        Args:
            queries: int [q], rows of the queries.

        Returns:
            Two int64 arrays [q]; 0 for a query without labels.
        """
        has_label = self._has_label[queries]
        labelled = self._labelled_of_group
        n_judged = np.where(has_label, labelled.sum() - labelled[self._groups[queries]], 0)
        queries_of: dict[tuple[int, ...], list[int]] = {}
        for i, query in enumerate(queries.tolist()):
            queries_of.setdefault(self._sets[query], []).append(i)
        n_right = np.zeros(len(queries), np.int64)
        for codes, positions in queries_of.items():
            parts = [self._rows_of_code[code] for code in codes]
            rows = np.unique(np.concatenate([np.empty(0, np.int64), *parts]))
            groups, of_queries = np.sort(self._groups[rows]), self._groups[queries[positions]]
            first, after = (np.searchsorted(groups, of_queries, side) for side in ("left", "right"))
            n_right[positions] = len(rows) - (after - first)
        return n_judged, n_right

    @cached_property
    def _labelled_of_group(self) -> NDArray[np.int64]:
        """int64 [group], the number of tracks with a label."""
        return np.bincount(self._groups, self._has_label).astype(np.int64)

    @cached_property
    def _rows_of_code(self) -> dict[int, NDArray[np.int64]]:
        """Number of a label -> the rows of its tracks."""
        rows, places = np.nonzero(self._codes != NO_LABEL)
        codes = self._codes[rows, places]
        order = np.argsort(codes, kind="stable")
        values, starts = np.unique(codes[order], return_index=True)
        parts = np.split(rows[order], starts[1:])
        return dict(zip(values.tolist(), parts, strict=True))


def precision_at(
    k: int,
    relevance: Relevance,
    queries: NDArray[np.integer],
    ranking: NDArray[np.integer],
) -> NDArray[np.float64]:
    """The share of right answers among the first k judged tracks of each ranking.

    If a ranking has fewer than k judged tracks, the share is that of all of them.

    Args:
        k: number of tracks.
        relevance: the right answers.
        queries: int [q], rows of the queries.
        ranking: int [q, m], rows of tracks for each query, nearest first; -1 where there is none.

    Returns:
        float64 [q]; NaN for a query whose ranking has no judged track.
    """
    values = np.full(len(queries), np.nan)
    for part in _parts(ranking):
        judged, right = relevance.judge(queries[part], ranking[part])
        first = judged & (np.cumsum(judged, axis=1) <= k)
        number = first.sum(axis=1)
        np.divide((right & first).sum(axis=1), number, out=values[part], where=number > 0)
    return values


def average_precision(
    relevance: Relevance, queries: NDArray[np.integer], ranking: NDArray[np.integer]
) -> NDArray[np.float64]:
    """Average precision of each ranking: the mean over right answers of the precision at its rank.

    Only judged tracks have a rank. A right answer that is not in the ranking counts as 0. For a
    ranking of the whole catalogue this is `sklearn.metrics.average_precision_score`.

    Args:
        relevance: the right answers.
        queries: int [q], rows of the queries.
        ranking: int [q, m], rows of tracks for each query, nearest first; -1 where there is none.

    Returns:
        float64 [q]; NaN for a query that has no right answer in the catalogue.
    """
    values = np.full(len(queries), np.nan)
    _, n_right = relevance.totals(queries)
    for part in _parts(ranking):
        judged, right = relevance.judge(queries[part], ranking[part])
        rank = np.maximum(np.cumsum(judged, axis=1), 1)
        total = np.where(right, np.cumsum(right, axis=1) / rank, 0.0).sum(axis=1)
        np.divide(total, n_right[part], out=values[part], where=n_right[part] > 0)
    return values


def expected_precision(relevance: Relevance, queries: NDArray[np.integer]) -> NDArray[np.float64]:
    """The expected precision of a random ranking of the judged tracks, at any k.

    Returns:
        float64 [q]; NaN for a query for which no track is judged.
    """
    n_judged, n_right = relevance.totals(queries)
    values = np.full(len(queries), np.nan)
    np.divide(n_right, n_judged, out=values, where=n_judged > 0)
    return values


def expected_average_precision(
    relevance: Relevance, queries: NDArray[np.integer], ranking: NDArray[np.integer]
) -> NDArray[np.float64]:
    """The expected average precision of random rankings with as many judged tracks.

    Closed form (Bestgen 2015, "Exact expected average precision of the random baseline for system
    evaluation"), and the same sum over fewer ranks if a ranking is not of the whole
    catalogue.

    Returns:
        float64 [q]; NaN for a query that has no right answer in the catalogue.
    """
    n_judged, n_right = (total.astype(np.float64) for total in relevance.totals(queries))
    ranks = np.zeros(len(queries), np.int64)
    for part in _parts(ranking):
        ranks[part] = relevance.judge(queries[part], ranking[part])[0].sum(axis=1)
    harmonic = np.concatenate([[0.0], np.cumsum(1.0 / np.arange(1, ranks.max(initial=0) + 1))])
    # Given a right answer at rank i, each of the i - 1 tracks before it is one with this chance.
    before = (n_right - 1) / np.maximum(n_judged - 1, 1)
    total = ranks * before + (1 - before) * harmonic[ranks]
    values = np.full(len(queries), np.nan)
    np.divide(total, n_judged, out=values, where=n_right > 0)
    return values


@dataclass(frozen=True)
class Figure:
    """The mean of a measure over queries.

    Attributes:
        mean: over the evaluated queries. NaN if there are none.
        low: lower end of its 95 % confidence interval, over the groups of the queries.
        high: upper end.
        chance: the expected mean of random rankings, for the same queries.
        n_queries: number of evaluated queries.
        n_groups: number of their groups.
        values: float64 [q], the measure of each query; NaN where it is not evaluated.
        groups: int64 [q], the groups of the queries.
    """

    mean: float
    low: float
    high: float
    chance: float
    n_queries: int
    n_groups: int
    values: NDArray[np.float64] = field(repr=False, compare=False)
    groups: NDArray[np.int64] = field(repr=False, compare=False)


def mean_figure(
    values: NDArray[np.float64], chances: NDArray[np.float64], groups: NDArray[np.int64]
) -> Figure:
    """The mean of a measure with its 95 % confidence interval over groups.

    Args:
        values: float64 [q], 0 to 1; NaN for a query that is not evaluated.
        chances: float64 [q], the expected values of random rankings.
        groups: int64 [q].
    """
    exists = ~np.isnan(values)
    nan = float("nan")
    if not exists.any():
        return Figure(nan, nan, nan, nan, 0, 0, values, groups)
    interval = estimate(values[None], groups, n_bootstrap=1000)
    return Figure(
        interval.accuracy,
        interval.low,
        interval.high,
        float(chances[exists].mean()),
        interval.n,
        interval.n_groups,
        values,
        groups,
    )


def _parts(ranking: NDArray[np.integer]) -> list[slice]:
    """Slices of queries with at most about `CHUNK` pairs of a query and a track."""
    size = max(1, CHUNK // max(1, ranking.shape[1]))
    return [slice(start, start + size) for start in range(0, len(ranking), size)]
