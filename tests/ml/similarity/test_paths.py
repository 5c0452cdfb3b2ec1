from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse.csgraph import dijkstra

from melgraph.ml.errors import UserError
from melgraph.ml.similarity import paths
from melgraph.ml.similarity.neighbours import normalise
from melgraph.ml.similarity.paths import MOST_BETWEEN, path


class World:
    """A catalogue that is searched exactly, and counts its searches."""

    def __init__(self, vectors, forbidden=()):
        self.vectors = normalise(np.asarray(vectors))
        self.forbidden = set(forbidden)
        self.searches = []

    def neighbours(self, rows, k):
        self.searches.append((list(rows), k))
        return [self.nearest(self.vectors[row], k, but=row) for row in rows]

    def nearest(self, vector, k, but=None):
        similarities = self.vectors @ vector
        hidden = [*self.forbidden, *([] if but is None else [but])]
        order = np.argsort(-similarities, kind="stable")
        order = order[~np.isin(order, hidden)][:k].tolist()
        return order, similarities[order]

    def between(self, start, goal):
        a, b = self.vectors[start], self.vectors[goal]
        return lambda share: self.nearest((1 - share) * a + share * b, 5)[0]

    def squares(self):
        return np.maximum(2 - 2 * (self.vectors @ self.vectors.T).astype(float), 1e-6)

    def cost(self, rows):
        squares = self.squares()
        return sum(squares[one, other] for one, other in pairwise(rows))

    def is_through_neighbours(self, rows, k):
        def are_neighbours(one, other):
            return (other in self.nearest(self.vectors[one], k, one)[0]
                    or one in self.nearest(self.vectors[other], k, other)[0])  # fmt: skip

        return all(are_neighbours(one, other) for one, other in pairwise(rows))


def arc(n=40, end=np.pi / 2):
    """Tracks on a quarter of a circle, evenly."""
    angles = np.linspace(0, end, n)
    return np.column_stack([np.cos(angles), np.sin(angles)])


def clusters(n=120, n_clusters=4, width=6, seed=0, spread=1.0):
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(n_clusters, width)) * spread
    return centres[np.arange(n) % n_clusters] + 0.5 * rng.normal(size=(n, width))


class TestInvariants:
    @settings(deadline=None, max_examples=60)
    @given(
        st.integers(2, 40),
        st.integers(0, 20),
        st.none() | st.integers(0, 12),
        st.booleans(),
        st.data(),
    )
    def test_start_goal_and_no_track_twice(self, n, seed, length, guided, data):
        world = World(clusters(n, seed=seed))
        start, goal = data.draw(st.permutations(range(n)))[:2]
        forbidden = data.draw(st.sets(st.integers(0, n - 1), max_size=5)) - {start, goal}
        world.forbidden = forbidden
        between = world.between(start, goal) if guided else None
        result = path(start, goal, world.neighbours, length, between=between)
        assert (result.rows[0], result.rows[-1]) == (start, goal)
        assert len(set(result.rows)) == len(result.rows)
        assert not set(result.rows) & forbidden
        if result.reason is None and length is not None:
            assert len(result.rows) == length + 2
        if result.reason is None and length != 0:
            assert world.is_through_neighbours(result.rows, paths.NEIGHBOURS[-1])

    @settings(deadline=None, max_examples=30)
    @given(st.integers(3, 40), st.integers(0, 20))
    def test_the_smallest_sum_of_squares(self, n, seed):
        """With all tracks as neighbours, it is the shortest path in the complete graph."""
        world = World(clusters(n, seed=seed))
        result = path(0, 1, lambda rows, k: world.neighbours(rows, n), None)
        best = dijkstra(world.squares(), indices=0)[1]
        assert world.cost(result.rows) == pytest.approx(best, rel=1e-6)
        assert result.reason is None

    @settings(deadline=None, max_examples=30)
    @given(st.integers(4, 30), st.integers(0, 20), st.integers(1, 4))
    def test_the_best_path_with_fewer_steps(self, n, seed, length):
        """Against all paths with at most so many steps."""
        world = World(arc(n) + 0.05 * np.random.default_rng(seed).normal(size=(n, 2)))
        result = path(0, n - 1, lambda rows, k: world.neighbours(rows, n), length)
        unlimited = path(0, n - 1, lambda rows, k: world.neighbours(rows, n), None)
        if len(unlimited.rows) - 2 > length:
            costs = np.full(n, np.inf)
            costs[0] = 0.0
            for _ in range(length + 1):
                costs = np.minimum(costs, (costs[:, None] + world.squares()).min(axis=0))
            assert world.cost(result.rows) == pytest.approx(costs[n - 1], rel=1e-6)


class TestPath:
    def test_along_an_arc(self):
        world = World(arc(40))
        result = path(0, 39, world.neighbours)
        assert result.rows == sorted(result.rows)
        assert result.reason is None
        steps = np.diff(result.rows)
        assert steps.max() <= 10  # none is larger than to the tenth neighbour

    def test_each_step_sounds_more_similar_than_start_and_goal(self):
        world = World(clusters(200, seed=4))
        similarities = world.vectors @ world.vectors.T
        for goal in range(1, 20):
            rows = path(0, goal, world.neighbours).rows
            least = min(similarities[one, other] for one, other in pairwise(rows))
            assert least >= similarities[0, goal] - 1e-6

    @pytest.mark.parametrize("length", [1, 2, 4, 9, 20, 38])
    def test_as_many_tracks_as_were_asked_for(self, length):
        world = World(arc(40))
        result = path(0, 39, world.neighbours, length)
        assert len(result.rows) == length + 2
        assert result.reason is None
        steps = np.diff(result.rows)
        assert steps.min() >= 1  # in order
        assert steps.max() <= 3 * 39 / (length + 1)  # no step is much larger than the others

    def test_no_track_between(self):
        assert path(3, 7, World(arc()).neighbours, 0).rows == [3, 7]

    def test_more_tracks_than_the_library_has(self):
        result = path(0, 4, World(arc(5)).neighbours, 10)
        assert sorted(result.rows) == [0, 1, 2, 3, 4]
        assert result.reason == (
            "3 tracks instead of 10 between start and goal, because no others are neighbours"
        )

    def test_forbidden_rows_are_passed_by(self):
        world = World(arc(40), forbidden=range(10, 20))
        result = path(0, 39, world.neighbours)
        assert not set(result.rows) & world.forbidden
        assert result.rows == sorted(result.rows)

    def test_more_neighbours_connect_two_islands(self):
        """Two dense clusters of 30: with ten neighbours, each is an island."""
        world = World(clusters(60, 2, seed=1, spread=20))
        result = path(0, 1, world.neighbours)
        assert result.reason is None
        assert {k for _, k in world.searches} == {10, 40}

    def test_islands_that_nothing_connects(self):
        world = World(np.repeat(np.eye(2), 200, axis=0))
        result = path(0, 399, world.neighbours)
        assert result.rows == [0, 399]
        assert "so it is one step" in result.reason
        assert {k for _, k in world.searches} == set(paths.NEIGHBOURS)

    def test_the_straight_line_between_islands(self):
        rng = np.random.default_rng(0)
        vectors = np.repeat(np.eye(3), 200, axis=0) + 0.01 * rng.normal(size=(600, 3))
        world = World(vectors)
        free = path(0, 399, world.neighbours, between=world.between(0, 399))
        assert len(free.rows) == paths.STRAIGHT_LENGTH + 2
        assert "so it has the tracks nearest to the straight line" in free.reason
        result = path(0, 399, world.neighbours, 3, between=world.between(0, 399))
        assert len(result.rows) == 5
        assert max(result.rows) < 400  # the third island is not on the way

    def test_too_few_tracks_for_neighbours(self):
        """One track between, but each of 400 tracks has its neighbours in a small part."""
        world = World(arc(400))
        thin = path(0, 399, world.neighbours, 1)
        assert len(thin.rows) == 3
        assert thin.reason.startswith(
            "no path through neighbours has only 1 track between start and goal, so tracks were "
            "left out of one with"
        )
        straight = path(0, 399, world.neighbours, 1, between=world.between(0, 399))
        assert straight.rows[1] == pytest.approx(200, abs=2)
        assert "so it has the tracks nearest to the straight line" in straight.reason

    def test_duplicates_are_one_step(self):
        world = World(np.ones((30, 3)))
        assert path(0, 29, lambda rows, k: world.neighbours(rows, 30)).rows == [0, 29]

    def test_a_few_tracks(self):
        assert path(0, 1, World(np.eye(2)).neighbours).rows == [0, 1]

    def test_a_large_library_is_not_read_whole(self, monkeypatch):
        monkeypatch.setattr(paths, "MOST_READ", 100)
        world = World(clusters(2000, 20, width=12))
        result = path(0, 1, world.neighbours, between=world.between(0, 1))
        assert (result.rows[0], result.rows[-1]) == (0, 1)
        most = (paths.MOST_READ + paths._BATCH) * len(paths.NEIGHBOURS)
        assert sum(len(rows) for rows, _ in world.searches) <= most

    def test_the_same_each_time(self):
        first, second = (path(0, 5, World(clusters()).neighbours, 6) for _ in range(2))
        assert first == second

    def test_a_neighbour_without_a_similarity_is_left_out(self):
        def neighbours(rows, k):
            return [([1, 2], [np.nan, 0.5]) if row == 0 else ([0], [0.5]) for row in rows]

        assert path(0, 2, neighbours).rows == [0, 2]


class TestMistakes:
    def test_one_track(self):
        with pytest.raises(UserError, match="start and goal are one track"):
            path(3, 3, World(arc()).neighbours)

    @pytest.mark.parametrize("length", [-1, MOST_BETWEEN + 1])
    def test_length(self, length):
        with pytest.raises(UserError, match=f"a path with {length} tracks"):
            path(0, 3, World(arc()).neighbours, length)
