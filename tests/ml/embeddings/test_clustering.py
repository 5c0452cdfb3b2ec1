import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score, silhouette_samples

from melgraph.ml.embeddings import clustering
from melgraph.ml.embeddings.clusterers import cluster
from melgraph.ml.embeddings.clustering import cluster_figures, separation
from melgraph.ml.errors import UserError
from melgraph.ml.metrics.clusters import hungarian_accuracy
from tests.ml.blobs import blobs


def figures_of(vectors, labels, *, n_clusters=None, seed, scaling="l2", **options):
    """The figures of k-means with as many clusters as labels, and the clusters."""
    count = n_clusters or len(set(labels))
    clusters = cluster(vectors, n_clusters=count, seed=seed, scaling=scaling).labels
    return cluster_figures(
        vectors, labels, clusters, seed=seed, scaling=scaling, **options
    ), clusters


class TestClusterFigures:
    def test_clear_blobs(self):
        vectors, labels = blobs(distance=4.0)
        figures, _ = figures_of(vectors, labels, seed=0)
        assert figures.contingency.tolist() == [[30, 0, 0], [0, 30, 0], [0, 0, 30]]
        assert figures.mapping == {0: "label 0", 1: "label 1", 2: "label 2"}
        assert (figures.accuracy.value, figures.nmi.value, figures.ari.value) == (1, 1, 1)
        assert figures.silhouette_by_label == pytest.approx(figures.silhouette_by_cluster)
        assert figures.silhouette_by_label.low > figures.silhouette_by_label.chance_95 + 0.3

    def test_values_are_those_of_scikit_learn(self):
        vectors, labels = blobs(distance=0.5)
        f, clusters = figures_of(vectors, labels, n_clusters=5, seed=0, scaling="standard")
        scaled = (vectors - vectors.mean(axis=0)) / vectors.std(axis=0)
        assert f.accuracy.value == hungarian_accuracy(clusters, labels)[0]
        assert f.nmi.value == pytest.approx(normalized_mutual_info_score(labels, clusters))
        assert f.ari.value == pytest.approx(adjusted_rand_score(labels, clusters))
        for figure, groups in (
            (f.silhouette_by_label, labels),
            (f.silhouette_by_cluster, clusters),
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
            f, _ = figures_of(vectors, labels, seed=seed, n_bootstrap=20, n_shuffles=100)
            passed += [x.value > x.chance_95 for x in (f.nmi, f.ari, f.silhouette_by_label)]
        # 8 or more of 40 at 5 % happen in 0.1 % of such tests; the seeds are fixed.
        assert (passed < 8).all()

    def test_intervals_have_the_width_of_fresh_samples(self):
        """The interval's half width, against the spread of accuracy over independent tracks."""
        rng = np.random.default_rng(0)
        vectors, labels = blobs(n=300, distance=0.6)
        f, _ = figures_of(vectors, labels, seed=0, n_shuffles=5)
        share = f.accuracy.value
        fresh = rng.binomial(300, share, size=4000) / 300
        width = np.subtract(*np.quantile(fresh, [0.975, 0.025]))
        assert f.accuracy.high - f.accuracy.low == pytest.approx(width, rel=0.1)

    def test_intervals_contain_the_figure_in_spite_of_the_bias_of_resamples(self):
        vectors, labels = blobs(n=60, n_labels=6, distance=0.0)
        f, _ = figures_of(vectors, labels, seed=0, n_shuffles=5)
        for figure in (f.nmi, f.ari):
            assert figure.low < figure.value < figure.high

    @settings(max_examples=25, deadline=None)
    @given(st.integers(0, 2**32 - 1), st.integers(2, 12), st.integers(1, 4), st.integers(1, 4))
    def test_small_and_odd_inputs(self, seed, n, n_labels, n_clusters):
        rng = np.random.default_rng(seed)
        vectors = rng.integers(-1, 2, size=(n, 2)).astype(float)
        labels = [f"{i}" for i in rng.integers(n_labels, size=n)]
        figures, _ = figures_of(
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
            figures_of(vectors, labels, seed=s, n_bootstrap=50, n_shuffles=20)[0] for s in (1, 1, 2)
        )
        assert one.nmi == two.nmi
        assert one.silhouette_by_label == two.silhouette_by_label
        assert one.silhouette_by_label != other.silhouette_by_label

    def test_silhouettes_of_many_are_sampled(self, monkeypatch):
        vectors, labels = blobs(n=300, distance=1.0)
        every, _ = figures_of(vectors, labels, seed=0, n_shuffles=5)
        monkeypatch.setattr(clustering, "MAX_SILHOUETTE", 150)
        some, _ = figures_of(vectors, labels, seed=0, n_shuffles=5)
        assert some.nmi == every.nmi
        assert some.silhouette_by_label != every.silhouette_by_label
        assert some.silhouette_by_label.value == pytest.approx(
            every.silhouette_by_label.value, abs=0.05
        )

    def test_errors(self):
        one = np.zeros(1, np.int64)
        for judge in (lambda: cluster_figures(np.ones((1, 3)), ["a"], one, seed=0),
                      lambda: separation(np.ones((1, 3)), one, seed=0)):  # fmt: skip
            with pytest.raises(UserError, match="figures of 1 tracks"):
                judge()
        two = np.array([0, 1])
        with pytest.raises(UserError, match="NaN"):
            cluster_figures(np.array([[1.0, np.nan], [1, 2]]), ["a", "b"], two, seed=0)
        with pytest.raises(ValueError, match="3 vectors, 1 labels, 2 clusters"):
            cluster_figures(np.eye(3), ["a"], two, seed=0)
        with pytest.raises(ValueError, match="3 vectors, 2 clusters"):
            separation(np.eye(3), two, seed=0)


def test_separation_is_the_silhouette_of_the_clusters():
    vectors, labels = blobs(distance=2.0)
    figures, clusters = figures_of(vectors, labels, seed=0, n_shuffles=20)
    alone = separation(vectors, clusters, seed=0, n_shuffles=20)
    assert alone.value == figures.silhouette_by_cluster.value
    assert alone.low < alone.value < alone.high
    assert alone.low > alone.chance_95


def test_published_features_of_gtzan_cluster_beyond_chance():
    folder = os.environ.get("MELGRAPH_REAL_DATA")
    if not folder:
        pytest.skip("MELGRAPH_REAL_DATA is not set")
    with (Path(folder) / "metadata/gtzan/features_30_sec.csv").open() as file:
        rows = [line.strip().split(",") for line in file][1:]
    vectors = np.array([[float(value) for value in row[2:-1]] for row in rows])
    figures, _ = figures_of(vectors, [row[-1] for row in rows], seed=0, scaling="standard")
    assert figures.accuracy.low > 0.25 > figures.accuracy.chance_95
    assert figures.nmi.low > figures.nmi.chance_95
    assert figures.ari.low > figures.ari.chance_95
