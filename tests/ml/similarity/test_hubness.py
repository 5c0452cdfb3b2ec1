import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats

from melgraph.ml.similarity.hubness import SMALLEST_DISTANCE, hubness, rescaled, scales
from melgraph.ml.similarity.neighbours import normalise


def candidates(vectors, width=100):
    """Rows and cosines of the nearest other tracks of each track, nearest first."""
    unit = normalise(vectors).astype(np.float64)
    cosines = unit @ unit.T
    np.fill_diagonal(cosines, -np.inf)
    rows = np.argsort(-cosines, axis=1, kind="stable")[:, : min(width, len(unit) - 1)]
    return rows, np.take_along_axis(cosines, rows, axis=1)


def rescaled_lists(rows, cosines, k=10):
    scale = scales(cosines)
    scores = rescaled(cosines, scale[:, None], scale[rows])
    return np.take_along_axis(rows, np.argsort(-scores, axis=1, kind="stable")[:, :k], axis=1)


class TestHubness:
    def test_against_a_count_by_hand(self):
        figures = hubness(np.array([[1, 2], [2, -1], [1, 0], [2, 1]]), 4)
        assert figures.coverage == 0.75
        assert figures.skewness == pytest.approx(stats.skew([1, 3, 3, 0]))
        assert (figures.largest_hub, figures.largest_hub_row) == (3, 1)

    @given(
        arrays(
            np.int64, st.tuples(st.integers(0, 20), st.integers(0, 4)), elements=st.integers(-1, 8)
        )
    )
    def test_against_scipy(self, neighbours):
        figures = hubness(neighbours, 9)
        occurrence = [(neighbours == row).sum() for row in range(9)]
        assert figures.coverage == pytest.approx(np.mean(np.array(occurrence) > 0))
        assert figures.largest_hub == max(occurrence)
        if len(set(occurrence)) > 1:
            assert figures.skewness == pytest.approx(stats.skew(occurrence), abs=1e-9)
            assert occurrence[figures.largest_hub_row] == max(occurrence)
        else:
            assert figures.skewness == 0

    def test_even_lists_have_no_skewness(self):
        ring = (np.arange(12)[:, None] + [1, 2, 3]) % 12
        figures = hubness(ring, 12)
        assert (figures.coverage, figures.skewness, figures.largest_hub) == (1.0, 0.0, 3)

    def test_empty_lists(self):
        figures = hubness(np.full((2, 10), -1), 2)
        assert (figures.coverage, figures.skewness) == (0.0, 0.0)
        assert (figures.largest_hub, figures.largest_hub_row) == (0, None)

    def test_empty_catalogue(self):
        figures = hubness(np.zeros((0, 10), np.int64), 0)
        assert np.isnan([figures.coverage, figures.skewness]).all()
        assert figures.largest_hub_row is None

    @pytest.mark.parametrize("row", [4, -2])
    def test_rows_outside_of_the_catalogue(self, row):
        with pytest.raises(ValueError, match="catalogue of 4 tracks"):
            hubness(np.array([[0, row]]), 4)


class TestScales:
    def test_the_distance_to_the_twentieth_candidate(self):
        cosines = np.linspace(0.99, 0.01, 99)[None].repeat(2, axis=0)
        scale = scales(cosines)
        assert scale.dtype == np.float32
        np.testing.assert_allclose(scale, 1 - cosines[0, 19], rtol=1e-6)

    def test_the_middle_of_a_short_list(self):
        cosines = np.full((4, 50), np.nan)
        cosines[0, :11] = np.linspace(0.9, 0.4, 11)  # a catalogue of 12 tracks
        cosines[1, :1] = 0.7  # of two
        cosines[2, :40] = np.linspace(0.9, 0.12, 40)
        scale = scales(cosines)
        np.testing.assert_allclose(scale[:3], 1 - cosines[[0, 1, 2], [5, 0, 19]], rtol=1e-6)
        assert np.isnan(scale[3])  # the only track of its catalogue

    def test_duplicates_do_not_make_a_scale_of_zero(self):
        assert scales(np.ones((1, 30))) == pytest.approx(SMALLEST_DISTANCE)

    @pytest.mark.parametrize("shape", [(0, 10), (3, 0), (0, 0)])
    def test_nothing_to_scale(self, shape):
        assert np.isnan(scales(np.zeros(shape))).all()
        assert len(scales(np.zeros(shape))) == shape[0]

    def test_a_new_track_does_not_change_older_scales(self):
        cosines = np.sort(np.random.default_rng(0).uniform(size=(5, 60)))[:, ::-1]
        np.testing.assert_array_equal(scales(cosines)[:4], scales(cosines[:4]))


class TestRescaled:
    cosine = st.floats(-1, 1)
    scale = st.floats(SMALLEST_DISTANCE, 2) | st.just(np.nan)

    def test_local_scaling_by_hand(self):
        scores = rescaled([0.9, 0.5, np.nan], 0.2, np.array([0.05, 0.8, 1], np.float32))
        np.testing.assert_allclose(scores, [-0.1 / 0.1, -0.5 / 0.4, np.nan], rtol=1e-6)
        assert scores.dtype == np.float64

    @given(cosine, scale, scale)
    def test_symmetric_and_finite(self, cosine, one, other):
        score = rescaled(cosine, one, other)
        assert score == rescaled(cosine, other, one)
        assert np.isfinite(score)
        assert score <= 0

    @given(cosine, cosine, scale, scale)
    def test_a_larger_cosine_is_never_farther(self, cosine, other, query, track):
        low, high = sorted([cosine, other])
        nearer, farther = rescaled([high, low], query, track)
        assert nearer >= farther

    def test_a_missing_scale_is_that_of_the_other_track(self):
        np.testing.assert_allclose(
            rescaled([0.6, 0.6], [0.1, np.nan], [np.nan, 0.2]), [-0.4 / 0.1, -0.4 / 0.2]
        )
        assert rescaled(0.6, np.nan, np.nan) == pytest.approx(-0.4)

    def test_a_cosine_above_one_is_a_copy(self):
        assert rescaled(np.float32(1.0000001), 1e-6, 1e-6) == 0

    def test_many_queries_in_one_call(self):
        rng = np.random.default_rng(1)
        cosines, queries, tracks = (
            rng.uniform(size=(3, 4)),
            rng.uniform(size=3),
            rng.uniform(size=4),
        )
        together = rescaled(cosines, queries[:, None], tracks)
        for row, one in enumerate(together):
            np.testing.assert_array_equal(one, rescaled(cosines[row], queries[row], tracks))


class TestHubsAreReduced:
    def test_more_of_the_catalogue_is_reached(self):
        # Vectors around a common centre: those near to the centre are hubs of the others.
        vectors = np.random.default_rng(0).standard_normal((1000, 60)) + 0.7
        rows, cosines = candidates(vectors)
        before = hubness(rows[:, :10], 1000)
        after = hubness(rescaled_lists(rows, cosines), 1000)
        assert before.coverage < 0.95 <= after.coverage
        assert after.skewness < before.skewness / 2
        assert after.largest_hub < before.largest_hub

    @settings(deadline=None)
    @given(st.sampled_from([2, 3, 12]), st.integers(0, 100))
    def test_copies_come_first_in_small_catalogues(self, n, seed):
        vectors = np.random.default_rng(seed).integers(1, 3, (n, 2)).astype(np.float64)
        rows, cosines = candidates(vectors)
        lists = rescaled_lists(rows, cosines)
        assert lists.shape == (n, min(10, n - 1))
        unit = normalise(vectors)
        for track, nearest in enumerate(lists):
            copies = {i for i in rows[track] if np.array_equal(unit[i], unit[track])}
            first = set(nearest[: len(copies)].tolist())
            assert first == copies or (len(copies) > len(nearest) and first < copies)
