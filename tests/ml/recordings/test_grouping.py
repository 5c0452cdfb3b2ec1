import numpy as np

from melgraph.ml.recordings.grouping import (
    ARTIST,
    FOLDER,
    GUEST,
    LARGEST_SHARE,
    LISTED,
    NAME,
    PART,
    RECORDING,
    GroupedTrack,
    Parent,
    group_tracks,
)


def singles(n: int) -> list[GroupedTrack]:
    """Tracks that are connected to nothing."""
    return [GroupedTrack(f"rock/{n:05d}.mp3", (f"nobody {n}",)) for n in range(n)]


def groups(*tracks: GroupedTrack, **options) -> list[int]:
    return group_tracks(tracks, label_level=1, labels={"rock"}, **options).groups.tolist()


def test_nothing():
    grouping = group_tracks([])
    assert grouping.groups.shape == (0,)
    assert grouping.largest_share == 0.0


def test_a_list_replaces_the_file_metadata():
    tracks = (
        GroupedTrack("a.mp3", ("Ada",), listed_artist="Bob"),
        GroupedTrack("b.mp3", ("Ada",)),
        GroupedTrack("c.mp3", ("Bob",)),
    )
    assert groups(*tracks) == [0, 1, 0]
    grouping = group_tracks(tracks)
    assert grouping.evidence == ((LISTED,), (), (ARTIST,))
    assert grouping.artist_known == (True, True, True)


def test_recordings_and_listed_groups_join():
    tracks = [GroupedTrack(f"{n}.mp3") for n in range(4)]
    tracks[0] = GroupedTrack("0.mp3", recording="x")
    tracks[1] = GroupedTrack("1.mp3", recording="x", listed_group="y")
    tracks[3] = GroupedTrack("3.mp3", listed_group="y")
    grouping = group_tracks(tracks)
    assert grouping.groups.tolist() == [0, 0, 1, 0]
    assert grouping.evidence[1] == (RECORDING, LISTED)
    assert grouping.guessed_groups == 0


def test_a_remixer_joins_only_if_it_is_an_artist_elsewhere():
    remix = GroupedTrack("1.mp3", ("Ada",), title="Dusk (Bob Remix)")
    original = GroupedTrack("2.mp3", ("Cy",), title="Dawn (Bob Remix)")
    assert groups(remix, original) == [0, 1]
    assert groups(remix, original, GroupedTrack("3.mp3", ("Bob",))) == [0, 0, 0]


def test_names_are_used_only_if_the_artist_is_not_known():
    known = GroupedTrack("rock/Ada - One.mp3", ("Bob",))
    assert groups(known, GroupedTrack("rock/Ada - Two.mp3")) == [0, 1]
    unknown = GroupedTrack("rock/Ada - One.mp3", ("Various Artists",))
    assert groups(unknown, GroupedTrack("rock/Ada - Two.mp3")) == [0, 0]
    assert groups(unknown, GroupedTrack("rock/Ada - Two.mp3"), guesses=False) == [0, 1]


def test_a_folder_counts_only_below_the_label():
    files = [GroupedTrack(f"rock/{n}.mp3") for n in ("dusk", "dawn")]
    assert groups(*files) == [0, 1]
    below = [GroupedTrack(f"rock/Ada/{n}.mp3") for n in ("dusk", "dawn")]
    assert groups(*below) == [0, 0]
    assert groups(*below, folders=False) == [0, 1]
    genres = [GroupedTrack(f"Techno/A{n}/x.mp3") for n in range(2)]  # labels are elsewhere
    assert group_tracks(genres).groups.tolist() == [0, 1]


def test_guessed_groups_are_those_that_would_fall_apart():
    tracks = (
        GroupedTrack("rock/dusk-1.wav", ("Ada",)),
        GroupedTrack("rock/dusk-2.wav", ("Ada",)),
        GroupedTrack("rock/dawn-1.wav"),
        GroupedTrack("rock/dawn-2.wav"),
    )
    grouping = group_tracks(tracks, label_level=1)
    assert grouping.guessed_groups == 1
    assert grouping.evidence[0] == (ARTIST, PART)
    assert grouping.evidence[2] == (PART,)


def test_a_chain_that_connects_everything_loses_its_weakest_joins():
    """Folders are dropped first; guests only if that is not enough; artists never."""
    chain = [GroupedTrack(f"rock/{n}.mp3", (f"artist {n}", f"artist {n + 1}")) for n in range(30)]
    one_folder = [GroupedTrack(f"rock/everything/{n:05d}.mp3") for n in range(30)]
    names = [GroupedTrack(f"rock/everything/Ada - song {'x' * n}.mp3") for n in range(1, 4)]
    grouping = group_tracks([*one_folder, *names, *singles(10)], label_level=1)
    assert grouping.dropped == {FOLDER: 33}
    assert grouping.largest_share < LARGEST_SHARE
    assert len(set(grouping.groups[30:33].tolist())) == 1  # by name
    assert grouping.evidence[30] == (NAME,)
    grouping = group_tracks([*chain, *singles(10)], label_level=1)
    assert grouping.dropped == {GUEST: 29}  # the last artist is no one else
    assert np.bincount(grouping.groups).max() == 1
    by_one = [GroupedTrack(f"{n:05d}.mp3", ("Ada",)) for n in range(30)]
    grouping = group_tracks([*by_one, *singles(3)])
    assert grouping.dropped == {}
    assert grouping.largest_share == 30 / 33


def test_names_with_an_ampersand_are_named_only_if_a_part_is_an_artist():
    names = ("Ada & Bob", "Ada", "Cy & Di", "Simon and Gar", "Gar")
    tracks = [GroupedTrack(f"{n:05d}.mp3", (name,)) for n, name in enumerate(names)]
    grouping = group_tracks(tracks)
    assert grouping.groups.tolist() == [0, 1, 2, 3, 4]
    assert grouping.connected_pairs == (("Ada & Bob", "Ada"), ("Simon and Gar", "Gar"))


def test_dropped_joins_stay_dropped_among_the_tracks_of_the_parent_snapshot():
    """The library has grown, so that the chain is no longer too large a share of it."""
    chain = [GroupedTrack(f"{n:05d}.mp3", (f"artist {n}", f"artist {n + 1}")) for n in range(30)]
    grown = [*chain, *singles(100)]
    assert len(set(group_tracks(grown).groups[:30].tolist())) == 1
    splits = [("train", "test")[n % 2] for n in range(30)] + [None] * 100
    parent = Parent(splits, frozenset({GUEST}))
    grouping = group_tracks(grown, parent=parent)
    assert len(set(grouping.groups[:30].tolist())) == 30
    assert grouping.dropped == {GUEST: 29}
    # A new track that connects both sides still does: the split leaves it out.
    bridge = GroupedTrack("99999.mp3", ("artist 3", "artist 8"))
    groups = group_tracks([*grown, bridge], parent=Parent([*splits, None], parent.dropped)).groups
    assert groups[3] == groups[8] == groups[-1]
    # Without dropped joins in the parent, a connection of two splits shows that it leaked.
    assert len(set(group_tracks(grown, parent=Parent(splits)).groups[:30].tolist())) == 1
