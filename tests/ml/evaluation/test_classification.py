import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest
from sklearn.metrics import classification_report

from melgraph.ml.errors import UserError
from melgraph.ml.evaluation.classification import (
    evaluate,
    expected_calibration_error,
    korn_graubard_interval,
)

CLASSES = ["blues", "jazz", "metal"]


def answers(predicted, k=3, confidence=0.8):
    p = np.full((len(predicted), k), (1 - confidence) / (k - 1))
    p[np.arange(len(predicted)), predicted] = confidence
    return p


def scores(predicted, labels, groups=None, **options):
    groups = np.arange(len(labels)) if groups is None else groups
    return evaluate(
        answers(np.array(predicted)),
        np.array(labels),
        classes=CLASSES,
        groups=np.array(groups),
        seed=0,
        **options,
    )


def test_scores_agree_with_scikit_learn():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, 90)
    predicted = np.where(rng.random(90) < 0.6, labels, rng.integers(0, 3, 90))
    got = scores(predicted, labels)
    want = classification_report(labels, predicted, target_names=CLASSES, output_dict=True)
    assert got.accuracy == pytest.approx(want["accuracy"])
    assert got.macro_f1 == pytest.approx(want["macro avg"]["f1-score"])
    for own in got.per_class:
        assert own.precision == pytest.approx(want[own.name]["precision"])
        assert own.recall == pytest.approx(want[own.name]["recall"])
        assert own.f1 == pytest.approx(want[own.name]["f1-score"])
        assert own.support == want[own.name]["support"]
    assert np.sum(got.confusion) == 90
    assert got.confusion[1][2] == np.sum((labels == 1) & (predicted == 2))


def test_undefined_scores_are_none_and_left_out_of_the_mean():
    got = scores([0, 0, 1], [0, 0, 0])
    blues, jazz, metal = got.per_class
    assert (blues.recall, blues.precision) == (pytest.approx(2 / 3), 1.0)
    assert (jazz.recall, jazz.precision, jazz.f1) == (None, 0.0, 0.0)
    assert (metal.recall, metal.precision, metal.f1) == (None, None, None)
    assert got.macro_f1 == blues.f1


def test_chance_levels():
    labels = [0] * 6 + [1] * 3 + [2]
    got = scores(labels, labels)
    assert got.chance_uniform == pytest.approx(1 / 3)
    assert got.chance_majority == pytest.approx(0.6)  # the test part's own majority
    trained = scores(labels, labels, train_labels=np.array([1, 1, 0]))
    assert trained.chance_majority == pytest.approx(0.3)  # always answering jazz


def test_above_chance_needs_the_low_end_above_the_higher_level():
    labels = np.arange(60) % 3
    assert scores(labels, labels).above_chance
    assert not scores((labels + (np.arange(60) < 36)) % 3, labels).above_chance  # 40 % right
    mostly = np.array([0] * 57 + [1, 2, 1])  # all right, but of two artists only
    assert not scores(mostly, mostly, groups=np.arange(60) % 2).above_chance


def test_independent_tracks_get_the_exact_binomial_interval():
    labels, predicted = np.zeros(50, dtype=int), np.r_[np.zeros(35, int), np.ones(15, int)]
    got = scores(predicted, labels)
    exact = binomtest(35, 50).proportion_ci(method="exact")
    # n_effective is (n - 1) / n of n here: the variance is estimated
    assert got.korn_graubard_interval == pytest.approx((exact.low, exact.high), abs=0.003)
    assert got.bootstrap_interval == pytest.approx((0.58, 0.82), abs=0.03)
    assert got.accuracy_low == min(got.korn_graubard_interval[0], got.bootstrap_interval[0])
    assert got.accuracy_high == max(got.korn_graubard_interval[1], got.bootstrap_interval[1])
    assert not got.small_sample
    assert got.note == ""


def test_groups_that_stand_or_fall_together_widen_the_interval():
    labels, predicted = np.zeros(60, dtype=int), np.r_[np.zeros(40, int), np.ones(20, int)]
    apart, together = scores(predicted, labels), scores(predicted, labels, np.arange(60) // 5)
    width, wider = (e.accuracy_high - e.accuracy_low for e in (apart, together))
    assert wider > 1.7 * width
    assert together.n_groups == 12


@pytest.mark.parametrize("all_right", [True, False])
def test_no_variation_does_not_mean_no_doubt(all_right):
    labels = np.zeros(40, dtype=int)
    got = scores(labels if all_right else labels + 1, labels, np.arange(40) // 10)
    assert got.bootstrap_interval == (float(all_right), float(all_right))
    assert got.accuracy_high - got.accuracy_low > 0.5  # four artists are four
    assert got.small_sample
    assert "4 independent groups" in got.note


def test_one_group_says_nothing_of_others():
    got = scores([0, 0, 0], [0, 0, 0], ["a", "a", "a"])
    assert (got.accuracy_low, got.accuracy_high) == (0.0, 1.0)
    assert not got.above_chance
    assert "one group" in got.note


def test_the_interval_holds_the_truth_as_often_as_it_says():
    """8 artists of 6 tracks; an artist's own accuracy is 0.6 on average and varies a lot."""
    rng = np.random.default_rng(0)
    held = held_binomial = 0
    for _ in range(600):
        right = rng.binomial(6, rng.beta(1.2, 0.8, 8)).astype(float)
        low, high = korn_graubard_interval(right, np.full(8, 6.0))
        held += low <= 0.6 <= high
        naive = binomtest(int(right.sum()), 48).proportion_ci(method="exact")
        held_binomial += naive.low <= 0.6 <= naive.high
    assert held_binomial / 600 < 0.85  # what taking the tracks as independent would give
    assert held / 600 > 0.94


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_interval_properties(data):
    n = data.draw(st.integers(1, 30))
    draw = st.lists(st.integers(0, 2), min_size=n, max_size=n)
    got = scores(data.draw(draw), data.draw(draw), data.draw(draw), n_bootstrap=50)
    assert 0 <= got.accuracy_low <= got.accuracy <= got.accuracy_high <= 1
    assert 0 <= got.calibration_error <= 1
    assert not np.isnan(got.macro_f1)
    json.dumps(got.to_dict(), allow_nan=False)


def test_calibration():
    right = np.arange(1000) % 10 < 8
    labels = np.where(right, 0, 1)
    predicted = np.zeros(1000, dtype=int)
    assert expected_calibration_error(answers(predicted, confidence=0.8), labels) < 1e-6
    off = expected_calibration_error(answers(predicted, confidence=0.99), labels)
    assert off == pytest.approx(0.19, abs=1e-6)
    # two bins: sure and wrong half of the time, unsure and right
    half = np.vstack([answers(predicted[:500], confidence=0.95), answers(predicted[:500])])
    truth = np.r_[np.arange(500) % 2, np.zeros(500, dtype=int)]
    assert expected_calibration_error(half, truth) == pytest.approx((0.45 + 0.2) / 2)


def test_same_seed_same_result():
    labels = np.arange(30) % 3
    one, two = (scores(labels[::-1], labels, np.arange(30) // 4) for _ in range(2))
    assert one == two


def test_inputs_that_cannot_be_scored_are_refused():
    with pytest.raises(UserError, match="no track"):
        scores(np.array([], dtype=int), np.array([], dtype=int))
    good = answers(np.array([0, 1]))
    labels, groups = np.array([0, 1]), np.array([0, 1])
    for p, y in (
        (good[:, :2], labels),
        (good * 2, labels),
        (np.full_like(good, np.nan), labels),
        (good, np.array([0, 3])),
    ):
        with pytest.raises(ValueError, match=r"probabilities|labels"):
            evaluate(p, y, classes=CLASSES, groups=groups, seed=0)
