import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from melgraph.ml.errors import UserError
from melgraph.ml.splits.folds import assign_folds

LABELS, GROUPS = np.arange(40) % 2, np.arange(40) // 4


def test_groups_stay_whole_and_tracks_do_not_have_to():
    by_group = assign_folds("group", labels=LABELS, groups=GROUPS, n_folds=4, seed=0)
    assert all(len(set(by_group[group == GROUPS].tolist())) == 1 for group in range(10))
    by_track = assign_folds("track", labels=LABELS, groups=GROUPS, n_folds=4, seed=0)
    assert any(len(set(by_track[group == GROUPS].tolist())) > 1 for group in range(10))
    assert all(np.bincount(by_track[label == LABELS]).tolist() == [5] * 4 for label in (0, 1))


@given(st.integers(1, 12), st.integers(2, 6), st.integers(0, 9))
def test_the_chunks_of_a_track_are_spread_evenly_over_the_folds(n_chunks, n_folds, seed):
    fold = assign_folds(
        "chunk", labels=LABELS, groups=GROUPS, n_folds=n_folds, seed=seed, n_chunks=n_chunks
    )
    assert fold.shape == (40, n_chunks)
    for row in fold:
        counts = np.bincount(row, minlength=n_folds)
        assert counts.max() - counts.min() <= 1  # so that each is learned from elsewhere


@pytest.mark.parametrize("policy", ["group", "track", "chunk"])
def test_a_seed_decides_and_one_class_is_refused(policy):
    options = {"groups": GROUPS, "n_folds": 4, "n_chunks": 5 if policy == "chunk" else None}
    one, same, other = (
        assign_folds(policy, labels=LABELS, seed=seed, **options) for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(one, same)
    assert (one != other).any()
    with pytest.raises(UserError, match="one class"):
        assign_folds(policy, labels=np.zeros(40, np.int64), seed=0, **options)


def test_fewer_tracks_than_folds():
    with pytest.raises(UserError, match="at most 1 tracks a class cannot be held out in 3 folds"):
        assign_folds("track", labels=np.arange(4), groups=np.arange(4), n_folds=3, seed=0)
