"""Test results of a tagger: macro ROC-AUC and PR-AUC with confidence intervals over groups."""

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass

import numpy as np
from scipy import stats

from melgraph.ml.errors import UserError
from melgraph.ml.evaluation.classification import SMALL_SAMPLE
from melgraph.ml.metrics.tag_scores import areas, macro, random_pr_auc, weighted_macro

BLOCKS = 200  # largest number of blocks of groups that the jackknife leaves out in turn
AT_ONCE = 64  # resamples that are computed together; a bound of the memory
CHANCE_ROC_AUC = 0.5

Statistic = Callable[[np.ndarray], np.ndarray]  # weights [version, track] -> [version, figure]


@dataclass(frozen=True)
class TagScores:
    """Scores of one tag; an area is None if all test tracks have the tag, or no test track."""

    name: str
    positives: int  # test tracks that have it
    prevalence: float  # their share of the test tracks
    roc_auc: float | None
    pr_auc: float | None  # average precision


@dataclass(frozen=True)
class TagEvaluation:
    """Test results of one tagger; `evaluate_tags` says how each figure is computed."""

    n: int  # tracks
    n_groups: int  # independent groups of tracks
    n_tags: int  # tags in the means
    roc_auc: float
    roc_auc_low: float  # ends of the 95 % interval
    roc_auc_high: float
    pr_auc: float
    pr_auc_low: float
    pr_auc_high: float
    prevalence: float  # mean over the same tags
    chance_roc_auc: float
    chance_pr_auc: float  # expected for a random order of these tracks
    above_chance: bool
    small_sample: bool
    note: str  # a caution about the intervals; may be empty
    without_positives: list[str]  # tags present in no test track: not in the means
    without_negatives: list[str]  # tags present in all test tracks: not in the means
    never_learned: list[str]  # tags present in no training track; in the means all the same
    per_tag: list[TagScores]

    def to_dict(self) -> dict[str, object]:
        """All results as values that JSON can hold."""
        return asdict(self)


@dataclass(frozen=True)
class TagComparison:
    """The macro PR-AUC of one tagger minus that of another, on the same tracks."""

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
    """Computes the scores of a tagger on test tracks, as the tagging papers do (Won et al. 2020).

    The scores are ROC-AUC and PR-AUC (average precision) of each tag, and their means (macro
    averages). Tags present in none or in all of the test tracks are listed and excluded from the
    means. PR-AUC depends on the prevalence: compare it on the same test split only.

    Tracks of one artist are not independent, so the 95 % confidence intervals are over groups. The
    tags are held fixed. Each interval spans two:

    - the percentile bootstrap over groups (Davison & Hinkley 1997, section 3.8). A tag that a
      resample cannot rank is left out of the mean of that resample;
    - Student's t with the jackknife's standard error, leaving out one group (or one of 200 blocks
      of groups) at a time. The degrees of freedom are Kish's effective number of groups minus one.
      The bootstrap alone is too narrow with few groups.

    In 150 simulated test splits of each of four shapes (8 to 300 artists), the intervals covered
    the mean of such test splits in 95 to 99 %, the bootstrap alone in 85 to 94 %
    (`benchmarks/tag_intervals.py`). PR-AUC depends on the number of tracks: it is higher on few
    tracks than on many, so that the interval of a small test split may not contain the value of a
    large one. One group alone carries no information about others: the intervals are [0, 1].

    Args:
        probabilities: float `[track, tag]`, from 0 to 1.
        truth: bool `[track, tag]`.
        tags: names, in the order of the columns.
        groups: `[track]`, any values; tracks with equal values are one group.
        seed: of the bootstrap.
        train_truth: bool `[training track, tag]`, to list the tags that could not be learned.
        n_bootstrap: number of resamples.

    Returns:
        The scores. `above_chance` is true if both intervals are above the chance level: 0.5, and
        the expected PR-AUC of a random order of these tracks (a little above the prevalence).

    Raises:
        UserError: there is no test track, or no tag that can be ranked.
        ValueError: shapes or values do not fit together.
    """
    probabilities, truth = np.asarray(probabilities), np.asarray(truth, bool)
    groups = np.asarray(groups)
    _check(probabilities, truth, groups, tags)
    roc_auc, pr_auc = areas(probabilities, truth)
    ranked = np.flatnonzero(~np.isnan(roc_auc))
    values = np.array([roc_auc[ranked].mean(), pr_auc[ranked].mean()])

    def statistic(weights: np.ndarray) -> np.ndarray:
        return np.stack(weighted_macro(probabilities, truth, weights), axis=1)

    (roc_low, roc_high), (pr_low, pr_high) = _intervals(
        statistic, values, groups, seed=seed, n_bootstrap=n_bootstrap, lowest=0.0
    )
    n, positives = len(truth), truth.sum(axis=0)
    chance = float(np.mean([random_pr_auc(n, int(positives[tag])) for tag in ranked]))
    names = np.array(tags, dtype=object)
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
        without_positives=names[positives == 0].tolist(),
        without_negatives=names[positives == n].tolist(),
        never_learned=[] if train_truth is None else names[~train_truth.any(axis=0)].tolist(),
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
    """The macro PR-AUC of one tagger minus that of another, paired by track.

    The 95 % confidence interval is computed as in `evaluate_tags`, with the same resamples for both
    taggers.

    Args:
        mine: float `[track, tag]`, probabilities of the first tagger.
        theirs: float `[track, tag]`, probabilities of the second tagger.
        truth: bool `[track, tag]`.
        groups: `[track]`; tracks with equal values are one group.
        seed: of the bootstrap.
        n_bootstrap: number of resamples.

    Raises:
        ValueError: no tag can be ranked.
    """
    first, second = macro(mine, truth)[1], macro(theirs, truth)[1]
    if first is None or second is None:
        raise ValueError("no tag can be ranked: each is present in all of the tracks, or in none")

    def statistic(weights: np.ndarray) -> np.ndarray:
        both = (weighted_macro(scores, truth, weights)[1] for scores in (mine, theirs))
        return np.subtract(*both)[:, None]

    value = np.array([first - second])
    ((low, high),) = _intervals(
        statistic, value, np.asarray(groups), seed=seed, n_bootstrap=n_bootstrap, lowest=-1.0
    )
    return TagComparison(difference=float(value[0]), low=low, high=high)


def _intervals(
    statistic: Statistic,
    values: np.ndarray,
    groups: np.ndarray,
    *,
    seed: int,
    n_bootstrap: int,
    lowest: float,
) -> list[tuple[float, float]]:
    """95 % confidence interval of each figure, from `lowest` to 1 at most; see `evaluate_tags`."""
    _, index, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    n_groups, n_blocks = len(sizes), min(len(sizes), BLOCKS)
    rng = np.random.default_rng(seed)
    block_of = rng.permutation(n_groups) % n_blocks
    freedom = min(sizes.sum() ** 2 / np.square(sizes).sum(), n_blocks) - 1
    whole_range = [(lowest, 1.0)] * len(values)
    if n_groups < 2 or freedom < 0.5:
        return whole_range
    resampled = _compute(statistic, _draws(rng, n_groups, n_bootstrap), index)
    without = _compute(statistic, iter([block_of != np.arange(n_blocks)[:, None]]), index)
    if len(resampled) < n_bootstrap / 2 or len(without) < 2:  # most resamples rank no tag
        return whole_range
    ends = np.quantile(resampled, [0.025, 0.975], axis=0)
    share = (len(without) - 1) / len(without)
    error = np.sqrt(share * np.square(without - without.mean(axis=0)).sum(axis=0))
    reach = float(stats.t.ppf(0.975, freedom)) * error
    low = np.clip(np.minimum(ends[0], values - reach), lowest, 1)
    high = np.clip(np.maximum(ends[1], values + reach), lowest, 1)
    return list(zip(low.tolist(), high.tolist(), strict=True))


def _draws(rng: np.random.Generator, n_groups: int, n: int) -> Iterator[np.ndarray]:
    """How often each group is drawn: int `[resample, group]`, `AT_ONCE` resamples at a time."""
    for start in range(0, n, AT_ONCE):
        yield rng.multinomial(
            n_groups, np.full(n_groups, 1 / n_groups), size=min(AT_ONCE, n - start)
        )


def _compute(
    statistic: Statistic, group_weights: Iterator[np.ndarray], index: np.ndarray
) -> np.ndarray:
    """The statistic of each weighting `[version, figure]`, without those that are undefined."""
    blocks = [
        statistic(part[:, index].astype(np.float64))
        for weights in group_weights
        for part in np.array_split(weights, -(-len(weights) // AT_ONCE))
    ]
    figures = np.concatenate(blocks)
    return figures[~np.isnan(figures).any(axis=1)]


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
            "the test split has no track",
            where="evaluation",
            remedy="check the split policy and the smallest class size of the dataset",
        )
    if probabilities.shape != (n, k) or truth.shape != (n, k) or groups.shape != (n,):
        raise ValueError(
            f"{k} tags, but probabilities {probabilities.shape}, truth {truth.shape} and groups "
            f"{groups.shape}"
        )
    if not ((probabilities >= 0) & (probabilities <= 1)).all():  # NaN fails the test
        raise ValueError("probabilities must be finite, from 0 to 1")
    if (truth.all(axis=0) | ~truth.any(axis=0)).all():
        raise UserError(
            f"there is nothing to rank: each of the {k} tags is present in all of the {n} test "
            "tracks, or in none",
            where="evaluation",
            remedy="use a dataset with more test tracks, or with fewer, larger classes",
        )
