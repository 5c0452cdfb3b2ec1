from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from melgraph.storage import vector_index
from melgraph.storage.artifacts import Work
from melgraph.storage.errors import ArtifactCorrupt, StorageError
from melgraph.storage.records import Spec
from melgraph.storage.vector_index import VectorIndex, write_segment

DIMENSION = 16


def vectors(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(count, DIMENSION)).astype(np.float32)


def track_ids(count: int, seed: int = 0) -> list[str]:
    return [f"{seed:02x}{row:030x}" for row in range(count)]


def segment(folder: Path, count: int, seed: int = 0) -> Path:
    folder.mkdir()
    write_segment(folder, track_ids(count, seed), vectors(count, seed))
    return folder


def brute_force(queries: np.ndarray, counts: list[int], k: int) -> list[list[tuple[str, float]]]:
    ids = [track_id for seed, n in enumerate(counts) for track_id in track_ids(n, seed)]
    rows = np.concatenate([vectors(n, seed) for seed, n in enumerate(counts)]).astype(np.float64)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    queries = queries / np.linalg.norm(queries, axis=1, keepdims=True)
    similarity = queries.astype(np.float64) @ rows.T
    best = np.argsort(-similarity, axis=1)[:, :k]
    return [
        [(ids[column], row[column]) for column in columns]
        for row, columns in zip(similarity, best, strict=True)
    ]


def assert_same(results, expected) -> None:
    assert len(results) == len(expected)
    for hits, truth in zip(results, expected, strict=True):
        assert [track_id for track_id, _ in hits] == [track_id for track_id, _ in truth]
        np.testing.assert_allclose([s for _, s in hits], [s for _, s in truth], atol=1e-5)


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
    assert_same(index.search(queries, k), brute_force(queries, counts, k))


def test_a_vector_finds_itself_first(tmp_path):
    index = VectorIndex([segment(tmp_path / "a", 50), segment(tmp_path / "b", 50, seed=1)])
    for row, hits in enumerate(index.search(vectors(50, seed=1), 1)):
        assert hits[0][0] == track_ids(50, seed=1)[row]
        assert hits[0][1] == pytest.approx(1.0, abs=1e-6)


def test_queries_of_another_type_and_order_in_memory_are_taken(tmp_path):
    index = VectorIndex([segment(tmp_path / "a", 30)])
    queries = np.asfortranarray(vectors(3, seed=9).astype(np.float64))
    assert_same(index.search(queries, 5), brute_force(queries, [30], 5))
    with pytest.raises(ValueError, match="dimension"):
        index.search(queries[:, :5], 5)


def test_asking_for_more_than_there_is_gives_all(tmp_path):
    index = VectorIndex([segment(tmp_path / "a", 3), segment(tmp_path / "b", 2, seed=1)])
    for n_queries in (1, 3):  # one query takes another way through the library
        results = index.search(vectors(n_queries, seed=9), 100)
        assert [len(hits) for hits in results] == [5] * n_queries


def test_empty_segments_are_allowed(tmp_path):
    empty = segment(tmp_path / "empty", 0)
    assert VectorIndex([]).search(vectors(2), 5) == [[], []]
    assert VectorIndex([empty]).search(vectors(2), 5) == [[], []]
    index = VectorIndex([empty, segment(tmp_path / "a", 3)])
    assert len(index) == 3
    assert len(index.search(vectors(1), 5)[0]) == 3


def test_a_silent_track_has_a_vector_too(tmp_path):
    rows = vectors(5)
    rows[2] = 0
    write_segment(tmp_path, track_ids(5), rows)
    hits = dict(VectorIndex([tmp_path]).search(rows[:1], 5)[0])
    assert hits[track_ids(5)[2]] == pytest.approx(0.0, abs=1e-6)


def test_ties_are_broken_by_id(tmp_path):
    row = np.ones((1, DIMENSION), np.float32)
    ids = ["cc" * 16, "aa" * 16, "bb" * 16]
    for name, track_id in zip("xyz", ids, strict=True):
        (tmp_path / name).mkdir()
        write_segment(tmp_path / name, [track_id], row)
    index = VectorIndex([tmp_path / name for name in "xyz"])
    assert [track_id for track_id, _ in index.search(row, 3)[0]] == sorted(ids)


def test_the_same_vectors_give_the_same_bytes(tmp_path):
    for name in "ab":
        segment(tmp_path / name, 1000)
    names = sorted(path.name for path in (tmp_path / "a").iterdir())
    assert names == ["track_id.npy", "vectors.usearch"]
    for name in names:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_the_graph_finds_nearly_the_same(tmp_path, monkeypatch):
    counts = [1500, 700, 1]
    index = VectorIndex([segment(tmp_path / str(s), n, s) for s, n in enumerate(counts)])
    queries = vectors(100, seed=99)
    exact = index.search(queries, 10)
    monkeypatch.setattr(vector_index, "EXACT_BELOW", 0)
    near = index.search(queries, 10)
    assert near == index.search(queries, 10)
    pairs = zip(near, exact, strict=True)
    shared = [len({t for t, _ in a} & {t for t, _ in b}) / 10 for a, b in pairs]
    assert np.mean(shared) > 0.95
    assert all(len(hits) == 10 for hits in near)
    assert all(len(hits) == sum(counts) for hits in index.search(queries[:2], 5000))


# ---- what is refused


def test_vectors_that_do_not_fit_their_ids_are_refused(tmp_path):
    with pytest.raises(StorageError, match="3 vectors for 2 ids"):
        write_segment(tmp_path, track_ids(2), vectors(3))
    rows = vectors(3)
    rows[1, 4] = np.nan
    with pytest.raises(StorageError, match="1 values are not finite"):
        write_segment(tmp_path, track_ids(3), rows)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["vectors.usearch", "track_id.npy"])
@pytest.mark.parametrize("keep", [None, 0, 1, 100, -100, -1])
def test_a_missing_or_truncated_file_is_corrupt(tmp_path, name, keep):
    path = segment(tmp_path / "a", 50) / name
    path.unlink() if keep is None else path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(ArtifactCorrupt, match="cannot be used") as caught:
        VectorIndex([tmp_path / "a"])
    assert caught.value.where == str(tmp_path / "a")


def test_ids_of_another_segment_are_corrupt(tmp_path):
    other = segment(tmp_path / "other", 49) / "track_id.npy"
    other.replace(segment(tmp_path / "a", 50) / "track_id.npy")
    with pytest.raises(ArtifactCorrupt, match="50 vectors for 49 ids"):
        VectorIndex([tmp_path / "a"])


def test_any_wrong_byte_of_a_committed_segment_is_found_before_it_is_mapped(store):
    # Walking a damaged graph can end the process, so this must not come to a search.
    def write(work: Work) -> None:
        write_segment(work.folder, track_ids(20), vectors(20))

    artifact, _ = store.produce(Spec("index_segments", "cnn+batch-000001", 1), write)
    assert len(VectorIndex([artifact.folder])) == 20
    draw = np.random.default_rng(0)
    for name in ("vectors.usearch", "track_id.npy"):
        path = artifact.folder / name
        good = path.read_bytes()
        for position in draw.integers(0, len(good), 50):
            bad = bytearray(good)
            bad[position] ^= 1 << int(draw.integers(0, 8))
            path.write_bytes(bytes(bad))
            with pytest.raises(ArtifactCorrupt, match="differs from its record") as caught:
                VectorIndex([artifact.folder])
            assert caught.value.where == str(path)
        path.write_bytes(good)
    (artifact.folder / "track_id.npy").unlink()
    with pytest.raises(ArtifactCorrupt, match="differs from its record"):
        VectorIndex([artifact.folder])
