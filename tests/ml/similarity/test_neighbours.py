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
    def test_against_a_count_by_hand(self):
        agreement = label_agreement(
            [["a", "b"], ["a", None], ["a", "b"], [None, None]], ["a", "a", "b", "b"]
        )
        assert agreement.precision == pytest.approx((0.5 + 1 + 0.5) / 3)
        assert agreement.chance == pytest.approx(1 / 3)
        assert agreement.n_queries == 3
        assert agreement.by_label == {
            "a": (0.75, pytest.approx(1 / 3), 2),
            "b": (0.5, pytest.approx(1 / 3), 1),
        }

    def test_other_base(self):
        agreement = label_agreement([["a"]], ["a"], base_labels=["a", "b", "b", "b"])
        assert (agreement.precision, agreement.chance) == (1.0, 0.25)

    def test_no_neighbours(self):
        agreement = label_agreement([[], []], ["a", "b"])
        assert np.isnan(agreement.precision)
        assert agreement.n_queries == 0

    def test_lengths(self):
        with pytest.raises(ValueError, match="1 rows of neighbours, 2 labels"):
            label_agreement([["a"]], ["a", "b"])

    @settings(deadline=None)
    @given(st.lists(st.sampled_from("abc"), min_size=2, max_size=30))
    def test_all_others_as_neighbours_is_chance(self, labels):
        others = [labels[:i] + labels[i + 1 :] for i in range(len(labels))]
        agreement = label_agreement(others, labels)
        assert agreement.precision == pytest.approx(agreement.chance)
