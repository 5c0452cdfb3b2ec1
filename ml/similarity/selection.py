"""Which of the nearest tracks are recommended: no copies, few of one artist, not all alike."""

from collections import Counter
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from melgraph.ml.errors import UserError

COPIES = "copies of a recording"
VERSIONS = "versions of a song"
ARTIST_LIMIT = "limit of tracks per artist"
UNKNOWN = -1
"""The number of an artist or song that is not known."""


@dataclass(frozen=True)
class Selection:
    """The selected candidates, in the order of selection.

    Attributes:
        rows: int64 [m], m <= k, rows of the catalogue.
        scores: float64 [m], their scores, as `select` received them.
        dropped: reason -> number of candidates that were passed over for it before the last track
            was selected: `COPIES`, `VERSIONS`, `ARTIST_LIMIT`. If fewer than k tracks were
            selected, `m` and these numbers add up to the number of candidates.
    """

    rows: NDArray[np.int64]
    scores: NDArray[np.float64]
    dropped: dict[str, int]


def select(
    candidates: Sequence[int] | NDArray[np.integer],
    scores: Sequence[float] | NDArray[np.floating],
    k: int,
    *,
    recordings: NDArray[np.integer],
    exclude_recordings: AbstractSet[int] = frozenset(),
    songs: NDArray[np.integer] | None = None,
    exclude_songs: AbstractSet[int] = frozenset(),
    artists: NDArray[np.integer] | None = None,
    per_artist: int | None = None,
    diversity: float = 0.0,
    vectors: NDArray[np.float32] | None = None,
) -> Selection:
    """The k best candidates that the rules allow.

    Without diversity, the best are those of the highest score. With diversity, each next track has
    the highest maximal marginal relevance (Carbonell and Goldstein 1998, "The use of MMR,
    diversity-based reranking for reordering documents and producing summaries", section 2):

        (1 - diversity) * score - diversity * similarity to the most similar track selected so far

    Both are scaled first, so that a diversity means the same in every space: scores to 0 .. 1 over
    the candidates, and similarities by the range that those between the candidates have. In the
    space of a tagger, for example, all cosines may lie between .9 and 1. With a large diversity,
    even the least similar candidate can be selected, so give only a few times k candidates. Of
    equal candidates, the one that comes first in `candidates` is selected.

    Args:
        candidates: [n] rows of the catalogue, the nearest first.
        scores: float [n], finite; higher is better.
        k: the number of tracks to select.
        recordings: int [row of the catalogue]; copies of one recording have the same number. Each
            recording is selected once.
        exclude_recordings: recordings that are not selected: those of the seeds.
        songs: int [row]; versions of one song have the same number, `UNKNOWN` equals no other song.
            None: all versions may be selected.
        exclude_songs: songs that are not selected: those of the seeds.
        artists: int [row]; tracks with `UNKNOWN` are not limited.
        per_artist: how many tracks of one artist are selected at most; None: any number.
        diversity: 0 .. 1.
        vectors: float32 [n, d] of length 1, of the candidates; only needed for diversity.

    Raises:
        UserError: `k`, `per_artist` or `diversity` is out of its range.
        ValueError: arrays do not fit together, or scores are not finite.
    """
    _check_options(k, per_artist, diversity)
    rows = np.asarray(candidates, np.int64).reshape(-1)
    values = np.asarray(scores, np.float64)
    if values.shape != rows.shape or not np.isfinite(values).all():
        raise ValueError(f"{len(rows)} candidates need as many finite scores")
    rules = _Rules(rows, recordings, exclude_recordings)
    if songs is not None:
        rules.add(VERSIONS, songs, 1, exclude_songs)
    if per_artist is not None and artists is not None:
        rules.add(ARTIST_LIMIT, artists, per_artist)
    if diversity > 0:
        if vectors is None or len(vectors) != len(rows):
            raise ValueError(f"diversity needs the vectors of all {len(rows)} candidates")
        places = _by_marginal_relevance(rules, values, k, diversity, vectors)
    else:
        places = _by_score(rules, values, k)
    return Selection(rows[places], values[places], dict(rules.dropped))


class _Rules:
    """Counts what was selected, and says whether one more candidate is allowed."""

    def __init__(
        self,
        rows: NDArray[np.int64],
        recordings: NDArray[np.integer],
        exclude_recordings: AbstractSet[int],
    ) -> None:
        self.dropped: Counter[str] = Counter()
        self._rows = rows
        self._limits: list[tuple[str, list[int], Counter[int], int]] = []
        copies = np.asarray(recordings)[rows]
        # A recording is always known: an unknown number would be shared by different recordings.
        self._add(COPIES, copies.tolist(), 1, exclude_recordings)

    def add(
        self,
        reason: str,
        numbers: NDArray[np.integer],
        limit: int,
        excluded: AbstractSet[int] = frozenset(),
    ) -> None:
        """Limit how many candidates with the same number are selected."""
        of_candidates = np.asarray(numbers)[self._rows].astype(np.int64)
        # Candidates without a number get one of their own, below all others.
        unknown = of_candidates == UNKNOWN
        of_candidates[unknown] = UNKNOWN - 1 - np.arange(int(unknown.sum()))
        self._add(reason, of_candidates.tolist(), limit, excluded - {UNKNOWN})

    def _add(self, reason: str, numbers: list[int], limit: int, excluded: AbstractSet[int]) -> None:
        counts = Counter(dict.fromkeys(excluded, limit))
        self._limits.append((reason, numbers, counts, limit))

    def take(self, place: int) -> bool:
        """Count this candidate, or the reason why it is not allowed."""
        for reason, numbers, counts, limit in self._limits:
            if counts[numbers[place]] >= limit:
                self.dropped[reason] += 1
                return False
        for _, numbers, counts, _ in self._limits:
            counts[numbers[place]] += 1
        return True


def _by_score(rules: _Rules, scores: NDArray[np.float64], k: int) -> list[int]:
    places: list[int] = []
    for place in np.argsort(-scores, kind="stable").tolist():
        if len(places) == k:
            break
        if rules.take(place):
            places.append(place)
    return places


def _by_marginal_relevance(
    rules: _Rules,
    scores: NDArray[np.float64],
    k: int,
    diversity: float,
    vectors: NDArray[np.float32],
) -> list[int]:
    relevance = (1 - diversity) * _scaled(scores)
    scale = _similarity_range(vectors, np.argsort(-scores, kind="stable")[: max(k, 2)])
    nearest = np.zeros(len(scores))  # similarity to the most similar selected track
    is_left = np.ones(len(scores), dtype=bool)
    places: list[int] = []
    while len(places) < k and is_left.any():
        marginal = np.where(is_left, relevance - diversity * nearest, -np.inf)
        place = int(np.argmax(marginal))
        is_left[place] = False
        if rules.take(place):
            similarity = (vectors @ vectors[place]).astype(np.float64) / scale
            nearest = np.maximum(nearest, similarity) if places else similarity
            places.append(place)
    return places


def _scaled(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """The values from 0 to 1; all 0 if they are equal."""
    if not len(values):
        return values
    low, high = values.min(), values.max()
    return (values - low) / (high - low) if high > low else np.zeros(len(values))


def _similarity_range(vectors: NDArray[np.float32], best: NDArray[np.int64]) -> float:
    """The range of the similarities between the best candidates and all others."""
    similarities = vectors[best] @ vectors.T
    similarities[np.arange(len(best)), best] = np.nan  # of each with itself
    if np.isnan(similarities).all():
        return 1.0
    spread = float(np.nanmax(similarities) - np.nanmin(similarities))
    return spread if spread > 1e-6 else 1.0


def _check_options(k: int, per_artist: int | None, diversity: float) -> None:
    if k < 1:
        raise UserError(
            f"the number of tracks is {k}",
            where="the number of tracks",
            remedy="ask for at least 1",
        )
    if per_artist is not None and per_artist < 1:
        raise UserError(
            f"the limit of tracks per artist is {per_artist}",
            where="the number of tracks per artist",
            remedy="give at least 1, or leave it out for any number",
        )
    if not 0 <= diversity <= 1:
        raise UserError(
            f"a diversity of {diversity}",
            where="the diversity",
            remedy="give a number from 0 (the most similar) to 1 (as different as possible)",
        )
