"""Exact nearest neighbours by cosine similarity.

Matrix products are fast but their last bits depend on where a vector lies in the matrix: two equal
vectors may get unequal similarities, and a library cut into segments other answers than the whole.
So the product only proposes candidates (everything within its own error bound of the k-th), whose
similarities are then summed in float64 in one fixed order. Ties are real ties, the answer does not
depend on block size, threads or segments: `merge_top_k` over segments is `top_k` over the whole.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ml.errors import UserError

BLOCK_ELEMENTS = 1 << 24
"""Similarities held at once: 64 MB of float32."""
CANDIDATE_ELEMENTS = 1 << 20
"""Float64 products held at once while candidates are scored: 8 MB."""
CROWD = 4
"""Candidates per neighbour wanted above which it pays to look for identical vectors."""


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


def top_k(
    queries: NDArray[np.floating],
    base: NDArray[np.floating],
    *,
    k: int,
    exclude: NDArray[np.int64] | None = None,
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """The k vectors of `base` most similar to each query, by cosine, exactly.

    Equal similarities are ordered by the lower row. A zero vector has similarity 0 to everything.
    Memory beside the inputs: a few blocks of queries x base (`BLOCK_ELEMENTS`). Time: two products
    and a partition per pair; much longer only where nearly all vectors point one way without being
    equal (a collapsed encoder), as then every pair has to be scored exactly.

    Args:
        queries: float [q, d], of any length (they are normalised here).
        base: float [n, d], likewise.
        k: neighbours wanted, at least 1.
        exclude: int64 [q], the row of the query itself in `base`, which is then not its own
            neighbour; -1 where it is not in there. None excludes nothing.

    Returns:
        rows int64 [q, k] and similarities float32 [q, k] in -1 .. 1, best first; where fewer than k
        are to be had, padded with -1 and NaN.

    Raises:
        UserError: k < 1, vectors of unequal length, or not finite.
        ValueError: `exclude` is not [q], or names a row outside the base.
    """
    _check_k(k)
    left, right = normalise(queries), normalise(base)
    if left.shape[1] != right.shape[1]:
        raise UserError(
            f"queries have {left.shape[1]} dimensions, the base has {right.shape[1]}",
            where="the vectors to compare",
            remedy="compare vectors of one encoder",
        )
    own = np.full(len(left), -1) if exclude is None else np.asarray(exclude, dtype=np.int64)
    if own.shape != (len(left),) or (own.size and not -1 <= own.min() <= own.max() < len(right)):
        raise ValueError(f"exclude of shape {own.shape} for {len(left)} queries, {len(right)} rows")

    rows = np.full((len(left), k), -1, dtype=np.int64)
    similarities = np.full((len(left), k), np.nan, dtype=np.float32)
    copies: NDArray[np.int64] | None = None
    step = max(1, BLOCK_ELEMENTS // max(1, len(right)))
    for start in range(0, len(left) if len(right) else 0, step):
        block = slice(start, start + step)
        query, neighbour = _candidates(left[block], right, k, own[block])
        if len(query) > CROWD * k * len(left[block]):
            # Of identical vectors, more than k others of a lower row shut out all the rest.
            copies = _copies(right) if copies is None else copies
            possible = copies[neighbour] <= k
            query, neighbour = query[possible], neighbour[possible]
        exact = _exact(left[block], right, query, neighbour)
        order = np.lexsort((neighbour, -exact, query))
        query, neighbour, exact = query[order], neighbour[order], exact[order]
        # The rank of each candidate among those of its query.
        rank = np.arange(len(query)) - np.searchsorted(query, query, side="left")
        kept = rank < k
        rows[start + query[kept], rank[kept]] = neighbour[kept]
        similarities[start + query[kept], rank[kept]] = exact[kept]
    return rows, similarities


def merge_top_k(
    parts: Sequence[tuple[NDArray[np.int64], NDArray[np.float32]]], *, k: int
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """One top-k per query from the answers of several segments.

    Exactly what `top_k` answers on all segments put together, if each part was asked for at least
    k. Ties go to the lower id. An id found in several segments counts once, with its best
    similarity.

    Args:
        parts: (ids int64 [q, k_i], similarities float32 [q, k_i]) per segment, with ids that hold
            across segments (row in the segment + rows before it); -1 and NaN are padding.
        k: neighbours wanted.

    Raises:
        UserError: k < 1.
        ValueError: no parts, or parts for different numbers of queries.
    """
    _check_k(k)
    if not parts or len({shape for i, s in parts for shape in (len(i), len(s))}) != 1:
        raise ValueError(f"parts for {[len(ids) for ids, _ in parts]} queries cannot be merged")
    ids = np.concatenate([np.asarray(i, dtype=np.int64) for i, _ in parts], axis=1)
    found = np.concatenate([np.asarray(s, dtype=np.float32) for _, s in parts], axis=1)
    # NaN sorts last in both orders; so do the paddings, and the repeats that become paddings.
    found = np.where(ids < 0, np.float32(np.nan), found)
    order = np.lexsort((-found, ids), axis=1)
    ids, found = np.take_along_axis(ids, order, 1), np.take_along_axis(found, order, 1)
    found[:, 1:][ids[:, 1:] == ids[:, :-1]] = np.nan
    order = np.lexsort((ids, -found), axis=1)[:, :k]
    ids, found = np.take_along_axis(ids, order, 1), np.take_along_axis(found, order, 1)
    ids[np.isnan(found)] = -1
    missing = ((0, 0), (0, k - ids.shape[1]))
    return (
        np.pad(ids, missing, constant_values=-1),
        np.pad(found, missing, constant_values=np.nan),
    )


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


def _check_k(k: int) -> None:
    if k < 1:
        raise UserError(f"k = {k}", where="neighbours wanted", remedy="ask for at least one")


def _candidates(
    left: NDArray[np.float32], right: NDArray[np.float32], k: int, own: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Pairs (query, row) that hold the true top k of every query, and little more."""
    similarities = left @ right.T
    excluding = np.flatnonzero(own >= 0)
    similarities[excluding, own[excluding]] = -np.inf
    # All rows tie for a query without direction: the first k, and one for itself, are enough.
    similarities[~left.any(axis=1), k + 1 :] = -np.inf
    n, d = right.shape
    kth = np.partition(similarities, n - min(k, n), axis=1)[:, n - min(k, n), None]
    # Products of unit vectors, summed in any order, err by at most d + 1 roundings; so do the k-th
    # and its rival; the result is rounded once more.
    margin = np.float32(2 * (d + 2) * np.finfo(np.float32).eps)
    query, neighbour = np.nonzero((similarities >= kth - margin) & (similarities > -np.inf))
    return query, neighbour


def _copies(vectors: NDArray[np.float32]) -> NDArray[np.int64]:
    """For each row, how many identical rows come before it."""
    seen: Counter[bytes] = Counter()
    out = np.empty(len(vectors), dtype=np.int64)
    for row, vector in enumerate(vectors):
        key = vector.tobytes()
        out[row] = seen[key]
        seen[key] += 1
    return out


def _exact(
    left: NDArray[np.float32],
    right: NDArray[np.float32],
    query: NDArray[np.int64],
    neighbour: NDArray[np.int64],
) -> NDArray[np.float32]:
    """Similarity of each pair, the same bits for the same two vectors wherever they lie."""
    out = np.empty(len(query), dtype=np.float32)
    step = max(1, CANDIDATE_ELEMENTS // max(1, left.shape[1]))
    for start in range(0, len(query), step):
        part = slice(start, start + step)
        product = left[query[part]].astype(np.float64)
        product *= right[neighbour[part]]
        out[part] = np.clip(product.sum(axis=1), -1.0, 1.0)
    return out
