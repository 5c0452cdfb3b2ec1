"""Which of two recipes is better, and how sure that is: paired answers, groups and repeats.

Two things vary: which music the collection happens to hold, and which seed a training had. Tracks
of one artist stand or fall together, so the group is the unit of the first; a repeat of all folds
is the unit of the second.
"""

from dataclasses import dataclass
from itertools import product

import numpy as np
from scipy import stats

from melgraph.ml.evaluation.classification import korn_graubard_interval

# One repeat shows nothing of the luck of its trainings. With this factor intervals hold in 95 % of
# simulated studies (`benchmarks/paired.py`), without it in 91 %.
ONE_REPEAT = 1.25
EXACT_GROUPS = 12  # with so few, every sign pattern is looked at
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
    spread: float  # standard deviation of the accuracy over repeats; 0 of one
    by_repeat: tuple[float, ...]


@dataclass(frozen=True)
class Comparison:
    """One arm against the control, on the tracks both have answered; differences are arm less
    control, in shares of the tracks.
    """

    difference: float
    low: float  # ends of the 95 % interval
    high: float
    p_value: float
    smallest: float  # the smallest difference that would be shown in 80 % of such studies
    n: int
    n_groups: int
    n_repeats: int
    wins: int  # groups that the arm answers better
    losses: int


def estimate(
    right: np.ndarray, groups: np.ndarray, *, seed: int = 0, n_bootstrap: int = 4000
) -> Estimate:
    """Accuracy with a 95 % interval.

    The hull of the pigeonhole bootstrap over groups and repeats, and of Korn and Graubard's
    interval of the mean over repeats (see `ml.evaluation.classification.evaluate`, which says why
    both).

    Args:
        right: float `[repeat, track]`: 1 right, 0 wrong, NaN not asked.
        groups: `[track]`; equal values are one group.
        seed: of the bootstrap.
        n_bootstrap: resamples.
    """
    right, groups = _asked(np.asarray(right, np.float64), np.asarray(groups))
    accuracy = float(np.nanmean(right))
    sums, counts = _by_group(right, groups)
    drawn = _pigeonhole(sums, counts, seed=seed, n=n_bootstrap)
    low, high = np.quantile(drawn, [0.025, 0.975])
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
    """The difference of two arms, paired by track, and whether chance alone would give it.

    The interval is the hull of the pigeonhole bootstrap (Owen 2007, "The pigeonhole bootstrap":
    groups and repeats are both drawn, which errs on the wide side) and of Student's t about the
    leave-one-group-out standard error (the jackknife, "CV3"; MacKinnon, Nielsen and Webb 2023,
    "Cluster-robust inference: a guide to empirical practice", recommend it where groups are few or
    of unlike size). Its degrees of freedom are those of as many groups of equal size as weigh as
    much as these, less one (Kish's effective number): one prolific artist is no crowd.

    The p-value is the larger of that t-test's and of a sign-flip test over the groups' sums: under
    the null, each group could as well have come out the other way round. Where 0 lies in the
    interval, it is at least 0.05. `benchmarks/paired.py` shows what all this is worth.

    Args:
        right_arm: float `[repeat, track]`: 1 right, 0 wrong, NaN not asked.
        right_control: the same tracks and repeats, answered by the control.
        groups: `[track]`.
        seed: of bootstrap and permutations.
        n_bootstrap: resamples.

    Raises:
        ValueError: no track was answered by both, or shapes differ.
    """
    arm, control = np.asarray(right_arm, np.float64), np.asarray(right_control, np.float64)
    repeats = min(len(arm), len(control))
    if arm.shape[1:] != control.shape[1:]:
        raise ValueError(f"answers to other tracks: {arm.shape} and {control.shape}")
    both, kept = _asked(arm[:repeats] - control[:repeats], np.asarray(groups))
    sums, counts = _by_group(both, kept)
    difference = float(np.nanmean(both))
    drawn = _pigeonhole(sums, counts, seed=seed, n=n_bootstrap)
    low, high = np.quantile(drawn, [0.025, 0.975])
    n_groups = sums.shape[1]
    _, index = np.unique(kept, return_inverse=True)
    totals = np.bincount(index, weights=np.nanmean(both, axis=0))  # of each group
    sizes = np.bincount(index).astype(np.float64)
    freedom = sizes.sum() ** 2 / np.square(sizes).sum() - 1
    error = max(_jackknife_error(totals, sizes), float(np.std(drawn)))
    if repeats == 1:
        error *= ONE_REPEAT
    p_value, smallest = 1.0, 1.0
    if n_groups < 2 or freedom < 0.5:  # one group alone says nothing of another
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
        n=both.shape[1],
        n_groups=n_groups,
        n_repeats=repeats,
        wins=int((totals > 1e-12).sum()),
        losses=int((totals < -1e-12).sum()),
    )


def holm(p_values: list[float]) -> list[float]:
    """P-values adjusted for having looked several times (Holm 1979), in the order given."""
    order = np.argsort(p_values, kind="stable")
    adjusted, worst = np.empty(len(p_values)), 0.0
    for rank, i in enumerate(order.tolist()):
        worst = max(worst, min(1.0, (len(p_values) - rank) * p_values[i]))
        adjusted[i] = worst
    return adjusted.tolist()


def _asked(values: np.ndarray, groups: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Without tracks that no repeat has asked."""
    if values.ndim != 2 or values.shape[1] != len(groups):
        raise ValueError(f"answers {values.shape} for {len(groups)} groups")
    asked = ~np.isnan(values).all(axis=0)
    if not asked.any():
        raise ValueError("no track was asked")
    return values[:, asked], groups[asked]


def _by_group(values: np.ndarray, groups: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Sums and numbers of answers `[repeat, group]`."""
    _, index = np.unique(groups, return_inverse=True)
    member = np.zeros((len(groups), index.max() + 1))
    member[np.arange(len(groups)), index] = 1
    return np.nan_to_num(values) @ member, (~np.isnan(values)).astype(float) @ member


def _pigeonhole(sums: np.ndarray, counts: np.ndarray, *, seed: int, n: int) -> np.ndarray:
    """Means when repeats and groups are both drawn with replacement: float64 `[n]`."""
    rng = np.random.default_rng(seed)
    n_repeats, n_groups = sums.shape
    repeats = rng.multinomial(n_repeats, np.full(n_repeats, 1 / n_repeats), size=n).astype(float)
    chosen = rng.multinomial(n_groups, np.full(n_groups, 1 / n_groups), size=n).astype(float)
    total = np.einsum("br,rg,bg->b", repeats, sums, chosen, optimize=True)
    asked = np.einsum("br,rg,bg->b", repeats, counts, chosen, optimize=True)
    overall = sums.sum() / counts.sum()
    return np.divide(total, asked, out=np.full(n, overall), where=asked > 0)


def _jackknife_error(totals: np.ndarray, sizes: np.ndarray) -> float:
    """Standard error of the mean difference when each group in turn is left out.

    Where no group differs at all, one track in one direction is the least that could have.
    """
    n_groups, n = len(totals), sizes.sum()
    if n_groups < 2:
        return 1.0
    without = (totals.sum() - totals) / (n - sizes)
    spread = np.square(without - totals.sum() / n).sum()
    return max(float(np.sqrt((n_groups - 1) / n_groups * spread)), 1.0 / n)


def _sign_flip(totals: np.ndarray, *, seed: int) -> float:
    """Two-sided p-value: how often random signs of the groups reach as far as theirs."""
    moved = totals[np.abs(totals) > 1e-12]
    if not len(moved):
        return 1.0
    reached = abs(moved.sum()) - 1e-9
    if len(moved) <= EXACT_GROUPS:
        signs = np.array(list(product((-1.0, 1.0), repeat=len(moved))))
        return float((np.abs(signs @ moved) >= reached).mean())
    rng = np.random.default_rng(seed)
    signs = rng.integers(0, 2, (N_PERMUTATIONS, len(moved))) * 2.0 - 1.0
    return float((1 + (np.abs(signs @ moved) >= reached).sum()) / (N_PERMUTATIONS + 1))
