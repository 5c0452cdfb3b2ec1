"""The ratio of two sides that were measured in turns, with its confidence interval."""

from collections.abc import Sequence

import numpy as np
from scipy import stats


def ratio_of(ours: Sequence[float], other: Sequence[float]) -> tuple[float, float, float]:
    """Geometric mean of ours / other over the rounds, with its 95 % interval by Student's t."""
    logs = np.log(ours) - np.log(other)
    half = stats.t.ppf(0.975, len(logs) - 1) * logs.std(ddof=1) / np.sqrt(len(logs))
    ratio, low, high = np.exp([logs.mean(), logs.mean() - half, logs.mean() + half])
    return float(ratio), float(low), float(high)
