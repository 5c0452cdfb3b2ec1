"""Size-tiered compaction: which track batches share a segment.

The segments are a function of the sizes of the batches alone, in the order of their arrival. A home
that is built anew therefore has the same segments as one that grew batch by batch.
"""

from collections.abc import Sequence

FANOUT = 4  # segments of one tier that are merged into one of the next tier


def segments_of_batches(sizes: Sequence[int]) -> list[slice]:
    """The batches of each segment, as slices of `sizes`.

    A new batch is a segment of its own. The last segment is merged with all segments before it that
    are not of a larger tier, as soon as these are four or more together. A tier spans a factor of
    four, so a vector is written again about once per tier, O(log n) times, and there are O(log n)
    segments.

    Args:
        sizes: number of vectors of each batch, in the order of arrival.

    >>> [(s.start, s.stop) for s in segments_of_batches([500] * 9)]
    [(0, 4), (4, 8), (8, 9)]
    >>> [(s.start, s.stop) for s in segments_of_batches([500] * 16)]
    [(0, 16)]
    """
    segments: list[tuple[int, int, int]] = []  # first batch, batch after the last, vectors
    for batch, size in enumerate(sizes):
        segments.append((batch, batch + 1, size))
        while (start := _start_of_merge(segments)) is not None:
            merged = segments[start:]
            total = sum(n_vectors for *_, n_vectors in merged)
            segments[start:] = [(merged[0][0], merged[-1][1], total)]
    return [slice(first, last) for first, last, _ in segments]


def _start_of_merge(segments: Sequence[tuple[int, int, int]]) -> int | None:
    """The first of the last segments that are to be merged; None if none are."""
    tiers = [_tier(n_vectors) for *_, n_vectors in segments]
    start = len(tiers) - 1
    while start > 0 and tiers[start - 1] <= tiers[-1]:
        start -= 1
    return start if len(tiers) - start >= FANOUT else None


def _tier(n_vectors: int) -> int:
    """0 for up to 256 vectors, one more for each factor of four."""
    return max(0, (max(n_vectors, 1) - 1).bit_length() - 7) // 2
