"""Intervals and tests of studies: known results, and simulated collections."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from melgraph.ml.evaluation.paired import compare, estimate, holm


def answers(rng, sizes, repeats, gain=0.0):
    """Arm and control, as `benchmarks/paired.py` draws them."""
    groups = np.repeat(np.arange(len(sizes)), sizes)
    ease = rng.normal(0, 0.8, len(sizes))[groups] + rng.normal(0, 0.8, len(groups))
    more = gain + rng.normal(0, 0.35, len(sizes))[groups]
    noise = rng.normal(0, 1, (2, repeats, len(groups)))
    control, arm = (ease + noise[0] > 0), (ease + more + noise[1] > 0)
    return arm.astype(float), control.astype(float), groups


def test_the_difference_is_the_mean_of_paired_answers():
    control = np.array([[0, 0, 1, 1, 0, 1]] * 2, float)
    arm = np.array([[1, 1, 1, 1, 0, 1], [1, 0, 1, 1, 0, 1]], float)
    result = compare(arm, control, np.array([0, 0, 1, 1, 2, 2]))
    assert result.difference == pytest.approx(3 / 12)
    assert (result.n, result.n_groups, result.n_repeats) == (6, 3, 2)
    assert (result.wins, result.losses) == (1, 0)
    assert result.low <= result.difference <= result.high


def test_a_clear_gain_is_detected_and_no_gain_is_not():
    sizes = [3] * 30
    arm, control, groups = answers(np.random.default_rng(0), sizes, 3, gain=1.5)
    better = compare(arm, control, groups)
    assert better.low > 0
    assert better.p_value < 0.01
    worse = compare(control, arm, groups)
    assert worse.difference == -better.difference
    assert worse.high < 0
    same = compare(control, control, groups)
    assert (same.difference, same.p_value) == (0.0, 1.0)
    assert same.smallest > 0


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 4), st.integers(2, 12))
def test_p_and_interval_never_contradict_each_other(seed, repeats, n_groups):
    rng = np.random.default_rng(seed)
    sizes = rng.integers(1, 9, n_groups).tolist()
    arm, control, groups = answers(rng, sizes, repeats, gain=float(rng.normal()))
    result = compare(arm, control, groups, n_bootstrap=300)
    assert -1 <= result.low <= result.difference <= result.high <= 1
    assert 0 < result.p_value <= 1
    assert (result.p_value < 0.05) <= (result.low > 0 or result.high < 0)
    assert 0 < result.smallest <= 1


def test_one_group_alone_says_nothing():
    result = compare(np.ones((2, 9)), np.zeros((2, 9)), np.zeros(9))
    assert (result.low, result.high, result.smallest) == (-1, 1, 1)
    assert result.p_value >= 0.05


def test_one_prolific_artist_is_no_crowd():
    """The gain of one group of 40 tracks is no gain of five groups."""
    groups = np.repeat(np.arange(5), [40, 1, 1, 1, 1])
    control = np.zeros((3, 44))
    arm = np.where(groups == 0, 1.0, 0.0)[None].repeat(3, axis=0)
    assert compare(arm, control, groups).p_value >= 0.05


def test_only_tracks_that_both_answered_count():
    control = np.array([[0, 1, np.nan, 1.0]])
    arm = np.array([[1, np.nan, 1, 1.0]])
    result = compare(arm, control, np.arange(4))
    assert result.n == 2
    assert result.difference == 0.5
    with pytest.raises(ValueError, match="no track was predicted"):
        compare(np.array([[np.nan, 1]]), np.array([[1, np.nan]]), np.arange(2))
    with pytest.raises(ValueError, match="other tracks"):
        compare(np.ones((1, 3)), np.ones((1, 4)), np.arange(3))


def test_an_estimate_holds_its_repeats():
    right = np.array([[1, 1, 0, 1], [1, 0, 0, np.nan]], float)
    result = estimate(right, np.array([0, 0, 1, 2]))
    assert result.accuracy == pytest.approx(4 / 7)
    assert result.by_repeat == (0.75, pytest.approx(1 / 3))
    assert result.spread == pytest.approx(np.std([0.75, 1 / 3], ddof=1))
    assert 0 <= result.low <= result.accuracy <= result.high <= 1
    assert estimate(right[:1], np.arange(4)).spread == 0.0


def test_holm_is_the_textbooks():
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.5, 0.6]) == pytest.approx([1.0, 1.0])
    assert holm([]) == []


@pytest.mark.parametrize("repeats", [1, 3])
def test_intervals_hold_and_false_alarms_are_rare(repeats):
    """120 simulated studies; `benchmarks/paired.py` does it at length."""
    rng = np.random.default_rng(repeats)
    sizes = [12, 9, 6, 5, 4, 4, 3, 3, 3, 2, 2, 2, 1, 1, 1, 1, 1, 1]
    covered = alarms = covered = 0
    for _ in range(120):
        arm, control, groups = answers(rng, sizes, repeats)
        result = compare(arm, control, groups, n_bootstrap=400)
        covered += result.low <= 0 <= result.high
        alarms += result.p_value < 0.05
        level = estimate(control, groups, n_bootstrap=400)
        covered += level.low <= 0.5 <= level.high
    assert covered >= 110  # of 95 % or more, fewer would be seen once in a hundred times
    assert covered >= 108
    assert alarms <= 10
