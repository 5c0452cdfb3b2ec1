"""Fusions: similarities are averaged, whatever the parts are, and segments cover the same time."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from melgraph.ml.embeddings import fusion
from melgraph.ml.embeddings.fusion import (
    LEAST_DEVIATION,
    PartScaling,
    TrackVectors,
    fuse,
    fuse_tracks,
    scaling_of,
)
from melgraph.ml.errors import UserError
from melgraph.ml.moments import Moments


def scaling(vectors: np.ndarray) -> PartScaling:
    moments = Moments()
    moments.add(vectors)
    return scaling_of(moments)


def unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def part(segments: list[list[tuple[float, float]]]) -> TrackVectors:
    """A part with one dimension: for each track, the start and the value of its segments."""
    values = [np.array([[value] for _, value in track]) for track in segments]
    return TrackVectors(
        np.array([value.mean(axis=0) for value in values], np.float32).reshape(-1, 1),
        np.concatenate([np.zeros((0, 1)), *values]).astype(np.float32),
        np.cumsum([0, *map(len, values)], dtype=np.int64),
        np.array([start for track in segments for start, _ in track], np.float64),
    )


@given(
    st.integers(0, 2**32 - 1),
    st.lists(st.integers(1, 30), min_size=2, max_size=4),
    st.floats(0.05, 20.0),
)
def test_the_similarity_is_the_weighted_mean_of_the_similarities_of_the_parts(seed, sizes, weight):
    rng = np.random.default_rng(seed)
    parts = [10.0 ** rng.uniform(-3, 3) * (rng.normal(size=(12, n)) + 5) for n in sizes]
    weights = np.array([weight, *rng.uniform(0.1, 1, len(sizes) - 1)])
    shares = weights / weights.sum()
    scalings = [scaling(vectors) for vectors in parts]
    fused = fuse(parts, scalings, list(shares))
    assert fused.shape == (12, sum(sizes))
    assert fused.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(fused, axis=1), 1, atol=1e-5)
    standardised = [
        unit((vectors - by.mean) / by.deviation)
        for vectors, by in zip(parts, scalings, strict=True)
    ]
    expected = sum(
        share * vectors @ vectors.T for share, vectors in zip(shares, standardised, strict=True)
    )
    np.testing.assert_allclose(fused @ fused.T, expected, atol=1e-5)


def test_units_of_the_dimensions_do_not_matter():
    vectors = np.random.default_rng(0).normal(size=(50, 6))
    others = vectors * [1, 3, 1, 0.8, 1, 1] + [0, 3, -7, 0, 0, 0]
    one, two = (fuse([v], [scaling(v)], [1.0]) for v in (vectors, others))
    np.testing.assert_allclose(one, two, atol=1e-5)


def test_a_constant_part_or_dimension_is_similar_to_nothing():
    varied = np.random.default_rng(0).normal(size=(20, 3))
    constant = np.full((20, 4), 0.1, np.float32)
    half = np.concatenate([varied, constant], axis=1)
    by = scaling(constant)
    assert (by.deviation == 1).all()
    fused = fuse([half, constant], [scaling(half), by], [0.5, 0.5])
    assert np.isfinite(fused).all()
    np.testing.assert_allclose(fused[:, 3:], 0, atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(fused, axis=1), np.sqrt(0.5), atol=1e-5)


def test_a_unit_that_is_nearly_always_0_does_not_outweigh_the_others():
    """As in networks with rectified units: standardised alone, it would be 30 deviations away."""
    vectors = np.random.default_rng(0).normal(size=(1000, 8))
    vectors[:, 0] = 0
    vectors[0, 0] = 1
    by = scaling(vectors)
    typical = np.sqrt(vectors.var(axis=0).mean())
    assert by.deviation[0] == pytest.approx(LEAST_DEVIATION * typical)
    assert by.deviation[1:] == pytest.approx(vectors[:, 1:].std(axis=0))


def test_one_track_is_no_division_by_zero():
    vectors = np.array([[1.0, -2.0, 1e6]])
    assert (fuse([vectors, vectors], [scaling(vectors)] * 2, [0.5, 0.5]) == 0).all()


def test_rows_are_joined_in_blocks(monkeypatch):
    rng = np.random.default_rng(0)
    parts = [rng.normal(size=(11, 3)), rng.normal(size=(7, 2))]
    rows = [rng.integers(0, 11, 10), rng.integers(0, 7, 10)]
    scalings = [scaling(vectors) for vectors in parts]
    whole = fuse(parts, scalings, [0.3, 0.7], rows)
    monkeypatch.setattr(fusion, "BLOCK", 3)
    np.testing.assert_array_equal(fuse(parts, scalings, [0.3, 0.7], rows), whole)
    np.testing.assert_array_equal(
        fuse([p[at] for p, at in zip(parts, rows, strict=True)], scalings, [0.3, 0.7]), whole
    )


def test_values_that_are_not_finite_are_refused():
    vectors = np.ones((2, 2))
    with pytest.raises(UserError, match="NaN or infinite"):
        fuse([np.array([[np.nan, 0]])], [scaling(vectors)], [1.0])


def test_segments_are_those_of_one_part_and_the_others_cover_their_middles():
    """The fine part has segments of 3 s; the last one of the coarse part is shifted back."""
    fine = part([[(0, 1), (3, 2), (6, 3), (9, 4), (12, 5)], [(0, 6)]])
    coarse = part([[(0, 10), (4, 20)], [(0, 30)]])
    once = part([[(0, 7)], [(0, 8)]])
    zero = PartScaling(np.zeros(1), np.ones(1))
    rows = []

    def record(parts, scalings, shares, of_parts=None):
        rows.append(of_parts)
        return fuse(parts, scalings, shares, of_parts)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fusion, "fuse", record)
        fused = fuse_tracks(
            [coarse, fine, once], [zero] * 3, [0.2, 0.3, 0.5], segments_of=1, segment_s=3.0
        )
    of_tracks, of_segments = rows
    assert of_tracks is None
    values = [
        p.segment_vectors[at, 0] for p, at in zip((coarse, fine, once), of_segments, strict=True)
    ]
    assert values[0].tolist() == [10, 20, 20, 20, 20, 30]  # middles: 1.5, 4.5, 7.5, 10.5, 13.5; 1.5
    assert values[1].tolist() == [1, 2, 3, 4, 5, 6]
    assert values[2].tolist() == [7, 7, 7, 7, 7, 8]
    assert fused.segment_offsets.tolist() == [0, 5, 6]
    assert fused.segment_starts.tolist() == [0, 3, 6, 9, 12, 0]
    assert fused.vectors.shape == (2, 3)
    assert fused.segment_vectors.shape == (6, 3)


def test_no_track_at_all():
    none = part([])
    zero = PartScaling(np.zeros(1), np.ones(1))
    fused = fuse_tracks([none, none], [zero, zero], [0.5, 0.5], segments_of=0, segment_s=3.0)
    assert fused.vectors.shape == fused.segment_vectors.shape == (0, 2)
    assert fused.segment_offsets.tolist() == [0]


@given(st.data())
def test_some_tracks_of_a_part(data):
    counts = data.draw(st.lists(st.integers(1, 4), min_size=1, max_size=6))
    segments = [[(float(i), 10.0 * track + i) for i in range(n)] for track, n in enumerate(counts)]
    rows = data.draw(st.lists(st.sampled_from(range(len(counts)))))
    some = part(segments).of_tracks(np.array(rows, np.int64))
    expected = part([segments[row] for row in rows])
    for name in ("vectors", "segment_vectors", "segment_offsets", "segment_starts"):
        np.testing.assert_array_equal(getattr(some, name), getattr(expected, name))
