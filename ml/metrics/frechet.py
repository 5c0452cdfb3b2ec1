"""Fréchet audio distance (FAD) of two sets of embeddings (Kilgour et al. 2019)."""

from dataclasses import dataclass

import numpy as np

from melgraph.ml.errors import UserError
from melgraph.ml.metrics.kernel_distance import check_embeddings

_TOLERANCE = 1e-9  # negative eigenvalues up to this share of the largest one are rounding errors


@dataclass(frozen=True)
class FrechetDistance:
    """The Fréchet distance of two Gaussian distributions that were fitted to embeddings.

    Attributes:
        value: |m1 - m2|^2 + tr(S1 + S2 - 2 (S1 S2)^(1/2)).
        n_reference: embeddings of the reference.
        n_generated: embeddings of the generated sounds.
        dimension: of the embeddings.
    """

    value: float
    n_reference: int
    n_generated: int
    dimension: int

    @property
    def rank_deficient(self) -> bool:
        """Whether a covariance has fewer samples than dimensions: the value is then biased up."""
        return min(self.n_reference, self.n_generated) <= self.dimension


def frechet_distance(reference: np.ndarray, generated: np.ndarray) -> FrechetDistance:
    """FAD in float64, by eigenvalues.

    The trace of the square root of S1 S2 is the sum of the square roots of the eigenvalues of the
    symmetric matrix R S2 R, where R is the square root of S1. They are real, so that no complex
    part has to be dropped, as it has where a matrix square root of S1 S2 is computed.

    The value has a bias that grows as the sets become smaller. Compare only values of sets of the
    same size, duration and embedding.

    Args:
        reference: float `[segment, dimension]`.
        generated: float `[segment, dimension]`.

    Raises:
        UserError: embeddings of different dimensions, fewer than two, or not finite.
    """
    check_embeddings(reference, generated)
    if min(len(reference), len(generated)) < 2:
        raise UserError(
            f"{len(reference)} and {len(generated)} embeddings",
            where="Fréchet audio distance",
            remedy="give at least two of each: a covariance of one does not exist",
        )
    first, second = reference.astype(np.float64), generated.astype(np.float64)
    s1 = np.atleast_2d(np.cov(first, rowvar=False))
    s2 = np.atleast_2d(np.cov(second, rowvar=False))
    values, vectors = np.linalg.eigh(s1)
    root = (vectors * np.sqrt(_without_rounding(values))) @ vectors.T
    product = root @ s2 @ root
    values = _without_rounding(np.linalg.eigvalsh((product + product.T) / 2.0))
    shift = first.mean(axis=0) - second.mean(axis=0)
    value = float(shift @ shift + np.trace(s1) + np.trace(s2) - 2.0 * np.sqrt(values).sum())
    if not np.isfinite(value):
        raise UserError(
            "the Fréchet audio distance is not finite",
            where="Fréchet audio distance",
            remedy="scale the embeddings: their squares exceed the range of float64",
        )
    return FrechetDistance(value, len(reference), len(generated), first.shape[1])


def _without_rounding(eigenvalues: np.ndarray) -> np.ndarray:
    """Eigenvalues of a positive semi-definite matrix, those below 0 by rounding set to 0."""
    if eigenvalues.min() < -_TOLERANCE * max(float(eigenvalues.max()), 1e-300) - 1e-12:
        raise UserError(
            f"a covariance has the eigenvalue {eigenvalues.min():g}",
            where="Fréchet audio distance",
            remedy="check the embeddings: a covariance has no negative eigenvalue",
        )
    positive: np.ndarray = np.maximum(eigenvalues, 0.0)
    return positive
