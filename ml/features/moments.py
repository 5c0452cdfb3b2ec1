"""Mean and variance of what does not fit into memory at once."""

import numpy as np


class Moments:
    """Mean and population variance of each column, over rows that arrive in blocks, in float64.

    Blocks are pooled by the law of total variance: the variance of all is the mean of the blocks'
    variances plus the variance of their means, each weighted by its rows (in the stable form of
    Chan, Golub & LeVeque 1979).
    """

    def __init__(self) -> None:
        self.count = 0
        self._mean: np.ndarray = np.zeros(1)
        self._squares: np.ndarray = np.zeros(1)  # sum of squared distances from the mean

    def add(self, rows: np.ndarray) -> None:
        """More rows: `[row, column]`, the same columns each time; none at all changes nothing."""
        if not len(rows):
            return
        values = rows.astype(np.float64)
        mean = values.mean(axis=0)
        values -= mean
        squares = np.einsum("ij,ij->j", values, values)
        count = self.count + len(rows)
        step = mean - self._mean
        self._mean = self._mean + step * (len(rows) / count)
        self._squares = self._squares + squares + step**2 * (self.count * len(rows) / count)
        self.count = count

    @property
    def mean(self) -> np.ndarray:
        """Float64 `[column]`; 0 before the first row."""
        return self._mean

    @property
    def variance(self) -> np.ndarray:
        """Of the population, float64 `[column]`; 0 before the first row."""
        return self._squares / max(1, self.count)
