"""Scaling of vectors before clustering, projection and distances."""

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from melgraph.ml.errors import UserError
from melgraph.ml.similarity.neighbours import normalise

Scaling = Literal["l2", "standard"]
"""`l2`: each vector has length 1, so that distances follow the cosine distance; `standard`: each
dimension has mean 0 and variance 1."""


def scale(
    vectors: NDArray[np.floating], scaling: Scaling, *, like: NDArray[np.floating] | None = None
) -> NDArray[np.float32]:
    """Scales vectors.

    Args:
        vectors: float [n, d], finite.
        scaling: which of the two.
        like: float [m, d]: the vectors whose mean and variance `standard` uses; by default the
            vectors themselves.

    Returns:
        float32 [n, d].

    Raises:
        UserError: there are no vectors, or values are not finite.
    """
    unit = normalise(vectors)
    if 0 in unit.shape:
        raise UserError(
            f"vectors of shape {unit.shape}",
            where="the vectors to cluster",
            remedy="give at least one track",
        )
    if scaling == "l2":
        return unit
    wide = np.asarray(vectors, dtype=np.float64)
    reference = wide if like is None else np.asarray(like, dtype=np.float64)
    spread = reference.std(axis=0)
    # The spread of a constant dimension is a rounding error: the dimension becomes 0.
    varies = spread > 1e-12 * np.abs(reference).max(axis=0)
    centred = (wide - reference.mean(axis=0)) * varies
    return (centred / np.where(varies, spread, 1.0)).astype(np.float32)
