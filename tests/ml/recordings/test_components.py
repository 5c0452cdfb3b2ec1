import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from melgraph.ml.recordings.components import components, edges_from_keys


class TestComponents:
    def test_numbers_follow_the_smallest_member(self):
        assert components(6, [(5, 1), (4, 3), (3, 3)]).tolist() == [0, 1, 2, 3, 3, 1]

    def test_nothing(self):
        assert components(0, []).shape == (0,)
        assert components(2, []).tolist() == [0, 1]

    @pytest.mark.parametrize("edge", [(0, 3), (-1, 0)])
    def test_edge_outside(self, edge):
        with pytest.raises(ValueError, match="there are 3 tracks"):
            components(3, [edge])

    @settings(deadline=None)
    @given(
        st.integers(1, 20).flatmap(
            lambda n: st.tuples(
                st.just(n),
                st.lists(st.tuples(st.integers(0, n - 1), st.integers(0, n - 1)), max_size=25),
            )
        )
    )
    def test_is_the_closure_of_the_edges(self, case):
        n, edges = case
        reach = np.eye(n, dtype=bool)
        for i, j in edges:
            reach[i, j] = reach[j, i] = True
        for middle in range(n):
            reach |= np.outer(reach[:, middle], reach[middle])
        groups = components(n, edges)
        assert ((groups[:, None] == groups[None]) == reach).all()
        first = [groups.tolist().index(number) for number in range(groups.max() + 1)]
        assert first == sorted(first)


class TestEdges:
    def test_equal_keys_join_and_none_does_not(self):
        edges = edges_from_keys(["x", None, "y", "x", None, "x"])
        assert components(6, edges).tolist() == [0, 1, 2, 0, 3, 0]
