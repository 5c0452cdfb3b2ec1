"""Several seed tracks as one query, and "like these, but not like those"."""

import numpy as np
from numpy.typing import NDArray


def seed_scores(similarities: NDArray[np.floating]) -> NDArray[np.float64]:
    """One score per candidate, from its similarities to all seeds; higher is better.

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
    scores: NDArray[np.float64] = values.mean(axis=0)
    return scores


UNLIKE_WEIGHT = 0.5


def unlike_scores(
    liked: NDArray[np.floating],
    disliked: NDArray[np.floating],
    *,
    weight: float = UNLIKE_WEIGHT,
) -> NDArray[np.float64]:
    """One score per candidate: like the seeds, and not like the unwanted tracks.

    Args:
        liked: float [seed, candidate], similarities to the seeds; at least one.
        disliked: float [unwanted track, candidate]; without one, this is `seed_scores`.
        weight: how much the similarity to unwanted tracks costs.

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
