"""Vectors that are compared by cosine, and what the labels of neighbours say about them."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from melgraph.ml.errors import UserError


def normalise(vectors: NDArray[np.floating]) -> NDArray[np.float32]:
    """Scale each vector to length 1; a vector of zeros has no direction and stays zero.

    Args:
        vectors: float [n, d], finite.

    Returns:
        float32 [n, d].

    Raises:
        UserError: not two-dimensional, or not finite.
    """
    wide = np.asarray(vectors, dtype=np.float64)
    if wide.ndim != 2:
        raise UserError(
            f"vectors of shape {wide.shape}",
            where="the vectors to compare",
            remedy="give one row per track: [n, d]",
        )
    bad = np.flatnonzero(~np.isfinite(wide).all(axis=1))
    if len(bad):
        raise UserError(
            f"{len(bad)} of {len(wide)} vectors have NaN or infinite values, first row {bad[0]}",
            where="the vectors to compare",
            remedy="leave these tracks out, or compute their embeddings again",
        )
    # Scaled by the largest value first: squares of very small or large numbers leave the range.
    largest = np.abs(wide).max(axis=1, keepdims=True, initial=0.0)
    scaled = np.divide(wide, largest, out=np.zeros_like(wide), where=largest > 0)
    length = np.sqrt((scaled * scaled).sum(axis=1, keepdims=True))
    return np.divide(scaled, length, out=scaled, where=length > 0).astype(np.float32)


@dataclass(frozen=True)
class LabelAgreement:
    """How often neighbours share the label of the track they were found for.

    Attributes:
        precision: precision@k: share of the neighbours with the query's label, averaged over the
            queries that have neighbours. NaN without any.
        chance: what neighbours drawn at random would reach, for the same queries.
        n_queries: queries with at least one neighbour.
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
    """Precision@k of the labels of neighbours, against chance.

    Args:
        neighbour_labels: [q, k] label of each neighbour; None where there is none (padding).
        labels: [q] label of each query.
        base_labels: [n] labels of what was searched, if the queries are not in it. By default the
            queries are the base and no track is its own neighbour: chance for a track is the share
            of its label among the others.

    Raises:
        ValueError: labels and neighbours are for different numbers of queries.
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
