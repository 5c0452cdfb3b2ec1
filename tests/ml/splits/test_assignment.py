import csv
import os
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from melgraph.ml.errors import UserError
from melgraph.ml.recordings.components import components, edges_from_keys
from melgraph.ml.splits.assignment import Leak, grouped_split, leakage, random_split
from melgraph.ml.splits.label_classes import explain_small_classes

FRACTIONS = {"train": 0.7, "validation": 0.15, "test": 0.15}


# A library: (label, group) per track; the group is the artist.
libraries = st.lists(st.tuples(st.sampled_from("abcd"), st.integers(0, 9)), min_size=1, max_size=50)
one_class_groups = libraries.map(lambda rows: [(label, f"{label}{group}") for label, group in rows])


def unpack(rows):
    labels = [label for label, _ in rows]
    groups = components(len(rows), edges_from_keys([str(group) for _, group in rows]))
    return labels, groups, [f"track{i:04d}" for i in range(len(rows))]


class TestLeakage:
    def test_names_the_rows(self):
        splits = ["train", "test", None, "train", "test"]
        groups = np.array([7, 7, 7, 8, 9])
        assert leakage(splits, groups) == [Leak(7, {"test": (1,), "train": (0,)})]

    def test_left_out_tracks_do_not_count(self):
        assert leakage(["train", None, None], np.array([0, 0, 0])) == []


class TestClassRules:
    def test_small_classes_are_left_out_with_reason(self):
        labels = ["a"] * 3 + ["b"] * 4 + ["c"] * 9
        groups = np.array([0, 1, 2, 3, 4, 5, 5, *[6, 7] * 4, 6])
        reasons = explain_small_classes(labels, groups)
        assert reasons[:7] == [None] * 7
        assert set(reasons[7:]) == {"class 'c' has 2 independent groups, 3 are needed"}

    @pytest.mark.parametrize("labels", [["a"] * 4, ["a", "a", "a", "b"], []])
    def test_one_class_is_no_task(self, labels):
        with pytest.raises(UserError, match="can be split") as caught:
            explain_small_classes(labels, np.arange(len(labels)), where="genre.toml")
        assert caught.value.where == "genre.toml"


class TestGroupedSplit:
    @settings(deadline=None)
    @given(libraries, st.integers(0, 3))
    def test_whole_components_and_nothing_left_out(self, rows, seed):
        labels, groups, ids = unpack(rows)
        result = grouped_split(labels, groups, track_ids=ids, fractions=FRACTIONS, seed=seed)
        assert result.leaks == ()
        assert leakage(result.splits, groups) == []
        assert None not in result.splits
        assert set(result.reasons) == {None}

    @settings(deadline=None)
    @given(libraries, st.integers(0, 3))
    def test_train_knows_every_class(self, rows, seed):
        labels, groups, ids = unpack(rows)
        result = grouped_split(labels, groups, track_ids=ids, fractions=FRACTIONS, seed=seed)
        assert all("train" in row for row in result.counts(labels).values())

    @settings(deadline=None)
    @given(one_class_groups, st.integers(0, 3))
    def test_three_components_reach_three_splits(self, rows, seed):
        labels, groups, ids = unpack(rows)
        result = grouped_split(labels, groups, track_ids=ids, fractions=FRACTIONS, seed=seed)
        for label, counts in result.counts(labels).items():
            available = len({group for name, group in rows if name == label})
            assert len(counts) == min(3, available)

    @settings(deadline=None)
    @given(libraries, st.integers(0, 3), st.randoms(use_true_random=False))
    def test_order_of_rows_does_not_matter(self, rows, seed, random):
        labels, groups, ids = unpack(rows)
        order = list(range(len(rows)))
        random.shuffle(order)
        parent = {track: random.choice([*FRACTIONS, None]) for track in ids[::3]}
        for policy in (grouped_split, random_split):
            options = {"fractions": FRACTIONS, "seed": seed, "parent": parent}
            straight = policy(labels, groups, track_ids=ids, **options)
            permuted = policy(
                [labels[i] for i in order],
                # Other numbers for the same groups, too.
                100 - groups[order],
                track_ids=[ids[i] for i in order],
                **options,
            )
            assert permuted.splits == tuple(straight.splits[i] for i in order)
            assert permuted.reasons == tuple(straight.reasons[i] for i in order)

    def test_order_does_not_matter_where_only_the_draw_decides(self):
        rng = np.random.default_rng(0)
        groups, ids = np.arange(60) // 3, np.array([f"t{i}" for i in rng.permutation(60)])
        options = {"fractions": FRACTIONS, "seed": 0}
        straight = grouped_split(["a"] * 60, groups, track_ids=ids.tolist(), **options)
        for _ in range(5):
            order = rng.permutation(60)
            permuted = grouped_split(
                ["a"] * 60, groups[order], track_ids=ids[order].tolist(), **options
            )
            assert permuted.splits == tuple(straight.splits[i] for i in order)

    def test_gaps_are_closed_by_the_smaller_components(self):
        rows = [("a", group) for group in "x" * 6 + "y" * 5 + "z" * 4]
        labels, groups, ids = unpack(rows)
        fractions = {"train": 0.8, "validation": 0.1, "test": 0.1}
        result = grouped_split(labels, groups, track_ids=ids, fractions=fractions, seed=0)
        assert sorted(result.counts(labels)["a"].values()) == [4, 5, 6]
        assert result.splits[:6] == ("train",) * 6

    @settings(deadline=None)
    @given(
        libraries,
        libraries,
        st.lists(st.tuples(st.integers(0, 99), st.integers(0, 99)), max_size=6),
        st.integers(0, 3),
    )
    def test_growth_moves_nobody_and_new_tracks_never_leak(self, old, new, bridges, seed):
        labels, groups, ids = unpack(old)
        first = grouped_split(labels, groups, track_ids=ids, fractions=FRACTIONS, seed=seed)
        parent = dict(zip(ids, first.splits, strict=True))

        rows = old + new
        edges = edges_from_keys([str(group) for _, group in rows])
        edges += [(i % len(rows), j % len(rows)) for i, j in bridges]
        grown = components(len(rows), edges)
        labels, _, ids = unpack(rows)
        second = grouped_split(
            labels, grown, track_ids=ids, fractions=FRACTIONS, seed=seed + 1, parent=parent
        )
        assert second.splits[: len(old)] == first.splits

        # A component that the parent has in two splits is reported, and takes no newcomer in.
        bridged = {leak.group for leak in leakage(first.splits, grown[: len(old)])}
        assert {leak.group for leak in second.leaks} == bridged
        for row in range(len(old), len(rows)):
            assert (second.splits[row] is None) == (second.reasons[row] is not None)
            if grown[row] in bridged:
                assert second.reasons[row].startswith("bridges ")
        trained = {label for label, s in zip(labels, second.splits, strict=True) if s == "train"}
        placed = {label for label, s in zip(labels, second.splits, strict=True) if s}
        assert placed == trained

    @settings(deadline=None)
    @given(
        libraries,
        st.lists(st.tuples(st.integers(0, 99), st.integers(0, 99)), max_size=6),
        st.integers(0, 3),
    )
    def test_new_metadata_moves_nobody_and_never_leaks(self, rows, new_edges, seed):
        labels, groups, ids = unpack(rows)
        first = grouped_split(labels, groups, track_ids=ids, fractions=FRACTIONS, seed=seed)
        parent = dict(zip(ids, first.splits, strict=True))
        edges = [(i % len(rows), j % len(rows)) for i, j in new_edges]
        changed = {i for i, _ in edges}
        joined = components(
            len(rows), [*edges_from_keys([str(group) for _, group in rows]), *edges]
        )
        second = grouped_split(
            labels, joined, track_ids=ids, fractions=FRACTIONS, seed=seed, parent=parent,
            regrouped={ids[i] for i in changed},
        )  # fmt: skip
        assert second.leaks == ()
        bridged = {leak.group for leak in leakage(first.splits, joined)}
        for row, (before, after) in enumerate(zip(first.splits, second.splits, strict=True)):
            assert after in (before, None)
            if joined[row] not in bridged:
                assert after == before
            elif after is None:
                assert second.reasons[row].startswith("retagged: bridges ")
        for group in bridged:  # one side remains
            members = [row for row in range(len(rows)) if joined[row] == group]
            assert len({second.splits[row] for row in members} - {None}) == 1

    def test_bridge_is_left_out_and_the_parent_leak_is_reported(self):
        result = grouped_split(
            ["a"] * 5,
            np.array([0, 0, 0, 1, 2]),
            track_ids=["old1", "old2", "new", "old3", "other"],
            fractions=FRACTIONS,
            seed=0,
            parent={"old1": "test", "old2": "train", "old3": "validation", "gone": "test"},
        )
        assert result.splits[:4] == ("test", "train", None, "validation")
        assert result.reasons[2] == "bridges train and test"
        assert result.leaks == (Leak(0, {"test": (0,), "train": (1,)}),)

    def test_newcomers_follow_their_component(self):
        result = grouped_split(
            ["a", "a", "a", "b"],
            np.array([0, 0, 1, 0]),
            track_ids=["p", "q", "r", "s"],
            fractions=FRACTIONS,
            seed=0,
            parent={"p": "test"},
        )
        # r goes where the class is unknown; of b there is nothing but the track bound to test.
        assert result.splits == ("test", "test", "train", None)
        assert result.reasons[3] == "belongs to tracks in test, and train has no 'b'"

    def test_new_components_fill_what_the_parent_lacks(self):
        ids = [f"t{i}" for i in range(100)]
        result = grouped_split(
            ["a"] * 100,
            np.arange(100),
            track_ids=ids,
            fractions=FRACTIONS,
            seed=0,
            parent=dict.fromkeys(ids[:65], "train"),
        )
        assert Counter(result.splits) == {"train": 70, "validation": 15, "test": 15}

    def test_quotas_are_met_as_well_as_components_allow(self):
        sizes = {"a": [40, 9, 8, 8, 7, 6, 6, 6, 5, 5], "b": [20, 20, 20, 10, 10, 5, 5, 5, 5]}
        rows = [
            (label, f"{label}{i}")
            for label in sizes
            for i, n in enumerate(sizes[label])
            for _ in "x" * n
        ]
        labels, groups, ids = unpack(rows)
        result = grouped_split(labels, groups, track_ids=ids, fractions=FRACTIONS, seed=0)
        for sizes in result.counts(labels).values():
            for split, share in FRACTIONS.items():
                # Off by less than the smallest component of the class.
                assert abs(sizes[split] - 100 * share) < 5

    def test_seed_decides_between_equals(self):
        labels, groups, ids = ["a", "b"] * 20, np.arange(40), [f"t{i}" for i in range(40)]
        options = {"track_ids": ids, "fractions": FRACTIONS}
        one, again, other = (grouped_split(labels, groups, seed=s, **options) for s in (1, 1, 2))
        assert one == again
        assert one.splits != other.splits
        assert one.counts(labels) == {
            "a": {"train": 14, "validation": 3, "test": 3},
            "b": {"train": 14, "validation": 3, "test": 3},
        }

    def test_no_tracks(self):
        result = grouped_split([], np.zeros(0, int), track_ids=[], fractions=FRACTIONS, seed=0)
        assert result.splits == ()

    @pytest.mark.parametrize(
        "fractions",
        [{"train": 0.5, "test": 0.4}, {"train": 1.2, "test": -0.2}, {"a": 0.5, "test": 0.5}, {}],
    )
    def test_fractions_that_are_no_split(self, fractions):
        with pytest.raises(UserError, match="are invalid"):
            grouped_split(["a"], np.array([0]), track_ids=["t"], fractions=fractions, seed=0)

    def test_parent_with_an_unknown_split(self):
        with pytest.raises(UserError, match="tracks in holdout"):
            grouped_split(
                ["a"],
                np.array([0]),
                track_ids=["t"],
                fractions=FRACTIONS,
                seed=0,
                parent={"t": "holdout"},
            )

    @pytest.mark.parametrize(
        ("labels", "ids", "message"),
        [(["a"], ["t", "u"], "2 track ids"), (["a", "a"], ["t", "t"], "more than once")],
    )
    def test_rows_that_do_not_fit(self, labels, ids, message):
        with pytest.raises(ValueError, match=message):
            grouped_split(labels, np.array([0, 1]), track_ids=ids, fractions=FRACTIONS, seed=0)


# Each track with one or two of four labels, and its artist.
several = st.lists(
    st.tuples(
        st.lists(st.sampled_from("abcd"), min_size=1, max_size=2, unique=True).map(tuple),
        st.integers(0, 9),
    ),
    min_size=1,
    max_size=40,
)


class TestSeveralLabels:
    @settings(deadline=None)
    @given(several, several, st.integers(0, 3))
    def test_never_a_leak_and_growth_moves_nobody(self, old, new, seed):
        _, groups, ids = unpack(old)
        first = grouped_split(
            [one for one, _ in old], groups, track_ids=ids, fractions=FRACTIONS, seed=seed
        )
        assert first.leaks == ()
        assert None not in first.splits
        rows = old + new
        _, groups, ids = unpack(rows)
        parent = dict(zip(ids, first.splits, strict=False))
        second = grouped_split(
            [one for one, _ in rows], groups, track_ids=ids, fractions=FRACTIONS, seed=seed + 1,
            parent=parent,
        )  # fmt: skip
        assert second.splits[: len(old)] == first.splits
        assert second.leaks == ()
        trained = {label for (one, _), split in zip(rows, second.splits, strict=True)
                   if split == "train" for label in one}  # fmt: skip
        for (one, _), split, reason in zip(rows, second.splits, second.reasons, strict=True):
            assert (split is None) == (reason is not None)
            assert split is None or trained & set(one)

    @given(libraries, st.integers(0, 3))
    @settings(deadline=None)
    def test_one_label_each_is_the_same_however_it_is_written(self, rows, seed):
        labels, groups, ids = unpack(rows)
        options = {"track_ids": ids, "fractions": FRACTIONS, "seed": seed}
        single = grouped_split(labels, groups, **options)
        assert grouped_split([(label,) for label in labels], groups, **options) == single

    def test_every_label_has_its_share_of_every_split(self):
        rng = np.random.default_rng(0)
        labels = [tuple(rng.choice(list("abc"), 2, replace=False)) for _ in range(200)]
        ids = [f"t{i}" for i in range(200)]
        result = grouped_split(
            labels, np.arange(200) // 2, track_ids=ids, fractions=FRACTIONS, seed=0
        )
        for label in "abc":
            sides = Counter(s for one, s in zip(labels, result.splits, strict=True) if label in one)
            for split, share in FRACTIONS.items():
                assert abs(sides[split] / sides.total() - share) < 0.03


class TestRandomSplit:
    def test_is_labelled_and_lists_its_leaks(self):
        labels, groups = ["a"] * 60, np.repeat(np.arange(6), 10)
        ids = [f"t{i}" for i in range(60)]
        result = random_split(labels, groups, track_ids=ids, fractions=FRACTIONS, seed=0)
        assert result.policy == "leaky"
        assert Counter(result.splits) == {"train": 42, "validation": 9, "test": 9}
        assert list(result.leaks) == leakage(result.splits, groups)
        assert len(result.leaks) >= 4

    @given(libraries, libraries)
    @settings(max_examples=30, deadline=None)
    def test_growth_moves_nobody(self, old, new):
        labels, groups, ids = unpack(old)
        first = random_split(labels, groups, track_ids=ids, fractions=FRACTIONS, seed=0)
        labels, groups, ids = unpack(old + new)
        parent = dict(zip(ids, first.splits, strict=False))
        second = random_split(
            labels, groups, track_ids=ids, fractions=FRACTIONS, seed=1, parent=parent
        )
        assert second.splits[: len(old)] == first.splits
        assert None not in second.splits


def test_real_library_of_31_artists():
    """The case where hashing the artist left a class out of test in more than half of the seeds."""
    folder = os.environ.get("MELGRAPH_REAL_DATA")
    if not folder:
        pytest.skip("MELGRAPH_REAL_DATA is not set")
    with (Path(folder) / "metadata/emotify/tracks.csv").open() as file:
        rows = list(csv.DictReader(file))
    labels, ids = [row["genre"] for row in rows], [row["path"] for row in rows]
    groups = components(len(rows), edges_from_keys([row["artist"] for row in rows]))
    for seed in range(10):
        result = grouped_split(labels, groups, track_ids=ids, fractions=FRACTIONS, seed=seed)
        assert result.leaks == ()
        assert all(len(sizes) == 3 for sizes in result.counts(labels).values())
        shares = {split: n / len(rows) for split, n in Counter(result.splits).items()}
        assert shares == pytest.approx(FRACTIONS, abs=0.05)
