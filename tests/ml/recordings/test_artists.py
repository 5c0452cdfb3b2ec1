import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from melgraph.ml.recordings.artists import (
    Credits,
    artist_key,
    connected_names,
    read_credits,
)
from melgraph.ml.recordings.spelling import spelling_key, spelling_keys

PLACEHOLDERS = (
    None, "", "  ", "Unknown", "unknown  ARTIST", "<Unknown>", "[Unknown Artist]",
    "Various Artists", "VA", "V.A.", "V/A", "AA.VV.", "n/a", "Unbekannter Künstler",
    "Verschiedene Interpreten",
    "Artiste inconnu", "Artista desconocido", "Varios artistas", "Artisti vari",
    "Diverse artiesten", "Неизвестный исполнитель", "不明なアーティスト", "群星", "???", "-", "_",
)  # fmt: skip


@pytest.mark.parametrize("name", PLACEHOLDERS)
def test_placeholder_names_are_no_artists(name):
    assert artist_key(name) is None
    assert read_credits([name or ""]) == Credits()


def test_names_that_are_not_placeholders():
    assert artist_key("Unknown Mortal Orchestra") == "unknownmortalorchestra"
    assert artist_key("!!!") == "!!!"
    assert artist_key("The The") == "the"
    assert read_credits(["Various Artists", "Kettel"]).first == ("kettel",)


@pytest.mark.parametrize(
    "names",
    [
        ("The Kinks", "Kinks", "Kinks, The", "the  KINKS"),
        ("AC/DC", "ACDC", "AC-DC"),
        ("Motörhead", "Motorhead", "MOTÖRHEAD", unicodedata.normalize("NFD", "Motörhead")),
        ("STRASSE", "Straße"),
        ("Guns N' Roses", "Guns N’ Roses", "Guns N Roses"),
        ("Simon & Garfunkel", "Simon and Garfunkel", "Simon&Garfunkel"),
        ("Ёлка", "елка"),
        ("Die Ärzte", "Ärzte, Die"),
        ("The A & B", "A and B"),
    ],
)
def test_spellings_of_one_name(names):
    assert len({spelling_key(name) for name in names}) == 1


@pytest.mark.parametrize(
    ("one", "other"),
    [("Björk", "Bjoerk"), ("P!nk", "Pink"), ("Ke$ha", "Kesha"), ("Davis, Miles", "Miles Davis")],
)
def test_other_usual_spellings(one, other):
    assert spelling_key(other) in spelling_keys(one)


def test_other_scripts_stay():
    assert (
        len({spelling_key(name) for name in ("夜明け", "ブルー", "Ночной", "Ελιά", "कला", "कल")})
        == 6
    )


@given(st.text())
def test_a_key_is_its_own_key(name):
    key = spelling_key(name)
    assert spelling_key(key) == key


@pytest.mark.parametrize(
    ("values", "title", "expected"),
    [
        (["Ada feat. Bob"], None, ("ada", "bob", "")),
        (["Ada ft Bob"], None, ("ada", "bob", "")),
        (["Ada (Featuring Bob)"], None, ("ada", "bob", "")),
        (["Ada; Bob"], None, ("ada", "bob", "")),
        (["Ada", "Bob"], None, ("ada", "bob", "")),
        (["Bob / Ada"], None, ("bob", "ada", "")),
        (["Ada (Bob Remix)"], None, ("ada", "", "bob")),
        (["Ada - Bob Remix"], None, ("ada", "", "bob")),
        (["Ada, Bob"], None, ("adabob bobada", "", "ada bob")),
        (["Ada & Bob"], None, ("adaandbob", "", "")),
        (["Ada vs. Bob"], None, ("adavsbob", "", "ada bob")),
        (["Ada feat. Bob & Cy"], None, ("ada", "bobandcy", "bob cy")),
        (["Ada"], "Song (feat. Bob) [Cy's Remix]", ("ada", "bob", "cy")),
        (["Ada"], "Featherweight", ("ada", "", "")),
        (["Left"], None, ("left", "", "")),
        (["Daft Punk"], None, ("daftpunk", "", "")),
        ([], "Song (feat. Bob)", ("", "bob", "")),
    ],
)
def test_credits(values, title, expected):
    credit = read_credits(values, title)
    parts = (credit.first, credit.further, credit.possible)
    assert tuple(" ".join(part) for part in parts) == expected


@given(st.lists(st.text(max_size=12), max_size=3), st.none() | st.text(max_size=20))
def test_any_text_is_read(values, title):
    credit = read_credits(values, title)
    keys = (*credit.first, *credit.further, *credit.possible)
    assert all(keys)
    assert len(set(keys)) == len(keys)


def test_connected_names():
    assert connected_names("Simon and Garfunkel") == ["Simon", "Garfunkel"]
    assert connected_names("Anderson") == []
    assert connected_names("&") == []
