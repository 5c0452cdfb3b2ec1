"""The area under the ROC curve with a 95 % confidence interval that holds for few tracks."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.stats import norm
from sklearn.metrics import roc_auc_score


@dataclass(frozen=True)
class Auc:
    """How well a score separates outside tracks from inside tracks: 0.5 is chance, 1 is perfect.

    Attributes:
        value: share of pairs of an outside and an inside track in which the outside track has the
            higher score.
        low, high: ends of the 95 % confidence interval.
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
    """Area under the ROC curve for separating outside tracks from inside tracks.

    The confidence interval is Newcombe's method 5 (2006, "Confidence intervals for an effect size
    measure based on the Mann-Whitney statistic, part 2"). It holds for few tracks, and does not
    shrink to a point if the scores separate all tracks. Songs of one artist are similar, so its
    sample sizes are numbers of independent groups.

    Args:
        inside: float [m], scores of inside tracks that were not used in training.
        outside: float [n], scores of outside tracks.
        inside_groups: number of independent groups of inside tracks; by default each track is one.
        outside_groups: the same for outside tracks.

    Raises:
        ValueError: one side has no track, or more groups than tracks.
    """
    m = len(inside) if inside_groups is None else inside_groups
    n = len(outside) if outside_groups is None else outside_groups
    if not (1 <= m <= len(inside) and 1 <= n <= len(outside)):
        raise ValueError(f"{m} groups of {len(inside)} tracks, {n} groups of {len(outside)}")
    truth = np.repeat([0, 1], [len(inside), len(outside)])
    value = float(roc_auc_score(truth, np.concatenate([inside, outside])))
    z, pairs = float(norm.ppf(0.975)), (m + n) / 2 - 1

    def distance(theta: float) -> float:
        """How far `value` is from `theta`, beyond the half-width of the interval at `theta`."""
        variance = theta * (1 - theta) / (m * n)
        variance *= 1 + pairs * ((1 - theta) / (2 - theta) + theta / (1 + theta))
        return abs(value - theta) - z * float(np.sqrt(variance))

    # The interval ends at the zeros of `distance`, except for its trivial zeros at 0 and 1.
    margin = 1e-12
    low = brentq(distance, margin, min(value, 1 - margin)) if distance(margin) > 0 else 0.0
    high = brentq(distance, max(value, margin), 1 - margin) if distance(1 - margin) > 0 else 1.0
    return Auc(value, float(low), float(high))
