import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from melgraph.ml.errors import UserError
from melgraph.ml.similarity.neighbours import label_agreement, normalise

# Few distinct values: ties, duplicates and zero vectors are the rule here, not the exception.
coarse = st.sampled_from([-1.0, 0.0, 0.5, 1.0, 3.0])


def matrices(max_rows=25, min_rows=0, width=3):
    rows = st.integers(min_rows, max_rows)
    return rows.flatmap(lambda n: arrays(np.float32, (n, width), elements=coarse))


class TestNormalise:
    @settings(deadline=None)
    @given(matrices())
    def test_length_is_one_or_zero(self, vectors):
        unit = normalise(vectors)
        length = np.linalg.norm(unit.astype(np.float64), axis=1)
        assert unit.dtype == np.float32
        np.testing.assert_allclose(length, vectors.any(axis=1).astype(float), atol=1e-6)

    @pytest.mark.parametrize("scale", [1e-300, 1e-40, 1.0, 1e200])
    def test_extreme_scales(self, scale):
        unit = normalise(np.array([[3.0, 4.0], [0.0, 0.0]]) * scale)
        np.testing.assert_allclose(unit, [[0.6, 0.8], [0, 0]], rtol=1e-5)

    def test_not_finite(self):
        with pytest.raises(UserError, match="2 of 3 vectors"):
            normalise(np.array([[1.0, 2], [np.nan, 1], [1, np.inf]]))

    def test_not_a_matrix(self):
        with pytest.raises(UserError, match="shape"):
            normalise(np.zeros(3))


class TestLabelAgreement:
    LABELS = (["a"], ["a"], ["b"], ["b"])

    def test_against_a_count_by_hand(self):
        agreement = label_agreement({0: [1, 2], 1: [0, 3, 2], 3: []}, self.LABELS, np.arange(4))
        assert agreement.precision == pytest.approx((1 / 2 + 1 / 3) / 2)
        assert agreement.chance == pytest.approx(1 / 3)
        assert (agreement.n_queries, agreement.n_groups) == (2, 2)
        assert 0 <= agreement.low <= agreement.precision <= agreement.high <= 1

    def test_neighbours_of_the_own_group_do_not_count(self):
        groups = np.array([0, 0, 1, 1])
        agreement = label_agreement({0: [1, 2], 2: [3]}, self.LABELS, groups)
        assert (agreement.precision, agreement.chance) == (0.0, 0.0)
        assert agreement.n_queries == 1  # the other one has neighbours of its group alone

    def test_one_common_label_of_several_is_enough(self):
        labels = (["a", "b"], ["b", "c"], ["c"], ["a", "b"])
        agreement = label_agreement({0: [1, 2]}, labels, np.arange(4))
        assert (agreement.precision, agreement.chance) == (0.5, pytest.approx(2 / 3))

    def test_no_neighbours(self):
        agreement = label_agreement({0: []}, self.LABELS, np.arange(4))
        assert np.isnan(agreement.precision)
        assert agreement.n_queries == 0

    @settings(deadline=None, max_examples=30)
    @given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 5)), min_size=2, max_size=20))
    def test_all_others_as_neighbours_is_chance(self, rows):
        labels, groups = [[label] for label, _ in rows], np.array([group for _, group in rows])
        neighbours = {i: [j for j in range(len(rows)) if j != i] for i in range(len(rows))}
        agreement = label_agreement(neighbours, labels, groups)
        if agreement.n_queries:
            assert agreement.precision == pytest.approx(agreement.chance)
