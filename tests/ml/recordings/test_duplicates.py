"""Clusters of tracks of the same recording, and which of them is counted."""

from hypothesis import given
from hypothesis import strategies as st

from melgraph.ml.recordings.duplicates import chained_clusters, cluster_names, find_redundant_copies


def test_a_chain_is_one_cluster_and_is_reported():
    links = [("b", "a"), ("b", "c"), ("d", "e"), ("f", "f"), ("g", "gone")]
    clusters = cluster_names(list("gfedcba"), links)
    assert clusters == {"a": "a", "b": "a", "c": "a", "d": "d", "e": "d"}
    assert chained_clusters(clusters, links) == {"a"}
    assert chained_clusters(clusters, [*links, ("c", "a")]) == set()
    assert cluster_names([], links) == {}


@given(st.lists(st.tuples(st.sampled_from("abcdefgh"), st.sampled_from("abcdefgh"))))
def test_a_link_never_joins_two_clusters(links):
    clusters = cluster_names(list("abcdefg"), links)
    for first, second in links:
        if first != second and "h" not in (first, second):
            assert clusters[first] == clusters[second] <= min(first, second)
    assert set(clusters) <= {end for link in links if link[0] != link[1] for end in link}
    assert all(clusters[name] == name for name in clusters.values())


def left_out(splits, clusters, durations, parent=None):
    ids = [f"id{row}" for row in range(len(splits))]
    return find_redundant_copies(
        splits, clusters, track_ids=ids, durations_s=durations, parent=parent or {}
    )


def test_the_longest_is_counted():
    splits = ["test", "test", "test", "test", "validation", "validation"]
    clusters = ["a", "a", "b", None, "c", "c"]
    assert left_out(splits, clusters, [5.0, 9.0, 5.0, 5.0, 7.0, 7.0]) == {0: 1, 5: 4}


def test_training_keeps_them_all():
    assert left_out(["train", "train", None], ["a", "a", "a"], [1.0, 2.0, 3.0]) == {}


def test_what_was_counted_before_is_counted_again():
    parent = {"id0": "test", "id1": None}
    assert left_out(["test", "test"], ["a", "a"], [5.0, 9.0], parent) == {1: 0}


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["train", "validation", "test", None]),
            st.sampled_from(["a", "b", None]),
            st.floats(1, 9),
        )
    )
)
def test_each_recording_counts_once_and_none_is_lost(rows):
    splits, clusters, durations = ([row[n] for row in rows] for n in range(3))
    gone = left_out(splits, clusters, durations)
    for split in ("validation", "test"):
        for name in ("a", "b"):
            members = [n for n, row in enumerate(rows) if row[:2] == (split, name)]
            assert len([n for n in members if n not in gone]) == min(1, len(members))
    assert all(splits[n] == splits[staying] and staying not in gone for n, staying in gone.items())
