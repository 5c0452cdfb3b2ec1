import copy

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from melgraph.ml.splits.quotas import Component, Quotas, place

SHARES = [0.6, 0.15, 0.25]

sizes = st.dictionaries(st.integers(0, 2), st.integers(1, 9), min_size=1)
libraries = st.lists(sizes, min_size=1, max_size=15)


def library(rows):
    return [Component(key=f"c{i:02d}", sizes=sorted(row.items())) for i, row in enumerate(rows)]


def expecting(parts):
    state = Quotas(3, SHARES, train=0)
    for part in parts:
        state.expect(part)
    return state


def distance(state):
    """Squared distance to the quotas, relative to the size of the class; placing reduces it."""
    return sum(
        (counts - share * total) ** 2 / total
        for share, row in zip(state.shares, state.counts, strict=True)
        for counts, total in zip(row, state.totals, strict=True)
        if total
    )


class TestQuotas:
    @settings(deadline=None)
    @given(libraries, st.data())
    def test_the_greatest_lack_is_the_smallest_distance(self, rows, data):
        parts = library(rows)
        state = expecting(parts)
        for part in parts[1:]:
            state.shift(part, data.draw(st.integers(0, 2)), sign=1)
        lacks, distances = [], []
        for split in range(3):
            tried = copy.deepcopy(state)
            tried.shift(parts[0], split, sign=1)
            lacks.append(state.lack(parts[0], split))
            distances.append(distance(tried))
        # Up to a constant, the distance is minus twice the lack: their order is one.
        spread = [d + 2 * lack for d, lack in zip(distances, lacks, strict=True)]
        assert max(spread) - min(spread) == pytest.approx(0, abs=1e-9)

    def test_gaps(self):
        state = expecting(library([{0: 2, 1: 1}, {1: 3}]))
        two, one = library([{0: 2, 1: 1}, {1: 3}])
        assert [state.gaps(two, split) for split in range(3)] == [(2, 2), (0, 2), (0, 2)]
        state.shift(one, 0, sign=1)
        assert [state.gaps(two, split) for split in range(3)] == [(1, 1), (0, 2), (0, 2)]
        state.shift(one, 0, sign=-1)
        assert state.counts == [[0, 0, 0]] * 3

    def test_what_the_parent_froze_counts(self):
        state = Quotas(2, [0.5, 0.5], train=0)
        state.put([(0, 4), (1, 2)], 1)
        assert (state.counts, state.totals, state.parts) == ([[0, 0], [4, 2]], [4, 2], [1, 1])


class TestPlace:
    @settings(deadline=None)
    @given(libraries, st.integers(0, 3))
    def test_everything_is_placed_and_counted_once(self, rows, seed):
        parts, state = library(rows), Quotas(3, SHARES, train=0)
        place(parts, state, seed)
        counts = [[0] * 3 for _ in SHARES]
        for part in parts:
            for kind, size in part.sizes:
                counts[part.split][kind] += size
        assert state.counts == counts
        assert [sum(column) for column in zip(*counts, strict=True)] == state.totals
        assert all(counts[0][kind] for kind in range(3) if state.totals[kind])

    @settings(deadline=None)
    @given(libraries, st.randoms(use_true_random=False))
    def test_order_does_not_matter(self, rows, random):
        parts, shuffled = library(rows), library(rows)
        random.shuffle(shuffled)
        for each in (parts, shuffled):
            place(each, Quotas(3, SHARES, train=0), seed=1)
        assert {p.key: p.split for p in parts} == {p.key: p.split for p in shuffled}

    def test_single_moves_close_a_gap_that_greed_leaves(self):
        # Greedily the three components would be train, train, and one other split.
        parts = library([{0: 6}, {0: 5}, {0: 4}])
        place(parts, Quotas(1, [0.8, 0.1, 0.1], train=0), seed=0)
        assert {p.key: p.split for p in parts}["c00"] == 0
        assert sorted(p.split for p in parts) == [0, 1, 2]
