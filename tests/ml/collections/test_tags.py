import pytest
from hypothesis import given
from hypothesis import strategies as st

from melgraph.ml.collections import Track, read
from melgraph.ml.collections.tags import genres
from melgraph.ml.specs.dataset import DatasetSpec, TagOptions

SPEC = DatasetSpec(title="x", labels="tag")


@pytest.mark.parametrize(
    ("tag", "expected"),
    [
        ("Rock", ["rock"]),
        ("  hip   HOP ", ["hip hop"]),
        ("(17)", ["rock"]),
        ("17", ["rock"]),
        ("(4)Eurodance", ["disco", "eurodance"]),
        ("(17)(18)", ["rock", "techno"]),
        ("Rock/Pop", ["rock", "pop"]),
        ("Folk, World; Country", ["folk", "world", "country"]),
        ("Drum & Bass", ["drum & bass"]),
        ("R&B", ["r&b"]),
        ("rock/ROCK", ["rock"]),
        ("Other", []),
        ("(12)", []),  # ID3v1 "Other", which rippers write by default
        ("unknown", []),
        ("/", []),
        ("", []),
    ],
)
def test_a_tag_becomes_genres(tag, expected):
    assert list(genres([tag], TagOptions())) == expected


def test_the_map_joins_and_drops():
    options = TagOptions(genre_map={"Hip-Hop": "hiphop", "hip  hop": "hiphop", "podcast": ""})
    assert genres(["hip hop/HIP-HOP"], options) == ("hiphop",)
    assert genres(["Podcast"], options) == ()


def test_other_separators():
    assert genres(["a/b-c"], TagOptions(separators=["-"])) == ("a/b", "c")
    assert genres(["a/b"], TagOptions(separators=[])) == ("a/b",)


def test_one_label_or_all():
    files = [
        Track("a.mp3", genres=("Rock/Pop",)),
        Track("b.mp3", genres=("Other",)),
        Track("c.mp3"),
    ]
    rows = read(files, {}, SPEC).rows
    assert [row.labels for row in rows] == [("rock",), (), ()]
    assert "'Other'" in rows[1].reason
    assert rows[2].reason == "no genre tag"
    several = SPEC.model_copy(update={"multi_label": True})
    assert read(files, {}, several).rows[0].labels == ("rock", "pop")
    assert read(files, {}, several).rows[0].unused_labels == ()


def test_several_values_of_one_field_are_all_genres():
    (row,) = read([Track("a.flac", genres=("Folk", "Jazz; folk", "(17)"))], {}, SPEC).rows
    assert row.labels == ("folk",)
    assert row.unused_labels == ("jazz", "rock")


@given(st.text(max_size=20))
def test_any_tag_is_read_and_a_genre_is_spelled_one_way(tag):
    names = genres([tag], TagOptions())
    assert len(set(names)) == len(names)
    for genre in names:
        if not genre.isdecimal() and genre not in ("rx", "cr") and "(" not in genre:
            assert genres([genre], TagOptions()) == (genre,)
