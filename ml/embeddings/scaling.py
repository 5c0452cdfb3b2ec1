"""Vectors as clusters, maps and distances see them: of length 1, or standardised."""

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from melgraph.ml.errors import UserError
from melgraph.ml.similarity.neighbours import normalise

Scaling = Literal["l2", "standard"]
"""`l2`: vectors of length 1, so that distance is cosine distance; `standard`: each dimension with
mean 0 and variance 1."""


def scale(
    vectors: NDArray[np.floating], scaling: Scaling, *, like: NDArray[np.floating] | None = None
) -> NDArray[np.float32]:
    """Scale vectors.

    Args:
        vectors: float [n, d], finite.
        scaling: what is done to them.
        like: float [m, d]: whose mean and variance `standard` takes; by default their own.

    Returns:
        float32 [n, d].

    Raises:
        UserError: no vectors, or values that are not finite.
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
    known = wide if like is None else np.asarray(like, dtype=np.float64)
    spread = known.std(axis=0)
    # A constant dimension has, up to rounding, no spread, and says nothing.
    varies = spread > 1e-12 * np.abs(known).max(axis=0)
    centred = (wide - known.mean(axis=0)) * varies
    return (centred / np.where(varies, spread, 1.0)).astype(np.float32)
