"""The lists of the nearest tracks of every track, built once and updated with new tracks.

Hubs are avoided by local scaling (`ml/similarity/hubness.py`) on a candidate list: the nearest
tracks by cosine similarity are the candidates, and the rescaled similarity orders them.

The scale of a track is computed when the track arrives, and stays. New tracks are therefore
compared with all tracks once, and an older list changes only where a new track is nearer than its
last one.
"""

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from melgraph.ml.similarity.hubness import rescaled, scales

CANDIDATES = 100  # nearest tracks by cosine similarity, which local scaling puts in order
_AT_ONCE = 1024  # queries of one search
_NEW_AT_ONCE = 256  # new tracks that are compared with a block of all tracks

Rows = NDArray[np.int64]
Floats = NDArray[np.float32]
Mask = NDArray[np.bool_]
Progress = Callable[[int, int], None]


class Searchable(Protocol):
    """Unit vectors that can be searched, for example `storage.vector_index.VectorIndex`."""

    def __len__(self) -> int: ...

    def vectors(self, rows: Rows) -> Floats:
        """The vectors of some rows."""
        ...

    def blocks(self) -> Iterator[tuple[int, Floats]]:
        """All vectors in blocks, each with its first row."""
        ...

    def search(
        self, queries: NDArray[np.floating[Any]], k: int, allowed: Mask | None = None
    ) -> tuple[Rows, Floats]:
        """Rows and similarities of the `k` nearest vectors of each query."""
        ...


@dataclass
class NeighbourLists:
    """The lists of all tracks, in the order of the rows of an index.

    Attributes:
        rows: int64 `[track, k]`, the rows of the nearest tracks, nearest first; -1 at the end of a
            short list.
        similarities: float32 `[track, k]`, their cosine similarities; NaN at the end.
        scores: float32 `[track, k]`, their rescaled similarities, in descending order; NaN at the
            end.
        scales: float32 `[track]`, the scale of each track; NaN if it has no list, or if it is the
            only track.
        horizons: float32 `[track]`, the similarity of the last candidate: tracks that are less
            similar are not considered. -1 if all tracks were candidates, NaN without a list.
    """

    rows: Rows
    similarities: Floats
    scores: Floats
    scales: Floats
    horizons: Floats

    @classmethod
    def empty(cls, n_tracks: int, k: int) -> "NeighbourLists":
        """Lists without a track."""
        return cls(
            np.full((n_tracks, k), -1, np.int64),
            np.full((n_tracks, k), np.nan, np.float32),
            np.full((n_tracks, k), np.nan, np.float32),
            np.full(n_tracks, np.nan, np.float32),
            np.full(n_tracks, np.nan, np.float32),
        )


def build_lists(
    index: Searchable,
    live: Mask,
    recordings: Rows,
    k: int,
    progress: Progress | None = None,
) -> NeighbourLists:
    """The lists of all live tracks.

    Each recording is in a list once, by its nearest track, and the recording of the track itself is
    not. Tracks whose similarity is not positive are in no list.

    Args:
        index: the vectors of all tracks.
        live: bool `[track]`, the tracks that have lists and are in lists.
        recordings: int64 `[track]`; tracks of one recording have the same number.
        k: length of a list.
        progress: called with the number of finished tracks and of all tracks.
    """
    lists = NeighbourLists.empty(len(index), k)
    return _search_lists(index, live, recordings, lists, np.flatnonzero(live), progress)


def update_lists(
    index: Searchable,
    live: Mask,
    recordings: Rows,
    before: NeighbourLists,
    recordings_before: Rows,
    progress: Progress | None = None,
) -> tuple[NeighbourLists, int]:
    """The lists after tracks have arrived or disappeared, and the number of lists that changed.

    New tracks are searched. A list of an older track is searched again if one of its tracks has
    disappeared or has become a copy. Into any other list, new tracks are inserted where they are
    nearer than its last one. The scales of older tracks do not change.

    Args:
        index: the vectors of all tracks.
        live: bool `[track]`, the tracks that have lists and are in lists from now on.
        recordings: int64 `[track]`; tracks of one recording have the same number.
        before: the lists before, in the order of the rows of `index`.
        recordings_before: int64 `[track]`, the recordings when these lists were built.
        progress: called with the number of finished tracks and of all new tracks.
    """
    lists = NeighbourLists(*(array.copy() for array in vars(before).values()))
    gone = ~live & ~np.isnan(lists.scales)
    for array in (lists.similarities, lists.scores, lists.scales, lists.horizons):
        array[gone] = np.nan
    lists.rows[gone] = -1
    is_new = live & np.isnan(lists.scales)
    # Tracks that are no copies of each other any more can be in lists that they were not in.
    arriving = is_new | (live & _was_split(recordings_before, recordings))
    broken = live & _is_broken(lists.rows, live, recordings)
    anew = np.flatnonzero(arriving | broken)
    lists = _search_lists(index, live, recordings, lists, anew, progress)
    older, new = live & ~arriving & ~broken, np.flatnonzero(arriving)
    n_changed = len(anew)
    for start in range(0, len(new), _NEW_AT_ONCE):
        n_changed += _insert(index, older, recordings, lists, new[start : start + _NEW_AT_ONCE])
    return lists, n_changed


def _was_split(before: Rows, after: Rows) -> Mask:
    """bool `[track]`: whether a track of the same recording has a different recording now."""
    _, group = np.unique(before, return_inverse=True)
    n_groups = int(group.max()) + 1 if len(group) else 0
    smallest = np.full(n_groups, np.iinfo(np.int64).max)
    largest = np.full(n_groups, np.iinfo(np.int64).min)
    np.minimum.at(smallest, group, after)
    np.maximum.at(largest, group, after)
    split: Mask = (smallest != largest)[group]
    return split


def _is_broken(rows: Rows, live: Mask, recordings: Rows) -> Mask:
    """Whether a list holds a track that has disappeared, or a recording that must not be in it."""
    present = rows >= 0
    if not len(rows):
        return np.zeros(0, bool)
    of_rows = np.where(present, recordings[rows], -1 - np.arange(rows.shape[1]))
    in_order = np.sort(of_rows, axis=1)
    repeated = (in_order[:, 1:] == in_order[:, :-1]).any(axis=1)
    own = (of_rows == recordings[: len(rows), None]).any(axis=1)
    broken: Mask = (present & ~live[rows]).any(axis=1) | repeated | own
    return broken


def _search_lists(
    index: Searchable,
    live: Mask,
    recordings: Rows,
    lists: NeighbourLists,
    queries: Rows,
    progress: Progress | None,
) -> NeighbourLists:
    """Write the lists of some tracks into `lists`, and the scales of those that have none yet."""
    n_candidates = min(CANDIDATES, max(int(live.sum()) - 1, 0))
    lists.rows[queries] = -1
    lists.scores[queries] = lists.similarities[queries] = np.nan
    if not n_candidates or not len(queries):
        return lists
    # All scales have to be known before the first list is ordered. The candidates would fill the
    # memory of a laptop in between, so they are in a file that has no name.
    with tempfile.TemporaryFile() as file:
        shape = (len(queries), n_candidates)
        pairs = np.memmap(file, [("row", "<i8"), ("similarity", "<f4")], "w+", shape=shape)
        for start in range(0, len(queries), _AT_ONCE):
            part = queries[start : start + _AT_ONCE]
            rows, similarities = _candidates(index, live, part, n_candidates)
            pairs["row"][start : start + _AT_ONCE] = rows
            pairs["similarity"][start : start + _AT_ONCE] = similarities
            without = np.isnan(lists.scales[part])
            lists.scales[part[without]] = scales(similarities[without])
            cut = similarities[:, -1] if n_candidates == CANDIDATES else np.float32(-1)
            lists.horizons[part] = np.where(np.isnan(cut), -1, cut)
            if progress is not None:
                progress(min(start + _AT_ONCE, len(queries)), len(queries))
        for start in range(0, len(queries), _AT_ONCE):
            part = queries[start : start + _AT_ONCE]
            rows = pairs["row"][start : start + _AT_ONCE]
            similarities = pairs["similarity"][start : start + _AT_ONCE]
            _write_nearest(lists, recordings, part, rows, similarities)
        del pairs
    _fill_short_lists(index, live, recordings, lists, queries, n_candidates)
    return lists


def _candidates(index: Searchable, live: Mask, queries: Rows, n: int) -> tuple[Rows, Floats]:
    """The `n` nearest live tracks of some tracks, without the track itself."""
    rows, similarities = index.search(index.vectors(queries), n + 1, live)
    itself = rows == queries[:, None]
    itself[~itself.any(axis=1), -1] = True  # an approximate search may miss it
    shape = (len(queries), n)
    return rows[~itself].reshape(shape), similarities[~itself].reshape(shape)


def _fill_short_lists(
    index: Searchable,
    live: Mask,
    recordings: Rows,
    lists: NeighbourLists,
    queries: Rows,
    n_candidates: int,
) -> None:
    """Search further where most of the candidates are copies of each other."""
    n_others = int(live.sum()) - 1
    while n_candidates < n_others:
        short = queries[lists.rows[queries, -1] < 0]
        short = short[lists.horizons[short] > 0]
        if not len(short):
            return
        n_candidates = min(4 * n_candidates, n_others)
        at_once = max(1, _AT_ONCE * CANDIDATES // n_candidates)  # as much memory as above
        for start in range(0, len(short), at_once):
            part = short[start : start + at_once]
            rows, similarities = _candidates(index, live, part, n_candidates)
            cut = similarities[:, -1] if n_candidates < n_others else np.float32(-1)
            lists.horizons[part] = np.where(np.isnan(cut), -1, cut)
            _write_nearest(lists, recordings, part, rows, similarities)


def _write_nearest(
    lists: NeighbourLists, recordings: Rows, queries: Rows, rows: Rows, similarities: Floats
) -> None:
    """Order the candidates of some tracks by their scores, and write the best into `lists`."""
    exists = rows >= 0
    scores = rescaled(
        similarities, lists.scales[queries][:, None], np.where(exists, lists.scales[rows], np.nan)
    ).astype(np.float32)
    scores[~exists | ~(similarities > 0)] = np.nan
    scores[recordings[rows] == recordings[queries][:, None]] = np.nan
    # Nearest first; equal scores by row, so that the order of the candidates does not matter.
    order = np.lexsort((rows, np.where(np.isnan(scores), np.inf, -scores)), axis=1)
    rows, scores, similarities = _in_order(order, rows, scores, similarities)
    scores[_repeats(recordings[rows])] = np.nan
    k = lists.rows.shape[1]
    first = np.argsort(np.isnan(scores), axis=1, kind="stable")[:, :k]
    rows, scores, similarities = _in_order(first, rows, scores, similarities)
    absent, width = np.isnan(scores), rows.shape[1]
    lists.rows[queries] = -1
    lists.scores[queries] = lists.similarities[queries] = np.nan
    lists.rows[queries, :width] = np.where(absent, -1, rows)
    lists.scores[queries, :width] = scores
    lists.similarities[queries, :width] = np.where(absent, np.nan, similarities)


def _in_order(
    order: Rows, rows: Rows, scores: Floats, similarities: Floats
) -> tuple[Rows, Floats, Floats]:
    return (
        np.take_along_axis(rows, order, axis=1),
        np.take_along_axis(scores, order, axis=1),
        np.take_along_axis(similarities, order, axis=1),
    )


def _repeats(values: Rows) -> Mask:
    """bool `[n, m]`: whether a value is in an earlier column of its row."""
    order = np.argsort(values, axis=1, kind="stable")
    in_order = np.take_along_axis(values, order, axis=1)
    same = np.zeros(values.shape, bool)
    same[:, 1:] = in_order[:, 1:] == in_order[:, :-1]
    repeats = np.empty(values.shape, bool)
    np.put_along_axis(repeats, order, same, axis=1)
    return repeats


def _insert(
    index: Searchable, older: Mask, recordings: Rows, lists: NeighbourLists, new: Rows
) -> int:
    """Insert new tracks into older lists. Returns the number of lists that changed."""
    vectors, new_scales = index.vectors(new), lists.scales[new]
    # The last score of a full list; a new track must be better.
    last = np.where(np.isnan(lists.scores[:, -1]), -np.inf, lists.scores[:, -1])
    tracks, numbers = [], []
    for start, block in index.blocks():
        part = slice(start, start + len(block))
        similarities = block @ vectors.T
        # Within the rounding errors of float32; the exact comparison follows.
        near = (similarities >= lists.horizons[part, None] - 1e-5) & (similarities > 0)
        near &= older[part, None]
        track, number = np.nonzero(near)
        scores = rescaled(
            similarities[track, number], lists.scales[part][track], new_scales[number]
        )
        better = scores >= last[part][track] - 1e-3 * np.abs(scores)
        tracks.append(track[better] + start)
        numbers.append(number[better])
    track, number = np.concatenate(tracks), np.concatenate(numbers)
    pair = index.vectors(track).astype(np.float64) * vectors[number]
    similarities = pair.sum(axis=1).astype(np.float32)
    inside = similarities >= lists.horizons[track]
    track, number, similarities = track[inside], number[inside], similarities[inside]
    return _merge(lists, recordings, track, new[number], similarities)


def _merge(
    lists: NeighbourLists, recordings: Rows, tracks: Rows, rows: Rows, similarities: Floats
) -> int:
    """Merge pairs of a track and a new candidate of it into the lists."""
    changing, number, counts = np.unique(tracks, return_inverse=True, return_counts=True)
    if not len(changing):
        return 0
    order = np.argsort(number, kind="stable")
    place = np.arange(len(order)) - np.repeat(np.cumsum(counts) - counts, counts)
    width = int(counts.max())
    more_rows = np.full((len(changing), width), -1, np.int64)
    more_similarities = np.full((len(changing), width), np.nan, np.float32)
    more_rows[number[order], place] = rows[order]
    more_similarities[number[order], place] = similarities[order]
    before = lists.rows[changing]
    _write_nearest(
        lists,
        recordings,
        changing,
        np.concatenate([before, more_rows], axis=1),
        np.concatenate([lists.similarities[changing], more_similarities], axis=1),
    )
    return int((lists.rows[changing] != before).any(axis=1).sum())
