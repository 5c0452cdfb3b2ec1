from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score

from melgraph.ml.evaluation.paired import compare
from melgraph.ml.similarity import quality
from melgraph.ml.similarity.quality import (
    Relevance,
    average_precision,
    compare_figures,
    expected_average_precision,
    expected_precision,
    mean_figure,
    precision_at,
    ranking_quality,
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


class TestRankingQuality:
    # Two artists with three tracks each, and one with a single track; the label is the artist.
    ARTISTS = np.array([0, 0, 0, 1, 1, 1, 2])
    RELEVANCE = Relevance([[artist] for artist in ARTISTS], np.arange(7))

    def rankings(self, seed=0):
        return random_rankings(7, seed)

    def test_the_best_ranking(self):
        same = self.ARTISTS[:, None] == self.ARTISTS
        best = np.argsort(~same, axis=1, kind="stable")
        figures = ranking_quality(self.RELEVANCE, np.arange(7), best, k=2, clusters=self.ARTISTS)
        for figure in (figures.precision, figures.average_precision):
            assert (figure.mean, figure.high) == (1.0, 1.0)
            assert 0 < figure.chance < 1
            # The only track of the third artist has no right answer.
            assert (figure.n_queries, figure.n_groups) == (6, 2)
            assert np.isnan(figure.values[6])
        assert figures.precision.chance == pytest.approx(2 / 6)

    def test_random_rankings_are_at_the_chance_level(self):
        queries = np.tile(np.arange(6), 500)
        rng = np.random.default_rng(0)
        rankings = np.array([rng.permutation(7) for _ in queries])
        figures = ranking_quality(self.RELEVANCE, queries, rankings, k=3)
        assert figures.precision.mean == pytest.approx(figures.precision.chance, abs=0.02)
        assert figures.average_precision.mean == pytest.approx(
            figures.average_precision.chance, abs=0.02
        )

    def test_comparison_is_paired_by_query(self):
        queries = np.arange(7)
        one, other = (
            ranking_quality(self.RELEVANCE, queries, self.rankings(seed), k=2).precision
            for seed in (1, 2)
        )
        expected = compare(one.values[None], other.values[None], one.groups)
        assert compare_figures(one, other) == expected
        assert expected.difference == pytest.approx(np.nanmean(one.values - other.values))

    def test_figures_of_other_queries_cannot_be_compared(self):
        one, other = (
            mean_figure(np.ones(2), np.zeros(2), np.array(groups)) for groups in ([0, 1], [0, 2])
        )
        with pytest.raises(ValueError, match="different queries"):
            compare_figures(one, other)

    def test_no_query(self):
        nothing = np.zeros((0, 7), np.int64)
        figures = ranking_quality(self.RELEVANCE, np.zeros(0, np.int64), nothing)
        assert figures.precision.n_queries == figures.average_precision.n_queries == 0
        assert np.isnan(figures.precision.mean)

    def test_parts_give_the_values_of_the_whole(self, monkeypatch):
        whole = ranking_quality(self.RELEVANCE, np.arange(7), self.rankings(), k=2)
        monkeypatch.setattr(quality, "CHUNK", 15)  # two queries at a time
        parts = ranking_quality(self.RELEVANCE, np.arange(7), self.rankings(), k=2)
        assert whole == parts
        np.testing.assert_array_equal(whole.precision.values, parts.precision.values)
        np.testing.assert_array_equal(
            whole.average_precision.values, parts.average_precision.values
        )
