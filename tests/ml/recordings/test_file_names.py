import pytest

from melgraph.ml.recordings.file_names import (
    artist_and_title,
    chunk_keys,
    folder_guess,
    version_keys,
)

LABELS = frozenset({"rock", "electronic", "blues", "genre5"})


def groups_of(paths):
    """The files that seem to be versions of one recording, as sets of paths."""
    keys = version_keys(paths)
    return {frozenset(p for p, k in zip(paths, keys, strict=True) if k == key) for key in keys}


def parts_of(*paths):
    """The keys of files of one folder, as numbers in the order of the first file; None: no part."""
    keys, _ = chunk_keys(paths, LABELS)
    order = list(dict.fromkeys(key for key in keys if key is not None))
    return [None if key is None else order.index(key) for key in keys]


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
def test_versions_are_connected(one, other):
    assert len(groups_of([one, other])) == 1
    assert len(groups_of([other, one])) == 1


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
def test_others_are_not(one, other):
    assert len(groups_of([one, other])) == 2


def test_chain_of_versions():
    paths = ["x/b.mp3", "x/a (live) 2.mp3", "x/a.mp3", "x/a (live).mp3"]
    assert groups_of(paths) == {frozenset(paths[:1]), frozenset(paths[1:])}


@pytest.mark.parametrize(
    "paths",
    [
        ("night drive_part1.wav", "night drive_part2.wav"),
        ("night drive - Part 1.wav", "Night Drive - part 2.wav"),
        ("electronic.00042.0.wav", "electronic.00042.1.wav"),
        ("sunrise-01.wav", "sunrise-02.wav"),
        ("sunrise (1).wav", "sunrise (2).wav"),
        ("sunrise1.wav", "sunrise2.wav"),
        ("dawn 1 of 3.wav", "dawn 2 of 3.wav"),
        ("dusk_0_30.wav", "dusk_30_60.wav"),
        ("01_dusk.wav", "02_dusk.wav"),
        ("000002_0.mp3", "000002_1.mp3"),
        ("Track 03_part1.wav", "Track 03_part2.wav"),
        ("clip7.0.wav", "clip7.1.wav"),
        ("rock-07-1.wav", "rock-07-2.wav"),
    ],
)
def test_parts_of_one_recording(paths):
    assert parts_of(*paths) == [0, 0]


@pytest.mark.parametrize(
    "paths",
    [
        ("Track 1.mp3", "Track 2.mp3"),
        ("Artist - Track 01.mp3", "Artist - Track 02.mp3"),
        ("blues.00001.wav", "blues.00002.wav"),
        ("rock-01.wav", "rock-02.wav"),
        ("rock_song_1.wav", "rock_song_2.wav"),
        ("1-01.mp3", "1-02.mp3"),
        ("part of 1.mp3", "part of 2.mp3"),
        ("CD1-01.mp3", "CD1-02.mp3"),
        ("genre 5-01.mp3", "genre 5-02.mp3"),
        ("000002.mp3", "000005.mp3"),
        ("2019-01.wav", "2019-02.wav"),
        ("part 1.wav", "part 2.wav"),
        ("U2.mp3", "U3.mp3"),
    ],
)
def test_numbers_that_count_tracks(paths):
    assert parts_of(*paths) == [None, None]


def test_parts_of_different_recordings_and_folders():
    assert parts_of("01 - One.mp3", "02 - Two.mp3") == [0, 1]
    assert parts_of("sunrise-1.wav", "sunset-1.wav", "a/sunrise-2.wav") == [0, 1, 2]


def test_a_series_that_fills_a_folder_is_the_numbering_of_a_collection():
    series = [f"mine-{n:03d}.wav" for n in range(12)]
    keys, collections = chunk_keys([*series, "other.wav"], LABELS)
    assert set(keys) == {None}
    assert collections == ["mine-000.wav (12 files)"]
    assert parts_of(*(f"meow{n}.wav" for n in range(5))) == [None] * 5
    assert parts_of(*(f"meow{n}.wav" for n in range(3))) == [0] * 3
    assert parts_of(*(f"mine_part{n}.wav" for n in range(5))) == [0] * 5
    assert parts_of(*(f"00042.{n}.wav" for n in range(5))) == [0] * 5
    cut = [f"mine-{n:03d}_{part}.wav" for n in range(6) for part in range(2)]
    assert parts_of(*cut) == [n for n in range(6) for _ in range(2)]


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("rock/Kettel - Roygbiv.mp3", [("kettel", "roygbiv")]),
        ("01 - Kettel - Roygbiv.mp3", [("kettel", "roygbiv")]),
        ("01. Kettel - Roygbiv.mp3", [("kettel", "roygbiv")]),
        ("01 Kettel – Roygbiv.mp3", [("01 kettel", "roygbiv"), ("kettel", "roygbiv")]),
        ("50 Cent - In.mp3", [("50 cent", "in"), ("cent", "in")]),
        ("Kettel - Album - 03 - Roygbiv.mp3", [("kettel", "roygbiv")]),
        ("some_band_-_some_song.mp3", [("some band", "some song")]),
        ("Maker__Song.ogg", [("maker", "song")]),
        ("Artist 2 - Song 3.mp3", [("artist 2", "song 3")]),
        ("VA - Kettel - Roygbiv.mp3", [("kettel", "roygbiv")]),
        ("Various Artists - Roygbiv.mp3", []),
        ("sunrise - 01.mp3", []),
        ("01 - Roygbiv.mp3", []),
        ("Track - Roygbiv.mp3", []),
        ("Rock - Roygbiv.mp3", []),
        ("Jean-Michel.mp3", []),
    ],
)
def test_artist_and_title(path, expected):
    assert artist_and_title(path, LABELS) == expected


@pytest.mark.parametrize(
    ("path", "level", "expected"),
    [
        ("rock/x.mp3", 1, (None, None)),
        ("rock/x.mp3", None, (None, None)),
        ("rock/Kettel/x.mp3", 1, ("Kettel", "rock/Kettel")),
        ("rock/Kettel/First/x.mp3", 1, ("Kettel", "rock/Kettel/First")),
        ("Kettel/First/x.mp3", None, ("Kettel", "Kettel/First")),
        ("rock/Kettel/First/CD 2/x.mp3", 1, ("Kettel", "rock/Kettel/First")),
        ("rock/K/Kettel/x.mp3", 1, ("Kettel", "rock/K/Kettel")),
        ("rock/Kettel - Album/x.mp3", 1, ("Kettel", "rock/Kettel - Album")),
        ("rock/Various Artists/Hits/x.mp3", 1, (None, None)),
        ("rock/train/x.mp3", 1, (None, None)),
        ("rock/fold 3/x.mp3", 1, (None, None)),
        ("rock/artist1/album1/x.mp3", 1, ("artist1", "rock/artist1/album1")),
        ("rock/mp3/x.mp3", 1, (None, None)),
        ("Blues/Kettel/x.mp3", None, (None, "Blues/Kettel")),
        ("000/000002.mp3", None, (None, None)),
    ],
)
def test_folders(path, level, expected):
    assert folder_guess(path, level, LABELS) == expected
