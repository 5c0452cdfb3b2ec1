"""Splits of a dataset that no recording, artist or duplicate straddles.

Tracks that belong together (same artist, same recording) are joined by edges; the connected
components of the union of all edges are assigned to the splits as wholes.

Why not simply hash a component's name to a split? A hash fills the quotas only on average, and a
library has too few artists, of too unequal size, for averages: with 31 artists, hashing left a
whole class out of the test split in more than half of the seeds. Components are instead placed one
by one, rarest class and biggest component first, where their classes are lacking most (iterative
stratification, Sechidis et al. 2011, section 3, applied to whole components), then moved singly as
long as that brings the split nearer to its quotas. The stability that hashing gives is had
otherwise: the parent snapshot's assignments are frozen by track id, only new components are placed.

When growth shows that the parent leaks: a track can arrive that connects two components of which
the parent put one in `train` and one in `test`. The parent's tracks keep their splits (earlier
results stay comparable), the newcomers are left out ("bridges train and test"), and the two old
parts are reported by `leakage` although nothing changed for them: they are now known to belong
together, so every figure of the parent was measured across that leak. A check that demands no leak
will fail, and should. The way out is a new snapshot without a parent.
"""

import hashlib
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from ml.errors import UserError

TRAIN = "train"
"""The split that must know every class which is asked for elsewhere."""

MAX_PASSES = 20
"""Rounds of single moves after the first placing; real libraries settle within three."""


@dataclass(frozen=True)
class Leak:
    """One component with tracks in more than one split.

    Attributes:
        group: the component's number, as given in `groups`.
        rows: the split's name -> the rows of its tracks, in ascending order.
    """

    group: int
    rows: Mapping[str, tuple[int, ...]]


@dataclass(frozen=True)
class SplitResult:
    """The split of every track, in the order of the rows given.

    Attributes:
        splits: the split's name, or None for a track that was left out.
        reasons: why a track was left out; None for every track that has a split.
        policy: `grouped`, or `leaky` where components were ignored.
        leaks: `leakage(splits, groups)`. Under `grouped` these can only come from the parent.
    """

    splits: tuple[str | None, ...]
    reasons: tuple[str | None, ...]
    policy: Literal["grouped", "leaky"]
    leaks: tuple[Leak, ...]

    def counts(self, labels: Sequence[str]) -> dict[str, dict[str, int]]:
        """Number of tracks: class -> split -> number; splits without tracks are absent."""
        table: dict[str, Counter[str]] = {label: Counter() for label in sorted(set(labels))}
        for label, split in zip(labels, self.splits, strict=True):
            if split is not None:
                table[label][split] += 1
        return {label: dict(sorted(row.items())) for label, row in table.items()}


def components(n: int, edges: Iterable[tuple[int, int]]) -> NDArray[np.int64]:
    """Connected components of `n` tracks.

    Args:
        n: number of tracks.
        edges: pairs of rows that belong together; repeats and self-loops do no harm.

    Returns:
        int64 [n]: the component of each row, numbered from 0 in the order of their smallest member.

    Raises:
        ValueError: an edge names a row outside 0 .. n-1.
    """
    pairs = np.array(list(edges), dtype=np.int64).reshape(-1, 2)
    if pairs.size and (pairs.min() < 0 or pairs.max() >= n):
        raise ValueError(f"edges name rows {pairs.min()}..{pairs.max()}, there are {n} tracks")
    if n == 0:
        return np.zeros(0, dtype=np.int64)
    graph = coo_array(
        (np.ones(len(pairs), dtype=np.int8), (pairs[:, 0], pairs[:, 1])), shape=(n, n)
    )
    _, found = connected_components(graph, directed=False)
    _, first, inverse = np.unique(found, return_index=True, return_inverse=True)
    rank = np.empty(len(first), dtype=np.int64)
    rank[np.argsort(first)] = np.arange(len(first))
    return rank[inverse]


def edges_from_keys(keys: Sequence[str | None]) -> list[tuple[int, int]]:
    """Edges that join rows of equal key (artist, duplicate cluster, ...); None joins nothing."""
    first: dict[str, int] = {}
    edges = []
    for row, key in enumerate(keys):
        if key is not None:
            anchor = first.setdefault(key, row)
            if anchor != row:
                edges.append((anchor, row))
    return edges


def name_edges(paths: Sequence[str]) -> list[tuple[int, int]]:
    """Edges between files that their names make versions of one recording.

    Two files of one folder are joined when their stems are equal (`a.wav`, `a.flac`), or one stem
    continues the other behind a separator, any character that is no letter or digit:
    `blues.00000` and `blues.00000.crop`, `01 Intro` and `01 Intro (live)`; but not `blues.0000`
    and `blues.00001`, nor `Track 1` and `Track 10`. Letter case and Unicode composition do not
    matter. The rule errs on the side of joining (`Prelude` and `Prelude No. 2`): a false merge
    costs a little freedom in splitting, a missed version is a leak.

    Args:
        paths: path or URL of each track with `/` between folders.
    """
    stems: dict[tuple[str, str], int] = {}
    edges = []
    keys = [_folder_and_stem(path) for path in paths]
    for row, key in enumerate(keys):
        anchor = stems.setdefault(key, row)
        if anchor != row:
            edges.append((anchor, row))
    for (folder, stem), row in stems.items():
        # The longest stem it continues is enough: that one is joined to the shorter ones itself.
        for end in range(len(stem) - 1, 0, -1):
            if not stem[end].isalnum() and (folder, stem[:end]) in stems:
                edges.append((stems[folder, stem[:end]], row))
                break
    return edges


def _folder_and_stem(path: str) -> tuple[str, str]:
    folder, _, name = path.rpartition("/")
    stem, dot, suffix = name.rpartition(".")
    # `.flac` and `.3gp` are extensions; `.00000` (blues.00000) and `. Intro` (01. Intro) are not.
    is_extension = suffix.isalnum() and len(suffix) <= 5 and not suffix.isdecimal()
    kept = stem if dot and stem and is_extension else name
    return folder, unicodedata.normalize("NFC", kept).casefold()


def leakage(splits: Sequence[str | None], groups: NDArray[np.int64]) -> list[Leak]:
    """Components found in more than one split; an empty list is a clean split.

    Tracks without a split (None) are in nobody's training or test and do not count, but they still
    connect: two included tracks of one component leak although what joins them was left out.

    Args:
        splits: split's name per row, None for a track left out.
        groups: int [n], the component of each row.
    """
    rows: dict[int, dict[str, list[int]]] = {}
    for row, (split, group) in enumerate(zip(splits, np.asarray(groups).tolist(), strict=True)):
        if split is not None:
            rows.setdefault(group, {}).setdefault(split, []).append(row)
    return [
        Leak(group, {split: tuple(members) for split, members in sorted(by_split.items())})
        for group, by_split in sorted(rows.items())
        if len(by_split) > 1
    ]


def min_groups_per_class(
    labels: Sequence[str],
    groups: NDArray[np.int64],
    *,
    minimum: int = 3,
    where: str = "the labels of the dataset",
) -> list[str | None]:
    """Which tracks must be left out, as their class has too few components to be split.

    Args:
        labels: class of each track.
        groups: int [n], component of each track.
        minimum: components a class needs: as many as there are splits.
        where: the place to name in an error.

    Returns:
        The reason per row; None for a track that can stay.

    Raises:
        UserError: fewer than two classes remain: nothing is left to tell apart.
    """
    found: dict[str, set[int]] = {}
    for label, group in zip(labels, np.asarray(groups).tolist(), strict=True):
        found.setdefault(label, set()).add(group)
    kept = sorted(label for label in found if len(found[label]) >= minimum)
    if len(kept) < 2:
        table = ", ".join(f"{label}: {len(found[label])}" for label in sorted(found)) or "no tracks"
        raise UserError(
            f"{len(kept)} of {len(found)} classes can be split: each needs {minimum} independent "
            f"groups of tracks, found {table}",
            where=where,
            remedy="add recordings of other artists to the small classes, or use a coarser label",
        )
    return [
        None
        if label in kept
        else f"class {label!r} has {len(found[label])} independent groups, {minimum} are needed"
        for label in labels
    ]


def grouped_split(
    labels: Sequence[str],
    groups: NDArray[np.int64],
    *,
    track_ids: Sequence[str],
    fractions: Mapping[str, float],
    seed: int,
    parent: Mapping[str, str | None] | None = None,
) -> SplitResult:
    """Assign whole components to splits, filling the quotas of each class.

    - A class with as many components as there are splits is found in every split, one with fewer
      in as many as it has, `train` first. Components of several classes can make that impossible;
      then single moves close what gaps they can.
    - `train` knows every class of the new tracks in other splits: a component that is the last
      hope of a class goes to `train`; a new track bound to a frozen component elsewhere, whose
      class `train` lacks, is left out with that reason.
    - Only ids, labels, components, seed and parent matter, never the order of the rows.
    - Tracks with a split in `parent` keep it. New tracks of their component follow them, or are
      left out where the component bridges two splits (see the module's description).

    Args:
        labels: class of each track.
        groups: int [n], component of each track; the numbers themselves do not matter.
        track_ids: a stable id per track, no two alike.
        fractions: split -> share of the tracks, positive, of sum 1; one split is called `train`.
        seed: decides between components, and between splits, that are otherwise equal.
        parent: track id -> split in the parent snapshot. A split None freezes nothing; ids that
            are no longer there are ignored.

    Raises:
        UserError: the fractions are no split, or the parent has a split that they do not name.
        ValueError: labels, groups and ids are not of one length, or an id is repeated.
    """
    splits, reasons = _split(labels, groups, track_ids, fractions, seed, parent or {})
    return SplitResult(splits, reasons, "grouped", tuple(leakage(splits, groups)))


def random_split(
    labels: Sequence[str],
    groups: NDArray[np.int64],
    *,
    track_ids: Sequence[str],
    fractions: Mapping[str, float],
    seed: int,
    parent: Mapping[str, str | None] | None = None,
) -> SplitResult:
    """The policy `leaky`: tracks at random within each class, components ignored.

    For measuring what leakage is worth, and for nothing else. Arguments and errors as of
    `grouped_split`; `groups` only serves to list the leaks.
    """
    alone = np.arange(len(labels), dtype=np.int64)
    splits, reasons = _split(labels, alone, track_ids, fractions, seed, parent or {})
    return SplitResult(splits, reasons, "leaky", tuple(leakage(splits, groups)))


@dataclass
class _Component:
    """Tracks that move together. `sizes` counts those to be assigned: (class, tracks), sorted."""

    key: str = ""
    rows: list[int] = field(default_factory=list)
    frozen: set[str] = field(default_factory=set)
    sizes: list[tuple[int, int]] = field(default_factory=list)
    split: int = -1


def _split(
    labels: Sequence[str],
    groups: NDArray[np.int64],
    track_ids: Sequence[str],
    fractions: Mapping[str, float],
    seed: int,
    parent: Mapping[str, str | None],
) -> tuple[tuple[str | None, ...], tuple[str | None, ...]]:
    """Splits and reasons per row; see `grouped_split`."""
    _check_arguments(labels, groups, track_ids, fractions)
    frozen = {track: split for track in track_ids if (split := parent.get(track)) is not None}
    _check_parent(frozen, fractions)
    names = list(fractions)
    splits: list[str | None] = [frozen.get(track) for track in track_ids]
    reasons: list[str | None] = [None] * len(track_ids)

    classes = {label: number for number, label in enumerate(sorted(set(labels)))}
    free: list[_Component] = []
    state = _Quotas(len(classes), list(fractions.values()), names.index(TRAIN))
    for part in _gather(groups, track_ids, frozen):
        newcomers = [row for row in part.rows if splits[row] is None]
        if len(part.frozen) > 1:
            reason = "bridges " + " and ".join(name for name in names if name in part.frozen)
            for row in newcomers:
                reasons[row] = reason
        elif part.frozen:
            for row in newcomers:
                splits[row] = next(iter(part.frozen))
        else:
            part.sizes = sorted(Counter(classes[labels[row]] for row in part.rows).items())
            free.append(part)
        for name in part.frozen:
            held = Counter(classes[labels[row]] for row in part.rows if splits[row] == name)
            state.put(sorted(held.items()), names.index(name))

    _place(free, state, seed)
    for part in free:
        for row in part.rows:
            splits[row] = names[part.split]

    trained = {label for label, split in zip(labels, splits, strict=True) if split == TRAIN}
    for row, track in enumerate(track_ids):
        if splits[row] is not None and labels[row] not in trained and track not in frozen:
            reasons[row] = f"belongs to tracks in {splits[row]}, and {TRAIN} has no {labels[row]!r}"
            splits[row] = None
    return tuple(splits), tuple(reasons)


def _gather(
    groups: NDArray[np.int64], track_ids: Sequence[str], frozen: Mapping[str, str]
) -> list[_Component]:
    found: dict[int, _Component] = {}
    for row, group in enumerate(np.asarray(groups).tolist()):
        part = found.setdefault(group, _Component())
        part.rows.append(row)
        if track_ids[row] in frozen:
            part.frozen.add(frozen[track_ids[row]])
    for part in found.values():
        part.key = min(track_ids[row] for row in part.rows)
    return list(found.values())


class _Quotas:
    """How many tracks of each class every split holds, and should hold."""

    def __init__(self, n_classes: int, shares: list[float], train: int) -> None:
        self.shares, self.train = shares, train
        self.held = [[0] * n_classes for _ in shares]
        self.totals = [0] * n_classes  # tracks of the class, placed or not
        self.parts = [0] * n_classes  # components (frozen parts included) with the class

    def expect(self, part: _Component) -> None:
        """Count a free component in before anything is placed."""
        for kind, size in part.sizes:
            self.totals[kind] += size
            self.parts[kind] += 1

    def put(self, sizes: list[tuple[int, int]], split: int) -> None:
        """Count in what the parent froze."""
        for kind, size in sizes:
            self.held[split][kind] += size
            self.totals[kind] += size
            self.parts[kind] += 1

    def shift(self, part: _Component, split: int, *, sign: int) -> None:
        for kind, size in part.sizes:
            self.held[split][kind] += sign * size

    def lack(self, part: _Component, split: int) -> float:
        """What the split lacks of the component's classes, each in shares of the class.

        Placing where this is greatest lowers sum((held - wanted)^2 / total) over splits and classes
        the most: the square of the component's own size is the same everywhere.
        """
        share, held = self.shares[split], self.held[split]
        return sum(size * (share - held[kind] / self.totals[kind]) for kind, size in part.sizes)

    def gaps(self, part: _Component, split: int) -> tuple[int, int]:
        """Gaps it would close in the split: classes that train needs, classes missing here."""
        missing = [kind for kind, _ in part.sizes if self.held[split][kind] == 0]
        needed = len(missing) if split == self.train else 0
        return needed, len(missing)


def _place(free: list[_Component], state: _Quotas, seed: int) -> None:
    """Give every free component its split: greedily, then by single moves."""
    for part in free:
        state.expect(part)
    draw = {part.key: _draw(seed, part.key) for part in free}
    free.sort(
        key=lambda part: (
            min(state.parts[kind] for kind, _ in part.sizes),
            -sum(size for _, size in part.sizes),
            draw[part.key],
        )
    )
    every = range(len(state.shares))
    for part in free:
        part.split = max(
            every,
            key=lambda s: (state.lack(part, s), _draw(seed, part.key, s)),
        )
        state.shift(part, part.split, sign=1)

    for _ in range(MAX_PASSES):
        moved = False
        for part in reversed(free):  # the smallest first: they close a gap at the least cost
            state.shift(part, part.split, sign=-1)
            best = max(
                every,
                # Rounded: a difference in the last bit is no reason to move. Staying wins ties.
                key=lambda s: (state.gaps(part, s), round(state.lack(part, s), 9), s == part.split),
            )
            moved, part.split = moved or best != part.split, best
            state.shift(part, best, sign=1)
        if not moved:
            break


def _draw(seed: int, key: str, *more: int) -> bytes:
    """A number that depends on nothing but the seed and the names."""
    return hashlib.sha256(repr((seed, key, *more)).encode()).digest()


def _check_arguments(
    labels: Sequence[str],
    groups: NDArray[np.int64],
    track_ids: Sequence[str],
    fractions: Mapping[str, float],
) -> None:
    if not len(labels) == len(groups) == len(track_ids):
        raise ValueError(f"{len(labels)} labels, {len(groups)} groups, {len(track_ids)} track ids")
    if len(set(track_ids)) != len(track_ids):
        repeated = Counter(track_ids).most_common(1)[0][0]
        raise ValueError(f"track id {repeated!r} is given more than once")
    shares = list(fractions.values())
    if TRAIN not in fractions or not all(s > 0 for s in shares) or abs(sum(shares) - 1) > 1e-6:
        raise UserError(
            f"the fractions {dict(fractions)} are no split",
            where="the split's fractions",
            remedy=f"give positive shares that sum to 1, one of them for {TRAIN!r}; "
            "leave out a split that is not wanted",
        )


def _check_parent(frozen: Mapping[str, str], fractions: Mapping[str, float]) -> None:
    unknown = sorted(set(frozen.values()) - set(fractions))
    if unknown:
        raise UserError(
            f"the parent snapshot has tracks in {', '.join(unknown)}, "
            f"the fractions only name {', '.join(fractions)}",
            where="the split's fractions",
            remedy="name the parent's splits, or make a snapshot without a parent",
        )
