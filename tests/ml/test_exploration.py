import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy.spatial.distance import cdist
from scipy.stats import f_oneway, spearmanr

from melgraph.ml.exploration import (
    eta_squared,
    eta_squared_by_chance,
    medoid,
    order_by_similarity,
    rank_correlations,
    representativeness,
    select_features,
    standardise,
    varies,
)

RNG = np.random.default_rng(0)
values = st.floats(-1e3, 1e3, allow_subnormal=False).map(lambda x: round(x, 3))
points = arrays.arrays(
    np.float64, st.tuples(st.integers(1, 30), st.integers(1, 5)), elements=values
)


class TestEtaSquared:
    def test_known_answers(self):
        table = np.array([[1, 1, 7, 0], [1, 3, 7, 1], [5, 5, 7, 0], [5, 7, 7, 1]], dtype=float)
        eta = eta_squared(table, ["a", "a", "b", "b"])
        # within: 0; (1 + 1) + (1 + 1) = 4 of 20; no variance at all; the same mean in both
        assert eta[:2] == pytest.approx([1.0, 16 / 20])
        assert np.isnan(eta[2])
        assert eta[3] == pytest.approx(0.0)

    def test_it_is_the_f_statistic_in_another_unit(self):
        table = RNG.normal(size=(60, 1))
        labels = np.repeat(["x", "y", "z"], [10, 20, 30])
        f = f_oneway(*(table[labels == name, 0] for name in "xyz")).statistic
        assert eta_squared(table, labels)[0] == pytest.approx(2 * f / (2 * f + 57))

    @pytest.mark.parametrize("labels", [["a"] * 4, []])
    def test_nothing_lies_between_fewer_than_two_classes(self, labels):
        assert np.isnan(eta_squared(RNG.normal(size=(len(labels), 2)), labels)).all()

    @given(points, st.data())
    def test_it_is_a_share_and_no_scale_or_order_changes_it(self, table, data):
        labels = data.draw(
            st.lists(st.sampled_from("ab"), min_size=len(table), max_size=len(table))
        )
        eta = eta_squared(table, labels)
        assert ((eta >= 0) & (eta <= 1) | np.isnan(eta)).all()
        turned = eta_squared(-3.0 * table[::-1], labels[::-1])
        np.testing.assert_allclose(turned, eta, atol=1e-9)

    def test_unequal_lengths_are_refused(self):
        with pytest.raises(ValueError, match="3 rows, 2 labels"):
            eta_squared(np.zeros((3, 1)), ["a", "b"])

    def test_chance_is_what_shuffled_labels_reach(self):
        labels, table = np.repeat(list("abcde"), 8), RNG.normal(size=(40, 1))
        reached = [eta_squared(table, RNG.permutation(labels))[0] for _ in range(2000)]
        mean, most = eta_squared_by_chance(40, 5)
        assert mean == pytest.approx(4 / 39)
        assert np.mean(reached) == pytest.approx(mean, abs=0.006)
        assert np.mean(np.array(reached) > most) == pytest.approx(0.05, abs=0.02)

    @pytest.mark.parametrize(("tracks", "classes"), [(10, 1), (3, 3), (0, 0)])
    def test_no_chance_level_where_there_is_nothing_to_tell_apart(self, tracks, classes):
        assert np.isnan(eta_squared_by_chance(tracks, classes)).all()


class TestMedoid:
    def test_known_answer(self):
        assert medoid(np.array([[0.0], [1.0], [2.0], [3.0], [100.0]])) == 2

    def test_the_first_of_equal_ones(self):
        assert medoid(np.array([[5.0, 5.0], [5.0, 5.0]])) == 0
        assert medoid(np.array([[3.0], [-1.0]])) == 0

    @given(points)
    def test_nothing_has_a_smaller_sum_of_distances(self, table):
        sums = cdist(table, table).sum(axis=1)
        assert sums[medoid(table)] <= sums.min() + 1e-3 * (1 + sums.min())

    def test_blocks_change_nothing(self, monkeypatch):
        table = RNG.normal(size=(100, 4))
        whole = medoid(table)
        monkeypatch.setattr("melgraph.ml.exploration._BLOCK", 7)
        assert medoid(table) == whole == cdist(table, table).sum(axis=1).argmin()

    def test_there_is_none_of_nothing(self):
        with pytest.raises(ValueError, match="no points"):
            medoid(np.empty((0, 3)))


class TestCorrelations:
    def test_they_are_spearmans(self):
        table = np.exp(RNG.normal(size=(50, 4)))
        table[::5, 0] = 1.0  # ties
        np.testing.assert_allclose(rank_correlations(table), spearmanr(table).statistic)

    def test_alike_columns_become_neighbours(self):
        base = RNG.normal(size=(200, 2))
        noise = 0.1 * RNG.normal(size=(200, 4))
        table = base[:, [0, 1, 0, 1]] * [1, 1, -1, 1] + noise  # 0 and 2 are opposite, so alike
        order = order_by_similarity(rank_correlations(table))
        assert sorted(order) == [0, 1, 2, 3]
        assert {frozenset(order[:2]), frozenset(order[2:])} == {
            frozenset({0, 2}),
            frozenset({1, 3}),
        }

    @pytest.mark.parametrize("n", [0, 1, 2])
    def test_few_columns_stay_in_order(self, n):
        assert order_by_similarity(np.eye(n)) == list(range(n))

    def test_the_best_that_do_not_repeat_one_another(self):
        correlations = np.eye(4)
        correlations[0, 1] = correlations[1, 0] = -0.95
        scores = np.array([0.8, 0.7, 0.1, 0.7])
        choose = {"count": 3, "most_alike": 0.9}
        assert select_features(scores, correlations, **choose) == [0, 3, 2]
        assert select_features(scores, np.eye(4), **choose) == [0, 1, 3]
        assert select_features(scores[:0], np.eye(0), **choose) == []

    def test_representativeness(self):
        correlations = np.array([[1.0, 0.9, 0.8], [0.9, 1.0, 0.1], [0.8, 0.1, 1.0]])
        assert representativeness(correlations) == pytest.approx([1.45 / 2, 0.82 / 2, 0.65 / 2])
        assert representativeness(np.eye(1)).tolist() == [0.0]


@given(points)
def test_standardised_columns_have_one_scale(table):
    scaled, is_varying = standardise(table), varies(table)
    np.testing.assert_allclose(scaled.mean(axis=0), 0.0, atol=1e-9)
    np.testing.assert_allclose(scaled.std(axis=0), is_varying.astype(float), atol=1e-9)


def test_rounding_is_no_variation():
    table = np.column_stack([[0.1 + 0.2, 0.3, 0.3], [0.0, 0.0, 0.0], [1.0, 1.0, 1.001]])
    assert varies(table).tolist() == [False, False, True]
    assert varies(table[:0]).tolist() == [False] * 3
