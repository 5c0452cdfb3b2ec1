"""The sentence that answers a study's question, as far as its results allow.

The sentence is stored in the study's report, so that a changed wording would change its bytes.
"""

from collections.abc import Mapping

from melgraph.ml.evaluation.paired import Comparison, Estimate

LEVEL = 0.05  # significance level of the adjusted p-values


def verdict(
    control: str,
    estimates: Mapping[str, Estimate],
    comparisons: Mapping[str, Comparison],
    adjusted: Mapping[str, float],
    not_measured: Mapping[str, str],
    *,
    chance: float,
) -> str:
    """The answer of a study, in one to three sentences.

    Args:
        control: the arm that the others are compared with.
        estimates: accuracy of every arm that was measured.
        comparisons: of every other arm with the control.
        adjusted: p-values of the comparisons, adjusted by Holm's method.
        not_measured: arms that could not be measured, each with the reason.
        chance: accuracy of always predicting the most frequent class.
    """
    unmeasured = f" Not measured: {', '.join(not_measured)}." if not_measured else ""
    if not comparisons:
        only = estimates[control]
        above = "above" if only.low > chance else "not shown to be above"
        return (
            f"{control} is right in {_interval(only.accuracy, only.low, only.high)}, {above} the "
            f"{chance:.0%} of always giving the most frequent answer ({_sample(only)}).{unmeasured}"
        )
    significant = [arm for arm in comparisons if adjusted[arm] < LEVEL]
    one = next(iter(comparisons.values()))
    if not significant:
        detectable = max(c.smallest for c in comparisons.values())
        only_one = len(comparisons) == 1
        subject = f"{next(iter(comparisons))} does not differ" if only_one else "no arm differs"
        return (
            f"Undetermined at this size: {subject} from {control} by more than chance would have "
            f"it. The smallest difference this data could show is "
            f"{100 * detectable:.0f} points ({_sample(one)}).{unmeasured}"
        )
    significant.sort(key=lambda arm: -comparisons[arm].difference)
    differences = [_difference(arm, comparisons[arm], adjusted[arm]) for arm in significant]
    undecided = [arm for arm in comparisons if arm not in significant]
    others = ""
    if undecided:
        detectable = max(comparisons[arm].smallest for arm in undecided)
        others = (
            f" Not told apart from {control}: {', '.join(undecided)}; the smallest difference this "
            f"data could show is {100 * detectable:.0f} points."
        )
    return f"Against {control}: {'; '.join(differences)} ({_sample(one)}).{others}{unmeasured}"


def _difference(arm: str, comparison: Comparison, p_value: float) -> str:
    better = "better" if comparison.difference > 0 else "worse"
    ends = sorted((abs(comparison.low), abs(comparison.high)))
    return (
        f"{arm} is {100 * abs(comparison.difference):.1f} points {better} (95 % interval "
        f"{100 * ends[0]:.1f} to {100 * ends[1]:.1f}, p = {_p(p_value)} after Holm)"
    )


def _interval(value: float, low: float, high: float) -> str:
    return f"{value:.1%} (95 % interval {low:.1%} to {high:.1%})"


def _p(value: float) -> str:
    return f"{value:.3f}" if value >= 0.001 else f"{value:.0e}"


def _sample(result: Estimate | Comparison) -> str:
    repeats = "one seed" if result.n_repeats == 1 else f"{result.n_repeats} seeds"
    return f"{result.n} tracks in {result.n_groups} groups, {repeats}"
