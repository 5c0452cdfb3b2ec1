"""Files of every format whose metadata changes: through real scans, ingests and audits.

Nothing is decoded again, no batch gets a new version, no track changes sides, and the new metadata
is what the library has.
"""

import os
import shutil
from argparse import Namespace
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from melgraph.assets.context import Context
from melgraph.assets.generation.sources import read_excerpt
from melgraph.assets.library import ingest
from melgraph.assets.library.identity import FILE_METHOD, LibraryPath, read_sound
from melgraph.assets.library.ingest import representation_spec
from melgraph.assets.library.live import library_files, library_state, live_tracks
from melgraph.assets.library.tracks import Tracks
from melgraph.assets.recommendations.queries.query import Filters
from melgraph.assets.recommendations.queries.searched_tracks import SearchedTracks
from melgraph.assets.stages import DATASETS, MEL_SPECTROGRAMS, TRACKS
from melgraph.ml import workers
from melgraph.ml.audio.payload import PAYLOAD_METHOD
from melgraph.pipelines import intake
from melgraph.pipelines.commands.audit import run as audit
from melgraph.pipelines.intake import cut_batches, scan_library
from melgraph.storage.artifacts import ArtifactStore
from melgraph.storage.catalogue import Catalogue
from melgraph.storage.home import Home
from melgraph.storage.spectrogram_store import SpectrogramStore
from tests.assets.library.test_live import Music, music  # noqa: F401 - a fixture
from tests.conftest import write_spec
from tests.ml.retagging import WRITERS, retag

FORMATS = sorted(WRITERS)


def path_of(suffix: str) -> str:
    """Two folders, which are the classes."""
    folder = ("blues", "rock")[FORMATS.index(suffix) % 2]
    return f"{folder}/song.{suffix}"


@pytest.fixture
def songs(music: Music) -> Music:  # noqa: F811
    """The three tones of `music`, and a song of every format in a batch of its own."""
    write_spec(
        music.home, "datasets", "genres", title="x", min_tracks_per_class=1, min_groups_per_class=1
    )
    for number, suffix in enumerate(FORMATS):
        file = music.library / path_of(suffix)
        file.parent.mkdir(exist_ok=True)
        WRITERS[suffix](file, 300.0 + 20 * number)
        retag(file, f"Artist {number}")
        music.date(path_of(suffix))
    assert music.run() == f"{len(FORMATS)} new"
    music.decoded.clear()
    return music


def files_of(music: Music) -> dict[str, dict]:  # noqa: F811
    """Path -> its row, of the library as it is now."""
    files = library_files(music.batches(), library_state(music.catalogue))
    return {row["path"]: row for row in files.iter_rows(named=True)}


def snapshot_of(music: Music) -> pl.DataFrame:  # noqa: F811
    spec = DATASETS.plan(music.context, "genres")
    artifact, _ = music.store.produce(spec, lambda work: DATASETS.write(music.store, work))
    return pl.read_parquet(artifact.folder / "tracks.parquet")


def test_every_format(songs: Music, capsys: pytest.CaptureFixture[str], monkeypatch) -> None:
    before, batches = files_of(songs), songs.catalogue.batches()
    references = [songs.store.current_reference(TRACKS.name, batch) for batch in batches]
    sides = dict(snapshot_of(songs).select("track_id", "split").iter_rows())
    assert {before[path_of(s)]["identified_by"] for s in FORMATS} == {PAYLOAD_METHOD}

    for number, suffix in enumerate(FORMATS):
        file = songs.library / path_of(suffix)
        retag(file, f"New {number}", picture=4000 + number, year=1980 + number)
        songs.date(path_of(suffix))
    assert songs.run() == f"0 new, {len(FORMATS)} retagged"
    assert songs.decoded == []
    assert songs.catalogue.batches() == batches
    assert [TRACKS.plan(songs.context, batch).reference for batch in batches] == references
    assert songs.run() == "0 new"

    after = files_of(songs)
    assert {path: row["track_id"] for path, row in after.items()} == {
        path: row["track_id"] for path, row in before.items()
    }
    for number, suffix in enumerate(FORMATS):
        row, file = after[path_of(suffix)], songs.library / path_of(suffix)
        assert row["bytes"] == file.stat().st_size
        assert row["sha256"] != before[path_of(suffix)]["sha256"]
        assert (row["artist"], row["year"]) == (f"New {number}", 1980 + number)
        assert before[path_of(suffix)]["year"] is None

    table = snapshot_of(songs)
    assert dict(table.select("track_id", "split").iter_rows()) == sides
    artists = dict(table.select("path", "artist").iter_rows())
    assert artists[path_of("flac")] == f"New {FORMATS.index('flac')}"

    # An artifact is computed again from its record alone, whatever has happened since.
    tracks = Tracks.current(songs.store, batches[-1])
    spec = representation_spec(MEL_SPECTROGRAMS, songs.context, tracks.reference)
    mel, _ = songs.store.produce(spec, lambda work: ingest.write_one(songs.store, work))
    assert mel.facts["left_out"] == []
    assert SpectrogramStore(mel.folder / "spectrograms.zarr").track_ids == [
        before[path_of(suffix)]["track_id"]
        for suffix in sorted(FORMATS, key=path_of)
        if before[path_of(suffix)]["track_id"] not in _earlier(before, suffix)
    ]

    monkeypatch.setenv("MELGRAPH_HOME", str(songs.home.root))
    assert audit(_options(f"{TRACKS.name}/{batches[-1]}")) == 0
    output = capsys.readouterr().out
    assert output.count("retagged since, sound as recorded") == len(FORMATS)
    for suffix in ("flac", "mp3", "m4a"):
        excerpt = read_excerpt(songs.home, before[path_of(suffix)], 0.0, 60.0)
        assert len(excerpt.samples)
        assert excerpt.sha256 == after[path_of(suffix)]["sha256"]


def _earlier(rows: dict[str, dict], suffix: str) -> set[str]:
    """The tracks of the files before this one in the batch."""
    path = path_of(suffix)
    return {row["track_id"] for other, row in rows.items() if other < path and "song" in other}


def _options(artifact: str) -> Namespace:
    return Namespace(artifact=artifact, strict=True)


def test_another_year_alone_is_new_metadata(songs: Music) -> None:
    (artist,) = {row["artist"] for path, row in files_of(songs).items() if path == path_of("mp3")}
    for year in (1987, 1988):
        retag(songs.library / path_of("mp3"), artist, year=year)
        songs.date(path_of("mp3"))
        before = DATASETS.plan(songs.context, "genres").version
        assert songs.run() == "0 new, 1 retagged"
        assert songs.decoded == []
        row = files_of(songs)[path_of("mp3")]
        assert (row["artist"], row["year"]) == (artist, year)
        assert DATASETS.plan(songs.context, "genres").version != before


def test_a_file_that_was_moved_and_retagged_at_once(songs: Music) -> None:
    before = files_of(songs)[path_of("flac")]
    songs.move(path_of("flac"), "jazz/song.flac")
    retag(songs.library / "jazz/song.flac", "Somebody")
    assert songs.run() == "0 new, 1 moved, 1 retagged"
    assert songs.decoded == []
    after = files_of(songs)["jazz/song.flac"]
    assert (after["track_id"], after["artist"]) == (before["track_id"], "Somebody")


def test_a_file_with_a_new_name_folder_and_artist_is_the_same_track(songs: Music) -> None:
    before = files_of(songs)[path_of("flac")]
    songs.move(path_of("flac"), "jazz/1 Somebody.flac")
    retag(songs.library / "jazz/1 Somebody.flac", "Somebody", picture=99)
    assert songs.run() == "1 new, 1 gone"
    live = live_tracks(songs.batches(), library_state(songs.catalogue))
    (track,) = live.filter(pl.col("track_id") == before["track_id"]).to_dicts()
    assert (track["path"], track["artist"]) == ("jazz/1 Somebody.flac", "Somebody")


def test_another_sound_in_a_retagged_file_is_a_changed_file(songs: Music) -> None:
    retag(songs.library / path_of("flac"), "Somebody")
    songs.date(path_of("flac"))
    assert songs.run() == "0 new, 1 retagged"
    WRITERS["flac"](songs.library / path_of("flac"), 999.0)
    songs.date(path_of("flac"))
    assert songs.run() == "0 new, 1 changed"
    row = files_of(songs)[path_of("flac")]
    assert row["artist"] is None


def test_a_copy_with_other_metadata_is_the_same_track(songs: Music) -> None:
    shutil.copy(songs.library / path_of("flac"), songs.library / "copy.flac")
    retag(songs.library / "copy.flac", "Somebody")
    songs.date("copy.flac")
    assert songs.run() == "1 new"
    files = files_of(songs)
    assert files["copy.flac"]["track_id"] == files[path_of("flac")]["track_id"]
    live = live_tracks(songs.batches(), library_state(songs.catalogue))
    assert path_of("flac") in live["path"].to_list()
    assert "copy.flac" not in live["path"].to_list()


def test_queries_have_the_new_artist_and_year(songs: Music) -> None:
    ids = sorted({row["track_id"] for row in files_of(songs).values()})

    def answer(**filters: object) -> list[str]:
        """The paths of the tracks that filters of a query allow."""
        live = np.ones(len(ids), dtype=np.bool_)
        tracks = SearchedTracks.of(songs.context, ids, live, "genres")
        return sorted(tracks.table["path"].filter(tracks.allowed(Filters(**filters))))

    assert answer(year_from=1000) == []  # no track has a year
    for suffix, year in (("flac", 1987), ("mp3", 1995), ("m4a", 2004)):
        retag(songs.library / path_of(suffix), "Somebody", year=year)
        songs.date(path_of(suffix))
    songs.run()
    assert answer(year_from=1987, year_to=1995) == sorted([path_of("flac"), path_of("mp3")])
    assert answer(artists=("somebody",), year_from=1996) == [path_of("m4a")]


def test_a_file_that_cannot_be_demuxed_is_identified_by_its_bytes(songs: Music) -> None:
    (songs.library / "noise.wav").write_bytes(bytes(range(256)) * 9)
    songs.date("noise.wav")
    songs.run()
    row = files_of(songs)["noise.wav"]
    assert (row["status"], row["identified_by"]) == ("quarantined", FILE_METHOD)
    assert row["track_id"] == row["sha256"][:32]


def test_a_file_that_crashes_its_reader_is_a_changed_file(
    songs: Music, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is read in a process of its own, in the sensor and the command line as well."""
    monkeypatch.setattr(intake, "read_sound", _crash)
    retag(songs.library / path_of("flac"), "Somebody")
    songs.date(path_of("flac"))
    assert songs.run() == "0 new, 1 changed"


def in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    def outcomes(function, jobs, **_):
        return (workers.Outcome(job, function(job)) for job in jobs)

    @contextmanager
    def calls(function, **_):
        yield lambda item: workers.Outcome(item, function(item))

    monkeypatch.setattr(workers, "isolated_map", outcomes)
    monkeypatch.setattr(intake, "isolated_calls", calls)


def _crash(place: object) -> None:
    os.abort()


def test_a_library_in_a_bucket(bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files are read in this process: the server of the others does not know the bucket's keys."""
    in_this_process(monkeypatch)
    song = WRITERS["flac"](tmp_path / "song.flac", 440.0)
    bucket.put("rock/song.flac", song.read_bytes())
    home = Home(tmp_path / "home", bucket.location).create()
    catalogue = Catalogue(home.catalogue)
    (batch,) = cut_batches(catalogue, scan_library(home, catalogue, settle_s=0, look_again_s=0.0))
    spec = TRACKS.plan(Context.open(home), batch)
    store = ArtifactStore(home)
    artifact, _ = store.produce(spec, lambda work: ingest.write_batch(store, {"tracks": work}))
    catalogue.identify(batch, artifact.record.recordings)
    retag(song, "Somebody", picture=1000)
    bucket.put("rock/song.flac", song.read_bytes())
    scan = scan_library(home, catalogue, settle_s=0, look_again_s=0.0)
    assert scan.sentence().endswith("0 new, 1 retagged")
    assert cut_batches(catalogue, scan) == []
    assert catalogue.retagged_files()["rock/song.flac"]["artist"] == "Somebody"


def test_the_sound_of_a_file_that_is_gone_is_unknown(songs: Music) -> None:
    assert read_sound(LibraryPath(songs.home.open_library(), "gone.wav", 1)) is None


def test_a_lost_catalogue_finds_the_new_metadata_again(songs: Music) -> None:
    retag(songs.library / path_of("flac"), "Somebody")
    songs.date(path_of("flac"))
    songs.run()
    before = files_of(songs)
    songs.home.catalogue.unlink()
    intake.restore(songs.store, songs.catalogue)
    assert songs.run() == f"0 new, {len(before) - 1} with a new date only, 1 retagged"
    assert songs.decoded == []
    assert files_of(songs) == before
