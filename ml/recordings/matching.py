"""Find tracks of the same recording: candidates share equal codes, then bit errors decide.

The method is that of Haitsma & Kalker (2002), section 5. Even a damaged copy has some codes without
any bit error. Looking these up in a sorted list of codes finds candidates: each pair of equal codes
votes for a track and for an offset in time. The bit error rate over the whole overlap at that
offset then decides. For different music it is near 0.5. docs/results/duplicates.md has the
measurements.

Merging different recordings is worse than missing a duplicate, so a match must pass all of these:

- the bit error rate of the whole overlap;
- the bit error rate of its worse parts, which rejects two songs over the same loop;
- enough frames that are not `SILENT`;
- enough different codes among them, which rejects endless repetition of one bar;
- an overlap of nearly a third of the shorter track, which rejects a jingle that ends one broadcast
  and begins another, but accepts two excerpts of one recording.

The index holds every `STEP`th frame of the new tracks. The other tracks are queries, one batch at a
time. This takes O(frames log(index)) time, and memory for the new tracks and one batch.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from melgraph.ml.recordings.fingerprints import FRAMES_PER_SECOND, N_BITS, SILENT, Fingerprints

STEP = 4  # the index holds every fourth frame: one in 93 ms
MAX_IN_TRACK = 8  # ignore a code that occurs more often in one track: it fits many offsets
MAX_IN_INDEX = 256  # ignore a code that occurs more often in the index: it fits many tracks
BIN_FRAMES = 4  # width of a bin of offsets whose votes are added
MIN_VOTES = 3  # fewer equal codes at one offset occur by chance
PLACES = 3  # largest number of offsets per pair that are compared
SEARCH_FRAMES = 4  # frames around a candidate offset that are tried too

MAX_ERROR = 0.15  # bit error rate of the whole overlap
BLOCK_FRAMES = 128
MAX_BLOCK_ERROR = 0.25  # bit error rate that 90 % of the blocks of three seconds must not exceed
MIN_OVERLAP_S = 5.0  # seconds of frames in which neither track is `SILENT`
MIN_OVERLAP_SHARE = 0.3  # share of the shorter track that the overlap must cover; codes are
# shorter than the sound by half a second, so overlaps of a third of the sound are enough
MIN_COMPARED_SHARE = 0.5  # share of the overlap in which neither track is `SILENT`
MIN_DISTINCT_CODES = 86  # as many frames as two seconds have


@dataclass(frozen=True)
class Match:
    """Two tracks of the same recording.

    Attributes:
        query, reference: the rows of the two tracks.
        offset_frames: frame t of the query corresponds to frame t + offset_frames of the reference.
        overlap_frames: length of the part that both have.
        bit_error_rate: share of wrong bits, over the frames in which neither track is `SILENT`.
    """

    query: int
    reference: int
    offset_frames: int
    overlap_frames: int
    bit_error_rate: float


class Index:
    """The codes of some tracks, sorted, each with its track and frame.

    Args:
        references: fingerprints of the tracks in the index.
    """

    def __init__(self, references: Fingerprints) -> None:
        self.references = references
        lengths = np.diff(references.offsets)
        track = np.repeat(np.arange(len(references), dtype=np.int32), lengths)
        frame = np.arange(len(references.codes)) - references.offsets[:-1].repeat(lengths)
        use = (frame % STEP == 0) & (references.codes != SILENT)
        codes, track, frame = references.codes[use], track[use], frame[use].astype(np.int32)
        order = np.argsort(codes, kind="stable")  # equal codes stay in order of track and frame
        codes, track, frame = codes[order], track[order], frame[order]
        rare = _is_rare(codes, MAX_IN_INDEX) & _is_rare(_pairs(codes, track), MAX_IN_TRACK)
        self.codes, self.track, self.frame = codes[rare], track[rare], frame[rare]

    def matches(self, queries: Fingerprints, *, within: bool = False) -> Iterator[Match]:
        """Yield every pair of a query and a reference of the same recording.

        Args:
            queries: fingerprints of the tracks to look up.
            within: the queries are the references themselves, so each pair is compared once.
        """
        for query, reference, offsets in self._candidates(queries, within):
            alignment = compare(queries.track(query), self.references.track(reference), offsets)
            if alignment is not None:
                yield Match(query, reference, *alignment)

    def _candidates(
        self, queries: Fingerprints, within: bool
    ) -> Iterator[tuple[int, int, list[int]]]:
        """Yield each pair with enough votes: query, reference, and its most likely offsets."""
        lengths = np.diff(queries.offsets)
        track = np.repeat(np.arange(len(queries), dtype=np.int64), lengths)
        frame = np.arange(len(queries.codes)) - queries.offsets[:-1].repeat(lengths)
        left = np.searchsorted(self.codes, queries.codes, side="left")
        hits = np.searchsorted(self.codes, queries.codes, side="right") - left
        hits[queries.codes == SILENT] = 0
        source = np.repeat(np.arange(len(queries.codes)), hits)  # row of the query's code
        entry = np.arange(len(source)) - np.repeat(np.cumsum(hits) - hits, hits) + left[source]
        query, reference = track[source], self.track[entry].astype(np.int64)
        offset = self.frame[entry] - frame[source]
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
        following = np.zeros_like(votes)  # votes of the next bin, as a peak may lie on the edge
        beside = np.flatnonzero(np.diff(keys) == 1)
        following[beside] = votes[beside + 1]
        enough = votes + following >= MIN_VOTES
        keys, votes = keys[enough], (votes + following)[enough]
        order = np.lexsort((keys, -votes, keys // n_bins))
        keys = keys[order]
        pairs, first, count = np.unique(keys // n_bins, return_index=True, return_counts=True)
        for pair, start, places in zip(pairs.tolist(), first.tolist(), count.tolist(), strict=True):
            offsets = keys[start : start + min(places, PLACES)] % n_bins * BIN_FRAMES + lowest
            yield *divmod(pair, len(self.references)), offsets.tolist()


def compare(
    query: NDArray[np.uint32], reference: NDArray[np.uint32], offsets: list[int]
) -> tuple[int, int, float] | None:
    """Decide whether two tracks are the same recording, at one of these offsets or close to it.

    Args:
        query, reference: uint32 `[frame]`, the codes of each track.
        offsets: candidates; frame t of the query may be frame t + offset of the reference.

    Returns:
        The offset in frames, the overlap in frames and the bit error rate; None if the recordings
        differ.
    """
    near = {o + d for o in offsets for d in range(-SEARCH_FRAMES, SEARCH_FRAMES + BIN_FRAMES * 2)}
    best = min((_overlap(query, reference, offset) for offset in sorted(near)), key=_error)
    errors, offset, overlap = best
    same = (
        len(errors) >= MIN_OVERLAP_S * FRAMES_PER_SECOND
        and overlap >= MIN_OVERLAP_SHARE * min(len(query), len(reference))
        and len(errors) >= MIN_COMPARED_SHARE * overlap
        and _error(best) <= MAX_ERROR
        and _worse_blocks(errors) <= MAX_BLOCK_ERROR
        and _distinct(query, reference, offset) >= MIN_DISTINCT_CODES
    )
    return (offset, overlap, _error(best)) if same else None


def _overlap(
    query: NDArray[np.uint32], reference: NDArray[np.uint32], offset: int
) -> tuple[NDArray[np.uint8], int, int]:
    """Wrong bits of each frame in which neither is `SILENT`; the offset; frames of overlap."""
    ours, theirs = _align(query, reference, offset)
    comparable = (ours != SILENT) & (theirs != SILENT)
    return np.bitwise_count(ours[comparable] ^ theirs[comparable]), offset, len(ours)


def _align(
    query: NDArray[np.uint32], reference: NDArray[np.uint32], offset: int
) -> tuple[NDArray[np.uint32], NDArray[np.uint32]]:
    """The overlapping codes of both tracks."""
    start, stop = max(0, -offset), max(0, min(len(query), len(reference) - offset))
    return query[start:stop], reference[start + offset : max(start, stop) + offset]


def _error(overlap: tuple[NDArray[np.uint8], int, int]) -> float:
    """The bit error rate; 0.5, as for different music, if too few frames can be compared."""
    errors, _, _ = overlap
    if len(errors) < MIN_OVERLAP_S * FRAMES_PER_SECOND:
        return 0.5
    return float(errors.mean(dtype=np.float64)) / N_BITS


def _worse_blocks(errors: NDArray[np.uint8]) -> float:
    """The bit error rate that 90 % of the blocks do not exceed."""
    blocks = np.array_split(errors, max(1, len(errors) // BLOCK_FRAMES))
    return float(np.quantile([block.mean() / N_BITS for block in blocks], 0.9))


def _distinct(query: NDArray[np.uint32], reference: NDArray[np.uint32], offset: int) -> int:
    """Number of different codes but `SILENT` in the overlap, of the track that has fewer."""
    sides = (np.unique(side) for side in _align(query, reference, offset))
    return min(int((codes != SILENT).sum()) for codes in sides)


def _is_rare(keys: NDArray, limit: int) -> NDArray[np.bool_]:
    """For each of the sorted keys, whether it occurs at most `limit` times."""
    starts = np.flatnonzero(np.diff(keys, prepend=keys[:1] + np.ones(1, keys.dtype)))
    counts = np.diff(np.append(starts, len(keys)))
    return np.repeat(counts <= limit, counts)


def _pairs(codes: NDArray[np.uint32], track: NDArray[np.int32]) -> NDArray[np.uint64]:
    """Code and track in one number."""
    return codes.astype(np.uint64) << np.uint64(32) | track.astype(np.uint64)
