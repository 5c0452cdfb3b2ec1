"""Place components into splits such that every split gets its quota of every class.

The component with the rarest class and the most tracks is placed first, in the split that lacks its
classes most (iterative stratification, Sechidis et al. 2011, section 3, applied to whole
components). Then single components are moved as long as that brings the splits closer to their
quotas. `ml.splits.assignment` says why.
"""

import hashlib
from dataclasses import dataclass, field

MAX_PASSES = 20
"""Rounds of single moves after the first placing; real libraries need at most three."""


@dataclass
class Component:
    """Tracks that are placed together.

    Attributes:
        key: a name that depends on the component's tracks only, for random draws.
        rows: rows of the component's tracks.
        frozen: splits in which the parent snapshot has some of its tracks.
        sizes: sorted pairs (class, number of tracks) of the tracks to be placed.
        split: number of the split in which the component is placed; -1 before that.
    """

    key: str = ""
    rows: list[int] = field(default_factory=list)
    frozen: set[str] = field(default_factory=set)
    sizes: list[tuple[int, int]] = field(default_factory=list)
    split: int = -1


class Quotas:
    """How many tracks of each class every split has, and should have.

    Args:
        n_classes: number of classes, which are numbered from 0.
        shares: share of each split; they sum to 1.
        train: number of the split that must have every class.
    """

    def __init__(self, n_classes: int, shares: list[float], train: int) -> None:
        self.shares, self.train = shares, train
        self.counts = [[0] * n_classes for _ in shares]
        self.totals = [0] * n_classes  # tracks of each class, placed or not
        self.parts = [0] * n_classes  # components with each class, including frozen parts

    def expect(self, part: Component) -> None:
        """Count a component that is still to be placed."""
        for kind, size in part.sizes:
            self.totals[kind] += size
            self.parts[kind] += 1

    def put(self, sizes: list[tuple[int, int]], split: int) -> None:
        """Count frozen tracks of the parent snapshot, and add them to their split."""
        for kind, size in sizes:
            self.counts[split][kind] += size
            self.totals[kind] += size
            self.parts[kind] += 1

    def shift(self, part: Component, split: int, *, sign: int) -> None:
        """Add an expected component to a split (sign 1), or remove it from the split (-1)."""
        for kind, size in part.sizes:
            self.counts[split][kind] += sign * size

    def lack(self, part: Component, split: int) -> float:
        """How much the split lacks of the component's classes, relative to the class's size.

        Placing a component where this is largest reduces sum((count - quota)^2 / total) over splits
        and classes the most, as the square of the component's own size is the same for all splits.
        """
        share, counts = self.shares[split], self.counts[split]
        return sum(size * (share - counts[kind] / self.totals[kind]) for kind, size in part.sizes)

    def gaps(self, part: Component, split: int) -> tuple[int, int]:
        """How many classes of the component `train` lacks, and how many the split lacks."""
        missing = [kind for kind, _ in part.sizes if self.counts[split][kind] == 0]
        needed = len(missing) if split == self.train else 0
        return needed, len(missing)


def place(free: list[Component], state: Quotas, seed: int) -> None:
    """Set the split of every component in `free`: greedily first, then by single moves."""
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
    splits = range(len(state.shares))
    for part in free:
        part.split = max(
            splits,
            key=lambda s: (state.lack(part, s), _draw(seed, part.key, s)),
        )
        state.shift(part, part.split, sign=1)

    for _ in range(MAX_PASSES):
        moved = False
        for part in reversed(free):  # the smallest first: they close gaps with least imbalance
            state.shift(part, part.split, sign=-1)
            best = max(
                splits,
                # Rounded, so that the last bit causes no move. In a tie, the component stays.
                key=lambda s: (state.gaps(part, s), round(state.lack(part, s), 9), s == part.split),
            )
            moved, part.split = moved or best != part.split, best
            state.shift(part, best, sign=1)
        if not moved:
            break


def _draw(seed: int, key: str, *more: int) -> bytes:
    """A pseudo-random value that depends only on the seed, the key and the numbers."""
    return hashlib.sha256(repr((seed, key, *more)).encode()).digest()
