"""Evaluations of taggers: what they say, what they leave out and name, and how sure they are."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from melgraph.ml.errors import UserError
from melgraph.ml.evaluation.tagging import compare_tags, evaluate_tags
from melgraph.ml.metrics.tag_scores import macro

TAGS = ["rock", "calm", "live"]


def draw(seed=0, n=60, tags=3, signal=1.5, per_group=3):
    """Probabilities, truth and groups."""
    rng = np.random.default_rng(seed)
    truth = rng.random((n, tags)) < 0.3
    scores = 1 / (1 + np.exp(-(signal * truth + rng.normal(0, 1, truth.shape))))
    return scores, truth, np.arange(n) // per_group


def evaluate_quickly(scores, truth, groups, **options):
    names = [f"tag {i}" for i in range(truth.shape[1])]
    return evaluate_tags(
        scores, truth, **{"tags": names, "groups": groups, "seed": 0, "n_bootstrap": 100} | options
    )


def test_figures_are_means_over_the_tags_and_chance_is_theirs():
    scores, truth, groups = draw()
    result = evaluate_quickly(scores, truth, groups, tags=TAGS)
    assert (result.roc_auc, result.pr_auc) == pytest.approx(macro(scores, truth))
    assert (result.n, result.n_groups, result.n_tags) == (60, 20, 3)
    assert result.prevalence == pytest.approx(truth.mean())
    assert result.prevalence < result.chance_pr_auc < result.prevalence + 0.06
    assert result.above_chance
    assert not result.small_sample
    assert result.note == ""
    assert [row.name for row in result.per_tag] == TAGS
    assert [row.positives for row in result.per_tag] == truth.sum(axis=0).tolist()
    assert result.pr_auc == pytest.approx(np.mean([row.pr_auc for row in result.per_tag]))
    json.dumps(result.to_dict(), allow_nan=False)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.integers(2, 40), st.integers(1, 5), st.integers(1, 7))
def test_intervals_hold_the_figures_and_stay_within_0_and_1(seed, n, tags, per_group):
    scores, truth, groups = draw(seed, n, tags, per_group=per_group)
    if (truth.all(axis=0) | ~truth.any(axis=0)).all():
        with pytest.raises(UserError, match="nothing to rank"):
            evaluate_quickly(scores, truth, groups)
        return
    result = evaluate_quickly(scores, truth, groups)
    for name in ("roc_auc", "pr_auc"):
        low, value, high = (getattr(result, name + end) for end in ("_low", "", "_high"))
        assert 0 <= low <= value <= high <= 1
    if result.n_groups == 1:
        assert (result.pr_auc_low, result.pr_auc_high) == (0, 1)
        assert "one group" in result.note
    assert result == evaluate_quickly(scores, truth, groups)  # the same seed, the same figures


def test_more_groups_say_more():
    wide, narrow = (evaluate_quickly(*draw(n=n, per_group=3), n_bootstrap=300) for n in (60, 600))
    assert narrow.pr_auc_high - narrow.pr_auc_low < 0.6 * (wide.pr_auc_high - wide.pr_auc_low)
    scores, truth, _ = draw(n=600)
    few = evaluate_quickly(scores, truth, np.arange(600) // 100)  # six artists of a hundred tracks
    assert few.small_sample
    assert "Only 6 independent groups" in few.note


def test_a_tagger_that_knows_nothing_is_not_above_chance_and_a_perfect_one_is():
    scores, truth, groups = draw(signal=0.0)
    assert not evaluate_quickly(scores, truth, groups).above_chance
    perfect = evaluate_quickly(truth.astype(float), truth, groups)
    assert (perfect.roc_auc, perfect.pr_auc) == (1, 1)
    assert perfect.pr_auc_high == 1
    assert perfect.above_chance
    always = evaluate_quickly(np.full(truth.shape, 0.5), truth, groups)
    assert always.roc_auc == 0.5
    assert always.pr_auc == pytest.approx(always.prevalence)
    assert not always.above_chance


def test_tags_that_cannot_be_ranked_are_named_and_left_out():
    scores, truth, groups = draw(tags=4)
    truth[:, 1], truth[:, 2] = False, True
    train_truth = np.ones((5, 4), bool)
    train_truth[:, 3] = False
    names = ["rock", "nobody's", "everybody's", "new"]
    result = evaluate_quickly(scores, truth, groups, tags=names, train_truth=train_truth)
    assert result.without_positives == ["nobody's"]
    assert result.without_negatives == ["everybody's"]
    assert result.never_learned == ["new"]
    assert result.n_tags == 2  # a tag without training tracks counts, if test tracks have it
    assert result.per_tag[1].pr_auc is None
    assert result.per_tag[2].roc_auc is None
    assert (result.roc_auc, result.pr_auc) == pytest.approx(
        macro(scores[:, [0, 3]], truth[:, [0, 3]])
    )


def test_one_hot_tags_are_scored_like_classes():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 4, 80)
    truth = np.eye(4, dtype=bool)[labels]
    logits = 2.0 * truth + rng.normal(0, 1, truth.shape)
    softmax = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    result = evaluate_quickly(softmax, truth, np.arange(80) // 2)
    assert result.prevalence == pytest.approx(0.25)
    assert result.roc_auc > 0.85
    assert result.roc_auc_low > 0.75


def test_one_tag_is_enough_to_judge():
    scores, truth, groups = draw(tags=1)
    assert evaluate_quickly(scores, truth, groups).n_tags == 1


def test_without_tracks_and_with_answers_that_are_none():
    scores, truth, groups = draw()
    with pytest.raises(UserError, match="no track"):
        evaluate_quickly(scores[:0], truth[:0], groups[:0])
    for bad in (np.nan, 1.5, -0.1):
        with pytest.raises(ValueError, match="from 0 to 1"):
            evaluate_quickly(np.where(truth, bad, scores), truth, groups)
    with pytest.raises(ValueError, match="3 tags"):
        evaluate_quickly(scores[:, :2], truth, groups)


class TestComparisons:
    def test_the_difference_is_that_of_the_figures_and_lies_in_its_interval(self):
        mine, truth, groups = draw(signal=1.0)
        theirs = draw(seed=1, signal=2.5)[0]
        result = compare_tags(mine, theirs, truth, groups, n_bootstrap=100)
        assert result.difference == pytest.approx(macro(mine, truth)[1] - macro(theirs, truth)[1])
        assert result.low <= result.difference <= result.high
        swapped = compare_tags(theirs, mine, truth, groups, n_bootstrap=100)
        assert swapped.difference == pytest.approx(-result.difference)

    def test_a_tagger_does_not_differ_from_itself_but_from_a_far_better_one(self):
        scores, truth, groups = draw()
        same = compare_tags(scores, scores, truth, groups, n_bootstrap=100)
        assert (same.difference, same.low, same.high) == (0, 0, 0)
        perfect = compare_tags(truth.astype(float), scores, truth, groups, n_bootstrap=100)
        assert perfect.low > 0

    def test_one_group_says_nothing(self):
        scores, truth, _ = draw()
        alone = compare_tags(1 - scores, scores, truth, np.zeros(60), n_bootstrap=100)
        assert (alone.low, alone.high) == (-1, 1)

    def test_nothing_to_rank(self):
        with pytest.raises(ValueError, match="no tag"):
            compare_tags(np.ones((4, 2)), np.ones((4, 2)), np.ones((4, 2), bool), np.arange(4))
