"""Placing components so that every split gets its quota of every class.

Rarest class and biggest component first, each where its classes are lacking most (iterative
stratification, Sechidis et al. 2011, section 3, applied to whole components); then single moves as
long as they bring the splits nearer to their quotas. `ml.splits.assignment` says why.
"""

import hashlib
from dataclasses import dataclass, field

MAX_PASSES = 20
"""Rounds of single moves after the first placing; real libraries settle within three."""


@dataclass
class Component:
    """Tracks that move together.

    Attributes:
        key: a name that depends on its tracks only, for the draws.
        rows: its tracks.
        frozen: the splits that the parent snapshot has its tracks in.
        sizes: tracks to be assigned: (class, tracks), sorted.
        split: number of the split it is placed in; -1 before.
    """

    key: str = ""
    rows: list[int] = field(default_factory=list)
    frozen: set[str] = field(default_factory=set)
    sizes: list[tuple[int, int]] = field(default_factory=list)
    split: int = -1


class Quotas:
    """How many tracks of each class every split holds, and should hold.

    Args:
        n_classes: classes, numbered from 0.
        shares: share of each split, of sum 1.
        train: number of the split that must know every class.
    """

    def __init__(self, n_classes: int, shares: list[float], train: int) -> None:
        self.shares, self.train = shares, train
        self.held = [[0] * n_classes for _ in shares]
        self.totals = [0] * n_classes  # tracks of the class, placed or not
        self.parts = [0] * n_classes  # components (frozen parts included) with the class

    def expect(self, part: Component) -> None:
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

    def shift(self, part: Component, split: int, *, sign: int) -> None:
        """Put a component that was expected into a split (sign 1), or take it out (-1)."""
        for kind, size in part.sizes:
            self.held[split][kind] += sign * size

    def lack(self, part: Component, split: int) -> float:
        """What the split lacks of the component's classes, each in shares of the class.

        Placing where this is greatest lowers sum((held - wanted)^2 / total) over splits and classes
        the most: the square of the component's own size is the same everywhere.
        """
        share, held = self.shares[split], self.held[split]
        return sum(size * (share - held[kind] / self.totals[kind]) for kind, size in part.sizes)

    def gaps(self, part: Component, split: int) -> tuple[int, int]:
        """Gaps it would close in the split: classes that train needs, classes missing here."""
        missing = [kind for kind, _ in part.sizes if self.held[split][kind] == 0]
        needed = len(missing) if split == self.train else 0
        return needed, len(missing)


def place(free: list[Component], state: Quotas, seed: int) -> None:
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
