from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from melgraph.ml.errors import UserError
from melgraph.ml.similarity.neighbours import normalise
from melgraph.ml.similarity.selection import (
    ARTIST_LIMIT,
    COPIES,
    UNKNOWN,
    VERSIONS,
    select,
)

N_ROWS = 40
ALONE = np.arange(N_ROWS)  # each row is a recording of its own


def unit_vectors(n, seed=0, width=4):
    return normalise(np.random.default_rng(seed).normal(size=(n, width)))


@st.composite
def queries(draw):
    """A catalogue, and candidates with scores from it."""
    rows = draw(st.lists(st.integers(0, N_ROWS - 1), max_size=N_ROWS))
    n = len(rows)
    score = st.sampled_from([-0.5, 0.0, 0.25, 0.5, 1.0])
    numbers = st.lists(st.integers(UNKNOWN, 6), min_size=N_ROWS, max_size=N_ROWS)
    recordings = st.lists(st.integers(0, 12), min_size=N_ROWS, max_size=N_ROWS)
    return {
        "candidates": rows,
        "scores": draw(st.lists(score, min_size=n, max_size=n)),
        "k": draw(st.integers(1, 12)),
        "recordings": np.array(draw(recordings)),
        "exclude_recordings": draw(st.sets(st.integers(0, 12), max_size=3)),
        "songs": draw(st.none() | numbers.map(np.array)),
        "exclude_songs": draw(st.sets(st.integers(UNKNOWN, 6), max_size=2)),
        "artists": draw(st.none() | numbers.map(np.array)),
        "per_artist": draw(st.none() | st.integers(1, 3)),
        "diversity": draw(st.sampled_from([0.0, 0.3, 1.0])),
        "vectors": unit_vectors(n, seed=draw(st.integers(0, 5))),
    }


class TestRules:
    @settings(deadline=None)
    @given(queries())
    def test_every_rule_holds(self, query):
        selection = select(**query)
        rows = selection.rows.tolist()
        assert len(rows) <= query["k"]
        assert set(rows) <= set(query["candidates"])
        recordings = query["recordings"][rows].tolist()
        assert len(set(recordings)) == len(recordings)
        assert not set(recordings) & query["exclude_recordings"]
        if query["songs"] is not None:
            songs = [song for song in query["songs"][rows].tolist() if song != UNKNOWN]
            assert len(set(songs)) == len(songs)
            assert not set(songs) & query["exclude_songs"]
        if query["artists"] is not None and query["per_artist"] is not None:
            artists = Counter(query["artists"][rows].tolist())
            assert all(n <= query["per_artist"] for a, n in artists.items() if a != UNKNOWN)

    @settings(deadline=None)
    @given(queries())
    def test_the_numbers_say_why_there_are_fewer(self, query):
        selection = select(**query)
        n_dropped = sum(selection.dropped.values())
        if len(selection.rows) < query["k"]:
            assert len(selection.rows) + n_dropped == len(query["candidates"])
        else:
            assert len(selection.rows) + n_dropped <= len(query["candidates"])

    @settings(deadline=None)
    @given(queries())
    def test_without_diversity_no_better_candidate_is_passed_over(self, query):
        selection = select(**query | {"diversity": 0.0})
        scores = selection.scores.tolist()
        assert scores == sorted(scores, reverse=True)
        # Against a plain loop over the candidates in their order.
        order = sorted(range(len(query["scores"])), key=lambda at: -query["scores"][at])
        assert selection.rows.tolist() == plain_loop(query, order)

    @settings(deadline=None)
    @given(queries())
    def test_the_same_each_time(self, query):
        first, second = select(**query), select(**query)
        np.testing.assert_array_equal(first.rows, second.rows)
        assert first.dropped == second.dropped

    def test_copies_of_the_seed_and_of_one_another(self):
        recordings = np.array([7, 7, 8, 8, 9])
        selection = select(
            [0, 2, 3, 4], [0.9, 0.8, 0.7, 0.6], 3, recordings=recordings, exclude_recordings={7}
        )
        assert selection.rows.tolist() == [2, 4]
        assert selection.scores.tolist() == [0.8, 0.6]
        assert selection.dropped == {COPIES: 2}

    def test_one_version_of_a_song(self):
        songs = np.array([5, 1, 1, UNKNOWN, UNKNOWN])
        selection = select(
            [0, 1, 2, 3, 4],
            [0.9, 0.8, 0.7, 0.6, 0.5],
            5,
            recordings=ALONE,
            songs=songs,
            exclude_songs={5, UNKNOWN},
        )
        assert selection.rows.tolist() == [1, 3, 4]
        assert selection.dropped == {VERSIONS: 2}

    def test_an_artist_limit_that_nobody_asked_for_is_none(self):
        artists = np.zeros(N_ROWS, int)
        assert len(select(ALONE, -ALONE, 9, recordings=ALONE, artists=artists).rows) == 9
        limited = select(ALONE, -ALONE, 9, recordings=ALONE, artists=artists, per_artist=2)
        assert limited.rows.tolist() == [0, 1]
        assert limited.dropped == {ARTIST_LIMIT: N_ROWS - 2}

    def test_what_comes_after_the_last_track_is_not_counted(self):
        selection = select([0, 1, 2, 3], [4, 3, 2, 1], 2, recordings=np.array([0, 0, 1, 1]))
        assert selection.rows.tolist() == [0, 2]
        assert selection.dropped == {COPIES: 1}

    def test_no_candidates(self):
        selection = select([], [], 5, recordings=ALONE, diversity=0.5, vectors=np.ones((0, 3)))
        assert selection.rows.shape == selection.scores.shape == (0,)
        assert selection.dropped == {}


class TestDiversity:
    @settings(deadline=None)
    @given(queries(), st.sampled_from([0.1, 0.5, 0.9, 1.0]))
    def test_against_the_formula(self, query, diversity):
        query |= {"diversity": diversity, "k": len(query["candidates"]) + 1}
        assert select(**query).rows.tolist() == by_the_formula(query)

    def test_the_second_track_differs_from_the_first(self):
        vectors = normalise(np.array([[1.0, 0.0], [0.999, 0.01], [0.6, 0.8]]))
        scores = [1.0, 0.99, 0.9]
        alike = select([0, 1, 2], scores, 2, recordings=ALONE, vectors=vectors)
        diverse = select([0, 1, 2], scores, 2, recordings=ALONE, vectors=vectors, diversity=0.5)
        assert alike.rows.tolist() == [0, 1]
        assert diverse.rows.tolist() == [0, 2]

    @pytest.mark.parametrize("space", [1.0, 0.1])
    def test_diversity_means_the_same_in_a_narrow_space(self, space):
        """Vectors close to one direction, as those of a tagger, give the same order."""
        rng = np.random.default_rng(3)
        spread = rng.normal(size=(30, 8))
        spread -= spread.mean(axis=0)
        spread /= np.linalg.norm(spread, axis=1, keepdims=True)
        # All at one angle to a common direction: cosines are an affine function of those before.
        common = np.full((30, 1), np.sqrt(1 - space**2) if space < 1 else 0.0)
        vectors = np.hstack([spread * space, common]).astype(np.float32)
        scores = np.linspace(1, 0, 30) * space**2
        selection = select(
            np.arange(30), scores, 10, recordings=ALONE, vectors=vectors, diversity=0.4
        )
        wide = select(
            np.arange(30),
            np.linspace(1, 0, 30),
            10,
            recordings=ALONE,
            vectors=np.hstack([spread, np.zeros((30, 1))]).astype(np.float32),
            diversity=0.4,
        )
        assert selection.rows.tolist() == wide.rows.tolist()

    def test_equal_candidates_keep_their_order(self):
        vectors = np.tile(np.array([[1.0, 0.0]], np.float32), (5, 1))
        selection = select(
            [4, 2, 3, 0, 1], [1.0] * 5, 5, recordings=ALONE, vectors=vectors, diversity=0.7
        )
        assert selection.rows.tolist() == [4, 2, 3, 0, 1]


class TestMistakes:
    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"k": 0}, "the number of tracks is 0"),
            ({"k": 1, "per_artist": 0}, "the limit of tracks per artist is 0"),
            ({"k": 1, "diversity": 1.5}, "a diversity of 1.5"),
            ({"k": 1, "diversity": float("nan")}, "a diversity of nan"),
        ],
    )
    def test_of_a_user(self, options, message):
        k = options.pop("k")
        with pytest.raises(UserError, match=message):
            select([0], [1.0], k, recordings=ALONE, **options)

    @pytest.mark.parametrize(
        ("scores", "options"),
        [
            ([1.0], {}),
            ([1.0, np.nan], {}),
            ([1.0, 0.5], {"diversity": 0.5}),
            ([1.0, 0.5], {"diversity": 0.5, "vectors": np.ones((1, 3), np.float32)}),
        ],
    )
    def test_of_a_caller(self, scores, options):
        with pytest.raises(ValueError, match="candidates"):
            select([0, 1], scores, 1, recordings=ALONE, **options)


def is_allowed(query, rows, row):
    recordings, songs, artists = query["recordings"], query["songs"], query["artists"]
    taken = {recordings[one] for one in rows} | query["exclude_recordings"]
    if recordings[row] in taken:
        return False
    if songs is not None and songs[row] != UNKNOWN:
        taken = {songs[one] for one in rows} | query["exclude_songs"]
        if songs[row] in taken:
            return False
    if artists is not None and query["per_artist"] is not None and artists[row] != UNKNOWN:
        return sum(artists[one] == artists[row] for one in rows) < query["per_artist"]
    return True


def plain_loop(query, order):
    rows = []
    for at in order:
        row = query["candidates"][at]
        if len(rows) < query["k"] and is_allowed(query, rows, row):
            rows.append(row)
    return rows


def by_the_formula(query):
    """Maximal marginal relevance, one pair of vectors at a time."""
    scores, vectors, n = np.array(query["scores"]), query["vectors"], len(query["scores"])
    if not n:
        return []
    spread = scores.max() - scores.min()
    relevance = (scores - scores.min()) / spread if spread else np.zeros(n)
    similarities = vectors @ vectors.T
    apart = similarities[~np.eye(n, dtype=bool)]
    width = float(apart.max() - apart.min()) if n > 1 else 1.0
    width = width if width > 1e-6 else 1.0
    left, places, rows = list(range(n)), [], []
    while left:

        def marginal(at, places=tuple(places)):
            nearest = max(
                (float((vectors @ vectors[one])[at]) / width for one in places), default=0
            )
            return (1 - query["diversity"]) * relevance[at] - query["diversity"] * nearest

        values = [marginal(at) for at in left]
        at = left.pop(int(np.argmax(values)))
        if is_allowed(query, rows, query["candidates"][at]):
            places.append(at)
            rows.append(query["candidates"][at])
    return rows
