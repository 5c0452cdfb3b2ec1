"""How good a tagger is, and how sure that is: macro ROC-AUC and PR-AUC, intervals over groups."""

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass

import numpy as np
from scipy import stats

from melgraph.ml.errors import UserError
from melgraph.ml.evaluation.classification import SMALL_SAMPLE
from melgraph.ml.metrics.tag_scores import areas, macro, random_pr_auc, weighted_macro

BLOCKS = 200  # of groups, left out in turn; with fewer groups, each alone
AT_ONCE = 64  # resamples; with the tracks they bound the memory used
CHANCE_ROC_AUC = 0.5

Statistic = Callable[[np.ndarray], np.ndarray]  # weights [version, track] -> [version, figure]


@dataclass(frozen=True)
class TagScores:
    """Scores of one tag; None where all test tracks have it, or none."""

    name: str
    positives: int  # test tracks that have it
    prevalence: float  # their share: the precision of answering it always
    roc_auc: float | None
    pr_auc: float | None  # average precision


@dataclass(frozen=True)
class TagEvaluation:
    """Test results of one tagger; see `evaluate_tags` for how each figure is made."""

    n: int  # tracks
    n_groups: int  # independent groups of tracks
    n_tags: int  # that the means are over
    roc_auc: float
    roc_auc_low: float  # ends of the 95 % interval
    roc_auc_high: float
    pr_auc: float
    pr_auc_low: float
    pr_auc_high: float
    prevalence: float  # mean over the same tags
    chance_roc_auc: float
    chance_pr_auc: float  # of a random order of these very tracks
    above_chance: bool
    small_sample: bool
    note: str  # what a reader must know of the figures; empty where nothing
    without_positives: list[str]  # tags that no test track has: not in the means
    without_negatives: list[str]  # that all have: likewise
    never_learned: list[str]  # that no training track has; in the means, where the test has them
    per_tag: list[TagScores]

    def to_dict(self) -> dict[str, object]:
        """All of it, ready for JSON."""
        return asdict(self)


@dataclass(frozen=True)
class TagComparison:
    """The PR-AUC of one tagger less that of another, on the same tracks."""

    difference: float
    low: float  # ends of the 95 % interval
    high: float


def evaluate_tags(
    probabilities: np.ndarray,
    truth: np.ndarray,
    *,
    tags: list[str],
    groups: np.ndarray,
    seed: int,
    train_truth: np.ndarray | None = None,
    n_bootstrap: int = 1000,
) -> TagEvaluation:
    """Scores a tagger on its test tracks, as the tagging papers do (Won et al. 2020).

    ROC-AUC and PR-AUC (average precision) of each tag, and their means over the tags that some test
    tracks have, and some have not; the others are named. PR-AUC goes with the prevalence: compare
    it on one test part only.

    Tracks of one artist are not independent, so the 95 % intervals are over groups, and hold the
    tags fixed. Each is the hull of two:

    - the percentile bootstrap over groups (Davison & Hinkley 1997, section 3.8), in which a tag
      that a resample cannot rank is left out of that resample's mean;
    - Student's t about the jackknife's standard error, groups (or 200 blocks of them) being left
      out in turn, with the degrees of freedom of as many groups of equal size as weigh as much as
      these (Kish), less one. The bootstrap alone is too narrow where groups are few.

    Of 150 simulated test parts in each of four shapes (8 to 300 artists), they held the mean figure
    of such test parts in 95 to 99 %, the bootstrap alone in 85 to 94 %
    (`benchmarks/tag_intervals.py`). PR-AUC is of test parts of this size: of few tracks it is
    higher than of many, and the interval of a small part may not hold the figure of a large one.
    One group alone says nothing of another: [0, 1].

    Args:
        probabilities: float `[track, tag]`, from 0 to 1.
        truth: bool `[track, tag]`.
        tags: names, in the order of the columns.
        groups: `[track]`, any values; equal values are one group.
        seed: of the bootstrap.
        train_truth: bool `[training track, tag]`, to name the tags that could not be learned.
        n_bootstrap: resamples.

    Returns:
        The scores. `above_chance` holds if both intervals are above chance: 0.5, and the PR-AUC
        that a random order of these tracks has on average (a little above the prevalence).

    Raises:
        UserError: no test track, or no tag that can be ranked.
        ValueError: shapes or values that do not fit together.
    """
    probabilities, truth = np.asarray(probabilities), np.asarray(truth, bool)
    groups = np.asarray(groups)
    _check(probabilities, truth, groups, tags)
    roc_auc, pr_auc = areas(probabilities, truth)
    ranked = np.flatnonzero(~np.isnan(roc_auc))
    values = np.array([roc_auc[ranked].mean(), pr_auc[ranked].mean()])

    def statistic(weights: np.ndarray) -> np.ndarray:
        return np.stack(weighted_macro(probabilities, truth, weights), axis=1)

    found = _intervals(statistic, values, groups, seed=seed, n_bootstrap=n_bootstrap, least=0.0)
    (roc_low, roc_high), (pr_low, pr_high) = found
    n, positives = len(truth), truth.sum(axis=0)
    chance = float(np.mean([random_pr_auc(n, int(positives[tag])) for tag in ranked]))
    named = np.array(tags, dtype=object)
    n_groups = len(np.unique(groups))
    small = n_groups < SMALL_SAMPLE
    return TagEvaluation(
        n=n,
        n_groups=n_groups,
        n_tags=len(ranked),
        roc_auc=float(values[0]),
        roc_auc_low=roc_low,
        roc_auc_high=roc_high,
        pr_auc=float(values[1]),
        pr_auc_low=pr_low,
        pr_auc_high=pr_high,
        prevalence=float(positives[ranked].mean() / n),
        chance_roc_auc=CHANCE_ROC_AUC,
        chance_pr_auc=chance,
        above_chance=bool(roc_low > CHANCE_ROC_AUC and pr_low > chance),
        small_sample=small,
        note=_small_sample_note(n_groups, n) if small else "",
        without_positives=named[positives == 0].tolist(),
        without_negatives=named[positives == n].tolist(),
        never_learned=[] if train_truth is None else named[~train_truth.any(axis=0)].tolist(),
        per_tag=[
            TagScores(
                name=name,
                positives=int(positives[tag]),
                prevalence=float(positives[tag] / n),
                roc_auc=_defined(roc_auc[tag]),
                pr_auc=_defined(pr_auc[tag]),
            )
            for tag, name in enumerate(tags)
        ],
    )


def compare_tags(
    mine: np.ndarray,
    theirs: np.ndarray,
    truth: np.ndarray,
    groups: np.ndarray,
    *,
    seed: int = 0,
    n_bootstrap: int = 1000,
) -> TagComparison:
    """The macro PR-AUC of one tagger less that of another, paired by track.

    The interval is made as in `evaluate_tags`: both taggers are asked about the same resamples.

    Args:
        mine: float `[track, tag]`.
        theirs: float `[track, tag]`.
        truth: bool `[track, tag]`.
        groups: `[track]`.
        seed: of the bootstrap.
        n_bootstrap: resamples.

    Raises:
        ValueError: no tag can be ranked.
    """
    first, second = macro(mine, truth)[1], macro(theirs, truth)[1]
    if first is None or second is None:
        raise ValueError("no tag is there that some tracks have, and some have not")

    def statistic(weights: np.ndarray) -> np.ndarray:
        both = (weighted_macro(scores, truth, weights)[1] for scores in (mine, theirs))
        return np.subtract(*both)[:, None]

    value = np.array([first - second])
    ((low, high),) = _intervals(
        statistic, value, np.asarray(groups), seed=seed, n_bootstrap=n_bootstrap, least=-1.0
    )
    return TagComparison(difference=float(value[0]), low=low, high=high)


def _intervals(
    statistic: Statistic,
    values: np.ndarray,
    groups: np.ndarray,
    *,
    seed: int,
    n_bootstrap: int,
    least: float,
) -> list[tuple[float, float]]:
    """95 % interval of each figure, within `least` and 1; see `evaluate_tags`."""
    _, index, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    n_groups, n_blocks = len(sizes), min(len(sizes), BLOCKS)
    rng = np.random.default_rng(seed)
    block_of = rng.permutation(n_groups) % n_blocks
    freedom = min(sizes.sum() ** 2 / np.square(sizes).sum(), n_blocks) - 1
    everything = [(least, 1.0)] * len(values)
    if n_groups < 2 or freedom < 0.5:
        return everything
    drawn = _asked(statistic, _draws(rng, n_groups, n_bootstrap), index)
    without = _asked(statistic, iter([block_of != np.arange(n_blocks)[:, None]]), index)
    if len(drawn) < n_bootstrap / 2 or len(without) < 2:  # too seldom can a tag be ranked at all
        return everything
    ends = np.quantile(drawn, [0.025, 0.975], axis=0)
    share = (len(without) - 1) / len(without)
    error = np.sqrt(share * np.square(without - without.mean(axis=0)).sum(axis=0))
    reach = float(stats.t.ppf(0.975, freedom)) * error
    low = np.clip(np.minimum(ends[0], values - reach), least, 1)
    high = np.clip(np.maximum(ends[1], values + reach), least, 1)
    return list(zip(low.tolist(), high.tolist(), strict=True))


def _draws(rng: np.random.Generator, n_groups: int, n: int) -> Iterator[np.ndarray]:
    """How often each group is drawn: int `[resample, group]`, some resamples at a time."""
    for start in range(0, n, AT_ONCE):
        yield rng.multinomial(
            n_groups, np.full(n_groups, 1 / n_groups), size=min(AT_ONCE, n - start)
        )


def _asked(statistic: Statistic, of_groups: Iterator[np.ndarray], index: np.ndarray) -> np.ndarray:
    """The statistic of each version `[version, figure]`; those without a value are left out."""
    found = [
        statistic(part[:, index].astype(np.float64))
        for weights in of_groups
        for part in np.array_split(weights, -(-len(weights) // AT_ONCE))
    ]
    all_found = np.concatenate(found)
    return all_found[~np.isnan(all_found).any(axis=1)]


def _defined(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


def _small_sample_note(n_groups: int, n: int) -> str:
    if n_groups == 1:
        return (
            f"All {n} test tracks belong to one group: nothing can be said of other artists, so "
            "the intervals are everything from 0 to 1."
        )
    return (
        f"Only {n_groups} independent groups among {n} test tracks: the intervals are rough, and a "
        "difference between two models this size may be luck."
    )


def _check(
    probabilities: np.ndarray, truth: np.ndarray, groups: np.ndarray, tags: list[str]
) -> None:
    n, k = len(truth), len(tags)
    if n == 0:
        raise UserError(
            "the test part holds no track",
            where="evaluation",
            remedy="check the split policy and the least class size of the dataset",
        )
    if probabilities.shape != (n, k) or truth.shape != (n, k) or groups.shape != (n,):
        raise ValueError(
            f"{k} tags, but probabilities {probabilities.shape}, truth {truth.shape} and groups "
            f"{groups.shape}"
        )
    if not ((probabilities >= 0) & (probabilities <= 1)).all():  # NaN fails it
        raise ValueError("probabilities must be finite, from 0 to 1")
    if (truth.all(axis=0) | ~truth.any(axis=0)).all():
        raise UserError(
            f"of {k} tags, each is on all of the {n} test tracks, or on none of them: there is "
            "nothing to rank",
            where="evaluation",
            remedy="use a dataset with more test tracks, or with fewer, larger classes",
        )
