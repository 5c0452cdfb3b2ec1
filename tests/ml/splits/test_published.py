import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from melgraph.ml.recordings.components import components
from melgraph.ml.splits.assignment import leakage
from melgraph.ml.splits.published import published_split

PARTS = ("train", "validation", "test")
rows = st.lists(
    st.tuples(
        st.lists(st.sampled_from("abc"), min_size=1, max_size=2, unique=True).map(tuple),
        st.sampled_from([*PARTS, None]),
    ),
    max_size=30,
)
edges = st.lists(st.tuples(st.integers(0, 29), st.integers(0, 29)), max_size=12)


@settings(deadline=None)
@given(rows, edges)
def test_nothing_straddles_and_test_stays_as_published(table, edge_list):
    labels, splits = [one for one, _ in table], [split for _, split in table]
    n = len(table)
    groups = components(n, [(i, j) for i, j in edge_list if i < n and j < n])
    published = published_split(labels, groups, splits)
    sides = published.result.splits
    assert leakage(sides, groups) == [] == list(published.result.leaks)
    assert published.straddling == len(leakage(splits, groups))
    trained = {label for one, split in zip(labels, sides, strict=True) if split == "train"
               for label in one}  # fmt: skip
    removed = 0
    for row, (before, after) in enumerate(zip(splits, sides, strict=True)):
        assert after in (before, None)  # nobody moves
        assert (after is None) == (published.result.reasons[row] is not None)
        mates = {splits[i] for i in np.flatnonzero(groups == groups[row])}
        outranked = "test" in mates or (before == "train" and "validation" in mates)
        if before == "test":
            assert (after is None) == trained.isdisjoint(labels[row])
        elif before is not None and outranked:
            assert after is None
            assert "its artist or recording is in" in published.result.reasons[row]
            removed += 1
    assert published.removed == removed


def test_each_kind_of_reason():
    published = published_split(
        [("a",), ("a",), ("a",), ("a",), ("b",), ("a",), ("a",)],
        np.array([0, 0, 1, 1, 2, 3, 4]),
        ["test", "train", "train", "validation", "test", None, "train"],
    )
    assert published.result.splits == ("test", None, None, "validation", None, None, "train")
    assert published.result.reasons[1:3] == (
        "official split train, but its artist or recording is in test",
        "official split train, but its artist or recording is in validation",
    )
    assert published.result.reasons[4] == "official split test, and train has no 'b'"
    assert published.result.reasons[5] == "in no list of the official split"
    assert (published.straddling, published.removed) == (2, 2)
