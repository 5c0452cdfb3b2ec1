import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from melgraph.storage.vector_index import VectorIndex, search, segments, write_segment
from tests.storage.vector_index.examples import (
    DIMENSION,
    brute_force,
    segment,
    track_ids,
    vectors,
)


def assert_same(results, expected) -> None:
    np.testing.assert_array_equal(results[0], expected[0])
    np.testing.assert_allclose(results[1], expected[1], atol=1e-6)


@settings(max_examples=20, deadline=None)
@given(
    st.lists(st.integers(0, 40), min_size=1, max_size=4),
    st.integers(1, 12),
    st.integers(0, 5),
)
def test_several_segments_search_as_brute_force_does(tmp_path_factory, counts, k, n_queries):
    folder = tmp_path_factory.mktemp("segments")
    index = VectorIndex([segment(folder / str(s), n, s) for s, n in enumerate(counts)])
    assert len(index) == sum(counts)
    queries = vectors(n_queries, seed=99)
    rows, similarities = index.search(queries, k)
    assert rows.shape == similarities.shape == (n_queries, k)
    n = min(k, len(index))
    everything = np.concatenate([vectors(n, s) for s, n in enumerate(counts)])
    assert_same((rows[:, :n], similarities[:, :n]), brute_force(queries, everything, n))
    assert (rows[:, n:] == -1).all()
    assert np.isnan(similarities[:, n:]).all()


@settings(max_examples=20, deadline=None)
@given(st.lists(st.booleans(), min_size=60, max_size=60), st.integers(1, 8))
def test_only_allowed_rows_are_returned(tmp_path_factory, allowed, k):
    folder = tmp_path_factory.mktemp("segments")
    index = VectorIndex([segment(folder / str(s), 30, s) for s in range(2)])
    mask, queries = np.array(allowed), vectors(3, seed=99)
    everything = np.concatenate([vectors(30, 0), vectors(30, 1)])
    rows, _ = index.search(queries, k, mask)
    n = min(k, int(mask.sum()))
    expected, _ = brute_force(queries, everything[mask], n)
    np.testing.assert_array_equal(rows[:, :n], np.flatnonzero(mask)[expected])
    assert (rows[:, n:] == -1).all()


def test_a_vector_is_its_own_nearest(tmp_path):
    index = VectorIndex([segment(tmp_path / "a", 50), segment(tmp_path / "b", 50, seed=1)])
    rows, similarities = index.search(vectors(50, seed=1), 1)
    assert [index.track_ids[row] for row in rows[:, 0]] == track_ids(50, seed=1)
    np.testing.assert_allclose(similarities, 1, atol=1e-6)


def test_queries_of_another_type_and_order_in_memory_are_accepted(tmp_path):
    index = VectorIndex([segment(tmp_path / "a", 30)])
    queries = np.asfortranarray(vectors(3, seed=9).astype(np.float64))
    assert_same(index.search(queries, 5), brute_force(queries, vectors(30), 5))
    with pytest.raises(ValueError, match="dimension"):
        index.search(queries[:, :5], 5)


def test_empty_segments_are_allowed(tmp_path):
    empty = segment(tmp_path / "empty", 0)
    for folders in ([], [empty]):
        rows, _ = VectorIndex(folders).search(vectors(2), 5)
        assert (rows == -1).all()
    index = VectorIndex([empty, segment(tmp_path / "a", 3)])
    assert len(index) == 3
    assert (index.search(vectors(1), 5)[0] >= 0).sum() == 3


def test_segments_of_two_encoders_are_refused(tmp_path):
    write_segment(tmp_path, track_ids(2), np.ones((2, 3), np.float32))
    with pytest.raises(ValueError, match=r"different dimensions: \[3, 16\]"):
        VectorIndex([segment(tmp_path / "a", 3), tmp_path])


def test_the_similarity_to_a_silent_track_is_zero(tmp_path):
    rows = vectors(5)
    rows[2] = 0
    write_segment(tmp_path, track_ids(5), rows)
    nearest, similarities = VectorIndex([tmp_path]).search(rows[:1], 5)
    assert similarities[0][nearest[0] == 2] == 0


def test_many_equal_vectors_are_returned_in_the_order_of_their_rows(tmp_path, monkeypatch):
    monkeypatch.setattr(search, "BLOCK", 7)
    rows = vectors(40)
    rows[3:] = rows[3]
    write_segment(tmp_path, track_ids(40), rows)
    nearest, similarities = VectorIndex([tmp_path]).search(rows[3:4], 10)
    assert nearest[0].tolist() == list(range(3, 13))
    assert np.ptp(similarities) == 0


def test_vectors_and_blocks_are_those_of_the_segments(tmp_path, monkeypatch):
    monkeypatch.setattr(search, "BLOCK", 8)
    index = VectorIndex([segment(tmp_path / str(s), n, s) for s, n in enumerate((20, 0, 5))])
    blocks = list(index.blocks())
    assert [(start, len(block)) for start, block in blocks] == [(0, 8), (8, 8), (16, 4), (20, 5)]
    rows = np.array([24, 0, 19, 20])
    joined = np.concatenate([block for _, block in blocks])
    np.testing.assert_array_equal(index.vectors(rows), joined[rows])


PROGRAM = """
import sys, numpy as np
from pathlib import Path
from melgraph.storage.vector_index import VectorIndex
index = VectorIndex([Path(name) for name in sys.argv[1:]])
queries = np.random.default_rng(5).normal(size=(300, 16)).astype(np.float32)
rows, similarities = index.search(queries, 10)
one = index.search(queries[7:8], 10)
assert (one[0] == rows[7]).all() and (one[1] == similarities[7]).all()
sys.stdout.buffer.write(rows.tobytes() + similarities.tobytes())
"""


def test_an_exact_search_gives_the_same_bytes_for_every_number_of_threads(tmp_path):
    folders = [str(segment(tmp_path / str(s), 20_000, s)) for s in range(2)]
    answers = set()
    for n_threads in "12":
        names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
        result = subprocess.run(
            [sys.executable, "-c", PROGRAM, *folders],
            env={"PATH": "", **dict.fromkeys(names, n_threads)},
            capture_output=True, check=True,
        )  # fmt: skip
        answers.add(result.stdout)
    assert len(answers) == 1


@pytest.fixture
def large_index(tmp_path, monkeypatch) -> VectorIndex:
    """Segments with and without a graph."""
    monkeypatch.setattr(segments, "GRAPH_FROM", 500)
    counts = [1500, 700, 1]
    return VectorIndex([segment(tmp_path / str(s), n, s) for s, n in enumerate(counts)])


def test_the_graph_returns_nearly_the_same(large_index, monkeypatch):
    queries = vectors(100, seed=99)
    exact, _ = large_index.search(queries, 10)
    monkeypatch.setattr(search, "EXACT_BELOW", 0)
    near, similarities = large_index.search(queries, 10)
    again = large_index.search(queries, 10)
    assert (near == again[0]).all()
    assert (similarities == again[1]).all()
    shared = [len({*a} & {*b}) / 10 for a, b in zip(near, exact, strict=True)]
    assert np.mean(shared) > 0.98
    assert (near >= 0).all()
    of_rows = np.einsum("qkd,qd->qk", large_index.vectors(near.ravel()).reshape(100, 10, DIMENSION),
                        segments.unit(queries))  # fmt: skip
    np.testing.assert_allclose(similarities, of_rows, atol=1e-6)
    assert (np.sort(large_index.search(queries[:2], 2201)[0]) == np.arange(2201)).all()


@pytest.mark.parametrize("share", [0.02, 0.5])
def test_a_filter_holds_in_the_graph_too(large_index, monkeypatch, share):
    allowed = np.random.default_rng(0).random(len(large_index)) < share
    queries = vectors(50, seed=99)
    exact, _ = large_index.search(queries, 10, allowed)
    monkeypatch.setattr(search, "EXACT_BELOW", 0)
    near, _ = large_index.search(queries, 10, allowed)
    assert allowed[near[near >= 0]].all()
    shared = [len({*a} & {*b}) / 10 for a, b in zip(near, exact, strict=True)]
    assert np.mean(shared) > 0.95
