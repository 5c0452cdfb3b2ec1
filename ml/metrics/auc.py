"""The area under the ROC curve of two groups of scores, with an interval that holds for few."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.stats import norm
from sklearn.metrics import roc_auc_score


@dataclass(frozen=True)
class Auc:
    """How well a score tells outside tracks from inside ones: 0.5 by chance, 1 always.

    Attributes:
        value: the share of pairs (one outside, one inside) in which the outside one scores higher.
        low, high: 95 % interval.
    """

    value: float
    low: float
    high: float


def auc(
    inside: NDArray[np.float64],
    outside: NDArray[np.float64],
    *,
    inside_groups: int | None = None,
    outside_groups: int | None = None,
) -> Auc:
    """Area under the ROC curve of telling outside tracks from inside ones.

    The interval is Newcombe's method 5 (2006, "Confidence intervals for an effect size measure
    based on the Mann-Whitney statistic, part 2"): it holds with few tracks, and has a width where
    all of them are told apart. Songs of one artist are alike: the numbers it counts with are those
    of independent groups.

    Args:
        inside: float [m], scores of inside tracks that no training has seen.
        outside: float [n], scores of outside tracks.
        inside_groups: independent groups among the inside tracks; by default every track.
        outside_groups: independent groups among the outside tracks; by default every track.

    Raises:
        ValueError: no track on one side, or more groups than tracks.
    """
    m = len(inside) if inside_groups is None else inside_groups
    n = len(outside) if outside_groups is None else outside_groups
    if not (1 <= m <= len(inside) and 1 <= n <= len(outside)):
        raise ValueError(f"{m} groups of {len(inside)} tracks, {n} groups of {len(outside)}")
    truth = np.repeat([0, 1], [len(inside), len(outside)])
    value = float(roc_auc_score(truth, np.concatenate([inside, outside])))
    z, pairs = float(norm.ppf(0.975)), (m + n) / 2 - 1

    def beyond(theta: float) -> float:
        variance = theta * (1 - theta) / (m * n)
        variance *= 1 + pairs * ((1 - theta) / (2 - theta) + theta / (1 + theta))
        return abs(value - theta) - z * float(np.sqrt(variance))

    # The interval ends where this is zero; at 0 and 1 it always is, and they are no ends.
    nearly = 1e-12
    low = brentq(beyond, nearly, min(value, 1 - nearly)) if beyond(nearly) > 0 else 0.0
    high = brentq(beyond, max(value, nearly), 1 - nearly) if beyond(1 - nearly) > 0 else 1.0
    return Auc(value, float(low), float(high))
