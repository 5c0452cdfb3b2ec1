"""Accuracy of the arms of a study, and the paired difference of an arm from the control.

Two sources of variation are covered: the sample of music in the collection, and the seed of the
training. Tracks of one artist are not independent, so the unit of the first is the group (an
artist, for example); the unit of the second is a repeat of all folds.
"""

from dataclasses import dataclass
from itertools import product

import numpy as np
from scipy import stats

from melgraph.ml.evaluation.classification import korn_graubard_interval

# One repeat does not show how much results vary with the seed. With this factor, intervals cover
# the true difference in 95 % of simulated studies (`benchmarks/paired.py`); without it, in 91 %.
ONE_REPEAT = 1.25
EXACT_GROUPS = 12  # up to this number, all sign patterns are enumerated
N_PERMUTATIONS = 9999


@dataclass(frozen=True)
class Estimate:
    """Accuracy of one arm."""

    accuracy: float
    low: float  # ends of the 95 % interval
    high: float
    n: int  # tracks
    n_groups: int
    n_repeats: int
    spread: float  # standard deviation of the accuracy over repeats; 0 for one repeat
    by_repeat: tuple[float, ...]


@dataclass(frozen=True)
class Comparison:
    """Accuracy of an arm minus that of the control, on the tracks that both have predicted.

    Differences are shares of the tracks: 0.01 is one percentage point.
    """

    difference: float
    low: float  # ends of the 95 % interval
    high: float
    p_value: float
    smallest: float  # the smallest difference that 80 % of such studies would detect
    n: int
    n_groups: int
    n_repeats: int
    wins: int  # groups in which the arm is better
    losses: int  # groups in which the control is better


def estimate(
    right: np.ndarray, groups: np.ndarray, *, seed: int = 0, n_bootstrap: int = 4000
) -> Estimate:
    """Accuracy with a 95 % confidence interval.

    The interval spans that of the pigeonhole bootstrap over groups and repeats, and that of Korn
    and Graubard for the mean over repeats. `ml.evaluation.classification.evaluate` says why both
    are needed.

    Args:
        right: float `[repeat, track]`: 1 right, 0 wrong, NaN not predicted.
        groups: `[track]`; tracks with equal values are one group.
        seed: of the bootstrap.
        n_bootstrap: number of resamples.

    Raises:
        ValueError: no track was predicted, or shapes differ.
    """
    right, groups = _predicted_tracks(np.asarray(right, np.float64), np.asarray(groups))
    accuracy = float(np.nanmean(right))
    sums, counts = _by_group(right, groups)
    resampled = _pigeonhole(sums, counts, seed=seed, n=n_bootstrap)
    low, high = np.quantile(resampled, [0.025, 0.975])
    means = np.nanmean(right, axis=0)
    _, index = np.unique(groups, return_inverse=True)
    group_right, group_size = np.bincount(index, weights=means), np.bincount(index).astype(float)
    kg_low, kg_high = korn_graubard_interval(group_right, group_size)
    by_repeat = np.nanmean(right, axis=1)
    return Estimate(
        accuracy=accuracy,
        low=float(min(low, kg_low)),
        high=float(max(high, kg_high)),
        n=right.shape[1],
        n_groups=len(group_size),
        n_repeats=len(right),
        spread=float(np.std(by_repeat, ddof=1)) if len(right) > 1 else 0.0,
        by_repeat=tuple(by_repeat.tolist()),
    )


def compare(
    right_arm: np.ndarray,
    right_control: np.ndarray,
    groups: np.ndarray,
    *,
    seed: int = 0,
    n_bootstrap: int = 4000,
) -> Comparison:
    """The difference of two arms, paired by track, with its confidence interval and p-value.

    The 95 % confidence interval spans two intervals:

    - the pigeonhole bootstrap (Owen 2007, "The pigeonhole bootstrap"), which draws groups and
      repeats, and tends to be too wide;
    - Student's t with the leave-one-group-out standard error (the jackknife, "CV3"; MacKinnon,
      Nielsen and Webb 2023, "Cluster-robust inference: a guide to empirical practice", recommend it
      for few groups and for groups of unequal size). The degrees of freedom are Kish's effective
      number of groups minus one, so that one large group does not count as many.

    The p-value is the larger of two: that of the t-test, and that of a sign-flip test over the
    groups' sums, as under the null hypothesis the sign of each group is random. If the interval
    contains 0, the p-value is at least 0.05. `benchmarks/paired.py` measures coverage and power.

    Args:
        right_arm: float `[repeat, track]`: 1 right, 0 wrong, NaN not predicted.
        right_control: the predictions of the control for the same tracks and repeats.
        groups: `[track]`; tracks with equal values are one group.
        seed: of bootstrap and permutations.
        n_bootstrap: number of resamples.

    Raises:
        ValueError: no track was predicted by both, or shapes differ.
    """
    arm, control = np.asarray(right_arm, np.float64), np.asarray(right_control, np.float64)
    repeats = min(len(arm), len(control))
    if arm.shape[1:] != control.shape[1:]:
        raise ValueError(f"the predictions are for other tracks: {arm.shape} and {control.shape}")
    differences, groups = _predicted_tracks(arm[:repeats] - control[:repeats], np.asarray(groups))
    sums, counts = _by_group(differences, groups)
    difference = float(np.nanmean(differences))
    resampled = _pigeonhole(sums, counts, seed=seed, n=n_bootstrap)
    low, high = np.quantile(resampled, [0.025, 0.975])
    n_groups = sums.shape[1]
    _, index = np.unique(groups, return_inverse=True)
    totals = np.bincount(index, weights=np.nanmean(differences, axis=0))  # of each group
    sizes = np.bincount(index).astype(np.float64)
    freedom = sizes.sum() ** 2 / np.square(sizes).sum() - 1
    error = max(_jackknife_error(totals, sizes), float(np.std(resampled)))
    if repeats == 1:
        error *= ONE_REPEAT
    p_value, smallest = 1.0, 1.0
    if n_groups < 2 or freedom < 0.5:  # one group alone carries no information about others
        low, high = -1.0, 1.0
    else:
        reach = float(stats.t.ppf(0.975, freedom))
        low, high = min(low, difference - reach * error), max(high, difference + reach * error)
        by_t = 2 * float(stats.t.sf(abs(difference) / error, freedom))
        p_value = max(_sign_flip(totals, seed=seed), by_t)
        smallest = min(1.0, (reach + float(stats.t.ppf(0.8, freedom))) * error)
    if low <= 0 <= high:
        p_value = max(p_value, 0.05)
    return Comparison(
        difference=difference,
        low=float(max(low, -1.0)),
        high=float(min(high, 1.0)),
        p_value=p_value,
        smallest=smallest,
        n=differences.shape[1],
        n_groups=n_groups,
        n_repeats=repeats,
        wins=int((totals > 1e-12).sum()),
        losses=int((totals < -1e-12).sum()),
    )


def holm(p_values: list[float]) -> list[float]:
    """P-values adjusted for multiple comparisons by Holm's method (1979), in the same order."""
    order = np.argsort(p_values, kind="stable")
    adjusted, worst = np.empty(len(p_values)), 0.0
    for rank, i in enumerate(order.tolist()):
        worst = max(worst, min(1.0, (len(p_values) - rank) * p_values[i]))
        adjusted[i] = worst
    return adjusted.tolist()


def _predicted_tracks(values: np.ndarray, groups: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Values and groups of the tracks that were predicted in at least one repeat."""
    if values.ndim != 2 or values.shape[1] != len(groups):
        raise ValueError(f"predictions of shape {values.shape}, and groups of {len(groups)} tracks")
    is_predicted = ~np.isnan(values).all(axis=0)
    if not is_predicted.any():
        raise ValueError("no track was predicted")
    return values[:, is_predicted], groups[is_predicted]


def _by_group(values: np.ndarray, groups: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Sum and number of the values of each group, both `[repeat, group]`."""
    _, index = np.unique(groups, return_inverse=True)
    member = np.zeros((len(groups), index.max() + 1))
    member[np.arange(len(groups)), index] = 1
    return np.nan_to_num(values) @ member, (~np.isnan(values)).astype(float) @ member


def _pigeonhole(sums: np.ndarray, counts: np.ndarray, *, seed: int, n: int) -> np.ndarray:
    """Means of resamples in which repeats and groups are drawn with replacement: float64 `[n]`."""
    rng = np.random.default_rng(seed)
    n_repeats, n_groups = sums.shape
    repeats = rng.multinomial(n_repeats, np.full(n_repeats, 1 / n_repeats), size=n).astype(float)
    group_weights = rng.multinomial(n_groups, np.full(n_groups, 1 / n_groups), size=n).astype(float)
    total = np.einsum("br,rg,bg->b", repeats, sums, group_weights, optimize=True)
    number = np.einsum("br,rg,bg->b", repeats, counts, group_weights, optimize=True)
    overall = sums.sum() / counts.sum()
    return np.divide(total, number, out=np.full(n, overall), where=number > 0)


def _jackknife_error(totals: np.ndarray, sizes: np.ndarray) -> float:
    """Standard error of the mean difference, by leaving out one group at a time.

    If no group differs, the smallest possible difference is used: that of one track.
    """
    n_groups, n = len(totals), sizes.sum()
    if n_groups < 2:
        return 1.0
    without = (totals.sum() - totals) / (n - sizes)
    spread = np.square(without - totals.sum() / n).sum()
    return max(float(np.sqrt((n_groups - 1) / n_groups * spread)), 1.0 / n)


def _sign_flip(totals: np.ndarray, *, seed: int) -> float:
    """Two-sided p-value: how often random signs give a sum that is at least as large."""
    changes = totals[np.abs(totals) > 1e-12]
    if not len(changes):
        return 1.0
    threshold = abs(changes.sum()) - 1e-9
    if len(changes) <= EXACT_GROUPS:
        signs = np.array(list(product((-1.0, 1.0), repeat=len(changes))))
        return float((np.abs(signs @ changes) >= threshold).mean())
    rng = np.random.default_rng(seed)
    signs = rng.integers(0, 2, (N_PERMUTATIONS, len(changes))) * 2.0 - 1.0
    return float((1 + (np.abs(signs @ changes) >= threshold).sum()) / (N_PERMUTATIONS + 1))
