import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from melgraph.storage.vector_index import VectorIndex, cells, search, segments, write_segment
from melgraph.storage.vector_index import nearest as nearest_rows
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
    with pytest.raises(ValueError, match="a filter of"):
        index.search(queries, 5, np.ones(31, bool))
    assert index.search(queries, 0)[0].shape == (3, 0)


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


def test_a_silent_query_returns_the_first_rows(tmp_path):
    index = VectorIndex([segment(tmp_path / "a", 30), segment(tmp_path / "b", 30, seed=1)])
    queries = vectors(3, seed=9)
    queries[1] = 0
    rows, similarities = index.search(queries, 40)
    assert rows[1].tolist() == list(range(40))
    assert (similarities[1] == 0).all()
    assert_same((rows[::2], similarities[::2]), index.search(queries[::2], 40))
    allowed = np.arange(60) % 30 > 27
    rows, similarities = index.search(queries, 5, allowed)
    assert rows[1].tolist() == [28, 29, 58, 59, -1]
    assert index.search(queries[1:2], 5, allowed)[0].tolist() == rows[1:2].tolist()
    assert similarities[1, :4].tolist() == [0, 0, 0, 0]
    assert np.isnan(similarities[1, 4])


def test_many_equal_vectors_are_returned_in_the_order_of_their_rows(tmp_path, monkeypatch):
    monkeypatch.setattr(nearest_rows, "_FIRST_BLOCK", 3)
    monkeypatch.setattr(nearest_rows, "_LARGEST_BLOCK", 7)
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


# ---- large segments


@pytest.fixture
def small_cells(monkeypatch) -> None:
    """Cells in segments of 500 vectors and more, which every search uses."""
    monkeypatch.setattr(segments, "CELLS_FROM", 500)
    monkeypatch.setattr(search, "EXACT_BELOW", 0)
    monkeypatch.setattr(search, "_CANDIDATES", 10)


@pytest.fixture
def large_index(tmp_path, small_cells) -> VectorIndex:
    """Segments with and without cells."""
    counts = [3000, 1500, 1]
    return VectorIndex([segment(tmp_path / str(s), n, s) for s, n in enumerate(counts)])


def exact(index: VectorIndex, *arguments) -> np.ndarray:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(search, "EXACT_BELOW", len(index) + 1)
        return index.search(*arguments)[0]


def recall(near: np.ndarray, expected: np.ndarray) -> float:
    pairs = zip(near.tolist(), expected.tolist(), strict=True)
    return float(np.mean([len({*a} & {*b} - {-1}) / len({*b} - {-1}) for a, b in pairs]))


def test_cells_return_nearly_the_same(large_index):
    queries = vectors(500, seed=99)
    near, similarities = large_index.search(queries, 10)
    again = large_index.search(queries, 10)
    assert (near == again[0]).all()
    assert (similarities == again[1]).all()
    assert 0.95 < recall(near, exact(large_index, queries, 10)) < 1
    assert (near >= 0).all()
    of_rows = np.einsum("qkd,qd->qk", large_index.vectors(near.ravel()).reshape(500, 10, DIMENSION),
                        segments.unit(queries))  # fmt: skip
    np.testing.assert_allclose(similarities, of_rows, atol=1e-6)
    assert (np.sort(large_index.search(queries[:2], 4501)[0]) == np.arange(4501)).all()


@pytest.mark.parametrize("share", [0.5, 0.9, 0.995])
def test_enough_cells_are_searched_for_the_recall_that_is_asked_for(
    tmp_path, small_cells, monkeypatch, share
):
    monkeypatch.setattr(cells, "_IN_REACH", share)
    monkeypatch.setattr(cells, "_TO_ONE", 0)
    monkeypatch.setattr(search, "_CANDIDATES", 100)
    index = VectorIndex([segment(tmp_path / "a", 4000)])
    queries = vectors(200, seed=99)
    assert recall(index.search(queries, 10)[0], exact(index, queries, 10)) == pytest.approx(
        share, abs=0.1 if share < 0.9 else 0.03 if share < 0.99 else 0.008
    )


@pytest.mark.parametrize("share", [0.02, 0.5, 0.999])
def test_a_filter_holds_in_cells_too(large_index, share):
    allowed = np.random.default_rng(0).random(len(large_index)) < share
    queries = vectors(50, seed=99)
    near, _ = large_index.search(queries, 10, allowed)
    assert allowed[near[near >= 0]].all()
    assert recall(near, exact(large_index, queries, 10, allowed)) > 0.95


def test_a_filter_without_the_nearest_cells_finds_the_others(large_index):
    """As if the genre of the query was excluded: here, what is on its side of the first axis."""
    recalls = []
    first = np.concatenate([block[:, 0] for _, block in large_index.blocks()])
    for query in vectors(20, seed=99)[:, None]:
        allowed = np.sign(first) != np.sign(query[0, 0])
        near, _ = large_index.search(query, 10, allowed)
        assert (near >= 0).all()
        assert allowed[near].all()
        recalls.append(recall(near, exact(large_index, query, 10, allowed)))
    assert np.mean(recalls) > 0.95


@pytest.mark.parametrize("filtered", [False, True])
def test_an_answer_does_not_depend_on_the_other_queries(large_index, filtered):
    allowed = np.random.default_rng(1).random(len(large_index)) < 0.6 if filtered else None
    queries = vectors(40, seed=99)
    rows, similarities = large_index.search(queries, 10, allowed)
    for query in range(40):
        one = large_index.search(queries[query : query + 1], 10, allowed)
        np.testing.assert_array_equal(one[0][0], rows[query])
        np.testing.assert_array_equal(one[1][0], similarities[query])


@pytest.mark.usefixtures("small_cells")
def test_nearly_empty_cells_do_not_shorten_an_answer(tmp_path, monkeypatch):
    """Cells that hold fewer vectors than asked for: the search is then exact."""
    monkeypatch.setattr(cells, "_IN_REACH", 0)
    monkeypatch.setattr(cells, "_TO_ONE", 0)
    monkeypatch.setattr(cells, "_CELLS_PER_ROOT", 12)
    index = VectorIndex([segment(tmp_path / "a", 1000)])
    queries = vectors(100, seed=99)
    rows, _ = index.search(queries, 20)
    assert (rows >= 0).all()
    assert recall(rows, exact(index, queries, 20)) > 0.5


@pytest.mark.usefixtures("small_cells")
@settings(max_examples=10, deadline=None)
@given(st.integers(1, 24), st.integers(0, 3))
def test_vectors_of_every_length_have_cells(tmp_path_factory, dimension, seed):
    folder = tmp_path_factory.mktemp("segment")
    rows = np.random.default_rng(seed).normal(size=(600, dimension)).astype(np.float32)
    write_segment(folder, track_ids(600), rows)
    index = VectorIndex([folder])
    near, similarities = index.search(rows[:20], 5)
    _, expected = brute_force(rows[:20], rows, 5)
    assert np.mean(np.abs(similarities - expected)) < 0.02
    assert (similarities[:, 0] > 0.999).mean() > 0.9
    assert ((near >= 0) & (near < 600)).all()


@pytest.mark.usefixtures("small_cells")
@pytest.mark.parametrize("k", [1, 5, 59])
def test_equal_and_silent_vectors_have_cells(tmp_path, k):
    rows = vectors(600)
    rows[:400], rows[400:500] = rows[0], 0
    write_segment(tmp_path, track_ids(600), rows)
    near, similarities = VectorIndex([tmp_path]).search(np.stack([rows[0], 0 * rows[0]]), k)
    assert (near[0] < 400).all()
    np.testing.assert_allclose(similarities[0], 1, atol=1e-6)
    assert (near[1] >= 0).all()
    assert (similarities[1] == 0).all()


LARGE = """
import sys
from pathlib import Path
from melgraph.storage.vector_index import VectorIndex, search, segments, write_segment
from tests.storage.vector_index.examples import track_ids, vectors
segments.CELLS_FROM, search.EXACT_BELOW = 500, 0
folder = Path(sys.argv[1])
folder.mkdir()
write_segment(folder, track_ids(20_000), vectors(20_000))
rows, similarities = VectorIndex([folder]).search(vectors(300, seed=9), 10)
sys.stdout.buffer.write(rows.tobytes() + similarities.tobytes())
for path in sorted(folder.iterdir()):
    sys.stdout.buffer.write(path.read_bytes())
"""


def test_cells_and_answers_are_the_same_bytes_for_every_number_of_threads(tmp_path):
    outputs = set()
    for n_threads in "13":
        result = subprocess.run(
            [sys.executable, "-c", LARGE, str(tmp_path / n_threads)],
            env={"PATH": "", "PYTHONPATH": ".", "OMP_NUM_THREADS": n_threads},
            capture_output=True, check=True,
        )  # fmt: skip
        outputs.add(result.stdout)
    assert len(outputs) == 1
