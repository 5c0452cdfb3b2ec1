import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from melgraph.ml.errors import UserError
from melgraph.ml.metrics.frechet import frechet_distance


def exact(mean: np.ndarray, root: np.ndarray, count: int, seed: int) -> np.ndarray:
    """Points whose sample mean and covariance are exactly `mean` and root root^T."""
    raw = np.random.default_rng(seed).standard_normal((count, len(mean)))
    raw -= raw.mean(axis=0)
    white = raw @ np.linalg.inv(np.linalg.cholesky(np.cov(raw, rowvar=False))).T
    return white @ root.T + mean


@settings(max_examples=30, deadline=None)
@given(
    deviations=st.lists(st.floats(0.1, 5), min_size=3, max_size=3),
    others=st.lists(st.floats(0.1, 5), min_size=3, max_size=3),
    shift=st.floats(-10, 10),
)
def test_the_closed_form_of_gaussians_with_a_diagonal_covariance(
    deviations: list[float], others: list[float], shift: float
) -> None:
    x = exact(np.zeros(3), np.diag(deviations), 40, 0)
    y = exact(np.full(3, shift), np.diag(others), 30, 1)
    expected = 3 * shift**2 + np.sum((np.array(deviations) - others) ** 2)
    result = frechet_distance(x, y)
    assert result.value == pytest.approx(expected, abs=1e-6)
    assert (result.n_reference, result.n_generated, result.dimension) == (40, 30, 3)


def test_one_dimension_by_hand() -> None:
    x, y = np.array([[0.0], [2.0]]), np.array([[3.0], [7.0]])  # variances 2 and 8
    value = (1 - 5) ** 2 + (np.sqrt(2) - np.sqrt(8)) ** 2
    assert frechet_distance(x, y).value == pytest.approx(value)


def test_the_matrix_square_root_gives_the_same() -> None:
    from scipy.linalg import sqrtm

    random = np.random.default_rng(0)
    x = random.standard_normal((50, 6)) @ random.standard_normal((6, 6))
    y = random.standard_normal((40, 6)) @ random.standard_normal((6, 6)) + 1
    s1, s2 = np.cov(x, rowvar=False), np.cov(y, rowvar=False)
    shift = x.mean(axis=0) - y.mean(axis=0)
    expected = shift @ shift + np.trace(s1 + s2 - 2 * sqrtm(s1 @ s2).real)
    assert frechet_distance(x, y).value == pytest.approx(expected)
    assert frechet_distance(y, x).value == pytest.approx(expected)


def test_equal_sets_are_at_distance_0_even_with_fewer_songs_than_dimensions() -> None:
    x = np.random.default_rng(0).standard_normal((20, 100)).astype(np.float32)
    result = frechet_distance(x, x)
    assert result.value == pytest.approx(0, abs=1e-5)
    assert result.rank_deficient
    assert not frechet_distance(x[:, :3], x[:, :3]).rank_deficient


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        (np.ones((5, 2)), np.ones((5, 3)), "shapes"),
        (np.ones((5, 2)), np.full((5, 2), np.inf), "10 values that are not finite"),
        (np.ones((5, 2)), np.ones((1, 2)), "5 and 1 embeddings"),
    ],
)
def test_errors(x: np.ndarray, y: np.ndarray, message: str) -> None:
    with pytest.raises(UserError, match=message):
        frechet_distance(x, y)
