import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from ml import similarity
from ml.errors import UserError
from ml.similarity import label_agreement, merge_top_k, normalise, top_k

# Few distinct values: ties, duplicates and zero vectors are the rule here, not the exception.
coarse = st.sampled_from([-1.0, 0.0, 0.5, 1.0, 3.0])


def matrices(max_rows=25, min_rows=0, width=3):
    rows = st.integers(min_rows, max_rows)
    return rows.flatmap(lambda n: arrays(np.float32, (n, width), elements=coarse))


def by_hand(queries, base, k, exclude):
    """Top-k one pair at a time."""
    left, right = normalise(queries).astype(np.float64), normalise(base).astype(np.float64)
    ids = np.full((len(left), k), -1)
    found = np.full((len(left), k), np.nan, dtype=np.float32)
    for i, query in enumerate(left):
        # The sum that top_k documents: float64, then float32.
        pairs = [
            (-np.float32(np.clip((query * row).sum(), -1, 1)), j)
            for j, row in enumerate(right)
            if j != exclude[i]
        ]
        for rank, (negative, j) in enumerate(sorted(pairs)[:k]):
            ids[i, rank], found[i, rank] = j, -negative
    return ids, found


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


class TestTopK:
    @settings(deadline=None)
    @given(matrices(), matrices(), st.integers(1, 6), st.data())
    def test_is_the_search_by_hand(self, queries, base, k, data):
        own = st.integers(-1, len(base) - 1)
        exclude = np.array([data.draw(own) for _ in queries], dtype=np.int64)
        ids, found = top_k(queries, base, k=k, exclude=exclude)
        expected_ids, expected = by_hand(queries, base, k, exclude)
        np.testing.assert_array_equal(ids, expected_ids)
        np.testing.assert_array_equal(found, expected)
        assert (ids.dtype, found.dtype) == (np.int64, np.float32)

    @settings(max_examples=25, deadline=None)
    @given(st.integers(0, 2**32 - 1), st.integers(1, 40), st.integers(1, 12))
    def test_neither_blocks_nor_segments_change_a_bit(self, seed, block, k):
        rng = np.random.default_rng(seed)
        base = rng.normal(size=(90, 37)).astype(np.float32)
        base[rng.integers(90, size=30)] = base[rng.integers(90, size=30)]
        queries = base[rng.permutation(90)[:20]]
        whole = top_k(queries, base, k=k)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(similarity, "BLOCK_ELEMENTS", block * 90)
            patch.setattr(similarity, "CANDIDATE_ELEMENTS", block * 5)
            blocks = top_k(queries, base, k=k)
        bounds = [0, *sorted(rng.integers(91, size=3)), 90]
        parts = []
        for start, stop in itertools.pairwise(bounds):
            ids, found = top_k(queries, base[start:stop], k=k)
            parts.append((np.where(ids < 0, -1, ids + start), found))
        for other in (blocks, merge_top_k(parts, k=k), merge_top_k(parts[::-1], k=k)):
            np.testing.assert_array_equal(other[0], whole[0])
            np.testing.assert_array_equal(other[1], whole[1])

    def test_equal_vectors_tie_wherever_they_lie(self):
        rng = np.random.default_rng(0)
        vector = rng.normal(size=128)
        base = rng.normal(size=(1003, 128))
        copies = [0, 17, 500, 501, 998, 1002]
        base[copies] = vector * np.array([[1], [2], [0.5], [4], [8], [1]])
        ids, found = top_k(vector[None] + 0.1, base, k=6)
        assert ids[0].tolist() == copies
        assert len(set(found[0].tolist())) == 1

    def test_zero_vectors_and_crowds(self):
        rng = np.random.default_rng(0)
        base = rng.normal(size=(400, 8))
        base[100:300] = 0
        base[300:] = base[0]
        exclude = np.arange(400)
        ids, found = top_k(base, base, k=3, exclude=exclude)
        expected_ids, expected = by_hand(base, base, 3, exclude)
        np.testing.assert_array_equal(ids, expected_ids)
        np.testing.assert_array_equal(found, expected)
        assert ids[100].tolist() == [0, 1, 2]
        assert found[100].tolist() == [0, 0, 0]

    def test_too_few_are_padded(self):
        ids, found = top_k(np.eye(2), np.eye(2), k=3, exclude=np.array([0, -1]))
        assert ids.tolist() == [[1, -1, -1], [1, 0, -1]]
        np.testing.assert_array_equal(found, [[0, np.nan, np.nan], [1, 0, np.nan]])

    def test_nothing_to_find_and_nobody_to_ask(self):
        ids, found = top_k(np.eye(2), np.zeros((0, 2)), k=1)
        assert ids.tolist() == [[-1], [-1]]
        assert np.isnan(found).all()
        assert top_k(np.zeros((0, 2)), np.eye(2), k=4)[0].shape == (0, 4)

    def test_errors(self):
        with pytest.raises(UserError, match="k = 0"):
            top_k(np.eye(2), np.eye(2), k=0)
        with pytest.raises(UserError, match="2 dimensions, the base has 3"):
            top_k(np.eye(2), np.eye(3), k=1)
        for exclude in ([0], [0, 2], [-2, 0]):
            with pytest.raises(ValueError, match="exclude"):
                top_k(np.eye(2), np.eye(2), k=1, exclude=np.array(exclude))


class TestMerge:
    def test_padding_and_fewer_than_k(self):
        one = (np.array([[4, -1]]), np.array([[0.5, np.nan]], dtype=np.float32))
        two = (np.array([[2]]), np.array([[0.5]], dtype=np.float32))
        ids, found = merge_top_k([one, two], k=4)
        assert ids.tolist() == [[2, 4, -1, -1]]
        np.testing.assert_array_equal(found, [[0.5, 0.5, np.nan, np.nan]])
        assert found.dtype == np.float32

    def test_an_id_counts_once(self):
        one = (np.array([[4, 7]]), np.array([[0.5, 0.1]], dtype=np.float32))
        two = (np.array([[4, 9]]), np.array([[0.6, 0.2]], dtype=np.float32))
        ids, found = merge_top_k([one, two], k=3)
        assert ids.tolist() == [[4, 9, 7]]
        np.testing.assert_array_equal(found, np.float32([[0.6, 0.2, 0.1]]))

    def test_errors(self):
        part = top_k(np.eye(2), np.eye(2), k=1)
        with pytest.raises(ValueError, match="cannot be merged"):
            merge_top_k([], k=1)
        with pytest.raises(ValueError, match="cannot be merged"):
            merge_top_k([part, (part[0][:1], part[1][:1])], k=1)
        with pytest.raises(UserError, match="k = -1"):
            merge_top_k([part], k=-1)


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
