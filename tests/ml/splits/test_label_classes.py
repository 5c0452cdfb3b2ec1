import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from melgraph.ml.splits.label_classes import remove_small_classes

label_sets = st.lists(st.sampled_from("abcd"), max_size=3, unique=True).map(tuple)


def chosen(labels, groups=None, *, tracks=2, of=1, multi_label=False):
    groups = np.arange(len(labels)) if groups is None else np.array(groups)
    return remove_small_classes(
        labels, groups, min_tracks=tracks, min_groups=of, multi_label=multi_label
    )


def test_small_classes_leave_their_tracks_out():
    remaining, reasons, unusable = chosen([("a",), ("a",), ("b",), ("b",), ("c",), ()])
    assert remaining == [("a",), ("a",), ("b",), ("b",), (), ()]
    assert reasons == [None] * 4 + ["class 'c' has 1 tracks, 2 are needed", None]
    assert unusable is None


def test_classes_of_too_few_groups():
    labels = [("a",)] * 2 + [("b",)] * 2 + [("c",)] * 2
    remaining, reasons, _ = chosen(labels, [0, 1, 2, 3, 4, 4], of=2)
    assert remaining[4:] == [(), ()]
    assert reasons[4:] == ["class 'c' has 1 independent groups, 2 are needed"] * 2


def test_a_small_class_is_taken_off_a_track_with_others():
    labels = [("a", "b"), ("a", "c"), ("b",), ("c",), ("rare",), ("a", "rare2")]
    remaining, reasons, unusable = chosen(labels, multi_label=True)
    assert remaining == [("a", "b"), ("a", "c"), ("b",), ("c",), (), ("a",)]
    assert reasons[4] == "class 'rare' has 1 tracks, 2 are needed"
    assert (reasons[5], unusable) == (None, None)


def test_nothing_to_tell_apart():
    assert chosen([("a",), ("a",)])[2].startswith("1 of 1 classes can be split")
    assert chosen([("a",), ("b",)])[2] == "no class has 2 tracks or more"
    assert chosen([(), ()])[2] is None
    assert chosen([])[0] == []


@given(st.lists(st.tuples(label_sets, st.integers(0, 5)), max_size=25), st.integers(1, 4),
       st.integers(1, 3))  # fmt: skip
def test_a_track_keeps_large_classes_only_or_says_why_it_has_none(rows, tracks, of):
    labels, groups = [one for one, _ in rows], np.array([g for _, g in rows], dtype=np.int64)
    remaining, reasons, unusable = remove_small_classes(
        labels, groups, min_tracks=tracks, min_groups=of, multi_label=True
    )
    for before, after, reason in zip(labels, remaining, reasons, strict=True):
        assert set(after) <= set(before)
        if unusable is None:
            assert (reason is not None) == (bool(before) and not after)
    if unusable is None:
        for label in {label for one in remaining for label in one}:
            holders = [row for row, one in enumerate(labels) if label in one]
            assert len(holders) >= tracks
            assert len({groups[row] for row in holders}) >= of
