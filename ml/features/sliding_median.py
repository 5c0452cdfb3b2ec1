"""Sliding median with a sorting network: every step is a minimum or maximum of whole arrays.

16 neighbouring windows of 31 rows share 16 rows. The algorithm sorts these once and then halves the
set of windows repeatedly. Each half adds the rows that its own windows share, and drops the ranks
that can no longer be the median. This takes 36 minima or maxima per value and no branches (after
Adams, Fast median filters using separable sorting networks, 2021).
"""

from functools import lru_cache

import numpy as np

WINDOW = 31  # rows; the network below works for this number only
_SHARED = (WINDOW + 1) // 2  # windows computed together, which is also how many rows they share

Rows = list[np.ndarray]


@lru_cache(maxsize=8)
def _comparators(n: int) -> tuple[tuple[int, int], ...]:
    """Batcher's odd-even merge sort of n values (a power of two), as pairs to compare and swap."""
    pairs = []
    p = 1
    while p < n:
        k = p
        while k >= 1:
            for j in range(k % p, n - k, 2 * k):
                for i in range(min(k, n - j - k)):
                    if (i + j) // (2 * p) == (i + j + k) // (2 * p):
                        pairs.append((i + j, i + j + k))
            k //= 2
        p *= 2
    return tuple(pairs)


def _sort(rows: Rows) -> Rows:
    """Sort the rows elementwise, smallest first."""
    out = list(rows)
    for low, high in _comparators(len(out)):
        out[low], out[high] = np.minimum(out[low], out[high]), np.maximum(out[low], out[high])
    return out


def _sort_bitonic(rows: Rows) -> Rows:
    """Sort rows elementwise that first rise and then fall, or first fall and then rise."""
    out, step = list(rows), len(rows) // 2
    while step:
        for low in range(len(out)):
            if not low & step:
                a, b = out[low], out[low + step]
                out[low], out[low + step] = np.minimum(a, b), np.maximum(a, b)
        step //= 2
    return out


def _middle(candidates: Rows, more: Rows) -> Rows:
    """The n middle ranks, sorted, of 2n sorted rows and n more rows."""
    n = len(more)
    more = _sort(more)
    # The n largest of all are in the upper half of `candidates` and in `more`: drop them.
    lower = _sort_bitonic([np.minimum(candidates[n + i], more[n - 1 - i]) for i in range(n)])
    # Then drop the n smallest of the rest.
    return _sort_bitonic([np.maximum(candidates[i], lower[n - 1 - i]) for i in range(n)])


def sliding_median(rows: np.ndarray) -> np.ndarray:
    """Elementwise median of every 31 neighbouring rows.

    Args:
        rows: float32 `[row + 30, column]`, finite.

    Returns:
        float32 `[row, column]`.
    """
    n_out = len(rows) - WINDOW + 1
    n_groups = -(-n_out // _SHARED)
    missing = n_groups * _SHARED + WINDOW - 1 - len(rows)
    if missing:
        rows = np.pad(rows, ((0, missing), (0, 0)))
    out = np.empty((n_groups * _SHARED, rows.shape[1]), dtype=rows.dtype)

    def row(offset: int) -> np.ndarray:
        """The row at `offset` in each group of windows: `[group, column]`."""
        return rows[offset : offset + (n_groups - 1) * _SHARED + 1 : _SHARED]

    def narrow(candidates: Rows, first: int, n_windows: int) -> None:
        """Write the medians of windows `first` to `first + n_windows - 1` of each group.

        These windows share all rows from first + n_windows - 1 to first + WINDOW - 1.
        """
        if n_windows == 1:
            out[first::_SHARED] = candidates[0]
            return
        half = n_windows // 2
        left = [row(first + half - 1 + i) for i in range(half)]
        right = [row(first + WINDOW + i) for i in range(half)]
        narrow(_middle(candidates, left), first, half)
        narrow(_middle(candidates, right), first + half, half)

    narrow(_sort([row(_SHARED - 1 + i) for i in range(_SHARED)]), 0, _SHARED)
    return out[:n_out]
