"""Mean and variance of columns whose rows arrive in blocks, as they do not fit into memory.

Two accumulators with one interface, both in float64. `Moments` is for any data. `PowerSums` is for
data whose standard deviation is not far below its mean, such as stored spectrograms: there both
agree to the last bit of a float32, and models were trained with the normalisation of `PowerSums`,
whose bits therefore stay.
"""

import numpy as np


class Moments:
    """Mean and population variance, pooled block by block.

    Blocks are pooled by the law of total variance: the variance of all is the mean of the blocks'
    variances plus the variance of their means, each weighted by its rows (in the stable form of
    Chan, Golub & LeVeque 1979).
    """

    def __init__(self) -> None:
        self.count = 0
        self._mean: np.ndarray = np.zeros(1)
        self._squares: np.ndarray = np.zeros(1)  # sum of squared distances from the mean

    def add(self, rows: np.ndarray) -> None:
        """Add `[row, column]`, the same columns each time; no rows change nothing."""
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


class PowerSums:
    """Mean and population variance, from the sums of the values and of their squares.

    The difference of two large sums loses about as many digits as the squared ratio of mean to
    standard deviation has: a ratio of 100,000 leaves six digits of the variance, 10 million none.
    """

    def __init__(self) -> None:
        self.count = 0
        self._total: np.ndarray = np.zeros(())
        self._squares: np.ndarray = np.zeros(())

    def add(self, rows: np.ndarray) -> None:
        """Add `[row, ...]`, the same further axes each time; no rows change nothing."""
        values = np.asarray(rows, dtype=np.float64)
        self.count += len(values)
        self._total = self._total + values.sum(axis=0)
        self._squares = self._squares + np.square(values).sum(axis=0)

    @property
    def mean(self) -> np.ndarray:
        """Float64 `[...]`; 0 before the first row."""
        return self._total / max(1, self.count)

    @property
    def variance(self) -> np.ndarray:
        """Of the population, float64 `[...]`; rounding can make it slightly negative."""
        return self._squares / max(1, self.count) - self.mean**2
