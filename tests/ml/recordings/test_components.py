import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from melgraph.ml.recordings.components import components, edges_from_keys, name_edges


def groups_by_name(paths):
    """The components of the file names, as sets of paths."""
    groups = components(len(paths), name_edges(paths))
    return {frozenset(p for p, c in zip(paths, groups, strict=True) if c == n) for n in groups}


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

    @pytest.mark.parametrize(
        ("one", "other"),
        [
            ("blues.00000", "blues.00000.crop"),
            ("g/blues.00000.wav", "g/blues.00000.crop.flac"),
            ("g/blues.00000.wav", "g/blues.00000.flac"),
            ("01 Intro.mp3", "01 Intro (live).mp3"),
            ("01 Intro.mp3", "01 INTRO_remaster.m4a"),
            ("a/Prelude.ogg", "a/Prelude No. 2.ogg"),
            ("Cafe\u0301.mp3", "Caf\u00e9 - demo.mp3"),
        ],
    )
    def test_versions_are_connected(self, one, other):
        assert len(groups_by_name([one, other])) == 1
        assert len(groups_by_name([other, one])) == 1

    @pytest.mark.parametrize(
        ("one", "other"),
        [
            ("blues.0000", "blues.00001"),
            ("blues.00000.wav", "blues.00001.wav"),
            ("Track 1.mp3", "Track 10.mp3"),
            ("Track 1", "Track 10"),
            ("a/Intro.mp3", "b/Intro.mp3"),
            ("01. Intro", "01. Outro"),
            (".mp3", ".flac"),
        ],
    )
    def test_others_are_not(self, one, other):
        assert len(groups_by_name([one, other])) == 2

    def test_chain_of_versions(self):
        paths = ["x/b.mp3", "x/a (live) 2.mp3", "x/a.mp3", "x/a (live).mp3"]
        assert groups_by_name(paths) == {frozenset(paths[:1]), frozenset(paths[1:])}
