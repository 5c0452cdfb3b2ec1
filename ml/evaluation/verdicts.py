"""The sentence that answers a study's question, and no more than its numbers can bear."""

from collections.abc import Mapping

from melgraph.ml.evaluation.paired import Comparison, Estimate

LEVEL = 0.05


def verdict(
    control: str,
    estimates: Mapping[str, Estimate],
    comparisons: Mapping[str, Comparison],
    adjusted: Mapping[str, float],
    not_measured: Mapping[str, str],
    *,
    chance: float,
) -> str:
    """One answer, in a sentence or two.

    Args:
        control: the arm that the others are held against.
        estimates: of every arm that was measured.
        comparisons: of every other arm with the control.
        adjusted: p-values of these, after Holm.
        not_measured: arms that could not be measured, with why.
        chance: accuracy of always giving the most frequent answer.
    """
    missing = ""
    if not_measured:
        arms = ", ".join(not_measured)
        missing = f" Not measured: {arms}."
    if not comparisons:
        only = estimates[control]
        above = "above" if only.low > chance else "not shown to be above"
        return (
            f"{control} is right in {_interval(only.accuracy, only.low, only.high)}, {above} the "
            f"{chance:.0%} of always giving the most frequent answer ({_sample(only)}).{missing}"
        )
    found = [arm for arm in comparisons if adjusted[arm] < LEVEL]
    one = next(iter(comparisons.values()))
    if not found:
        reach = max(c.smallest for c in comparisons.values())
        only_one = len(comparisons) == 1
        subject = f"{next(iter(comparisons))} does not differ" if only_one else "no arm differs"
        return (
            f"Undetermined at this size: {subject} from {control} by more than chance would have "
            f"it. The smallest difference this data could show is "
            f"{100 * reach:.0f} points ({_sample(one)}).{missing}"
        )
    found.sort(key=lambda arm: -comparisons[arm].difference)
    told = [_difference(arm, comparisons[arm], adjusted[arm]) for arm in found]
    rest = [arm for arm in comparisons if arm not in found]
    others = ""
    if rest:
        reach = max(comparisons[arm].smallest for arm in rest)
        others = (
            f" Not told apart from {control}: {', '.join(rest)}; the smallest difference this data "
            f"could show is {100 * reach:.0f} points."
        )
    return f"Against {control}: {'; '.join(told)} ({_sample(one)}).{others}{missing}"


def _difference(arm: str, found: Comparison, p_value: float) -> str:
    better = "better" if found.difference > 0 else "worse"
    ends = sorted((abs(found.low), abs(found.high)))
    return (
        f"{arm} is {100 * abs(found.difference):.1f} points {better} (95 % interval "
        f"{100 * ends[0]:.1f} to {100 * ends[1]:.1f}, p = {_p(p_value)} after Holm)"
    )


def _interval(value: float, low: float, high: float) -> str:
    return f"{value:.1%} (95 % interval {low:.1%} to {high:.1%})"


def _p(value: float) -> str:
    return f"{value:.3f}" if value >= 0.001 else f"{value:.0e}"


def _sample(found: Estimate | Comparison) -> str:
    repeats = "one seed" if found.n_repeats == 1 else f"{found.n_repeats} seeds"
    return f"{found.n} tracks in {found.n_groups} groups, {repeats}"
