import hashlib
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.manifold import trustworthiness
from sklearn.metrics import silhouette_samples

from melgraph.ml.embeddings.maps import project
from melgraph.ml.errors import UserError
from tests.ml.blobs import blobs

each_method = pytest.mark.parametrize("method", ["pca", "tsne", "umap"])
each_scaling = pytest.mark.parametrize("scaling", ["l2", "standard"])
curved = pytest.mark.parametrize("method", ["tsne", "umap"])


class TestProject:
    @each_method
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

    @each_method
    @each_scaling
    def test_equal_vectors_lie_in_the_origin(self, method, scaling):
        vectors = np.full((20, 3), 0.1) * (np.arange(1, 21)[:, None] if scaling == "l2" else 1)
        assert not project(vectors, method=method, seed=0, scaling=scaling).any()

    @each_method
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

    @curved
    def test_neighbours_stay_neighbours(self, method):
        vectors, labels = blobs(n=150, distance=4.0)
        plane = project(vectors, method=method, seed=0)
        assert silhouette_samples(plane, labels).mean() > 0.5
        unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
        flat = project(vectors, method="pca", seed=0)
        preserved, by_pca = (trustworthiness(unit, each, n_neighbors=10) for each in (plane, flat))
        assert preserved > max(0.85, by_pca)

    @curved
    @settings(max_examples=15, deadline=None)
    @given(st.integers(0, 2**32 - 1), st.integers(5, 30), st.integers(1, 4))
    def test_repeated_vectors_have_a_place_too(self, method, seed, n, d):
        vectors = np.random.default_rng(seed).integers(-1, 2, size=(n, d)).astype(float)
        plane = project(vectors, method=method, seed=0)
        assert plane.shape == (n, 2)
        assert np.isfinite(plane).all()

    @each_method
    @each_scaling
    def test_values_that_are_no_vectors(self, method, scaling):
        for vectors in (np.array([[1.0, np.nan]]), np.zeros((0, 4)), np.zeros((4, 0)), np.ones(4)):
            with pytest.raises(UserError):
                project(vectors, method=method, seed=0, scaling=scaling)

    @curved
    def test_progress_goes_on_to_the_end(self, method):
        reports = []
        project(blobs()[0], method=method, seed=0, progress=lambda *report: reports.append(report))
        done = [at for at, _ in reports]
        assert len({of for _, of in reports}) == 1
        assert done == sorted(done)
        assert done[-1] == reports[-1][1] > 100


ANOTHER_PROCESS = """\
import hashlib
from melgraph.ml.embeddings.maps import project
from tests.ml.blobs import blobs
plane = project(blobs(n=500, distance=1.0)[0], method={method!r}, seed=3)
print(hashlib.sha256(plane.tobytes()).hexdigest())
"""


@curved
def test_the_same_bytes_in_another_process_and_others_with_another_seed(method):
    vectors, _ = blobs(n=500, distance=1.0)
    here = project(vectors, method=method, seed=3)
    np.testing.assert_array_equal(here, project(vectors, method=method, seed=3))
    program = ANOTHER_PROCESS.format(method=method)
    root = Path(__file__).parents[3]
    ran = subprocess.run(
        [sys.executable, "-c", program], cwd=root, capture_output=True, text=True, timeout=300
    )
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.split()[-1] == hashlib.sha256(here.tobytes()).hexdigest()
    if method == "umap":  # t-SNE of so few draws nothing at random: it starts from PCA
        assert not np.array_equal(here, project(vectors, method=method, seed=4))
