"""Lists of neighbours: against a count by hand, and updated lists against lists built anew."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from melgraph.ml.similarity import lists as module
from melgraph.ml.similarity.hubness import rescaled, scales
from melgraph.ml.similarity.lists import NeighbourLists, build_lists, update_lists
from melgraph.ml.similarity.neighbours import normalise


class ExactIndex:
    """Searches as `storage.vector_index.VectorIndex` does."""

    def __init__(self, vectors: np.ndarray) -> None:
        self.unit = normalise(vectors)

    def __len__(self) -> int:
        return len(self.unit)

    def vectors(self, rows: np.ndarray) -> np.ndarray:
        return self.unit[rows]

    def blocks(self):
        for start in range(0, len(self), 7):
            yield start, self.unit[start : start + 7]

    def search(self, queries, k, allowed=None):
        similarity = (queries.astype(np.float64) @ self.unit.T.astype(np.float64)).astype("f4")
        similarity[:, ~(np.ones(len(self), bool) if allowed is None else allowed)] = -np.inf
        order = np.argsort(-similarity, axis=1, kind="stable")[:, :k]
        near = np.take_along_axis(similarity, order, axis=1)
        rows, values = (
            np.where(np.isneginf(near), -1, order),
            np.where(near == -np.inf, np.nan, near),
        )
        short = ((0, 0), (0, max(0, k - len(self))))
        return np.pad(rows, short, constant_values=-1), np.pad(
            values, short, constant_values=np.nan
        )


def points(n: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0.3, 1, (n, 5)).astype(np.float32)


def everyone(n: int) -> tuple[np.ndarray, np.ndarray]:
    return np.ones(n, bool), np.arange(n)


def assert_equal(one: NeighbourLists, other: NeighbourLists) -> None:
    for name in ("rows", "similarities", "scores"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name), err_msg=name)


def test_against_lists_by_hand():
    index = ExactIndex(points(30))
    lists = build_lists(index, *everyone(30), 4)
    similarity = (index.unit.astype(np.float64) @ index.unit.T).astype(np.float32)
    for row in range(30):
        others = np.delete(np.arange(30), row)
        of_track = np.sort(similarity[row, others])[::-1]
        assert lists.scales[row] == pytest.approx(scales(of_track[None])[0], rel=1e-5)
        score = rescaled(similarity[row, others], lists.scales[row], lists.scales[others])
        score[similarity[row, others] <= 0] = -np.inf
        best = others[np.argsort(-score)][:4]
        n = int((score > -np.inf).sum())
        assert lists.rows[row, :n].tolist() == best[:n].tolist()
    assert (lists.horizons == -1).all()


ANGLES = {"a": 0, "a copy": 1, "b": 20, "b copy": 25, "c": 40, "opposite": 200, "across": 95}


def test_each_recording_is_listed_once_and_never_for_its_own_copy():
    radians = np.radians(list(ANGLES.values()))
    index = ExactIndex(np.stack([np.cos(radians), np.sin(radians)], axis=1))
    lists = build_lists(index, np.ones(7, bool), np.array([0, 0, 2, 2, 4, 5, 6]), 5)
    names = list(ANGLES)
    near = {
        name: [names[i] for i in row if i >= 0] for name, row in zip(names, lists.rows, strict=True)
    }
    for name, others in near.items():
        recordings = [other.split()[0] for other in others]
        assert len(set(recordings)) == len(recordings)
        assert name.split()[0] not in recordings
        assert "opposite" not in others
    assert near["opposite"] == []
    assert {*near["a"]} <= {"b", "b copy", "c"}
    assert np.nanmin(lists.similarities) > 0


def test_copies_and_absent_tracks_do_not_shorten_the_lists(monkeypatch):
    monkeypatch.setattr(module, "CANDIDATES", 6)
    rng = np.random.default_rng(0)
    vectors = np.concatenate([np.ones((60, 1)), rng.normal(0, 0.1, (60, 3))], axis=1)
    recordings = np.arange(60)
    recordings[:40] %= 3
    live = np.arange(60) < 57
    lists = build_lists(ExactIndex(vectors), live, recordings, 10)
    assert (lists.rows[live] >= 0).all()
    assert (lists.rows[~live] == -1).all()
    assert np.isnan(lists.scales[~live]).all()
    for row in np.flatnonzero(live):
        near = recordings[lists.rows[row]]
        assert len({*near}) == 10
        assert recordings[row] not in near
        assert live[lists.rows[row]].all()


def test_a_recording_with_many_copies_needs_no_more_memory(monkeypatch):
    monkeypatch.setattr(module, "CANDIDATES", 5)
    monkeypatch.setattr(module, "_AT_ONCE", 16)
    rng = np.random.default_rng(0)
    vectors = np.concatenate([np.ones((300, 1)), rng.normal(0, 0.01, (300, 3))], axis=1)
    vectors[280:, 1:] *= 10  # the other recordings are farther away than all copies
    index, sizes = ExactIndex(vectors), []
    search = index.search
    monkeypatch.setattr(
        index, "search", lambda q, k, a=None: sizes.append(len(q) * k) or search(q, k, a)
    )
    recordings = np.where(np.arange(300) < 280, 0, np.arange(300))
    lists = build_lists(index, np.ones(300, bool), recordings, 4)
    assert (lists.rows >= 0).all()
    assert max(sizes) <= 16 * (5 + 1) + 300


@pytest.mark.parametrize("n", [0, 1, 2, 3])
def test_small_libraries(n):
    lists = build_lists(ExactIndex(np.ones((n, 3))), *everyone(n), 10)
    assert (lists.rows >= 0).sum(axis=1).tolist() == [max(n - 1, 0)] * n
    index = ExactIndex(np.concatenate([np.ones((n, 3)), points(2)[:, :3] + 1]))
    before = extended(lists, n + 2)
    after, _ = update_lists(index, *everyone(n + 2), before, np.arange(n + 2))
    assert not np.isnan(after.scales[: n + 2]).any()


def extended(lists: NeighbourLists, n: int) -> NeighbourLists:
    """The lists, in an index with more rows at the end."""
    more = NeighbourLists.empty(n - len(lists.rows), lists.rows.shape[1])
    pairs = zip(vars(lists).values(), vars(more).values(), strict=True)
    return NeighbourLists(*(np.concatenate(pair) for pair in pairs))


@settings(deadline=None, max_examples=40)
@given(st.data())
def test_updated_lists_equal_lists_that_are_built_anew(data):
    """If the scales are equal, the order in which tracks arrive or disappear does not matter."""
    n, seed = data.draw(st.integers(2, 60)), data.draw(st.integers(0, 99))
    index = ExactIndex(points(n, seed))
    rows = st.lists(st.booleans(), min_size=n, max_size=n)
    live_before, live_after = np.array(data.draw(rows)), np.array(data.draw(rows))
    before, after = (
        np.array(data.draw(st.lists(st.integers(0, n - 1), min_size=n, max_size=n)))
        if data.draw(st.booleans())
        else np.arange(n)
        for _ in range(2)
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "scales", lambda s: np.ones(len(s), np.float32))
        patch.setattr(module, "_NEW_AT_ONCE", 5)
        first = build_lists(index, live_before, before, 4)
        updated, _ = update_lists(index, live_after, after, first, before)
        assert_equal(updated, build_lists(index, live_after, after, 4))


def test_scales_of_older_tracks_stay():
    index = ExactIndex(points(80))
    live = np.arange(80) < 60
    before = build_lists(index, live, np.arange(80), 5)
    after, n_changed = update_lists(index, *everyone(80), before, np.arange(80))
    np.testing.assert_array_equal(after.scales[:60], before.scales[:60])
    assert not np.isnan(after.scales).any()
    n_older = int((after.rows[:60] != before.rows[:60]).any(axis=1).sum())
    assert n_changed == 20 + n_older
    np.testing.assert_array_equal(before.rows[60:], -1)  # the lists before are not modified


def test_nothing_changes_without_new_tracks():
    index = ExactIndex(points(30))
    before = build_lists(index, *everyone(30), 5)
    after, n_changed = update_lists(index, *everyone(30), before, np.arange(30))
    assert n_changed == 0
    assert_equal(before, after)


def test_only_new_tracks_and_broken_lists_are_searched(monkeypatch):
    monkeypatch.setattr(module, "CANDIDATES", 20)
    index, searched = ExactIndex(points(200)), []
    live = np.arange(200) < 195
    before = build_lists(index, live, np.arange(200), 5)
    live_after = np.ones(200, bool)
    live_after[17] = False
    with_17 = np.flatnonzero((before.rows == 17).any(axis=1))
    search = index.search
    monkeypatch.setattr(
        index, "search", lambda q, k, a=None: searched.append(len(q)) or search(q, k, a)
    )
    after, _ = update_lists(index, live_after, np.arange(200), before, np.arange(200))
    assert sum(searched) == 5 + len(with_17)
    assert 17 not in after.rows
