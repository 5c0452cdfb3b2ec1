"""Sliding medians by sorting networks: every step is a minimum or maximum of whole arrays.

16 neighbouring windows of 31 rows have 16 rows in common. These are sorted once; then the windows
are halved again and again, and each half takes in the rows that its windows share besides, keeping
only those ranks that may still be the median. That is 36 minima or maxima a value, shared by no
branch (after Adams, Fast median filters using separable sorting networks, 2021).
"""

from functools import lru_cache

import numpy as np

WINDOW = 31  # rows; the network below is made for it
_SHARED = (WINDOW + 1) // 2  # windows that are computed together, and the rows they share

Rows = list[np.ndarray]


@lru_cache(maxsize=8)
def _comparators(n: int) -> tuple[tuple[int, int], ...]:
    """Batcher's odd-even merge sort of n values (a power of two), as pairs to be put in order."""
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
    """Sort along the list, elementwise."""
    out = list(rows)
    for low, high in _comparators(len(out)):
        out[low], out[high] = np.minimum(out[low], out[high]), np.maximum(out[low], out[high])
    return out


def _sort_bitonic(rows: Rows) -> Rows:
    """Sort what first rises and then falls (or falls and rises), elementwise."""
    out, step = list(rows), len(rows) // 2
    while step:
        for low in range(len(out)):
            if not low & step:
                a, b = out[low], out[low + step]
                out[low], out[low + step] = np.minimum(a, b), np.maximum(a, b)
        step //= 2
    return out


def _middle(kept: Rows, more: Rows) -> Rows:
    """Of 2n sorted rows and n more, the n in the middle, sorted."""
    n = len(more)
    more = _sort(more)
    # the n largest of all lie in the upper half of `kept` and in `more`: drop them
    lower = _sort_bitonic([np.minimum(kept[n + i], more[n - 1 - i]) for i in range(n)])
    # and of what is left the n smallest
    return _sort_bitonic([np.maximum(kept[i], lower[n - 1 - i]) for i in range(n)])


def sliding_median(rows: np.ndarray) -> np.ndarray:
    """Median of every 31 neighbouring rows, elementwise.

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
        """The row so far from the first one of each group: `[group, column]`."""
        return rows[offset : offset + (n_groups - 1) * _SHARED + 1 : _SHARED]

    def narrow(kept: Rows, first: int, n_windows: int) -> None:
        """Windows first.. share all rows from first + n_windows - 1 to first + WINDOW - 1."""
        if n_windows == 1:
            out[first::_SHARED] = kept[0]
            return
        half = n_windows // 2
        left = [row(first + half - 1 + i) for i in range(half)]
        right = [row(first + WINDOW + i) for i in range(half)]
        narrow(_middle(kept, left), first, half)
        narrow(_middle(kept, right), first + half, half)

    narrow(_sort([row(_SHARED - 1 + i) for i in range(_SHARED)]), 0, _SHARED)
    return out[:n_out]
