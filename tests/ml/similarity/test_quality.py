from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score

from melgraph.ml.similarity import quality
from melgraph.ml.similarity.quality import (
    Relevance,
    average_precision,
    expected_average_precision,
    expected_precision,
    mean_figure,
    precision_at,
)


@st.composite
def catalogues(draw, max_tracks=12):
    """Label sets (some of them empty) and groups of a few tracks, and a seed."""
    n = draw(st.integers(1, max_tracks))
    sets = st.frozensets(st.sampled_from("abc"), max_size=2)
    labels = draw(st.lists(sets, min_size=n, max_size=n))
    groups = draw(st.lists(st.integers(0, 4), min_size=n, max_size=n))
    return labels, np.array(groups), draw(st.integers(0, 1000))


def judged_rows(labels, groups, query):
    """The rows that count for a query, by the definition."""
    if not labels[query]:
        return []
    return [i for i in range(len(labels)) if labels[i] and groups[i] != groups[query]]


def random_rankings(n, seed):
    rng = np.random.default_rng(seed)
    return np.array([rng.permutation(n) for _ in range(n)]).reshape(n, n)


class TestAgainstReferences:
    @settings(deadline=None)
    @given(catalogues())
    def test_average_precision_is_that_of_sklearn(self, catalogue):
        labels, groups, seed = catalogue
        n = len(labels)
        rankings = random_rankings(n, seed)
        values = average_precision(Relevance(labels, groups), np.arange(n), rankings)
        for query in range(n):
            judged = [i for i in rankings[query] if i in judged_rows(labels, groups, query)]
            right = [bool(labels[i] & labels[query]) for i in judged]
            if any(right):
                expected = average_precision_score(right, -np.arange(len(right)))
                assert values[query] == pytest.approx(expected)
            else:
                assert np.isnan(values[query])

    @settings(deadline=None)
    @given(catalogues(), st.integers(1, 12), st.integers(0, 12))
    def test_precision_by_its_definition(self, catalogue, k, width):
        labels, groups, seed = catalogue
        n = len(labels)
        rankings = random_rankings(n, seed)[:, :width]
        values = precision_at(k, Relevance(labels, groups), np.arange(n), rankings)
        for query in range(n):
            judged = [i for i in rankings[query] if i in judged_rows(labels, groups, query)][:k]
            right = [bool(labels[i] & labels[query]) for i in judged]
            assert (
                values[query] == pytest.approx(np.mean(right)) if right else np.isnan(values[query])
            )

    @settings(deadline=None)
    @given(catalogues())
    def test_totals_by_their_definition(self, catalogue):
        labels, groups, _ = catalogue
        n_judged, n_right = Relevance(labels, groups).totals(np.arange(len(labels)))
        for query in range(len(labels)):
            judged = judged_rows(labels, groups, query)
            assert n_judged[query] == len(judged)
            assert n_right[query] == sum(bool(labels[i] & labels[query]) for i in judged)

    @pytest.mark.parametrize("width", [5, 3, 1])
    @pytest.mark.parametrize("labels", ["aabab", "abbbb", "aaaaa"])
    def test_expected_values_are_means_over_all_rankings(self, labels, width):
        relevance = Relevance([{"a"}, *labels], np.arange(6))
        queries = np.zeros(120, np.int64)
        rankings = np.array([order[:width] for order in permutations(range(1, 6))])
        for expected, values in (
            (
                expected_precision(relevance, queries),
                precision_at(width, relevance, queries, rankings),
            ),
            (
                expected_average_precision(relevance, queries, rankings),
                average_precision(relevance, queries, rankings),
            ),
        ):
            np.testing.assert_allclose(expected, values.mean())


class TestRelevance:
    def test_one_common_label_is_enough(self):
        relevance = Relevance([["a", "b"], ["b", "c"], ["c"]], np.arange(3))
        judged, right = relevance.judge(np.array([0]), np.array([[1, 2, 0, -1]]))
        assert judged.tolist() == [[True, True, False, False]]
        assert right.tolist() == [[True, False, False, False]]

    def test_tracks_without_labels_and_of_the_own_group_do_not_count(self):
        relevance = Relevance([["a"], [], ["a"], ["a"]], np.array([7, 8, 7, 9]))
        judged, right = relevance.judge(np.array([0, 1]), np.array([[1, 2, 3], [0, 2, 3]]))
        assert judged.tolist() == [[False, False, True], [False] * 3]
        assert right.tolist() == judged.tolist()

    def test_lengths_differ(self):
        with pytest.raises(ValueError, match="labels of 1 tracks, and groups of 2"):
            Relevance([["a"]], np.arange(2))


class TestMeanFigure:
    # Two artists with three tracks each, and one with a single track; the label is the artist.
    ARTISTS = np.array([0, 0, 0, 1, 1, 1, 2])
    RELEVANCE = Relevance([[artist] for artist in ARTISTS], np.arange(7))

    def test_the_best_ranking(self):
        queries = np.arange(7)
        best = np.argsort(~(self.ARTISTS[:, None] == self.ARTISTS), axis=1, kind="stable")
        values = average_precision(self.RELEVANCE, queries, best)
        chances = expected_average_precision(self.RELEVANCE, queries, best)
        figure = mean_figure(values, chances, self.ARTISTS)
        assert (figure.mean, figure.high) == (1.0, 1.0)
        assert 0 < figure.chance < 1
        # The only track of the third artist has no right answer.
        assert (figure.n_queries, figure.n_groups) == (6, 2)
        assert np.isnan(figure.values[6])
        precision = precision_at(2, self.RELEVANCE, queries, best)
        assert precision[:6].tolist() == [1.0] * 6
        assert expected_precision(self.RELEVANCE, queries)[:6] == pytest.approx(2 / 6)

    def test_random_rankings_are_at_the_chance_level(self):
        queries = np.tile(np.arange(6), 500)
        rng = np.random.default_rng(0)
        rankings = np.array([rng.permutation(7) for _ in queries])
        for values, chances in (
            (
                precision_at(3, self.RELEVANCE, queries, rankings),
                expected_precision(self.RELEVANCE, queries),
            ),
            (
                average_precision(self.RELEVANCE, queries, rankings),
                expected_average_precision(self.RELEVANCE, queries, rankings),
            ),
        ):
            figure = mean_figure(values, chances, self.ARTISTS[queries])
            assert figure.mean == pytest.approx(figure.chance, abs=0.02)

    def test_no_query(self):
        nothing = np.zeros(0)
        figure = mean_figure(nothing, nothing, np.zeros(0, np.int64))
        assert (figure.n_queries, figure.n_groups) == (0, 0)
        assert np.isnan(figure.mean)


def test_parts_give_the_values_of_the_whole(monkeypatch):
    relevance, queries = TestMeanFigure.RELEVANCE, np.arange(7)
    rankings = random_rankings(7, 0)

    def values():
        return [
            precision_at(2, relevance, queries, rankings),
            average_precision(relevance, queries, rankings),
            expected_average_precision(relevance, queries, rankings),
        ]

    whole = values()
    monkeypatch.setattr(quality, "CHUNK", 15)  # two queries at a time
    np.testing.assert_array_equal(whole, values())
