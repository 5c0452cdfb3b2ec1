"""Assign the tracks of a dataset to splits such that related tracks are in the same split.

Tracks of the same artist or the same recording are connected by edges. Each connected component of
all edges is assigned to one split as a whole.

Why not hash the name of a component to a split? A hash fills the quotas only on average, and a
library has few artists of very different sizes: with 31 artists, hashing left a whole class out of
the test split for more than half of the seeds. Components are placed one at a time instead, rarest
class and largest component first, in the split that lacks their classes most (iterative
stratification, Sechidis et al. 2011, section 3, applied to whole components). Then single
components are moved as long as that brings the splits closer to their quotas. Assignments stay
stable when a library grows: those of the parent snapshot are frozen by track id, and only new
components are placed.

A new track can show that the parent snapshot leaks, because it connects one component in `train`
with another in `test`. The parent's tracks then keep their splits, so that earlier results stay
comparable. The new tracks are left out ("bridges train and test"). `leakage` reports the two old
components although their splits did not change: they turned out to belong together, so the results
on the parent were measured with that leak. A check that demands no leaks then fails, as it should.
To solve this, make a new snapshot without a parent.

New file metadata can connect two components of the parent as well. Then the side with the most
tracks whose metadata did not change keeps its tracks, and those of the other sides are left out
("retagged: bridges train and test").
"""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from melgraph.ml.errors import UserError
from melgraph.ml.splits.quotas import Component, Quotas, place

Labels = Sequence[str] | Sequence[tuple[str, ...]]
"""The class of each track, or the classes of each track if it may have several."""

RETAGGED = "retagged: "
"""How the reason begins if new metadata connects tracks of the parent in different splits."""

TRAIN = "train"
"""The split that must have tracks of every class that another split has."""


@dataclass(frozen=True)
class Leak:
    """One component with tracks in more than one split.

    Attributes:
        group: the component's number in `groups`.
        rows: name of a split -> rows of the component's tracks in it, in ascending order.
    """

    group: int
    rows: Mapping[str, tuple[int, ...]]


@dataclass(frozen=True)
class SplitResult:
    """The split of every track, in the order of the input.

    Attributes:
        splits: name of the split, or None for a track that was left out.
        reasons: why a track was left out; None for every track that has a split.
        policy: `grouped`; `leaky` if components were ignored; `official` for a published list.
        leaks: `leakage(splits, groups)`. With `grouped`, only the parent can cause leaks.
    """

    splits: tuple[str | None, ...]
    reasons: tuple[str | None, ...]
    policy: Literal["grouped", "leaky", "official"]
    leaks: tuple[Leak, ...]

    def counts(self, labels: Sequence[str]) -> dict[str, dict[str, int]]:
        """Number of tracks: class -> split -> number, without the splits that have no track."""
        table: dict[str, Counter[str]] = {label: Counter() for label in sorted(set(labels))}
        for label, split in zip(labels, self.splits, strict=True):
            if split is not None:
                table[label][split] += 1
        return {label: dict(sorted(row.items())) for label, row in table.items()}


def leakage(splits: Sequence[str | None], groups: NDArray[np.int64]) -> list[Leak]:
    """List the components that have tracks in more than one split.

    A track without a split (None) takes no part in training or test and causes no leak itself. It
    still connects other tracks: two tracks of its component leak if they are in different splits.

    Args:
        splits: name of each track's split; None for a track that was left out.
        groups: int [n], component of each track.
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


def grouped_split(
    labels: Labels,
    groups: NDArray[np.int64],
    *,
    track_ids: Sequence[str],
    fractions: Mapping[str, float],
    seed: int,
    parent: Mapping[str, str | None] | None = None,
    regrouped: Collection[str] = (),
) -> SplitResult:
    """Assign whole components to splits such that every split gets its quota of each class.

    - A class with at least as many components as there are splits is present in every split. A
      class with fewer components is present in that many splits, `train` first. If components
      with several classes make this impossible, single moves close the gaps that they can.
    - `train` has every class that new tracks have in other splits. The last component of a class
      that `train` lacks goes to `train`. A new track is left out with a reason if a frozen
      component binds it to another split and `train` lacks its class.
    - The result depends on ids, labels, components, seed and parent, but not on the order of rows.
    - Tracks with a split in `parent` keep it. New tracks of the same component get the same split,
      or are left out if the component has tracks in two splits (see the module's description).

    Args:
        labels: class of each track, or its classes (at least one). Each class has its own quota.
        groups: int [n], component of each track; the numbers themselves do not matter.
        track_ids: a stable id of each track, without repetition.
        fractions: split -> share of the tracks. Shares are positive and sum to 1, and one split is
            called `train`.
        seed: decides between components, and between splits, that are otherwise equal.
        parent: track id -> split in the parent snapshot. A track whose split is None is not
            frozen. Unknown ids are ignored.
        regrouped: ids of tracks that are connected to others than in the parent, because their
            metadata has changed.

    Raises:
        UserError: the fractions are invalid, or the parent has a split that they do not name.
        ValueError: labels, groups and ids differ in length, or an id is repeated.
    """
    splits, reasons = _split(labels, groups, track_ids, fractions, seed, parent or {}, regrouped)
    return SplitResult(splits, reasons, "grouped", tuple(leakage(splits, groups)))


def random_split(
    labels: Labels,
    groups: NDArray[np.int64],
    *,
    track_ids: Sequence[str],
    fractions: Mapping[str, float],
    seed: int,
    parent: Mapping[str, str | None] | None = None,
    regrouped: Collection[str] = (),
) -> SplitResult:
    """The policy `leaky`: assign tracks at random within each class, and ignore components.

    Use it only to measure the effect of leakage. Arguments and errors are those of
    `grouped_split`; `groups` serves to list the leaks.
    """
    alone = np.arange(len(labels), dtype=np.int64)
    splits, reasons = _split(labels, alone, track_ids, fractions, seed, parent or {}, regrouped)
    return SplitResult(splits, reasons, "leaky", tuple(leakage(splits, groups)))


def _split(
    labels: Labels,
    groups: NDArray[np.int64],
    track_ids: Sequence[str],
    fractions: Mapping[str, float],
    seed: int,
    parent: Mapping[str, str | None],
    regrouped: Collection[str],
) -> tuple[tuple[str | None, ...], tuple[str | None, ...]]:
    """Splits and reasons per row; see `grouped_split`."""
    _check_arguments(labels, groups, track_ids, fractions)
    frozen = {track: split for track in track_ids if (split := parent.get(track)) is not None}
    _check_parent(frozen, fractions)
    names = list(fractions)
    splits: list[str | None] = [frozen.get(track) for track in track_ids]
    reasons: list[str | None] = [None] * len(track_ids)

    sets = [(label,) if isinstance(label, str) else label for label in labels]
    names_of_classes = sorted({label for one in sets for label in one})
    classes = {label: number for number, label in enumerate(names_of_classes)}
    free: list[Component] = []
    state = Quotas(len(classes), list(fractions.values()), names.index(TRAIN))
    for part in _gather(groups, track_ids, frozen):
        newcomers = [row for row in part.rows if splits[row] is None]
        if len(part.frozen) > 1:
            reason = "bridges " + " and ".join(name for name in names if name in part.frozen)
            for row in newcomers:
                reasons[row] = reason
            changed = {row for row in part.rows if track_ids[row] in regrouped}
            for row in _sides_to_leave(part.rows, changed - {*newcomers}, splits, names):
                splits[row], reasons[row] = None, RETAGGED + reason
        elif part.frozen:
            for row in newcomers:
                splits[row] = next(iter(part.frozen))
        else:
            part.sizes = _sizes(part.rows, sets, classes)
            free.append(part)
        for name in part.frozen:
            rows = [row for row in part.rows if splits[row] == name]
            state.put(_sizes(rows, sets, classes), names.index(name))

    place(free, state, seed)
    for part in free:
        for row in part.rows:
            splits[row] = names[part.split]

    in_train = (one for one, split in zip(sets, splits, strict=True) if split == TRAIN)
    trained = {label for one in in_train for label in one}
    for row, track in enumerate(track_ids):
        if splits[row] is not None and trained.isdisjoint(sets[row]) and track not in frozen:
            lacking = " or ".join(map(repr, sets[row]))
            reasons[row] = f"belongs to tracks in {splits[row]}, and {TRAIN} has no {lacking}"
            splits[row] = None
    return tuple(splits), tuple(reasons)


def _sides_to_leave(
    rows: Sequence[int],
    changed: Collection[int],
    splits: Sequence[str | None],
    names: Sequence[str],
) -> list[int]:
    """The rows of a component that lose their split, so that one side remains.

    The side with the most unchanged tracks remains; of equal ones that with the most tracks, then
    the first. Without a changed track, the parent itself leaks, and nothing changes.
    """
    if not changed:
        return []
    unchanged = Counter(splits[row] for row in rows if row not in changed)
    tracks = Counter(splits[row] for row in rows)
    side = max(names, key=lambda name: (unchanged[name], tracks[name], -names.index(name)))
    return [row for row in rows if splits[row] not in (None, side)]


def _sizes(
    rows: Sequence[int], sets: Sequence[tuple[str, ...]], classes: Mapping[str, int]
) -> list[tuple[int, int]]:
    """Sorted pairs (class, number of tracks); a track counts in each of its classes."""
    return sorted(Counter(classes[label] for row in rows for label in sets[row]).items())


def _gather(
    groups: NDArray[np.int64], track_ids: Sequence[str], frozen: Mapping[str, str]
) -> list[Component]:
    """The components, each with its rows, the parent's splits of these, and its smallest id."""
    parts: dict[int, Component] = {}
    for row, group in enumerate(np.asarray(groups).tolist()):
        part = parts.setdefault(group, Component())
        part.rows.append(row)
        if track_ids[row] in frozen:
            part.frozen.add(frozen[track_ids[row]])
    for part in parts.values():
        part.key = min(track_ids[row] for row in part.rows)
    return list(parts.values())


def _check_arguments(
    labels: Labels,
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
            f"the fractions {dict(fractions)} are invalid",
            where="the split's fractions",
            remedy=f"use positive shares that sum to 1, one of them for {TRAIN!r}; "
            "leave out a split that you do not need",
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
