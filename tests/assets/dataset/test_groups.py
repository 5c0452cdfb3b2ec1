"""The groups of a dataset: every spelling of an artist and every part of a recording in one."""

from collections import Counter

import polars as pl
import pytest

from melgraph.assets.dataset import datasets
from melgraph.assets.resources import HomeResource
from tests.assets.dataset.adversarial import CASES, SEPARATE, hash_of, song
from tests.assets.dataset.test_datasets import Library, row, table_of
from tests.conftest import write_spec

SEEDS = 20
STYLES = ("rock", "jazz", "electronic")
FILLERS = [song(f"{style}/{hash_of((style, n)):012d}.mp3", f"{style} band {n}")
           for style in STYLES for n in range(25)]  # fmt: skip


def rows(songs: list[dict]) -> list[dict]:
    """Rows of `tracks`."""
    return [row(hash_of(one["path"]), "x", next(iter(one["artists"]), None)) | one for one in songs]


@pytest.fixture
def library(tmp_path, monkeypatch) -> Library:
    monkeypatch.setenv("MELGRAPH_HOME", str(tmp_path / "home"))
    return Library(tmp_path)


def groups_of(library: Library, songs: list[dict], **keys: object) -> dict[str, int]:
    """Path -> group in a snapshot of a library with these files."""
    library.add(rows([*songs, *FILLERS]))
    write_spec(library.home, "datasets", "genres", title="x", **keys)
    table = table_of(library.snapshot())
    return dict(table.select("path", "group").iter_rows())


def test_there_are_43_cases():
    paths = [one["path"] for case in (*CASES.values(), *SEPARATE.values()) for one in case]
    assert len(CASES) == 43
    assert not [path for path, n in Counter(paths).items() if n > 1]


def test_every_case_is_one_group_and_is_in_one_split_with_20_seeds(library):
    groups = groups_of(library, [one for case in CASES.values() for one in case])
    divided = {
        name: [groups[one["path"]] for one in case]
        for name, case in CASES.items()
        if len({groups[one["path"]] for one in case}) > 1
    }
    assert divided == {}
    assert len({groups[case[0]["path"]] for case in CASES.values()}) == len(CASES)
    used = Counter()
    for seed in range(SEEDS):
        write_spec(library.home, "datasets", "genres", title="x", seed=seed)
        snapshot = library.snapshot()
        splits = dict(table_of(snapshot).select("path", "split").iter_rows())
        for name, case in CASES.items():
            sides = {splits[one["path"]] for one in case} - {None}
            assert len(sides) <= 1, (seed, name, sides)
            used.update(sides)
        assert snapshot.facts["leaks"] == 0
    assert min(used[split] for split in ("train", "validation", "test")) > SEEDS
    assert datasets.no_leakage(HomeResource()).passed


def test_what_only_looks_alike_stays_separate(library):
    groups = groups_of(library, [one for case in SEPARATE.values() for one in case])
    joined = {
        name: [groups[one["path"]] for one in case]
        for name, case in SEPARATE.items()
        if len({groups[one["path"]] for one in case}) < len(case)
    }
    assert joined == {}


def test_a_key_switches_guesses_off(library):
    guessed = ("folders", "artist in the file name", "parts", "numbers", "a crop")
    by_metadata = ("the", "remix", "album without an artist")
    songs = [one for name in (*guessed, *by_metadata) for one in CASES[name]]
    groups = groups_of(library, songs, guess_groups=False)
    for name in guessed:
        assert len({groups[one["path"]] for one in CASES[name]}) == len(CASES[name]), name
    for name in by_metadata:
        assert len({groups[one["path"]] for one in CASES[name]}) == 1, name


def test_the_snapshot_says_what_its_groups_rest_on(library):
    songs = [*CASES["the"], *CASES["parts"], *CASES["folders"], *SEPARATE["an ampersand"]]
    library.add(rows([*songs, *FILLERS]))
    snapshot = library.snapshot()
    facts = snapshot.facts["grouping"]
    assert facts["evidence"] == {
        "artist in the file metadata": 3,
        "artist or album, by folder": 3,
        "parts of one recording, by file name": 4,
    }
    assert facts["guessed_groups"] == 2
    assert facts["largest_share"] == round(4 / len(songs + FILLERS), 4)
    assert facts["connected_pairs"] == [
        ["Loon & Merganser", "Loon"], ["Loon & Merganser", "Merganser"]
    ]  # fmt: skip
    assert snapshot.facts["used"] - snapshot.facts["artist_known"] == 7
    table = table_of(snapshot).filter(pl.col("path").str.contains("night drive"))
    assert table["grouped_by"].to_list() == [["parts of one recording, by file name"]] * 4
    metadata = datasets.show(snapshot)
    assert metadata["share of the largest group"] == facts["largest_share"]
    assert "by folder" in metadata["grouped by"].value


def test_labels_in_six_spellings_are_one_class_of_a_snapshot(library):
    spellings = (
        "M\u00fasica",
        "Mu\u0301sica",
        "m\u00fasica",
        "M\u00daSICA",
        "M\u00fasica ",
        " M\u00fasica",
    )
    songs = [
        song(f"{folder}/{hash_of((folder, n)):012d}.mp3", f"artist {number} {n}")
        for number, folder in enumerate((*spellings, "Rock", "rock"))
        for n in range(2)
    ]
    library.add(rows(songs))
    snapshot = library.snapshot()
    assert snapshot.facts["classes"] == ["Música", "Rock"]
    (finding,) = snapshot.facts["collection"]["findings"]
    assert "'Música' (" in finding
    assert "'Rock' ('Rock', 'rock')" in finding
    assert "findings" in datasets.show(snapshot)


def test_tracks_with_several_genres_are_counted(library):
    write_spec(library.home, "datasets", "genres", title="x", labels="tag")
    several = [one | {"genres": ["Jazz", "Rock"]} for one in rows(FILLERS[:5])]
    library.add([*several, *(one | {"genres": ["Rock"]} for one in rows(FILLERS[5:10]))])
    snapshot = library.snapshot()
    assert snapshot.facts["collection"]["several_labels"] == 5
    assert table_of(snapshot)["genres"].list.len().to_list().count(2) == 5


def test_a_growing_library_joins_no_earlier_tracks_of_different_splits(library):
    """Twelve numbered files were a collection; in a larger folder they look like parts."""
    numbered = [song(f"jazz/mine-{n:02d}.mp3") for n in range(12)]
    few = [one for one in FILLERS if not one["path"].startswith("jazz")][:12]
    library.add(rows([*numbered, *few, *FILLERS[25:31]]))
    first = library.snapshot()
    assert first.facts["grouping"]["numbered_series"] == ["jazz/mine-00.mp3 (12 files)"]
    splits = dict(table_of(first).select("path", "split").iter_rows())
    assert len({splits[one["path"]] for one in numbered}) == 3
    library.add(rows([one for one in FILLERS[31:] if one["path"].startswith("jazz")]))
    second = library.snapshot()
    assert first.reference in second.record.spec.inputs
    now = dict(table_of(second).select("path", "split").iter_rows())
    assert all(now[path] == split for path, split in splits.items())
    assert second.facts["leaks"] == 0
