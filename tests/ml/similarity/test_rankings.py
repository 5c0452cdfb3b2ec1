import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from melgraph.ml.similarity.hubness import rescaled, scales
from melgraph.ml.similarity.neighbours import normalise
from melgraph.ml.similarity.rankings import rankings


def catalogue(n: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Unit vectors, their cosines, and the scales of local scaling."""
    vectors = normalise(np.random.default_rng(seed).normal(size=(n, 6)))
    cosines = (vectors @ vectors.T).astype(np.float64)
    others = np.sort(cosines - 10 * np.eye(n), axis=1)[:, :0:-1]
    return vectors, cosines, scales(others)


class TestOrders:
    @given(st.integers(2, 40), st.integers(0, 1000), st.integers(1, 50))
    def test_each_order_has_every_other_track_once(self, n, seed, candidates):
        vectors, _, scale = catalogue(n, seed)
        for order in rankings(vectors, np.arange(n), scale, candidates=candidates):
            for query, row in enumerate(order.tolist()):
                assert sorted(row) == [track for track in range(n) if track != query]

    @given(st.integers(2, 40), st.integers(0, 1000))
    def test_if_all_tracks_are_candidates_the_scores_descend(self, n, seed):
        vectors, cosines, scale = catalogue(n, seed)
        by_cosine, recommended = rankings(vectors, np.arange(n), scale, candidates=n)
        for query in range(n):
            scores = rescaled(cosines[query], scale[query], scale)
            assert (np.diff(cosines[query, by_cosine[query]]) <= 1e-6).all()
            assert (np.diff(scores[recommended[query]]) <= 1e-5).all()

    @given(st.integers(3, 40), st.integers(0, 1000), st.integers(1, 38))
    def test_the_nearest_by_cosine_come_first(self, n, seed, candidates):
        vectors, _, scale = catalogue(n, seed)
        by_cosine, recommended = rankings(vectors, np.arange(n), scale, candidates=candidates)
        for one, other in zip(by_cosine, recommended, strict=True):
            assert set(one[:candidates]) == set(other[:candidates])

    def test_without_scales_both_orders_are_that_of_the_cosine(self):
        vectors, _, scale = catalogue(30, 0)
        queries = np.array([3, 1])
        by_cosine, recommended = rankings(vectors, queries)
        assert (by_cosine == recommended).all()
        assert (rankings(vectors, queries, scale)[1] != by_cosine).any()

    def test_equal_tracks_are_ordered_by_row(self):
        vectors = np.tile(np.array([[1.0, 0.0]], np.float32), (5, 1))
        for order in rankings(vectors, np.array([2]), np.full(5, 0.5)):
            assert order.tolist() == [[0, 1, 3, 4]]

    @pytest.mark.parametrize("missing", [[0], [1, 2], [0, 1, 2, 3]])
    def test_a_missing_scale_is_no_error(self, missing):
        vectors, _, scale = catalogue(8, 1)
        scale[missing] = np.nan
        assert sorted(rankings(vectors, np.array([0]), scale)[1][0]) == list(range(1, 8))
