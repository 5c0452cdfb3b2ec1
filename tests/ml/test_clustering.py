import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score, silhouette_samples

from ml import clustering
from ml.cluster_metrics import hungarian_accuracy
from ml.clustering import cluster, cluster_figures, project
from ml.errors import UserError


def blobs(n=90, n_labels=3, distance=2.0, seed=0):
    """Labelled vectors [n, 16] around one centre per label."""
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % n_labels
    centres = rng.normal(size=(n_labels, 16)) * distance
    return centres[labels] + rng.normal(size=(n, 16)), [f"label {i}" for i in labels]


class TestCluster:
    @pytest.mark.parametrize("scaling", ["l2", "standard"])
    def test_finds_the_blobs_and_repeats_itself(self, scaling):
        vectors, labels = blobs(distance=4.0)
        found = cluster(vectors, n_clusters=3, seed=1, scaling=scaling)
        assert found.dtype == np.int64
        assert found.tolist() == [int(label[-1]) for label in labels]
        again = cluster(vectors, n_clusters=3, seed=1, scaling=scaling)
        np.testing.assert_array_equal(found, again)

    def test_l2_ignores_length_and_standard_ignores_units(self):
        vectors, _ = blobs(distance=1.0)
        lengths = np.geomspace(1, 1000, len(vectors))[:, None]
        units = np.geomspace(1, 1000, vectors.shape[1])
        for scaled, scaling in ((vectors * lengths, "l2"), (vectors * units + 5, "standard")):
            np.testing.assert_array_equal(
                cluster(scaled, n_clusters=4, seed=0, scaling=scaling),
                cluster(vectors, n_clusters=4, seed=0, scaling=scaling),
            )

    def test_numbers_follow_the_first_track(self):
        found = cluster(blobs(distance=0.0)[0], n_clusters=6, seed=3)
        _, first = np.unique(found, return_index=True)
        assert len(first) == 6
        assert first.tolist() == sorted(first)

    def test_one_track(self):
        assert cluster(np.ones((1, 4)), n_clusters=1, seed=0).tolist() == [0]

    @pytest.mark.parametrize("scaling", ["l2", "standard"])
    def test_fewer_distinct_vectors_than_clusters(self, scaling):
        assert cluster(np.full((6, 4), 0.1), n_clusters=3, seed=0, scaling=scaling).max() == 0
        two = np.eye(2)[[0, 1, 0, 1, 1]]
        assert cluster(two, n_clusters=4, seed=0, scaling=scaling).tolist() == [0, 1, 0, 1, 1]

    @pytest.mark.parametrize("n_clusters", [0, 4])
    def test_impossible_number(self, n_clusters):
        with pytest.raises(UserError, match=f"{n_clusters} clusters of 3 tracks"):
            cluster(np.eye(3), n_clusters=n_clusters, seed=0)

    @pytest.mark.parametrize("scaling", ["l2", "standard"])
    def test_values_that_are_no_vectors(self, scaling):
        for vectors in (np.array([[1.0, np.nan]]), np.zeros((0, 4)), np.zeros((4, 0)), np.ones(4)):
            with pytest.raises(UserError):
                cluster(vectors, n_clusters=1, seed=0, scaling=scaling)


class TestProject:
    @pytest.mark.parametrize("method", ["pca", "tsne"])
    @pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 6, 40])
    def test_any_number_of_tracks(self, method, n):
        vectors = np.random.default_rng(0).normal(size=(n, 8))
        plane = project(vectors, method=method, seed=0)
        assert (plane.shape, plane.dtype) == ((n, 2), np.float32)
        assert np.isfinite(plane).all()
        assert len(np.unique(plane, axis=0)) == n
        np.testing.assert_array_equal(plane, project(vectors, method=method, seed=0))
        is_pca = np.array_equal(plane, project(vectors, method="pca", seed=0))
        assert is_pca == (method == "pca" or n < 5)

    @pytest.mark.parametrize("method", ["pca", "tsne"])
    @pytest.mark.parametrize("scaling", ["l2", "standard"])
    def test_equal_vectors_lie_in_the_origin(self, method, scaling):
        vectors = np.full((20, 3), 0.1) * (np.arange(1, 21)[:, None] if scaling == "l2" else 1)
        assert not project(vectors, method=method, seed=0, scaling=scaling).any()

    @pytest.mark.parametrize("method", ["pca", "tsne"])
    def test_one_dimension(self, method):
        plane = project(np.arange(8.0)[:, None], method=method, seed=0, scaling="standard")
        assert np.isfinite(plane).all()
        assert len(np.unique(plane[:, 0])) == 8

    def test_pca_is_the_one_of_the_eigenvectors_with_a_fixed_sign(self):
        vectors, _ = blobs()
        unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
        _, axes = np.linalg.eigh(np.cov(unit.T))
        axes = axes[:, [-1, -2]]
        axes = axes * np.sign(axes[np.abs(axes).argmax(axis=0), [0, 1]])
        plane = project(vectors, method="pca", seed=0)
        np.testing.assert_allclose(plane, (unit - unit.mean(axis=0)) @ axes, atol=1e-5)

    def test_tsne_keeps_labels_together(self):
        vectors, labels = blobs(distance=4.0)
        plane = project(vectors, method="tsne", seed=0)
        assert silhouette_samples(plane, labels).mean() > 0.5


class TestClusterFigures:
    def test_clear_blobs(self):
        vectors, labels = blobs(distance=4.0)
        figures = cluster_figures(vectors, labels, seed=0)
        assert figures.contingency.tolist() == [[30, 0, 0], [0, 30, 0], [0, 0, 30]]
        assert figures.mapping == {0: "label 0", 1: "label 1", 2: "label 2"}
        assert (figures.accuracy.value, figures.nmi.value, figures.ari.value) == (1, 1, 1)
        assert figures.silhouette_by_label == pytest.approx(figures.silhouette_by_cluster)
        assert figures.silhouette_by_label.low > figures.silhouette_by_label.chance_95 + 0.3

    def test_values_are_those_of_scikit_learn(self):
        vectors, labels = blobs(distance=0.5)
        f = cluster_figures(vectors, labels, n_clusters=5, seed=0, scaling="standard")
        scaled = (vectors - vectors.mean(axis=0)) / vectors.std(axis=0)
        assert f.accuracy.value == hungarian_accuracy(f.clusters, labels)[0]
        assert f.nmi.value == pytest.approx(normalized_mutual_info_score(labels, f.clusters))
        assert f.ari.value == pytest.approx(adjusted_rand_score(labels, f.clusters))
        for figure, groups in (
            (f.silhouette_by_label, labels),
            (f.silhouette_by_cluster, f.clusters),
        ):
            assert figure.value == pytest.approx(
                silhouette_samples(scaled, groups).mean(), abs=1e-5
            )
        assert f.contingency.shape == (5, 3)
        assert f.contingency.sum() == 90

    def test_noise_is_no_finding(self):
        """Of 40 spaces without any structure, about one in 20 passes the 95th percentile."""
        passed = np.zeros(3)
        for seed in range(40):
            vectors, labels = blobs(n=60, distance=0.0, seed=seed)
            f = cluster_figures(vectors, labels, seed=seed, n_bootstrap=20, n_shuffles=100)
            passed += [x.value > x.chance_95 for x in (f.nmi, f.ari, f.silhouette_by_label)]
        # 8 or more of 40 at 5 % happen in 0.1 % of such tests; the seeds are fixed.
        assert (passed < 8).all()

    def test_intervals_have_the_width_of_fresh_samples(self):
        """The interval's half width, against the spread of accuracy over independent tracks."""
        rng = np.random.default_rng(0)
        vectors, labels = blobs(n=300, distance=0.6)
        f = cluster_figures(vectors, labels, seed=0, n_shuffles=5)
        share = f.accuracy.value
        fresh = rng.binomial(300, share, size=4000) / 300
        width = np.subtract(*np.quantile(fresh, [0.975, 0.025]))
        assert f.accuracy.high - f.accuracy.low == pytest.approx(width, rel=0.1)

    def test_intervals_contain_the_figure_in_spite_of_the_bias_of_resamples(self):
        vectors, labels = blobs(n=60, n_labels=6, distance=0.0)
        f = cluster_figures(vectors, labels, seed=0, n_shuffles=5)
        for figure in (f.nmi, f.ari):
            assert figure.low < figure.value < figure.high

    @settings(max_examples=25, deadline=None)
    @given(st.integers(0, 2**32 - 1), st.integers(2, 12), st.integers(1, 4), st.integers(1, 4))
    def test_small_and_odd_inputs(self, seed, n, n_labels, n_clusters):
        rng = np.random.default_rng(seed)
        vectors = rng.integers(-1, 2, size=(n, 2)).astype(float)
        labels = [f"{i}" for i in rng.integers(n_labels, size=n)]
        figures = cluster_figures(
            vectors, labels, n_clusters=min(n, n_clusters), seed=seed, n_bootstrap=30, n_shuffles=5
        )
        for name in ("accuracy", "nmi", "ari", "silhouette_by_label", "silhouette_by_cluster"):
            f = getattr(figures, name)
            if np.isnan(f.value):
                assert name.startswith("silhouette")
                assert np.isnan([f.low, f.high, f.chance, f.chance_95]).all()
            else:
                assert -1 <= f.low <= f.value + 1e-12
                assert f.value - 1e-12 <= f.high <= 1
                assert np.isfinite([f.chance, f.chance_95]).all()

    def test_same_seed_same_figures(self):
        vectors, labels = blobs(n=40)
        one, two, other = (
            cluster_figures(vectors, labels, seed=s, n_bootstrap=50, n_shuffles=20)
            for s in (1, 1, 2)
        )
        assert one.nmi == two.nmi
        assert one.silhouette_by_label == two.silhouette_by_label
        assert one.silhouette_by_label != other.silhouette_by_label

    def test_silhouettes_of_many_are_sampled(self, monkeypatch):
        vectors, labels = blobs(n=300, distance=1.0)
        every = cluster_figures(vectors, labels, seed=0, n_shuffles=5)
        monkeypatch.setattr(clustering, "MAX_SILHOUETTE", 150)
        some = cluster_figures(vectors, labels, seed=0, n_shuffles=5)
        assert some.nmi == every.nmi
        assert some.silhouette_by_label != every.silhouette_by_label
        assert some.silhouette_by_label.value == pytest.approx(
            every.silhouette_by_label.value, abs=0.05
        )

    def test_errors(self):
        with pytest.raises(UserError, match="figures of 1 tracks"):
            cluster_figures(np.ones((1, 3)), ["a"], seed=0)
        with pytest.raises(UserError, match="9 clusters of 3 tracks"):
            cluster_figures(np.eye(3), ["a", "b", "a"], n_clusters=9, seed=0)
        with pytest.raises(UserError, match="NaN"):
            cluster_figures(np.array([[1.0, np.nan], [1, 2]]), ["a", "b"], seed=0)
        with pytest.raises(ValueError, match="3 vectors, 1 labels"):
            cluster_figures(np.eye(3), ["a"], seed=0)


def test_published_features_of_gtzan_cluster_beyond_chance():
    folder = os.environ.get("MELGRAPH_REAL_DATA")
    if not folder:
        pytest.skip("MELGRAPH_REAL_DATA is not set")
    with (Path(folder) / "metadata/gtzan/features_30_sec.csv").open() as file:
        rows = [line.strip().split(",") for line in file][1:]
    vectors = np.array([[float(value) for value in row[2:-1]] for row in rows])
    figures = cluster_figures(vectors, [row[-1] for row in rows], seed=0, scaling="standard")
    assert figures.accuracy.low > 0.25 > figures.accuracy.chance_95
    assert figures.nmi.low > figures.nmi.chance_95
    assert figures.ari.low > figures.ari.chance_95
