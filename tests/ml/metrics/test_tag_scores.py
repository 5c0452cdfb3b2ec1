"""Areas under the curves, compared with scikit-learn and with brute force."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, roc_auc_score

from melgraph.ml.metrics.tag_scores import areas, macro, random_pr_auc, weighted_macro


@st.composite
def ranked(draw):
    """Scores with many ties, truth, and weights of some versions."""
    n, tags, versions = (draw(st.integers(*ends)) for ends in ((2, 20), (1, 4), (1, 3)))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    scores = rng.integers(0, draw(st.integers(1, 30)), (n, tags)) / 30
    truth = rng.random((n, tags)) < draw(st.floats(0, 1))
    return scores, truth, rng.integers(0, 3, (versions, n)).astype(float)


@given(ranked())
def test_areas_are_those_of_scikit_learn_and_undefined_where_nothing_can_be_ranked(drawn):
    scores, truth, _ = drawn
    roc_auc, pr_auc = areas(scores, truth)
    for tag in range(truth.shape[1]):
        if truth[:, tag].all() or not truth[:, tag].any():
            assert np.isnan([roc_auc[tag], pr_auc[tag]]).all()
        else:
            assert roc_auc[tag] == roc_auc_score(truth[:, tag], scores[:, tag])
            assert pr_auc[tag] == average_precision_score(truth[:, tag], scores[:, tag])
    means = macro(scores, truth)
    if np.isnan(roc_auc).all():
        assert means == (None, None)
    else:
        assert means == pytest.approx((np.nanmean(roc_auc), np.nanmean(pr_auc)))


@settings(max_examples=200)
@given(ranked())
def test_a_weighted_version_is_the_repeated_tracks(drawn):
    scores, truth, weights = drawn
    averages = np.stack(weighted_macro(scores, truth, weights), axis=1)
    for version, times in enumerate(weights.astype(int)):
        rows = np.repeat(np.arange(len(times)), times)
        expected = macro(scores[rows], truth[rows]) if len(rows) else (None, None)
        if expected[0] is None:
            assert np.isnan(averages[version]).all()
        else:
            np.testing.assert_allclose(averages[version], expected, atol=1e-12)


@pytest.mark.parametrize(("n", "positives"), [(1, 1), (5, 5), (8, 3), (20, 1), (50, 10)])
def test_a_random_order_has_this_pr_auc_on_average(n, positives):
    truth = np.arange(n) < positives
    rng = np.random.default_rng(0)
    drawn = [average_precision_score(truth, rng.random(n)) for _ in range(1500)]
    error = np.std(drawn) / np.sqrt(len(drawn))
    assert random_pr_auc(n, positives) == pytest.approx(np.mean(drawn), abs=4 * error + 1e-9)
    assert random_pr_auc(n, positives) >= positives / n - 1e-12


def test_of_many_tracks_chance_is_the_prevalence():
    assert random_pr_auc(100_000, 5_000) == pytest.approx(0.05, abs=2e-4)
