import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import cdist, mahalanobis

from melgraph.ml.embeddings.outliers import (
    LEVEL,
    calibration_p_values,
    conformal_p_values,
    fit_gaussians,
    knn_distances,
    mahalanobis_distances,
    nearest_labels,
    training_knn_distances,
)
from melgraph.ml.errors import UserError
from tests.ml.blobs import blobs

finite = st.lists(st.floats(-9, 9, width=16), min_size=1, max_size=30).map(np.array)


class TestKnnDistances:
    def test_are_cosine_distances_to_the_kth_nearest(self):
        training, _ = blobs(n=40)
        queries = np.random.default_rng(1).normal(size=(7, 16))
        every = np.sort(cdist(queries, training, "cosine"), axis=1)
        np.testing.assert_allclose(knn_distances(queries, training), every[:, 4], atol=1e-5)
        np.testing.assert_allclose(knn_distances(queries, training, k=99), every[:, -1], atol=1e-5)

    def test_no_training_track_is_its_own_neighbour(self):
        training, _ = blobs(n=40)
        every = np.sort(cdist(training, training, "cosine"), axis=1)
        np.testing.assert_allclose(training_knn_distances(training, k=1), every[:, 1], atol=1e-5)
        np.testing.assert_allclose(training_knn_distances(training), every[:, 5], atol=1e-5)

    def test_errors(self):
        for training in (np.zeros((0, 2)), np.full((3, 2), np.nan)):
            with pytest.raises(UserError):
                knn_distances(np.eye(2), training)
        with pytest.raises(UserError, match="training distribution of 1 tracks"):
            training_knn_distances(np.ones((1, 2)))


class TestMahalanobis:
    def test_of_many_tracks_it_is_the_textbook_one(self):
        rng = np.random.default_rng(0)
        directions = rng.normal(size=(20_000, 3)) * [0.05, 0.2, 0.1] + [1.0, 0.0, 0.0]
        unit = directions / np.linalg.norm(directions, axis=1, keepdims=True)
        gaussians = fit_gaussians(directions)
        assert gaussians.shrinkage < 0.01
        # Of vectors of length 1, the length itself hardly varies: the floor is most of that axis.
        covariance = np.cov(unit.T)
        inverse = np.linalg.inv(covariance + 1e-3 * np.trace(covariance) / 3 * np.eye(3))
        queries = np.eye(3)
        expected = [mahalanobis(row, unit.mean(axis=0), inverse) for row in queries]
        np.testing.assert_allclose(mahalanobis_distances(queries, gaussians), expected, rtol=0.05)

    def test_the_nearest_class_counts(self):
        training, labels = blobs(n=90, distance=4.0)
        by_class = mahalanobis_distances(training, fit_gaussians(training, labels))
        by_one = mahalanobis_distances(training, fit_gaussians(training))
        between = np.random.default_rng(0).normal(size=(50, 16))
        apart = mahalanobis_distances(between, fit_gaussians(training, labels))
        assert np.median(apart) > 2 * np.median(by_class)
        assert np.median(apart) / np.median(by_class) > np.median(
            mahalanobis_distances(between, fit_gaussians(training))
        ) / np.median(by_one)

    @settings(max_examples=40, deadline=None)
    @given(st.integers(0, 2**32 - 1), st.integers(2, 12), st.integers(1, 30))
    def test_is_finite_whatever_the_tracks(self, seed, n, d):
        rng = np.random.default_rng(seed)
        training = rng.integers(-1, 2, size=(n, d)).astype(float)
        labels = [f"{i}" for i in rng.integers(3, size=n)]
        for classes in (None, labels):
            result = mahalanobis_distances(
                rng.normal(size=(4, d)), fit_gaussians(training, classes)
            )
            assert np.isfinite(result).all()
            assert (result >= 0).all()

    def test_errors(self):
        with pytest.raises(UserError, match="training distribution of 1 tracks"):
            fit_gaussians(np.ones((1, 2)))
        with pytest.raises(UserError, match="NaN"):
            fit_gaussians(np.full((3, 2), np.nan))
        with pytest.raises(ValueError, match="3 training vectors, 1 labels"):
            fit_gaussians(np.eye(3), ["a"])


class TestPValues:
    @given(finite, finite)
    def test_are_ranks_among_the_calibration_scores(self, scores, calibration):
        result = conformal_p_values(scores, calibration)
        for score, p in zip(scores, result, strict=True):
            assert p == (1 + (calibration >= score).sum()) / (1 + len(calibration))
        order = np.argsort(scores)
        assert (np.diff(result[order]) <= 0).all()

    @given(finite)
    def test_of_a_calibration_track_are_those_among_the_others(self, calibration):
        for index, p in enumerate(calibration_p_values(calibration)):
            others = np.delete(calibration, index)
            assert p == pytest.approx(conformal_p_values(calibration[[index]], others)[0])

    def test_of_the_same_kind_no_more_than_the_level_are_flagged(self):
        """Over many calibrations: a share of at most 5 %, and near it."""
        rng = np.random.default_rng(0)
        flagged = [
            (conformal_p_values(rng.normal(size=50), rng.normal(size=39)) <= LEVEL).mean()
            for _ in range(400)
        ]
        assert 0.045 < np.mean(flagged) < 0.055

    def test_without_calibration_nothing_is_said(self):
        assert conformal_p_values(np.arange(3.0), np.zeros(0)).tolist() == [1, 1, 1]
        assert calibration_p_values(np.zeros(0)).size == 0
        eighteen = conformal_p_values(np.array([99.0]), np.arange(18.0))
        nineteen = conformal_p_values(np.array([99.0]), np.arange(19.0))
        assert eighteen > LEVEL >= nineteen


class TestNearestLabels:
    def test_the_nearest_vote(self):
        training = np.array([[1.0, 0.0], [1.0, 0.1], [1.0, 0.2], [0.0, 1.0], [-1.0, 0.0]])
        labels = [["a"], ["b"], ["b"], ["c"], ["d"]]
        (result,) = nearest_labels(np.array([[2.0, 0.0]]), training, labels, voters=3)
        assert result == [("b", pytest.approx(2 / 3)), ("a", pytest.approx(1 / 3))]
        (every,) = nearest_labels(np.array([[2.0, 0.0]]), training, labels)
        assert [name for name, _ in every] == ["b", "a", "c"]  # equal votes: the nearer first
        (nearest,) = nearest_labels(np.array([[0.0, 1.0]]), training, labels, voters=1, most=1)
        assert nearest == [("c", 1.0)]

    def test_several_labels_share_a_vote(self):
        (result,) = nearest_labels(np.eye(2)[:1], np.eye(2)[:1], [["x", "y"]])
        assert result == [("x", 0.5), ("y", 0.5)]

    def test_lengths(self):
        with pytest.raises(ValueError, match="2 training vectors, labels of 1"):
            nearest_labels(np.eye(2), np.eye(2), [["a"]])


def test_music_of_another_kind_is_flagged():
    vectors, labels = blobs(n=300, distance=3.0)
    rng = np.random.default_rng(5)
    outside = 3.0 * rng.normal(size=(1, 16)) + rng.normal(size=(40, 16))
    training, held_out = vectors[:200], vectors[200:]
    gaussians = fit_gaussians(training, labels[:200])
    for score in (
        lambda some: knn_distances(some, training),
        lambda some: mahalanobis_distances(some, gaussians),
    ):
        result = conformal_p_values(score(outside), score(held_out))
        assert (result <= LEVEL).mean() > 0.9
