"""How well scores rank the tracks that have a tag before those that have not: ROC-AUC and PR-AUC.

PR-AUC is average precision, the mean of the precision at each track that has the tag, as the
tagging papers have it from scikit-learn (Won et al. 2020).
"""

import numpy as np
from sklearn.metrics import average_precision_score, roc_auc_score


def areas(scores: np.ndarray, truth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """ROC-AUC and PR-AUC of each tag: float64 `[tag]` twice.

    NaN for a tag that all tracks have, or none: there is nothing to rank.

    Args:
        scores: float `[track, tag]`, higher where the tag is more likely; finite.
        truth: bool `[track, tag]`.
    """
    roc_auc, pr_auc = np.full((2, truth.shape[1]), np.nan)
    for tag in np.flatnonzero(truth.any(axis=0) & ~truth.all(axis=0)).tolist():
        roc_auc[tag] = roc_auc_score(truth[:, tag], scores[:, tag])
        pr_auc[tag] = average_precision_score(truth[:, tag], scores[:, tag])
    return roc_auc, pr_auc


def macro(scores: np.ndarray, truth: np.ndarray) -> tuple[float | None, float | None]:
    """Means of both over the tags that can be ranked; None where there is no such tag.

    Args:
        scores: float `[track, tag]`.
        truth: bool `[track, tag]`.
    """
    roc_auc, pr_auc = areas(scores, truth)
    ranked = ~np.isnan(roc_auc)
    if not ranked.any():
        return None, None
    return float(roc_auc[ranked].mean()), float(pr_auc[ranked].mean())


def weighted_macro(
    scores: np.ndarray, truth: np.ndarray, weights: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """`macro` of many weighted versions of the tracks at once: float64 `[version]` twice.

    The same as scikit-learn's `sample_weight`, sorted once for all of them. A tag without weight
    on one of its sides is left out of the mean of that version; NaN where all are.

    Args:
        scores: float `[track, tag]`.
        truth: bool `[track, tag]`.
        weights: float `[version, track]`: how often a version has each track.
    """
    sums, counts = np.zeros((2, len(weights))), np.zeros(len(weights))
    for tag in np.flatnonzero(truth.any(axis=0) & ~truth.all(axis=0)).tolist():
        found = np.stack(_weighted_areas(scores[:, tag], truth[:, tag], weights))
        ranked = ~np.isnan(found[0])
        sums[:, ranked] += found[:, ranked]
        counts += ranked
    roc_auc, pr_auc = np.divide(sums, counts, out=np.full_like(sums, np.nan), where=counts > 0)
    return roc_auc, pr_auc


def _weighted_areas(
    scores: np.ndarray, truth: np.ndarray, weights: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Both areas of one tag: float64 `[version]` twice, NaN where a side has no weight.

    Tracks of equal scores are one step. Only steps with a track that has the tag are looked at:
    precision is averaged over these tracks, and so is the share of the others that come after them.
    """
    order = np.argsort(-scores, kind="stable")
    ranked, has = scores[order], truth[order]
    first = np.append(0, np.flatnonzero(np.diff(ranked)) + 1)  # of each step
    last = np.append(first[1:], len(ranked)) - 1
    at = np.flatnonzero(has)
    steps, begins = np.unique(np.searchsorted(last, at), return_index=True)
    heavy = weights[:, order]
    new_hits = np.add.reduceat(heavy[:, at], begins, axis=1).astype(np.float64)
    hits = np.cumsum(new_hits, axis=1)
    answers = np.cumsum(heavy, axis=1)
    up_to = answers[:, last[steps]].astype(np.float64)
    before = np.where(first[steps] > 0, answers[:, first[steps] - 1], 0.0)
    false, false_before = up_to - hits, before - (hits - new_hits)
    all_hits = hits[:, -1]
    all_false = answers[:, -1] - all_hits
    ranking = (all_hits > 0) & (all_false > 0)
    absent = np.full(len(weights), np.nan)
    after = all_false[:, None] - (false + false_before) / 2
    roc_auc = np.divide(
        (new_hits * after).sum(axis=1), all_hits * all_false, out=absent.copy(), where=ranking
    )
    precision = np.divide(hits, up_to, out=np.zeros_like(hits), where=up_to > 0)
    pr_auc = np.divide((new_hits * precision).sum(axis=1), all_hits, out=absent, where=ranking)
    return roc_auc, pr_auc


def random_pr_auc(n: int, positives: int) -> float:
    """PR-AUC that a random order has on average: the prevalence, and more where tracks are few.

    Exact (Bestgen 2015, "Exact expected average precision of the random baseline for system
    evaluation"). Of 20 tracks, one of which has the tag, 0.18, not 0.05.

    Args:
        n: tracks, at least one.
        positives: of them with the tag, at least one.
    """
    if n == 1:
        return 1.0
    ranks = np.arange(1, n + 1)
    others = (positives - 1) / (n - 1)  # chance that another track of the ranking has the tag
    return float(np.mean(1 / ranks + others * (ranks - 1) / ranks))
