import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from melgraph.ml.metrics.auc import auc

scores = st.lists(st.integers(-5, 5), min_size=1, max_size=12)


@settings(deadline=None)
@given(scores, scores)
def test_value_is_the_share_of_pairs_in_order(inside, outside):
    area = auc(np.array(inside, float), np.array(outside, float))
    pairs = [(o > i) + 0.5 * (o == i) for o in outside for i in inside]
    assert area.value == pytest.approx(np.mean(pairs))
    assert 0 <= area.low <= area.value + 1e-9
    assert area.value - 1e-9 <= area.high <= 1
    assert area.high - area.low > 0.05  # few tracks give a wide interval
    mirrored = auc(np.array(outside, float), np.array(inside, float))
    assert mirrored.low == pytest.approx(1 - area.high, abs=1e-6)


def test_the_interval_holds_the_truth():
    """For 400 pairs of normal samples, 95 % of the intervals contain the true AUC."""
    from scipy.stats import norm

    rng, shift = np.random.default_rng(0), 1.2
    truth = norm.cdf(shift / np.sqrt(2))
    covered = 0
    for _ in range(400):
        area = auc(rng.normal(size=25), shift + rng.normal(size=18))
        covered += area.low <= truth <= area.high
    assert 0.92 <= covered / 400 <= 0.99


def test_perfect_separation_has_a_wide_interval():
    few, many = (auc(np.zeros(n), np.ones(n)) for n in (5, 500))
    assert few.value == few.high == many.value == many.high == 1
    assert few.low < 0.8 < 0.99 < many.low


def test_groups_count_not_tracks():
    rng = np.random.default_rng(0)
    inside, outside = rng.normal(size=60), 1 + rng.normal(size=60)
    tracks, groups = auc(inside, outside), auc(inside, outside, inside_groups=6, outside_groups=6)
    assert groups.value == tracks.value
    assert groups.high - groups.low > 2 * (tracks.high - tracks.low)


@pytest.mark.parametrize("groups", [{"inside_groups": 3}, {"outside_groups": 0}])
def test_impossible_groups(groups):
    with pytest.raises(ValueError, match="groups of"):
        auc(np.zeros(2), np.ones(2), **groups)
    with pytest.raises(ValueError, match="0 groups of 0"):
        auc(np.zeros(2), np.zeros(0))
