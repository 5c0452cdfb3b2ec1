"""A path from one track to another, on which each track sounds like the one before it.

The path is the one whose squared steps have the smallest sum, in a graph that connects each track
to its nearest neighbours in both directions. A step is the distance of two vectors of length 1, so
its square is `2 - 2 * cosine similarity`. With squares, two small steps cost less than one large
step. The path whose largest step is the smallest is no alternative: nothing limits its length.

The graph is read only where the path may lead: it grows around start and goal, nearest tracks first
(Pohl 1971, "Bi-directional search"), until both parts meet. In a large library they seldom meet,
because the number of tracks around a track grows fast. The graph therefore also grows around
points of the straight line between both, if the caller can search there. The path is then the best
one in the part that was read.
"""

import heapq
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import inf, isfinite

import numpy as np
from numpy.typing import NDArray
from scipy.cluster.hierarchy import DisjointSet
from scipy.sparse import csr_array
from scipy.sparse.csgraph import dijkstra

from melgraph.ml.errors import UserError

Neighbours = Callable[[list[int], int], Sequence[tuple[Sequence[int], Sequence[float]]]]
"""Rows and k -> for each row, its at most k nearest rows and their cosine similarities."""
Between = Callable[[float], Sequence[int]]
"""A share from 0 (the start) to 1 (the goal) -> the rows nearest to that point of the straight line
between both, the nearest first."""

NEIGHBOURS = (10, 40, 160)
"""Neighbours of each track at first, and later, until the graph connects start and goal."""
MOST_READ = 1000
"""Tracks whose neighbours are read at most, for each number of neighbours."""
MOST_BETWEEN = 100
"""The largest number of tracks between start and goal."""
N_SOURCES = 7
"""Points of the straight line between start and goal around which the graph is read as well."""
STRAIGHT_LENGTH = 8
"""Tracks between start and goal on the straight line, if no length is given."""

_Places = NDArray[np.int64]
_BATCH = 32  # tracks whose neighbours are read together
_SMALLEST = 1e-6  # square of a step: among equal vectors, the path with fewer steps is taken


@dataclass(frozen=True)
class Path:
    """Tracks from start to goal.

    Attributes:
        rows: the row of the start, the rows between, and the row of the goal; no row twice.
        reason: how the path differs from the requested one, as a sentence without a full stop;
            None if it does not differ.
    """

    rows: list[int]
    reason: str | None = None


def path(
    start: int,
    goal: int,
    neighbours_of: Neighbours,
    length: int | None = None,
    *,
    between: Between | None = None,
) -> Path:
    """A path from one track to another through neighbours.

    A path that is longer than `length` is replaced by the best one with fewer steps, or by the
    tracks nearest to the straight line. A path that is too short gets further tracks in its largest
    steps.

    Args:
        start, goal: rows of two tracks.
        neighbours_of: rows and k -> the neighbours of each row. Rows that must not be on the path
            are in none of these lists.
        length: number of tracks between start and goal, 0 .. `MOST_BETWEEN`; None: as many as the
            best path has.
        between: rows near the straight line from start to goal. It guides the search in a large
            library. If there is no path through neighbours, the path has these rows; without
            `between`, it then is one step.

    Raises:
        UserError: start and goal are one track, or the length is out of its range.
    """
    _check(start, goal, length)
    if length == 0:
        return Path([start, goal])
    best: list[int] = []
    sources = _sources(start, goal, between)
    for k in NEIGHBOURS:
        graph = _Graph(neighbours_of, k)
        if not graph.grow(sources):
            continue
        rows = graph.shortest(start, goal)
        if length is None:
            return Path(rows)
        best = best or rows
        if len(rows) - 2 > length:
            rows = graph.shortest_within(start, goal, length + 1)
        if rows:
            rows = graph.lengthen(rows, length)
            return Path(rows, _difference(len(rows) - 2, length))
    if not best or length is None:
        reason = f"no path through the {NEIGHBOURS[-1]} nearest neighbours of each track was found"
        return _straight(start, goal, length, between, reason)
    reason = f"no path through neighbours has only {_count(length)} between start and goal"
    if between is not None:
        return _straight(start, goal, length, between, reason)
    reason += f", so tracks were left out of one with {len(best) - 2}"
    return Path(_thin(best, length), reason)


class _Graph:
    """The part of the graph of nearest neighbours that was read."""

    def __init__(self, neighbours_of: Neighbours, k: int) -> None:
        self._neighbours_of, self._k = neighbours_of, k
        self._steps: dict[int, dict[int, float]] = {}  # row -> row -> square of the step
        self._is_read: set[int] = set()

    def grow(self, sources: Sequence[int]) -> bool:
        """Read the graph around all sources, until the first and the last are connected.

        It returns False if they are not.
        """
        costs = dict.fromkeys(sources, 0.0)  # of the path from the nearest source
        nearest = {source: source for source in sources}
        components = DisjointSet(sources)
        heap = [(0.0, source) for source in sorted(costs)]
        longest = 0.0  # cost of the longest path that connected two sources
        ends_meet = False
        while heap:
            cost, row = heapq.heappop(heap)
            # A better connection than each of these would have been read by now.
            if ends_meet and 2 * cost >= longest:
                break
            if cost > costs[row]:
                continue  # it was read at a lower cost
            if row not in self._is_read:
                if len(self._is_read) >= MOST_READ:
                    break
                # Searches are faster together, and rows near the top of the heap are likely next.
                self._read([row, *(one for _, one in heap[: _BATCH - 1])])
            for other, square in self._steps.get(row, {}).items():
                through = cost + square
                if not ends_meet and nearest.get(other, nearest[row]) != nearest[row]:
                    if components.merge(nearest[row], nearest[other]):
                        longest = max(longest, through + costs[other])
                    ends_meet = bool(components.connected(sources[0], sources[-1]))
                if through < costs.get(other, inf):
                    costs[other], nearest[other] = through, nearest[row]
                    heapq.heappush(heap, (through, other))
        return ends_meet

    def shortest(self, start: int, goal: int) -> list[int]:
        """The path of the smallest cost; start and goal are connected."""
        rows, sources, targets, squares = self._edges()
        matrix = csr_array((squares, (sources, targets)), shape=(len(rows), len(rows)))
        at = rows.index(start), rows.index(goal)
        _, before = dijkstra(matrix, indices=at[0], return_predecessors=True)
        places = [at[1]]
        while places[-1] != at[0]:
            places.append(int(before[places[-1]]))
        return [rows[place] for place in reversed(places)]

    def shortest_within(self, start: int, goal: int, n_steps: int) -> list[int]:
        """The path of the smallest cost with at most so many steps; empty if there is none."""
        rows, sources, targets, squares = self._edges()
        at = rows.index(start), rows.index(goal)
        costs = np.full(len(rows), np.inf)
        costs[at[0]] = 0.0
        before = [np.arange(len(rows))]  # of the path with 0, 1, ... steps to each row
        for _ in range(n_steps):
            through = costs[sources] + squares
            order = np.argsort(-through, kind="stable")  # the last value of a row stays: the least
            order = order[through[order] < costs[targets[order]]]
            costs, origin = costs.copy(), np.arange(len(rows))
            costs[targets[order]], origin[targets[order]] = through[order], sources[order]
            before.append(origin)
        if not np.isfinite(costs[at[1]]):
            return []
        places = [at[1]]
        for origin in reversed(before):
            if origin[places[-1]] != places[-1]:
                places.append(int(origin[places[-1]]))
        return [rows[place] for place in reversed(places)]

    def lengthen(self, rows: list[int], length: int) -> list[int]:
        """The path with further tracks in its largest steps, until it has so many between."""
        rows = list(rows)
        while len(rows) - 2 < length:
            self._read(rows)
            used = set(rows)
            steps = sorted(
                range(len(rows) - 1), key=lambda at: -self._steps[rows[at]][rows[at + 1]]
            )
            for at in steps:
                ends = self._steps[rows[at]], self._steps[rows[at + 1]]
                common = sorted((ends[0].keys() & ends[1].keys()) - used)
                if common:
                    nearest = min(common, key=lambda row: ends[0][row] + ends[1][row])
                    rows.insert(at + 1, nearest)
                    break
            else:
                break
        return rows

    def _read(self, rows: Sequence[int]) -> None:
        """Read the neighbours of the rows that were not read."""
        new = [row for row in dict.fromkeys(rows) if row not in self._is_read]
        if not new:
            return
        self._is_read.update(new)
        for row, (others, similarities) in zip(new, self._neighbours_of(new, self._k), strict=True):
            for other, similarity in zip(others, similarities, strict=True):
                other, similarity = int(other), float(similarity)
                if other != row and isfinite(similarity):
                    square = max(2.0 - 2.0 * similarity, _SMALLEST)
                    self._steps.setdefault(row, {})[other] = square
                    self._steps.setdefault(other, {})[row] = square

    def _edges(self) -> tuple[list[int], _Places, _Places, NDArray[np.float64]]:
        """Rows; and of each edge, the places of its ends among the rows, and its square."""
        rows = sorted(self._steps)
        places = {row: place for place, row in enumerate(rows)}
        edges = [
            (places[one], places[other], square)
            for one, steps in self._steps.items()
            for other, square in steps.items()
        ]
        sources, targets, squares = zip(*edges, strict=True)
        return rows, np.array(sources), np.array(targets), np.array(squares)


def _sources(start: int, goal: int, between: Between | None) -> list[int]:
    """Start, the tracks nearest to points of the straight line, and goal."""
    points = np.linspace(0, 1, N_SOURCES + 2)[1:-1].tolist() if between is not None else []
    nearest = [int(row) for at in points if between is not None for row in between(at)[:1]]
    return [start, *(row for row in dict.fromkeys(nearest) if row not in (start, goal)), goal]


def _thin(rows: list[int], length: int) -> list[int]:
    """So many of the tracks between, evenly."""
    places = np.linspace(0, len(rows) - 1, length + 2).round().astype(int)
    return [rows[place] for place in places]


def _straight(
    start: int, goal: int, length: int | None, between: Between | None, reason: str
) -> Path:
    """The tracks nearest to points on the straight line between two tracks."""
    if between is None:
        return Path([start, goal], f"{reason}, so it is one step from start to goal")
    n = STRAIGHT_LENGTH if length is None else length
    rows = [start]
    for point in range(1, n + 1):
        nearest = (int(row) for row in between(point / (n + 1)))
        rows += [row for row in nearest if row != goal and row not in rows][:1]
    return Path(
        [*rows, goal], f"{reason}, so it has the tracks nearest to the straight line between both"
    )


def _difference(n: int, length: int) -> str | None:
    if n == length:
        return None
    return (
        f"{_count(n)} instead of {length} between start and goal, because no others are neighbours"
    )


def _count(n: int) -> str:
    return f"{n} track{'' if n == 1 else 's'}"


def _check(start: int, goal: int, length: int | None) -> None:
    if start == goal:
        raise UserError(
            "start and goal are one track", where="the path", remedy="name two different tracks"
        )
    if length is not None and not 0 <= length <= MOST_BETWEEN:
        raise UserError(
            f"a path with {length} tracks between start and goal",
            where="the length of the path",
            remedy=f"ask for 0 to {MOST_BETWEEN} tracks",
        )
