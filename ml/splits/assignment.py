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

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from melgraph.ml.errors import UserError
from melgraph.ml.splits.quotas import Component, Quotas, place

Labels = Sequence[str] | Sequence[tuple[str, ...]]
"""The class of each track, or the classes of each where a track has several."""

TRAIN = "train"
"""The split that must know every class which is asked for elsewhere."""


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
        policy: `grouped`, `leaky` where components were ignored, `official` of a published list.
        leaks: `leakage(splits, groups)`. Under `grouped` these can only come from the parent.
    """

    splits: tuple[str | None, ...]
    reasons: tuple[str | None, ...]
    policy: Literal["grouped", "leaky", "official"]
    leaks: tuple[Leak, ...]

    def counts(self, labels: Sequence[str]) -> dict[str, dict[str, int]]:
        """Number of tracks: class -> split -> number; splits without tracks are absent."""
        table: dict[str, Counter[str]] = {label: Counter() for label in sorted(set(labels))}
        for label, split in zip(labels, self.splits, strict=True):
            if split is not None:
                table[label][split] += 1
        return {label: dict(sorted(row.items())) for label, row in table.items()}


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
    labels: Labels,
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
        labels: class of each track, or classes (at least one), each with a quota of its own.
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
    labels: Labels,
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


def _split(
    labels: Labels,
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

    sets = [(label,) if isinstance(label, str) else label for label in labels]
    every = sorted({label for one in sets for label in one})
    classes = {label: number for number, label in enumerate(every)}
    free: list[Component] = []
    state = Quotas(len(classes), list(fractions.values()), names.index(TRAIN))
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
            part.sizes = _sizes(part.rows, sets, classes)
            free.append(part)
        for name in part.frozen:
            held = [row for row in part.rows if splits[row] == name]
            state.put(_sizes(held, sets, classes), names.index(name))

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


def _sizes(
    rows: Sequence[int], sets: Sequence[tuple[str, ...]], classes: Mapping[str, int]
) -> list[tuple[int, int]]:
    """(class, tracks) of some rows, sorted; a track counts in each of its classes."""
    return sorted(Counter(classes[label] for row in rows for label in sets[row]).items())


def _gather(
    groups: NDArray[np.int64], track_ids: Sequence[str], frozen: Mapping[str, str]
) -> list[Component]:
    found: dict[int, Component] = {}
    for row, group in enumerate(np.asarray(groups).tolist()):
        part = found.setdefault(group, Component())
        part.rows.append(row)
        if track_ids[row] in frozen:
            part.frozen.add(frozen[track_ids[row]])
    for part in found.values():
        part.key = min(track_ids[row] for row in part.rows)
    return list(found.values())


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
