"""Homes whose `tracks` were written before they had a year: only the metadata is read again."""

import shutil
from pathlib import Path

import polars as pl
import pytest

from melgraph.assets.library import ingest, ingest_pass
from melgraph.assets.library.live import library_files, library_state
from melgraph.assets.library.representations import _selected_specs
from melgraph.assets.library.tracks import SCHEMA, Tracks
from melgraph.assets.materialize import all_current
from melgraph.assets.remaking import remake
from melgraph.assets.stages import AUDIO_FEATURES, BY_DEFAULT, MEL_SPECTROGRAMS, MFCC, TRACKS
from melgraph.assets.staleness import stale_artifacts
from melgraph.ml import workers
from melgraph.pipelines.intake import scan_library
from melgraph.storage.artifacts import Production
from melgraph.storage.catalogue import LibraryFile, Retag
from tests.assets.library.test_live import Music, music  # noqa: F401 - a fixture
from tests.ml.retagging import retag

BATCH = "batch-000001"
FIRST, SECOND, THIRD = "rock/a.wav", "rock/b.wav", "jazz/c.wav"  # of `music`
WITHOUT_YEAR = 5  # the stage integer of `tracks` that had no year
SELECTED = {TRACKS.name, *(stage.name for stage in BY_DEFAULT)}


def ingest_again(music: Music, selected: set[str] = SELECTED) -> dict[str, bool]:  # noqa: F811
    """What the job `ingest` does. Returns for each asset whether it was written."""
    specs = _selected_specs(music.context, BATCH, selected)
    with Production(music.store, specs) as production:
        if production.missing:
            ingest.write_batch(music.store, production.missing)
    music.catalogue.identify(BATCH, production.artifacts[TRACKS.name].record.recordings)
    return {name: name in production.missing for name in selected}


@pytest.fixture
def old(music: Music, monkeypatch: pytest.MonkeyPatch) -> Music:  # noqa: F811
    """A home of the melgraph before: `tracks` without a year, and the representations of it."""
    shutil.rmtree(music.home.artifacts / TRACKS.name)
    for number, path in enumerate((FIRST, SECOND, THIRD)):
        retag(music.library / path, f"Artist {number}", year=1990 + number)
        music.date(path)
    music.tone("rock/copy.wav", 300.0)  # the sound of the first file
    (music.library / "broken.wav").write_text("no music at all")
    music.date("broken.wav")
    music.catalogue.path.unlink()
    files = [LibraryFile(p.relative_to(music.library).as_posix(), p.stat().st_size,
                         p.stat().st_mtime_ns) for p in music.library.rglob("*.wav")]  # fmt: skip
    assert music.catalogue.register_batch(files) == BATCH
    with monkeypatch.context() as before:
        before.setitem(vars(TRACKS), "number", WITHOUT_YEAR)
        schema = {name: dtype for name, dtype in SCHEMA.items() if name != "year"}
        before.setattr(ingest, "SCHEMA", schema)
        assert all(ingest_again(music).values())
    table = Tracks.current(music.store, BATCH).table()
    assert "year" not in table.columns
    assert table["status"].value_counts().sort("status")["count"].to_list() == [4, 1]
    return music


@pytest.fixture
def no_decoding(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise AssertionError("a file is decoded")

    monkeypatch.setattr(ingest_pass, "_analyse", fail)


def years(music: Music) -> dict[str, int | None]:  # noqa: F811
    """Path -> year of the files of the library as it is now."""
    files = library_files(music.batches(), library_state(music.catalogue))
    return dict(files.filter(~pl.col("gone")).select("path", "year").iter_rows())


def test_only_the_metadata_is_read_again(old: Music, tmp_path: Path, request) -> None:
    assert set(years(old).values()) == {None}  # an older table is readable
    before = {s.name: old.store.current_reference(s.name, BATCH) for s in (TRACKS, *BY_DEFAULT)}
    request.getfixturevalue("no_decoding")
    written = ingest_again(old)
    assert written == {TRACKS.name: True, MEL_SPECTROGRAMS.name: False, AUDIO_FEATURES.name: False}
    assert years(old) == {
        FIRST: 1990, SECOND: 1991, THIRD: 1992, "rock/copy.wav": None, "broken.wav": None
    }  # fmt: skip
    after = {s.name: old.store.current_reference(s.name, BATCH) for s in (TRACKS, *BY_DEFAULT)}
    assert [name for name in before if before[name] != after[name]] == [TRACKS.name]
    specs = [stage.plan(old.context, BATCH) for stage in (TRACKS, *BY_DEFAULT)]
    assert all_current(old.store, specs)
    assert stale_artifacts(old.context) == []
    assert not any(ingest_again(old).values())


def test_the_table_is_that_of_a_full_ingest(old: Music, tmp_path: Path) -> None:
    ingest_again(old)
    (tmp_path / "again").mkdir()
    assert remake(old.store, old.store.need(TRACKS.name, BATCH), tmp_path / "again") == []


def test_files_that_have_changed_since(old: Music, no_decoding: None) -> None:
    rows = {row["path"]: row for row in old.batches()[0].table().to_dicts()}
    old.remove(FIRST)
    old.tone(SECOND, 999.0)  # another sound
    retag(old.library / THIRD, "New", year=2001)  # no scan has noticed it yet
    ingest_again(old)
    new = {row["path"]: row for row in old.batches()[0].table().to_dicts()}
    for path in (FIRST, SECOND, "broken.wav"):
        assert new[path] == rows[path] | {"year": None}
    third = new[THIRD]
    assert (third["artist"], third["year"]) == ("New", 2001)
    assert third["bytes"] == (old.library / THIRD).stat().st_size
    assert third["track_id"] == rows[THIRD]["track_id"]
    assert third["sha256"] != rows[THIRD]["sha256"]
    # The next scan notices what has happened, and that the third file is what `tracks` says.
    old.date(THIRD)
    scan = scan_library(old.home, old.catalogue, look_again_s=0.0)
    assert scan.sentence().endswith("0 new, 1 changed, 1 with a new date only, 1 gone")


def test_a_file_that_was_retagged_and_moved_before_the_upgrade(
    old: Music, no_decoding: None
) -> None:
    """The catalogue knows its metadata, without a year. The new table takes their place."""
    retag(old.library / FIRST, "New", year=2001)
    old.move(FIRST, "pop/a.wav")
    old.date("pop/a.wav")
    assert old.run() == "0 new, 1 moved, 1 retagged"
    state = old.catalogue.path_states()["pop/a.wav"]
    entry = LibraryFile("pop/a.wav", state.bytes, state.mtime_ns)
    metadata = {"artist": "New", "artists": ["New"], "album": None, "title": None,
                "genre": None, "genres": []}  # fmt: skip
    assert state.track_id is not None
    assert state.sha256 is not None
    old.catalogue.note(retagged=[Retag(entry, state.track_id, state.sha256, metadata)])
    assert years(old)["pop/a.wav"] is None
    ingest_again(old)
    assert old.catalogue.retagged_files() == {}
    assert years(old)["pop/a.wav"] == 2001
    assert old.run() == "0 new"


def test_a_representation_with_other_settings_is_computed_from_the_new_tracks(old: Music) -> None:
    path = old.home.specs / "representations.toml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("[mel_spectrograms]\nn_mels = 64\n")
    written = ingest_again(old)
    assert written == {TRACKS.name: True, MEL_SPECTROGRAMS.name: True, AUDIO_FEATURES.name: False}
    mel = old.store.need(MEL_SPECTROGRAMS.name, BATCH)
    assert mel.record.spec.inputs == (old.store.current_reference(TRACKS.name, BATCH),)
    assert (mel.facts["tracks"], mel.facts["left_out"]) == (3, [])
    mfcc = MFCC.plan(old.context, BATCH)
    assert mfcc.inputs == mel.record.spec.inputs


def test_a_representation_stays_current_over_several_upgrades(
    old: Music, monkeypatch: pytest.MonkeyPatch, no_decoding: None
) -> None:
    before = old.store.current_reference(MEL_SPECTROGRAMS.name, BATCH)
    for number in (TRACKS.number, TRACKS.number + 1):
        monkeypatch.setitem(vars(TRACKS), "number", number)
        assert ingest_again(old)[TRACKS.name]
        assert MEL_SPECTROGRAMS.plan(old.context, BATCH).reference == before


def test_tracks_that_may_list_other_sounds_are_decoded_again(
    old: Music, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ingest, "OLDEST_WITH_THESE_SOUNDS", WITHOUT_YEAR + 1)
    assert all(ingest_again(old).values())
    assert years(old)[FIRST] == 1990


def test_a_file_that_crashes_its_reader_keeps_its_row(
    old: Music, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = old.batches()[0].table()

    def crash_at_the_second(function, jobs, **_: object):
        for job in jobs:
            is_second = job.path == SECOND
            yield workers.Outcome(job, None if is_second else function(job), "SIGABRT")

    monkeypatch.setattr(workers, "isolated_map", crash_at_the_second)
    ingest_again(old)
    assert years(old)[FIRST] == 1990
    assert years(old)[SECOND] is None
    after = old.batches()[0].table()
    assert after.drop("year").equals(before)
