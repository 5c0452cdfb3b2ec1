"""Several seed tracks as one query, and "like these, but not like those".

Both were chosen by measurement (`docs/results/seeds.md`). An isolation forest that is fitted to the
seeds, as bliss uses it, ranked worse than the mean vector of the seeds. Neither the mean vector nor
the nearest of any seed was better throughout. With local scaling, both in equal parts were better
than the mean vector over all three collections together, though not on Emotify alone.
"""

import numpy as np
from numpy.typing import NDArray


def seed_scores(similarities: NDArray[np.floating]) -> NDArray[np.float64]:
    """One score per candidate, from its similarities to all seeds; higher is better.

    It is the mean of two: the mean similarity, which is in the order of the cosine with the mean
    vector of the seeds, and the similarity to the nearest seed.

    >>> seed_scores(np.array([[0.8, 0.5], [0.2, 0.5]]))
    array([0.65, 0.5 ])

    Args:
        similarities: float [seed, candidate], at least one seed.

    Returns:
        float64 [candidate], on the scale of the similarities.

    Raises:
        ValueError: there is no seed, or the array has another shape.
    """
    values = np.asarray(similarities, np.float64)
    if values.ndim != 2 or not len(values):
        raise ValueError(f"similarities of shape {values.shape}, and not [seed, candidate]")
    scores: NDArray[np.float64] = (values.mean(axis=0) + values.max(axis=0)) / 2
    return scores


UNLIKE_WEIGHT = 0.5
"""Weight of the unwanted tracks in a search for candidates: the tracks nearest to the direction
`seeds - weight * unwanted` are seldom among those that `unlike_scores` excludes."""
EXCLUDED = -1.0
"""The score of a candidate that is more similar to the unwanted tracks than to the seeds."""


def unlike_scores(
    to_seeds: NDArray[np.floating], to_unwanted: NDArray[np.floating]
) -> NDArray[np.float64]:
    """One score per candidate: like the seeds, and not like the unwanted tracks.

    A candidate that is more similar to the seeds than to the unwanted tracks, both by
    `seed_scores`, has its score of the seeds. All others are excluded. A weighted difference of
    both scores was not taken: it lost more wanted tracks for each unwanted track less.

    >>> unlike_scores(np.array([[0.9, 0.8]]), np.array([[0.95, 0.1]]))
    array([-1. ,  0.8])

    Args:
        to_seeds: float [seed, candidate], cosine similarities to the seeds; at least one seed.
        to_unwanted: float [unwanted track, candidate]; without one, this is `seed_scores`.

    Returns:
        float64 [candidate]; `EXCLUDED` for those that are excluded.

    Raises:
        ValueError: there is no seed, or the arrays do not fit together.
    """
    scores = seed_scores(to_seeds)
    if not len(to_unwanted):
        return scores
    against = seed_scores(to_unwanted)
    if against.shape != scores.shape:
        raise ValueError(
            f"{len(scores)} candidates have similarities to the seeds, and {len(against)} to "
            "unwanted tracks"
        )
    return np.where(scores > against, scores, EXCLUDED)
