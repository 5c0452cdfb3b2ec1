"""Which recordings of the train side are set aside to measure the validation loss."""

from collections.abc import Hashable, Sequence

import numpy as np

# Of each genre on the train side. Whole artists are set aside, which may be half of so few.
MIN_RECORDINGS = 4


def set_aside(
    genres: np.ndarray, groups: Sequence[Hashable], *, share: float, seed: int
) -> tuple[np.ndarray, list[int]]:
    """Choose a share of the recordings of each genre, whole groups where that is possible.

    A group, the songs of one artist for example, is on one side only, also if it has songs of
    several genres. Where all recordings of a genre are of one group, or any choice of whole groups
    would leave nothing to learn from, single recordings are set aside.

    Args:
        genres: int64 `[track]`.
        groups: the group of each recording.
        share: of the recordings of each genre.
        seed: of the order in which groups are tried.

    Returns:
        bool `[track]`, and the genres whose validation recordings share a group with their training
        recordings.
    """
    rng = np.random.default_rng(seed)
    numbers = {group: number for number, group in enumerate(dict.fromkeys(groups))}
    of_group = np.array([numbers[group] for group in groups], np.int64)
    chosen = np.zeros(len(genres), bool)
    shared = []
    for genre in np.unique(genres):
        its = genres == genre
        target = max(1, round(share * int(its.sum())))
        order = rng.permutation(np.unique(of_group[its]))
        for group in sorted(order, key=lambda g: abs(int((its & (of_group == g)).sum()) - target)):
            if int((chosen & its).sum()) >= target:
                break
            attempt = chosen | (of_group == group)
            remaining = [int((~attempt & (genres == other)).sum()) for other in np.unique(genres)]
            too_many = int((attempt & its).sum()) > max(target + 1, int(its.sum()) // 2)
            if min(remaining) > 0 and not too_many:
                chosen = attempt
        if not (chosen & its).any():
            rows = np.flatnonzero(its)
            chosen[rng.permutation(rows)[:target]] = True
            shared.append(int(genre))
    return chosen, shared
