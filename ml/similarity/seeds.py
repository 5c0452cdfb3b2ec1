"""Several seed tracks as one query, and "like these, but not like those".

Both scores were chosen by measurement (`docs/results/seeds.md`). An isolation forest that is fitted
to the seeds, as bliss uses it, ranked worse than the mean vector of the seeds. The mean vector is
better for seeds of one genre, and the similarity to the nearest seed for seeds of several genres.
The mean of these two scores is as good as the better one, and better still after local scaling
(`hubness.rescaled`).
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
"""Weight of the similarity to unwanted tracks; the similarity to the seeds has the weight 1."""


def unlike_scores(
    liked: NDArray[np.floating],
    disliked: NDArray[np.floating],
    *,
    weight: float = UNLIKE_WEIGHT,
) -> NDArray[np.float64]:
    """One score per candidate: high if it is like the seeds and not like the unwanted tracks.

    It is the seed score, minus `weight` times the same score for the unwanted tracks. A negative
    score for the unwanted tracks counts as 0: a track that is the opposite of an unwanted one is no
    better than a track that has nothing in common with it.

    Args:
        liked: float [seed, candidate], similarities to the seeds; at least one.
        disliked: float [unwanted track, candidate]; without one, this is `seed_scores`.
        weight: of the score for the unwanted tracks.

    Returns:
        float64 [candidate].

    Raises:
        ValueError: there is no seed, or the arrays do not fit together.
    """
    if not (np.isfinite(weight) and weight >= 0):
        raise ValueError(f"the weight of unwanted tracks is {weight}, and not a positive number")
    scores = seed_scores(liked)
    if not len(disliked):
        return scores
    against = seed_scores(disliked)
    if against.shape != scores.shape:
        raise ValueError(f"{len(scores)} candidates have similarities to the seeds, and "
                         f"{len(against)} to unwanted tracks")  # fmt: skip
    return scores - weight * np.maximum(against, 0.0)
