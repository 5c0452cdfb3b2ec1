import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from melgraph.ml.embeddings.clusterers import (
    DENSE_NEIGHBOURS,
    MAX_DIMS,
    NOISE,
    TRACKS_PER_PARAMETER,
    cluster,
    density_clusters,
    mixture_shape,
    suggested_clusters,
)
from melgraph.ml.errors import UserError
from tests.ml.blobs import blobs

each_method = pytest.mark.parametrize("method", ["kmeans", "mixture"])
each_scaling = pytest.mark.parametrize("scaling", ["l2", "standard"])


@each_method
class TestCluster:
    @each_scaling
    def test_finds_the_blobs_and_repeats_itself(self, method, scaling):
        vectors, labels = blobs(distance=4.0)
        how = {"n_clusters": 3, "seed": 1, "method": method, "scaling": scaling}
        clusters = cluster(vectors, **how).labels
        assert clusters.dtype == np.int64
        assert clusters.tolist() == [int(label[-1]) for label in labels]
        np.testing.assert_array_equal(clusters, cluster(vectors, **how).labels)

    @each_scaling
    def test_further_vectors_fall_where_their_like_are(self, method, scaling):
        vectors, labels = blobs(n=120, distance=4.0)
        truth = [int(label[-1]) for label in labels]
        clusters = cluster(vectors[:90], n_clusters=3, seed=0, method=method, scaling=scaling)
        assert clusters.assign(vectors[90:]).tolist() == truth[90:]
        np.testing.assert_array_equal(clusters.assign(vectors[:90]), clusters.labels)

    def test_l2_ignores_length_and_standard_ignores_units(self, method):
        vectors, _ = blobs(distance=1.0)
        lengths = np.geomspace(1, 1000, len(vectors))[:, None]
        units = np.geomspace(1, 1000, vectors.shape[1])
        for scaled, scaling in ((vectors * lengths, "l2"), (vectors * units + 5, "standard")):
            how = {"n_clusters": 4, "seed": 0, "method": method, "scaling": scaling}
            np.testing.assert_array_equal(
                cluster(scaled, **how).labels, cluster(vectors, **how).labels
            )

    def test_numbers_follow_the_first_track(self, method):
        clusters = cluster(blobs(distance=0.0)[0], n_clusters=6, seed=3, method=method).labels
        _, first = np.unique(clusters, return_index=True)
        assert len(first) == 6
        assert first.tolist() == sorted(first)

    def test_one_track(self, method):
        one = cluster(np.ones((1, 4)), n_clusters=1, seed=0, method=method)
        assert one.labels.tolist() == [0]
        assert one.assign(np.eye(4)).tolist() == [0] * 4

    @each_scaling
    def test_fewer_distinct_vectors_than_clusters(self, method, scaling):
        how = {"seed": 0, "method": method, "scaling": scaling}
        assert cluster(np.full((6, 4), 0.1), n_clusters=3, **how).labels.max() == 0
        two = np.eye(2)[[0, 1, 0, 1, 1]]
        assert cluster(two, n_clusters=4, **how).labels.tolist() == [0, 1, 0, 1, 1]

    @pytest.mark.parametrize("n_clusters", [0, 4])
    def test_impossible_number(self, method, n_clusters):
        with pytest.raises(UserError, match=f"{n_clusters} clusters of 3 tracks"):
            cluster(np.eye(3), n_clusters=n_clusters, seed=0, method=method)

    @each_scaling
    def test_values_that_are_no_vectors(self, method, scaling):
        for vectors in (np.array([[1.0, np.nan]]), np.zeros((0, 4)), np.zeros((4, 0)), np.ones(4)):
            with pytest.raises(UserError):
                cluster(vectors, n_clusters=1, seed=0, method=method, scaling=scaling)

    @settings(max_examples=40, deadline=None)
    @given(st.integers(0, 2**32 - 1), st.integers(1, 25), st.integers(1, 5), st.integers(1, 25))
    def test_any_few_vectors(self, method, seed, n, d, n_clusters):
        rng = np.random.default_rng(seed)
        vectors = rng.integers(-1, 2, size=(n, d)).astype(float)
        clusters = cluster(vectors, n_clusters=min(n, n_clusters), seed=seed % 100, method=method)
        assert sorted(set(clusters.labels.tolist())) == list(range(clusters.labels.max() + 1))
        assert clusters.labels.max() < n_clusters
        further = clusters.assign(rng.normal(size=(7, d)))
        assert ((further >= 0) & (further < n_clusters)).all()


def test_a_mixture_separates_elongated_clusters():
    """Two long thin clouds side by side: k-means cuts them across."""
    rng = np.random.default_rng(0)
    sides = np.arange(600) % 2
    vectors = rng.normal(size=(600, 2)) * [10.0, 0.2] + np.stack([0 * sides, 4.0 * sides], axis=1)
    agreed = {}
    for method in ("kmeans", "mixture"):
        clusters = cluster(vectors, n_clusters=2, seed=0, method=method, scaling="standard").labels
        agreed[method] = max((clusters == sides).mean(), (clusters != sides).mean())
    assert agreed["mixture"] > 0.99


class TestMixtureShape:
    @given(st.integers(1, 10**6), st.integers(1, 2000), st.integers(1, 60))
    def test_never_more_than_the_tracks_can_bear(self, n, d, k):
        dims, covariance = mixture_shape(n, d, k)
        assert 1 <= dims <= min(n, d, MAX_DIMS)
        means = k * dims + k - 1
        full = means + k * dims * (dims + 1) // 2
        assert (covariance == "full") == (n >= TRACKS_PER_PARAMETER * full) or dims == k == 1

    def test_the_rule_by_example(self):
        assert mixture_shape(40, 64, 8) == (4, "tied")  # too few for any: the fewest parameters
        assert mixture_shape(1700, 64, 8) == (20, "diag")
        assert mixture_shape(2000, 64, 8) == (20, "tied")
        assert mixture_shape(10_000, 64, 8) == (20, "full")


class TestDensity:
    def test_finds_the_number_by_itself(self):
        vectors, labels = blobs(n=300, n_labels=4, distance=4.0)
        clusters = density_clusters(vectors, seed=0)
        inside = clusters != NOISE
        assert clusters.max() == 3
        assert inside.mean() > 0.8
        truth = np.array([int(label[-1]) for label in labels])
        assert len(set(zip(clusters[inside], truth[inside], strict=True))) == 4
        np.testing.assert_array_equal(clusters, density_clusters(vectors, seed=0))

    @settings(max_examples=30, deadline=None)
    @given(st.integers(0, 2**32 - 1), st.integers(1, 40), st.integers(1, 5))
    def test_any_few_vectors(self, seed, n, d):
        vectors = np.random.default_rng(seed).integers(-1, 2, size=(n, d)).astype(float)
        clusters = density_clusters(vectors, seed=0)
        assert clusters.shape == (n,)
        sizes = np.bincount(clusters[clusters != NOISE])
        assert (sizes >= DENSE_NEIGHBOURS).all()
        firsts = [np.flatnonzero(clusters == number)[0] for number in range(len(sizes))]
        assert firsts == sorted(firsts)

    def test_nothing_to_find(self):
        for vectors in (np.ones((1, 3)), np.ones((50, 3)), np.eye(9)):
            assert (density_clusters(vectors, seed=0) == NOISE).all()
        with pytest.raises(UserError, match="NaN"):
            density_clusters(np.full((20, 2), np.nan), seed=0)


class TestSuggestedClusters:
    @pytest.mark.parametrize("number", [2, 3, 7])
    def test_finds_the_number_of_clear_blobs(self, number):
        assert suggested_clusters(blobs(n_labels=number, distance=4.0)[0], seed=0) == number

    @pytest.mark.parametrize(
        ("vectors", "number"),
        [(np.ones((1, 2)), 1), (np.eye(2), 1), (np.ones((9, 2)), 1),
         (np.eye(2)[[0, 1, 0, 1]], 2)],
    )  # fmt: skip
    def test_few_or_equal(self, vectors, number):
        assert suggested_clusters(vectors, seed=0) == number

    def test_many_are_sampled(self, monkeypatch):
        monkeypatch.setattr("melgraph.ml.embeddings.clusterers._SAMPLE", 60)
        assert suggested_clusters(blobs(n=600, n_labels=4, distance=4.0)[0], seed=0) == 4
