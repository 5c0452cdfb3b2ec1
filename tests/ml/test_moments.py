import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from melgraph.ml.moments import Moments, PowerSums


@given(
    seed=st.integers(0, 999),
    rows=st.integers(1, 200),
    cuts=st.lists(st.integers(0, 200), max_size=5),
    offset=st.sampled_from([0.0, 1e6]),
)
def test_blocks_give_the_mean_and_variance_of_all(seed, rows, cuts, offset):
    values = offset + np.random.default_rng(seed).standard_normal((rows, 3))
    moments = Moments()
    for block in np.split(values, sorted(cut for cut in cuts if cut <= rows)):
        moments.add(block)
    assert moments.count == rows
    np.testing.assert_allclose(moments.mean, values.mean(axis=0), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(moments.variance, values.var(axis=0), rtol=1e-6, atol=1e-12)


def test_the_law_of_total_variance():
    """Two windows of 1 and 3 rows: the mean of their variances plus the variance of their means."""
    moments = Moments()
    moments.add(np.array([[10.0]]))
    moments.add(np.array([[0.0], [3.0], [6.0]]))
    within = 0.25 * 0.0 + 0.75 * 6.0
    between = 0.25 * (10 - 4.75) ** 2 + 0.75 * (3 - 4.75) ** 2
    assert moments.mean == 4.75
    np.testing.assert_allclose(moments.variance, within + between)


def test_nothing_at_all_is_zero():
    for moments in (Moments(), PowerSums()):
        assert moments.mean == 0
        assert moments.variance == 0


def test_both_agree_to_the_bit_of_a_float32_on_stored_spectrograms():
    rng = np.random.default_rng(0)
    pooled, summed = Moments(), PowerSums()
    for _ in range(20):
        track = rng.normal(-60, 15, (1292, 128)).astype(np.float16)
        pooled.add(track)
        summed.add(track)
    for name in ("mean", "variance"):
        one, other = getattr(pooled, name), getattr(summed, name)
        np.testing.assert_array_equal(one.astype(np.float32), other.astype(np.float32))


def test_power_sums_lose_a_deviation_far_below_the_mean():
    """Which is why features are computed by `Moments`."""
    values = 1e7 + np.random.default_rng(0).standard_normal((1000, 1))
    pooled, summed = Moments(), PowerSums()
    pooled.add(values)
    summed.add(values)
    assert abs(pooled.variance / values.var(axis=0) - 1) < 1e-6
    assert abs(summed.variance / values.var(axis=0) - 1) > 1e-3
