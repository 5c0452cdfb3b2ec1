import io

import numpy as np
import pytest

from melgraph.storage.artifacts import Work
from melgraph.storage.errors import ArtifactCorrupt, StorageError
from melgraph.storage.records import Spec
from melgraph.storage.vector_index import VectorIndex, cells, search, segments, write_segment
from tests.storage.vector_index.examples import segment, track_ids, vectors

FILES = ["cells.npz", "codes.npy", "track_id.npy", "vectors.npy"]


@pytest.fixture(autouse=True)
def _small_cells(monkeypatch):
    monkeypatch.setattr(segments, "CELLS_FROM", 300)
    monkeypatch.setattr(search, "EXACT_BELOW", 0)
    monkeypatch.setattr(search, "_CANDIDATES", 5)


def test_the_same_vectors_give_the_same_bytes(tmp_path):
    for name in "ab":
        segment(tmp_path / name, 1000)
    assert sorted(path.name for path in (tmp_path / "a").iterdir()) == FILES
    for name in FILES:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_a_small_segment_has_no_cells(tmp_path):
    segment(tmp_path / "a", 299)
    assert sorted(path.name for path in (tmp_path / "a").iterdir()) == FILES[2:]


def test_progress_counts_the_vectors_in_cells(tmp_path, monkeypatch):
    monkeypatch.setattr(cells, "_LOT", 300)
    calls: list[tuple[int, int]] = []
    write_segment(tmp_path, track_ids(700), vectors(700), lambda *call: calls.append(call))
    assert calls == [(300, 700), (600, 700), (700, 700)]


def test_an_index_of_silence_can_be_searched(tmp_path):
    write_segment(tmp_path, track_ids(400), np.zeros((400, 16), np.float32))
    rows, similarities = VectorIndex([tmp_path]).search(vectors(2), 3)
    assert (rows >= 0).all()
    assert (similarities == 0).all()


@pytest.mark.parametrize("scale", [1e-300, 1e-40, 1e200])
def test_the_scale_of_a_vector_does_not_matter(tmp_path, scale):
    rows = np.array([[3.0, 4.0], [4.0, -3.0]]) * scale
    write_segment(tmp_path, track_ids(2), rows)
    np.testing.assert_allclose(
        VectorIndex([tmp_path]).vectors(np.arange(2)), [[0.6, 0.8], [0.8, -0.6]], rtol=1e-6
    )


# ---- what is refused


def test_vectors_that_do_not_fit_their_ids_are_refused(tmp_path):
    with pytest.raises(StorageError, match="3 vectors for 2 ids"):
        write_segment(tmp_path, track_ids(2), vectors(3))
    rows = vectors(3)
    rows[1, 4] = np.nan
    with pytest.raises(StorageError, match="1 values are not finite"):
        write_segment(tmp_path, track_ids(3), rows)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("keep", [None, 0, 1, 100, -100, -1])
def test_a_missing_or_truncated_file_is_corrupt(tmp_path, name, keep):
    path = segment(tmp_path / "a", 300) / name
    path.unlink() if keep is None else path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(ArtifactCorrupt, match="cannot be used") as caught:
        VectorIndex([tmp_path / "a"]).search(vectors(1), 5)
    assert caught.value.where == str(tmp_path / "a")


def test_ids_of_another_segment_are_corrupt(tmp_path):
    other = segment(tmp_path / "other", 49) / "track_id.npy"
    other.replace(segment(tmp_path / "a", 50) / "track_id.npy")
    with pytest.raises(ArtifactCorrupt, match="50 vectors for 49 ids"):
        VectorIndex([tmp_path / "a"])


def test_a_file_with_a_pickle_is_not_loaded(tmp_path):
    path = segment(tmp_path / "a", 50) / "vectors.npy"
    np.save(path, np.array([{"a": 1}] * 50, object), allow_pickle=True)
    with pytest.raises(ArtifactCorrupt, match="cannot be used"):
        VectorIndex([tmp_path / "a"])


@pytest.mark.parametrize("name", FILES)
def test_no_wrong_byte_ends_the_process(tmp_path, name):
    """A wrong byte is reported, or changes a similarity. The search never leaves the arrays."""
    path = segment(tmp_path / "a", 300) / name
    good, draw = path.read_bytes(), np.random.default_rng(0)
    for position in {*draw.integers(0, len(good), 60).tolist(), *range(0, 140, 7)}:
        bad = bytearray(good)
        bad[position] ^= 1 << int(draw.integers(0, 8))
        path.write_bytes(bytes(bad))
        try:
            rows, _ = VectorIndex([tmp_path / "a"]).search(vectors(20, seed=3), 10)
        except ArtifactCorrupt:
            continue
        assert ((rows >= -1) & (rows < 300)).all()


def _row_out_of_bounds(arrays):
    arrays["rows"][5] = 300


def _negative_row(arrays):
    arrays["rows"][5] = -1


def _row_in_two_cells(arrays):
    arrays["rows"][5] = arrays["rows"][6]


def _negative_size(arrays):
    arrays["sizes"][0] += arrays["sizes"][1] + 1
    arrays["sizes"][1] = -1


def _sizes_too_large(arrays):
    arrays["sizes"][0] += 1


def _sizes_that_overflow(arrays):
    arrays["sizes"][:] = 2**62
    arrays["sizes"][0] = 300


def _one_size_missing(arrays):
    arrays["sizes"] = arrays["sizes"][:-1]


def _no_cell(arrays):
    arrays["sizes"], arrays["centroids"] = arrays["sizes"][:0], arrays["centroids"][:0]


def _centroid_that_is_no_number(arrays):
    arrays["centroids"][0, 0] = np.nan


def _enormous_step(arrays):
    arrays["steps"][3] = 1e38


def _steps_of_another_type(arrays):
    arrays["steps"] = arrays["steps"].astype(np.float64)


def _centroids_of_another_encoder(arrays):
    arrays["centroids"] = arrays["centroids"][:, :-1]


def _breadth_of_zero(arrays):
    arrays["breadth"] = np.array(0)


def _breadth_above_the_number_of_cells(arrays):
    arrays["breadth"] = np.array(len(arrays["sizes"]) + 1)


@pytest.mark.parametrize(
    "damage",
    [
        _breadth_of_zero,
        _breadth_above_the_number_of_cells,
        _row_out_of_bounds,
        _negative_row,
        _row_in_two_cells,
        _negative_size,
        _sizes_too_large,
        _sizes_that_overflow,
        _one_size_missing,
        _no_cell,
        _centroid_that_is_no_number,
        _enormous_step,
        _steps_of_another_type,
        _centroids_of_another_encoder,
    ],
)
def test_cells_that_native_code_could_not_walk_are_refused(tmp_path, damage):
    path = segment(tmp_path / "a", 300) / "cells.npz"
    with np.load(path) as stored:
        arrays = dict(stored)
    damage(arrays)
    np.savez(path, **arrays)
    with pytest.raises(ArtifactCorrupt, match="cannot be used"):
        VectorIndex([tmp_path / "a"]).search(vectors(1), 5)


def test_codes_of_another_segment_are_corrupt(tmp_path):
    other = segment(tmp_path / "other", 400) / "codes.npy"
    other.replace(segment(tmp_path / "a", 300) / "codes.npy")
    with pytest.raises(ArtifactCorrupt, match="codes of uint8"):
        VectorIndex([tmp_path / "a"]).search(vectors(1), 5)


def test_the_size_of_a_committed_file_is_compared_with_its_record(store):
    def write(work: Work) -> None:
        write_segment(work.folder, track_ids(20), vectors(20))

    artifact, _ = store.produce(Spec("index_segments", "cnn+batch-000001", 1), write)
    assert len(VectorIndex([artifact.folder])) == 20
    path = artifact.folder / "vectors.npy"
    buffer = io.BytesIO()
    np.save(buffer, vectors(21))
    path.chmod(0o644)
    path.write_bytes(buffer.getvalue())
    with pytest.raises(ArtifactCorrupt, match="another size than its record says") as caught:
        VectorIndex([artifact.folder])
    assert caught.value.where == str(path)
