import pytest

from melgraph.ml.evaluation.paired import Comparison, Estimate
from melgraph.ml.evaluation.verdicts import verdict


def level(accuracy=0.6, repeats=2):
    return Estimate(accuracy, accuracy - 0.1, accuracy + 0.1, 131, 31, repeats, 0.02, (accuracy,))


def against(difference, reach=0.03):
    return Comparison(
        difference, difference - reach, difference + reach, 0.01, 0.07, 131, 31, 2, 9, 2
    )


def verdict_on(comparisons, adjusted, not_measured=None, chance=0.3):
    estimates = {"none": level(), **{arm: level() for arm in comparisons}}
    return verdict("none", estimates, comparisons, adjusted, not_measured or {}, chance=chance)


def test_an_undetermined_answer_has_the_detectable_difference():
    text = verdict_on(
        {"mixup": against(0.01), "image": against(-0.02)}, {"mixup": 0.9, "image": 0.4}
    )
    assert text == (
        "Undetermined at this size: no arm differs from none by more than chance would have it. "
        "The smallest difference this data could show is 7 points (131 tracks in 31 groups, "
        "2 seeds)."
    )
    assert "mixup does not differ from none" in verdict_on({"mixup": against(0.0)}, {"mixup": 1.0})


def test_a_difference_has_direction_interval_and_p():
    text = verdict_on(
        {"mixup": against(0.041), "image": against(-0.1), "both": against(0.01)},
        {"mixup": 0.02, "image": 0.0004, "both": 0.7},
    )
    assert "mixup is 4.1 points better (95 % interval 1.1 to 7.1, p = 0.020 after Holm)" in text
    assert "image is 10.0 points worse (95 % interval 7.0 to 13.0, p = 4e-04 after Holm)" in text
    assert text.index("mixup") < text.index("image")  # the better one first
    assert "Not told apart from none: both; the smallest difference" in text


def test_one_arm_alone_is_held_against_chance():
    assert "above the 30% of always giving" in verdict_on({}, {})
    assert "not shown to be above the 90%" in verdict_on({}, {}, chance=0.9)


@pytest.mark.parametrize("comparisons", [{}, {"mixup": against(0.0)}])
def test_arms_without_results_are_listed(comparisons):
    text = verdict_on(comparisons, dict.fromkeys(comparisons, 1.0), {"imagenet": "no such file"})
    assert text.endswith("Not measured: imagenet.")
