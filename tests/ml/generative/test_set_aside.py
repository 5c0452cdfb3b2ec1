"""Recordings that are set aside for validation: whole groups, and never all of a genre."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from melgraph.ml.generative.set_aside import set_aside


def test_whole_artists_are_set_aside():
    genres = np.repeat([0, 1], 10)
    groups = [f"artist {i // 2}" for i in range(20)]
    chosen, shared = set_aside(genres, groups, share=0.2, seed=0)
    assert [int(chosen[genres == genre].sum()) for genre in (0, 1)] == [2, 2]
    assert shared == []
    assert not {groups[i] for i in np.flatnonzero(chosen)} & {
        groups[i] for i in np.flatnonzero(~chosen)
    }


def test_one_artist_only_is_split_by_recording_and_reported():
    chosen, shared = set_aside(np.array([0] * 5 + [1] * 6), ["one"] * 5 + list("abcdef"),
                               share=0.2, seed=0)  # fmt: skip
    assert int(chosen[:5].sum()) == 1
    assert shared == [0]


@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 6)), min_size=1, max_size=60),
    st.floats(0.05, 0.5),
    st.integers(0, 5),
)
def test_each_genre_keeps_recordings_on_both_sides(rows, share, seed):
    rows = rows + [(genre, 100 + genre + 10 * i) for genre, _ in rows[:1] for i in range(4)]
    genres, groups = np.array([g for g, _ in rows]), [group for _, group in rows]
    chosen, shared = set_aside(genres, groups, share=share, seed=seed)
    again, _ = set_aside(genres, groups, share=share, seed=seed)
    assert np.array_equal(chosen, again)
    for genre in np.unique(genres):
        its = genres == genre
        assert (chosen & its).any()
        if its.sum() >= 4:
            assert (~chosen & its).any()
        if genre not in shared and not shared:
            both = set(np.array(groups)[chosen & its]) & set(np.array(groups)[~chosen & its])
            assert not both
