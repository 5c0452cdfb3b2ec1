import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from melgraph.ml.similarity.neighbours import normalise
from melgraph.ml.similarity.seeds import EXCLUDED, seed_scores, unlike_scores


def similarities(min_seeds=1):
    shape = st.tuples(st.integers(min_seeds, 5), st.just(6))
    return shape.flatmap(lambda size: arrays(np.float32, size, elements=st.floats(-1, 1, width=32)))


class TestSeedScores:
    def test_one_seed_is_its_similarities(self):
        np.testing.assert_array_equal(
            seed_scores(np.array([[0.5, -0.25]], np.float32)), [0.5, -0.25]
        )

    def test_mean_and_nearest_in_equal_parts(self):
        rng = np.random.default_rng(0)
        seeds, candidates = (normalise(rng.normal(size=(n, 16))) for n in (4, 200))
        mean = seeds.mean(axis=0)
        to_mean = candidates @ mean  # the cosine with the mean vector, times its length
        to_nearest = np.array([max(seed @ one for seed in seeds) for one in candidates])
        scores = seed_scores(seeds @ candidates.T)
        np.testing.assert_allclose(scores, (to_mean + to_nearest) / 2, atol=1e-6)

    def test_seeds_of_two_kinds_are_both_answered(self):
        """What resembles one of two different seeds comes before what lies between both."""
        seeds = normalise(np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]))
        candidates = normalise(np.array([[1.0, 0.1, 0.0], [0.1, 1.0, 0.0], [0.5, 0.5, 1.0]]))
        scores = seed_scores(seeds @ candidates.T)
        assert scores[0] == pytest.approx(scores[1], abs=1e-6)
        assert scores[0] > scores[2]

    @given(similarities(), st.data())
    def test_the_order_of_the_seeds_does_not_matter(self, values, data):
        order = data.draw(st.permutations(range(len(values))))
        np.testing.assert_allclose(seed_scores(values[order]), seed_scores(values), atol=1e-12)

    @given(similarities())
    def test_it_stays_between_the_similarities(self, values):
        scores = seed_scores(values)
        assert scores.dtype == np.float64
        assert (scores >= values.min(axis=0) - 1e-9).all()
        assert (scores <= values.max(axis=0) + 1e-9).all()

    @pytest.mark.parametrize("shape", [(0, 3), (3,), (2, 2, 2)])
    def test_mistakes(self, shape):
        with pytest.raises(ValueError, match="not \\[seed, candidate\\]"):
            seed_scores(np.ones(shape))


class TestUnlikeScores:
    LIKED = np.array([[0.9, 0.8, 0.1]], np.float32)

    def test_what_is_more_like_the_unwanted_is_excluded(self):
        disliked = np.array([[0.95, 0.1, 0.0]])
        scores = unlike_scores(self.LIKED, disliked)
        np.testing.assert_allclose(scores, [EXCLUDED, 0.8, 0.1], atol=1e-6)

    def test_a_track_that_is_wanted_and_unwanted_excludes_all(self):
        assert (unlike_scores(self.LIKED, self.LIKED) == EXCLUDED).all()

    @given(similarities(), similarities(min_seeds=0))
    def test_the_order_of_the_others_is_that_of_the_seeds(self, liked, disliked):
        scores, alone = unlike_scores(liked, disliked), seed_scores(liked)
        others = scores != EXCLUDED
        np.testing.assert_array_equal(scores[others], alone[others])
        assert (scores <= alone + 1e-9).all()

    @given(similarities(), similarities())
    def test_wanted_or_unwanted(self, one, other):
        """Without ties, each candidate is allowed on exactly one side."""
        first, second = unlike_scores(one, other), unlike_scores(other, one)
        excluded = (first == EXCLUDED) & (second == EXCLUDED)
        is_tie = seed_scores(one) == seed_scores(other)
        is_opposite = np.maximum(seed_scores(one), seed_scores(other)) == EXCLUDED
        np.testing.assert_array_equal(excluded, is_tie | is_opposite)
        assert ((first == EXCLUDED) | (second == EXCLUDED)).all()

    @pytest.mark.parametrize("nothing", [np.zeros((0, 3)), np.zeros((0, 0))])
    def test_without_unwanted_tracks(self, nothing):
        np.testing.assert_array_equal(unlike_scores(self.LIKED, nothing), seed_scores(self.LIKED))

    def test_mistake_of_the_shapes(self):
        with pytest.raises(ValueError, match="3 candidates"):
            unlike_scores(self.LIKED, np.ones((1, 2)))
