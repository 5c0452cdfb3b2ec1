"""New file metadata in a dataset: it is used, no track changes sides, and none bridges two."""

from functools import partial

import polars as pl
import pytest

from melgraph.assets.dataset import datasets
from melgraph.assets.dataset.exploration.cautions import cautions
from melgraph.assets.dataset.snapshot import Snapshot
from melgraph.assets.dataset.splits import SPLIT_ANEW_SENTENCE
from melgraph.assets.library.tracks import METADATA, Tracks
from melgraph.assets.resources import HomeResource
from melgraph.assets.stages import DUPLICATES, TRACKS
from melgraph.ml.recordings import grouping
from melgraph.storage.catalogue import LibraryFile, Retag
from tests.assets.dataset.test_datasets import (
    Library,
    library,  # noqa: F401 - a fixture
    row,
    songs,
    table_of,
)


def retag(library: Library, path: str, artist: str, **more: object) -> None:  # noqa: F811
    """As a scan records it."""
    batches = map(partial(Tracks.current, library.store), library.catalogue.batches())
    tracks = pl.concat(batch.table() for batch in batches)
    (old,) = tracks.filter(pl.col("path") == path).to_dicts()
    metadata = {name: old[name] for name in METADATA}
    metadata |= {"artist": artist, "artists": [artist], **more}
    file = LibraryFile(path, 2, 2)
    library.catalogue.note(retagged=[Retag(file, old["track_id"], "ee" * 32, metadata)])


def sides(snapshot: Snapshot) -> dict[str, str | None]:
    return dict(table_of(snapshot).select("path", "split").iter_rows())


def artists_by_side(snapshot: Snapshot) -> dict[str, list[str]]:
    """Split -> its artists, sorted."""
    table = table_of(snapshot).drop_nulls("split")
    return {
        split: sorted(table.filter(pl.col("split") == split)["artist"].unique())
        for split in ("train", "test")
    }


def paths_of(snapshot: Snapshot, artist: str) -> list[str]:
    return table_of(snapshot).filter(pl.col("artist") == artist)["path"].to_list()


def test_new_metadata_is_in_the_next_snapshot_and_nobody_changes_sides(library):  # noqa: F811
    first = library.snapshot()
    before, paths = sides(first), list(sides(first))
    batches = [library.store.current(TRACKS.name, b).reference for b in library.catalogue.batches()]
    for number, path in enumerate(paths):
        (artist,) = table_of(first).filter(pl.col("path") == path)["artist"]
        retag(library, path, artist.upper(), title=f"New title {number}", genre="other")
    second = library.snapshot()
    assert first.reference in second.record.spec.inputs
    assert sides(second) == before
    table = table_of(second)
    assert table["artist"].str.starts_with("ARTIST").all()
    assert table["title"].str.starts_with("New title").all()
    assert set(second.record.spec.config["retagged"]) == set(paths)
    assert [r for r in second.record.spec.inputs if r.asset == TRACKS.name] == batches
    assert library.snapshot().reference == second.reference
    assert DUPLICATES.plan(library.context, "all").config == {"missing": [], "moved": {}}


def test_tracks_whose_new_artist_is_on_another_side_are_left_out(library):  # noqa: F811
    library.add(songs(100, artists=20))
    first = library.snapshot()
    sides_before = artists_by_side(first)
    train, test = sides_before["train"][0], sides_before["test"][0]
    moved = paths_of(first, test)
    for path in moved:
        retag(library, path, train)
    second = library.snapshot()
    after = sides(second)
    assert {path: after[path] for path in moved} == dict.fromkeys(moved)
    assert {p: s for p, s in after.items() if p not in moved} == {
        p: s for p, s in sides(first).items() if p not in moved
    }
    reason = "retagged: bridges train and test"
    assert second.facts["left_out"] == {reason: len(moved)}
    assert second.facts["leaks"] == 0
    assert datasets.no_leakage(HomeResource()).passed

    library.add(songs(300))  # and they do not come back on the other side
    third = library.snapshot()
    assert {path: sides(third)[path] for path in moved} == dict.fromkeys(moved)
    assert third.facts["left_out"] == {reason: len(moved)}

    for path in moved:  # but they do with their old artist
        retag(library, path, test)
    fourth = library.snapshot()
    assert fourth.facts["left_out"] == {}
    assert datasets.no_leakage(HomeResource()).passed


def test_the_side_with_the_unchanged_tracks_stays(library):  # noqa: F811
    """Of two artists that become one, the one that was spelled right all along keeps its side."""
    library.add(songs(100, artists=20))
    first = library.snapshot()
    sides_before = artists_by_side(first)
    train, test = sides_before["train"][0], sides_before["test"][0]
    for path in paths_of(first, train):
        retag(library, path, test)
    after = sides(library.snapshot())
    assert {after[path] for path in paths_of(first, train)} == {None}
    assert {after[path] for path in paths_of(first, test)} == {"test"}


def test_a_snapshot_of_other_grouping_rules_is_no_parent_and_says_so(
    library,  # noqa: F811
    monkeypatch,
):
    first = library.snapshot()
    monkeypatch.setattr(grouping, "GROUPING_RULES", grouping.GROUPING_RULES + 1)
    second = library.snapshot()
    assert first.reference not in second.record.spec.inputs
    assert second.facts["split_anew"] == "other grouping rules"
    assert datasets.show(second)["split anew"] == SPLIT_ANEW_SENTENCE
    assert library.snapshot().reference == second.reference
    library.add(songs(100))
    third = library.snapshot()
    assert second.reference in third.record.spec.inputs
    assert third.facts["split_anew"] is None
    before = sides(second)
    assert {path: sides(third)[path] for path in before} == before


@pytest.mark.parametrize("same", [True, False])
def test_a_track_at_two_paths_has_the_metadata_of_the_first_and_a_caution(
    library,  # noqa: F811
    same,
):
    copy = songs()[0] | {"path": "copies/000.wav"}
    copy |= {"duplicate_of": None} if same else {"artist": "Somebody", "artists": ["Somebody"]}
    library.add([copy, row(500, "rock", "artist 500")])
    snapshot = library.snapshot()
    table = table_of(snapshot)
    (track,) = table.filter(pl.col("track_id") == copy["track_id"]).to_dicts()
    assert (track["path"], track["artist"]) == ("rock/000.wav", "artist 0")
    copies = snapshot.facts["copies_with_other_metadata"]
    expected = [] if same else [["rock/000.wav", "copies/000.wav"]]
    assert copies == {"tracks": len(expected), "first": expected}
    classes = pl.DataFrame(schema={"tracks": pl.Int64, "left out": pl.Int64})
    collection = pl.DataFrame(
        schema={"sample_rate_hz": pl.Int32, "cue_tracks": pl.Int64, "path": pl.String}
    )
    sentences = [
        sentence
        for sentence in cautions(
            collection, classes, pl.DataFrame(), snapshot.facts, sample_rate=22050
        )
        if "several paths" in sentence
    ]
    assert sentences == (
        []
        if same
        else [
            "1 track(s) have several paths with different file metadata; that of the first path is "
            "used, for example of 'rock/000.wav' and not of 'copies/000.wav'"
        ]
    )
