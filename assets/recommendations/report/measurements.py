"""Precision at k and average precision of each query, by every space and both rankings."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from melgraph.assets.recommendations.report.recordings import Mask, Question, Recordings, Rows
from melgraph.assets.recommendations.report.spaces import Space

PRECISION, AVERAGE_PRECISION = MEASURES = ("precision", "average_precision")
COSINE, IN_SERVICE = RANKINGS = ("cosine", "in_service")
_PAIRS_AT_ONCE = 1 << 22  # of a query and a recording; bounds the memory

Values = NDArray[np.float64]
Key = tuple[str, str, str]
"""A ranking, a question and a measure."""


@dataclass(frozen=True)
class Measurement:
    """What was measured in one space.

    Attributes:
        space: its name.
        title: what its vectors are.
        is_baseline: whether its vectors need no network.
        trained_here: whether the training of its encoder has seen recordings of this library.
        has_lists: whether its encoder is in service.
        values: of each ranking, question and measure, float64 `[query]`; NaN for a query that has
            no right answer, and for one that the training of the encoder has seen.
    """

    space: str
    title: str
    is_baseline: bool
    trained_here: bool
    has_lists: bool
    values: Mapping[Key, Values]


@dataclass(frozen=True)
class Queries:
    """The queries of the report, and what a random ranking would reach.

    Attributes:
        recordings: the catalogue.
        rows: int64 `[query]`, rows of recordings.
        k: number of recordings for the precision.
    """

    recordings: Recordings
    rows: Rows
    k: int

    @property
    def held_out(self) -> Mask:
        """bool `[query]`: whether it is in the test split."""
        return self.recordings.held_out[self.rows]

    @property
    def groups(self) -> Rows:
        """int64 `[query]`, the units of the confidence intervals."""
        return self.recordings.groups[self.rows]

    def chances(self) -> dict[tuple[str, str], Values]:
        """The expected values of random rankings, by question and measure."""
        from melgraph.ml.similarity.quality import expected_average_precision, expected_precision

        everything = np.arange(len(self.recordings))
        chances: dict[tuple[str, str], Values] = {}
        for question in self.recordings.questions:
            relevance = question.relevance
            precision = expected_precision(relevance, self.rows)
            is_measured = _has_answer(question, self.rows)
            chances[question.name, PRECISION] = np.where(is_measured, precision, np.nan)
            parts = [
                # The order does not matter. The query is in no group but its own, so not judged.
                expected_average_precision(relevance, part, np.tile(everything, (len(part), 1)))
                for part in _parts(self.rows, len(everything))
            ]
            chances[question.name, AVERAGE_PRECISION] = np.concatenate([np.empty(0), *parts])
        return chances


def measure(space: Space, queries: Queries, progress: Callable[[int], None]) -> Measurement:
    """Measure both rankings of a space for all queries.

    Args:
        space: the vectors of all recordings.
        queries: the queries.
        progress: called with the number of queries that were measured.
    """
    from melgraph.ml.similarity.quality import average_precision, precision_at
    from melgraph.ml.similarity.rankings import rankings

    questions = queries.recordings.questions
    answerable = {question.name: _has_answer(question, queries.rows) for question in questions}
    parts: dict[Key, list[Values]] = {
        (ranking, question.name, name): []
        for ranking in RANKINGS
        for question in questions
        for name in MEASURES
    }
    for rows in _parts(queries.rows, len(queries.recordings)):
        both = rankings(space.vectors, rows, space.scales)
        for ranking, order in zip(RANKINGS, both, strict=True):
            for question in questions:
                precision = precision_at(queries.k, question.relevance, rows, order)
                average = average_precision(question.relevance, rows, order)
                parts[ranking, question.name, PRECISION].append(precision)
                parts[ranking, question.name, AVERAGE_PRECISION].append(average)
        progress(len(rows))
    unseen = space.unseen[queries.rows]
    values = {
        key: np.where(unseen & answerable[key[1]], np.concatenate([np.empty(0), *one]), np.nan)
        for key, one in parts.items()
    }
    return Measurement(
        space.name,
        space.title,
        space.is_baseline,
        space.trained_here,
        space.scales is not None,
        values,
    )


def _has_answer(question: Question, rows: Rows) -> Mask:
    """Which queries have a right answer. No ranking could be right for the others."""
    return question.relevance.totals(rows)[1] > 0


def _parts(rows: Rows, n_recordings: int) -> list[Rows]:
    """The rows in parts of at most about `_PAIRS_AT_ONCE` pairs with a recording."""
    size = max(1, _PAIRS_AT_ONCE // max(1, n_recordings))
    return [rows[start : start + size] for start in range(0, len(rows), size)]
