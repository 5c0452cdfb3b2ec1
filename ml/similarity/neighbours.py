"""Scaling of vectors for cosine similarity, and the labels of neighbours."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from melgraph.ml.errors import UserError


def normalise(vectors: NDArray[np.floating]) -> NDArray[np.float32]:
    """Scales each vector to length 1; a vector of zeros stays zero.

    Args:
        vectors: float [n, d], finite.

    Returns:
        float32 [n, d].

    Raises:
        UserError: the array is not two-dimensional, or has values that are not finite.
    """
    wide = np.asarray(vectors, dtype=np.float64)
    if wide.ndim != 2:
        raise UserError(
            f"vectors of shape {wide.shape}",
            where="the vectors to compare",
            remedy="give one row per track: [n, d]",
        )
    bad_rows = np.flatnonzero(~np.isfinite(wide).all(axis=1))
    if len(bad_rows):
        raise UserError(
            f"{len(bad_rows)} of {len(wide)} vectors have NaN or infinite values, the first in row "
            f"{bad_rows[0]}",
            where="the vectors to compare",
            remedy="leave these tracks out, or compute their embeddings again",
        )
    # Divided by the largest value first: squares of very large or small numbers would overflow.
    largest = np.abs(wide).max(axis=1, keepdims=True, initial=0.0)
    scaled = np.divide(wide, largest, out=np.zeros_like(wide), where=largest > 0)
    length = np.sqrt((scaled * scaled).sum(axis=1, keepdims=True))
    return np.divide(scaled, length, out=scaled, where=length > 0).astype(np.float32)


@dataclass(frozen=True)
class LabelAgreement:
    """How often the neighbours of a track have its label.

    Attributes:
        precision: precision@k: the share of neighbours with the label of the query, averaged over
            the queries that have neighbours. NaN if there is no such query.
        chance: the expected precision of random neighbours, for the same queries.
        n_queries: number of queries with at least one neighbour.
        by_label: label -> (precision, chance, queries), for labels with such queries.
    """

    precision: float
    chance: float
    n_queries: int
    by_label: dict[str, tuple[float, float, int]]


def label_agreement(
    neighbour_labels: Sequence[Sequence[str | None]],
    labels: Sequence[str],
    *,
    base_labels: Sequence[str] | None = None,
) -> LabelAgreement:
    """Precision@k of the labels of neighbours, and its chance level.

    Args:
        neighbour_labels: [q, k] label of each neighbour; None if a place has no neighbour.
        labels: [q] label of each query.
        base_labels: [n] labels of the tracks that were searched, if the queries are not among them.
            By default the queries were searched themselves, and no track is its own neighbour. The
            chance level of a track is then the share of its label among the other tracks.

    Raises:
        ValueError: labels and neighbours differ in number.
    """
    if len(neighbour_labels) != len(labels):
        raise ValueError(f"{len(neighbour_labels)} rows of neighbours, {len(labels)} labels")
    itself = 1 if base_labels is None else 0
    frequency = Counter(labels if base_labels is None else base_labels)
    others = max(1, frequency.total() - itself)
    hits: dict[str, list[float]] = {}
    for label, row in zip(labels, neighbour_labels, strict=True):
        present = [neighbour for neighbour in row if neighbour is not None]
        if present:
            hits.setdefault(label, []).append(present.count(label) / len(present))
    by_label = {
        label: (float(np.mean(hits[label])), (frequency[label] - itself) / others, len(hits[label]))
        for label in sorted(hits)
    }
    n_queries = sum(count for _, _, count in by_label.values())
    if n_queries == 0:
        return LabelAgreement(float("nan"), float("nan"), 0, {})
    precision = sum(p * count for p, _, count in by_label.values()) / n_queries
    chance = sum(c * count for _, c, count in by_label.values()) / n_queries
    return LabelAgreement(precision, chance, n_queries, by_label)
