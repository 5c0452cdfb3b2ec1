import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from melgraph.ml.features.sliding_median import WINDOW, _comparators, sliding_median


@settings(max_examples=60, deadline=None)
@given(
    rows=st.integers(1, 70),
    columns=st.integers(1, 5),
    kind=st.sampled_from(["noise", "few values", "rising", "falling"]),
    seed=st.integers(0, 999),
)
def test_is_the_median_of_every_window(rows, columns, kind, seed):
    rng = np.random.default_rng(seed)
    shape = (rows + WINDOW - 1, columns)
    values = {
        "noise": lambda: rng.standard_normal(shape),
        "few values": lambda: rng.integers(0, 3, shape),
        "rising": lambda: np.arange(shape[0] * columns).reshape(shape),
        "falling": lambda: -np.arange(shape[0] * columns).reshape(shape),
    }[kind]().astype(np.float32)
    windows = np.lib.stride_tricks.sliding_window_view(values, WINDOW, axis=0)
    np.testing.assert_array_equal(sliding_median(values), np.median(windows, axis=-1))


@pytest.mark.parametrize("n", [1, 2, 4, 8])
def test_the_network_sorts_every_pattern(n):
    """The 0-1 principle: what sorts all zeros and ones sorts everything."""
    patterns = np.array(np.meshgrid(*[[0, 1]] * n)).reshape(n, -1)
    rows = list(patterns)
    for low, high in _comparators(n):
        rows[low], rows[high] = np.minimum(rows[low], rows[high]), np.maximum(rows[low], rows[high])
    np.testing.assert_array_equal(rows, np.sort(patterns, axis=0))
