"""Which fingerprints are of one recording: candidates by equal codes, then the bits decide.

Haitsma & Kalker (2002), section 5: even of a damaged copy some codes survive unharmed, so that a
sorted list of codes finds it, and where it lies: equal codes vote for an offset. Whether it is the
same recording is then decided by the bit error rate over the whole overlap at that offset; other
music is near 0.5. What was measured: docs/results/duplicates.md.

A false merge is worse than a false split, so all of these must hold: the error rate over the whole
overlap, the error rate of its worse parts (a common loop under another song), enough sound that
says something, enough of it different (one bar for ever proves nothing), and an overlap of most of
the shorter track (a jingle common to two broadcasts).

Work: the index takes every `STEP`th frame of the new tracks, the others pass by as queries, a batch
at a time: O(frames log(index)) time, and memory for the new tracks and one batch.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from melgraph.ml.recordings.fingerprints import FRAMES_PER_SECOND, N_BITS, SILENT, Fingerprints

STEP = 4  # of the index: every fourth frame, 93 ms
MAX_IN_TRACK = 8  # a code more often in one track is a stop word there: it tells no place
MAX_IN_INDEX = 256  # a code more often in the index is a stop word: it tells no track
BIN_FRAMES = 4  # votes for offsets so near each other count together
MIN_VOTES = 3  # fewer equal codes at one offset are chance
PLACES = 3  # most offsets per pair that are looked at
SEARCH_FRAMES = 4  # around a candidate offset

MAX_ERROR = 0.15  # largest bit error rate of the whole overlap
BLOCK_FRAMES = 128
MAX_BLOCK_ERROR = 0.25  # ... and of its blocks of three seconds, but for the worst tenth
MIN_OVERLAP_S = 5.0  # ... of frames in which both say something
MIN_OVERLAP_SHARE = 0.5  # of the shorter track
MIN_TELLING_SHARE = 0.5  # of the overlap: frames in which both say something
MIN_DISTINCT_CODES = 86  # two seconds of sound that do not repeat


@dataclass(frozen=True)
class Match:
    """Two tracks found to be of one recording.

    Attributes:
        query, reference: their rows.
        offset_frames: frame t of the query is frame t + offset_frames of the reference.
        overlap_frames: how long both sound.
        bit_error_rate: of all bits of frames that say something in both.
    """

    query: int
    reference: int
    offset_frames: int
    overlap_frames: int
    bit_error_rate: float


class Index:
    """The codes of some tracks, sorted, with where they occur.

    Args:
        references: the tracks to be found.
    """

    def __init__(self, references: Fingerprints) -> None:
        self.references = references
        lengths = np.diff(references.offsets)
        track = np.repeat(np.arange(len(references), dtype=np.int32), lengths)
        frame = np.arange(len(references.codes)) - references.offsets[:-1].repeat(lengths)
        kept = (frame % STEP == 0) & (references.codes != SILENT)
        codes, track, frame = references.codes[kept], track[kept], frame[kept].astype(np.int32)
        order = np.argsort(codes, kind="stable")  # then by track and frame, as they were
        codes, track, frame = codes[order], track[order], frame[order]
        telling = _few(codes, MAX_IN_INDEX) & _few(_pairs(codes, track), MAX_IN_TRACK)
        self.codes, self.track, self.frame = codes[telling], track[telling], frame[telling]

    def matches(self, queries: Fingerprints, *, within: bool = False) -> Iterator[Match]:
        """Every query and reference that are of one recording.

        Args:
            queries: the tracks that ask.
            within: the queries are the references themselves: each pair is looked at once.
        """
        for query, reference, offset in self._candidates(queries, within):
            found = compare(queries.track(query), self.references.track(reference), offset)
            if found is not None:
                yield Match(query, reference, *found)

    def _candidates(
        self, queries: Fingerprints, within: bool
    ) -> Iterator[tuple[int, int, list[int]]]:
        """Query, reference, and the likeliest offsets of each pair with enough votes."""
        lengths = np.diff(queries.offsets)
        track = np.repeat(np.arange(len(queries), dtype=np.int64), lengths)
        frame = np.arange(len(queries.codes)) - queries.offsets[:-1].repeat(lengths)
        left = np.searchsorted(self.codes, queries.codes, side="left")
        hits = np.searchsorted(self.codes, queries.codes, side="right") - left
        hits[queries.codes == SILENT] = 0
        asked = np.repeat(np.arange(len(queries.codes)), hits)
        entry = np.arange(len(asked)) - np.repeat(np.cumsum(hits) - hits, hits) + left[asked]
        query, reference = track[asked], self.track[entry].astype(np.int64)
        offset = self.frame[entry] - frame[asked]
        if within:
            once = query < reference
            query, reference, offset = query[once], reference[once], offset[once]
        if not len(query):
            return
        lowest = int(offset.min())
        bins = (offset - lowest) // BIN_FRAMES + 1
        n_bins = int(bins.max()) + 2
        keys = (query * len(self.references) + reference) * n_bins + bins
        keys, votes = np.unique(keys, return_counts=True)
        following = np.zeros_like(votes)  # the next bin, if it has votes: an edge splits no peak
        beside = np.flatnonzero(np.diff(keys) == 1)
        following[beside] = votes[beside + 1]
        enough = votes + following >= MIN_VOTES
        keys, votes = keys[enough], (votes + following)[enough]
        order = np.lexsort((keys, -votes, keys // n_bins))
        keys = keys[order]
        pairs, first, count = np.unique(keys // n_bins, return_index=True, return_counts=True)
        for pair, start, places in zip(pairs.tolist(), first.tolist(), count.tolist(), strict=True):
            chosen = keys[start : start + min(places, PLACES)] % n_bins * BIN_FRAMES + lowest
            yield *divmod(pair, len(self.references)), chosen.tolist()


def compare(
    query: NDArray[np.uint32], reference: NDArray[np.uint32], offsets: list[int]
) -> tuple[int, int, float] | None:
    """Whether two tracks are of one recording, at one of these offsets or very near.

    Args:
        query, reference: uint32 `[frame]`.
        offsets: frame t of the query may be frame t + offset of the reference.

    Returns:
        The offset and the overlap in frames, and the bit error rate; None where they are not.
    """
    near = {o + d for o in offsets for d in range(-SEARCH_FRAMES, SEARCH_FRAMES + BIN_FRAMES * 2)}
    best = min((_overlap(query, reference, offset) for offset in sorted(near)), key=_error)
    errors, offset, overlap = best
    same = (
        len(errors) >= MIN_OVERLAP_S * FRAMES_PER_SECOND
        and overlap >= MIN_OVERLAP_SHARE * min(len(query), len(reference))
        and len(errors) >= MIN_TELLING_SHARE * overlap
        and _error(best) <= MAX_ERROR
        and _worse_blocks(errors) <= MAX_BLOCK_ERROR
        and _distinct(query, reference, offset) >= MIN_DISTINCT_CODES
    )
    return (offset, overlap, _error(best)) if same else None


def _overlap(
    query: NDArray[np.uint32], reference: NDArray[np.uint32], offset: int
) -> tuple[NDArray[np.uint8], int, int]:
    """Wrong bits of each frame in which both say something; the offset; frames of overlap."""
    ours, theirs = _aligned(query, reference, offset)
    telling = (ours != SILENT) & (theirs != SILENT)
    return np.bitwise_count(ours[telling] ^ theirs[telling]), offset, len(ours)


def _aligned(
    query: NDArray[np.uint32], reference: NDArray[np.uint32], offset: int
) -> tuple[NDArray[np.uint32], NDArray[np.uint32]]:
    start, stop = max(0, -offset), max(0, min(len(query), len(reference) - offset))
    return query[start:stop], reference[start + offset : max(start, stop) + offset]


def _error(found: tuple[NDArray[np.uint8], int, int]) -> float:
    """The bit error rate; that of other music where too little can be compared."""
    errors = found[0]
    if len(errors) < MIN_OVERLAP_S * FRAMES_PER_SECOND:
        return 0.5
    return float(errors.mean(dtype=np.float64)) / N_BITS


def _worse_blocks(errors: NDArray[np.uint8]) -> float:
    """The error rate that nine of ten blocks do not exceed."""
    blocks = np.array_split(errors, max(1, len(errors) // BLOCK_FRAMES))
    return float(np.quantile([block.mean() / N_BITS for block in blocks], 0.9))


def _distinct(query: NDArray[np.uint32], reference: NDArray[np.uint32], offset: int) -> int:
    """Different codes that say something, of the side that has fewer."""
    sides = (np.unique(side) for side in _aligned(query, reference, offset))
    return min(int((codes != SILENT).sum()) for codes in sides)


def _few(keys: NDArray, limit: int) -> NDArray[np.bool_]:
    """Which of the sorted keys occur at most `limit` times."""
    starts = np.flatnonzero(np.diff(keys, prepend=keys[:1] + np.ones(1, keys.dtype)))
    counts = np.diff(np.append(starts, len(keys)))
    return np.repeat(counts <= limit, counts)


def _pairs(codes: NDArray[np.uint32], track: NDArray[np.int32]) -> NDArray[np.uint64]:
    return codes.astype(np.uint64) << np.uint64(32) | track.astype(np.uint64)
