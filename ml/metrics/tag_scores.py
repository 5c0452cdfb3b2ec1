"""How well scores rank tracks with a tag before tracks without it: ROC-AUC and PR-AUC.

PR-AUC is average precision, the mean of the precision at each track that has the tag. Tagging
papers use this definition, which is scikit-learn's (Won et al. 2020).
"""

import numpy as np
from sklearn.metrics import average_precision_score, roc_auc_score


def areas(scores: np.ndarray, truth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """ROC-AUC and PR-AUC of each tag: two arrays, float64 `[tag]`.

    Both are NaN for tags that are present in none or in all of the tracks.

    Args:
        scores: float `[track, tag]`, finite; a higher score means that the tag is more likely.
        truth: bool `[track, tag]`.
    """
    roc_auc, pr_auc = np.full((2, truth.shape[1]), np.nan)
    for tag in np.flatnonzero(truth.any(axis=0) & ~truth.all(axis=0)).tolist():
        roc_auc[tag] = roc_auc_score(truth[:, tag], scores[:, tag])
        pr_auc[tag] = average_precision_score(truth[:, tag], scores[:, tag])
    return roc_auc, pr_auc


def macro(scores: np.ndarray, truth: np.ndarray) -> tuple[float | None, float | None]:
    """Macro averages of ROC-AUC and PR-AUC.

    Tags that are present in none or in all of the tracks are excluded. Both averages are None if no
    tag remains.

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
    """`macro` for many weightings of the tracks at once: two arrays, float64 `[version]`.

    The results are those of scikit-learn's `sample_weight`, but scores are sorted only once. In
    each version, a tag is excluded if the tracks with it, or those without it, have no weight. Both
    averages are NaN if no tag remains.

    Args:
        scores: float `[track, tag]`.
        truth: bool `[track, tag]`.
        weights: float `[version, track]`, how often each version contains each track.
    """
    sums, counts = np.zeros((2, len(weights))), np.zeros(len(weights))
    for tag in np.flatnonzero(truth.any(axis=0) & ~truth.all(axis=0)).tolist():
        tag_areas = np.stack(_weighted_areas(scores[:, tag], truth[:, tag], weights))
        ranked = ~np.isnan(tag_areas[0])
        sums[:, ranked] += tag_areas[:, ranked]
        counts += ranked
    roc_auc, pr_auc = np.divide(sums, counts, out=np.full_like(sums, np.nan), where=counts > 0)
    return roc_auc, pr_auc


def _weighted_areas(
    scores: np.ndarray, truth: np.ndarray, weights: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """ROC-AUC and PR-AUC of one tag: two arrays, float64 `[version]`.

    Both are NaN if the tracks with the tag, or those without it, have no weight. Tracks with equal
    scores form one step. Only steps with at least one track that has the tag matter: PR-AUC is the
    mean precision at these tracks, and ROC-AUC the mean share of other tracks that come after them.
    """
    order = np.argsort(-scores, kind="stable")
    ranked, has = scores[order], truth[order]
    first = np.append(0, np.flatnonzero(np.diff(ranked)) + 1)  # first track of each step
    last = np.append(first[1:], len(ranked)) - 1
    at = np.flatnonzero(has)
    steps, begins = np.unique(np.searchsorted(last, at), return_index=True)
    ordered_weights = weights[:, order]
    new_hits = np.add.reduceat(ordered_weights[:, at], begins, axis=1).astype(np.float64)
    hits = np.cumsum(new_hits, axis=1)
    totals = np.cumsum(ordered_weights, axis=1)
    up_to = totals[:, last[steps]].astype(np.float64)
    before = np.where(first[steps] > 0, totals[:, first[steps] - 1], 0.0)
    false, false_before = up_to - hits, before - (hits - new_hits)
    all_hits = hits[:, -1]
    all_false = totals[:, -1] - all_hits
    defined = (all_hits > 0) & (all_false > 0)
    undefined = np.full(len(weights), np.nan)
    after = all_false[:, None] - (false + false_before) / 2
    roc_auc = np.divide(
        (new_hits * after).sum(axis=1), all_hits * all_false, out=undefined.copy(), where=defined
    )
    precision = np.divide(hits, up_to, out=np.zeros_like(hits), where=up_to > 0)
    pr_auc = np.divide((new_hits * precision).sum(axis=1), all_hits, out=undefined, where=defined)
    return roc_auc, pr_auc


def random_pr_auc(n: int, positives: int) -> float:
    """Expected PR-AUC of a random order: the prevalence of the tag, and more for few tracks.

    The formula is exact (Bestgen 2015, "Exact expected average precision of the random baseline for
    system evaluation"). If one of 20 tracks has the tag, it is 0.18, not 0.05.

    >>> round(random_pr_auc(20, 1), 2)
    0.18

    Args:
        n: number of tracks, at least one.
        positives: number of tracks that have the tag, at least one.
    """
    if n == 1:
        return 1.0
    ranks = np.arange(1, n + 1)
    others = (positives - 1) / (n - 1)  # chance that another track of the ranking has the tag
    return float(np.mean(1 / ranks + others * (ranks - 1) / ranks))
