"""Ingest of a batch: files that cannot be used, duplicates, and files that changed."""

import os
import shutil
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import soundfile

from melgraph.assets.context import Context
from melgraph.assets.library import ingest
from melgraph.assets.library.features import FEATURES_TABLE
from melgraph.assets.library.live import live_tracks
from melgraph.assets.library.spectrograms import STORE
from melgraph.assets.library.tracks import SCHEMA as TRACKS_SCHEMA
from melgraph.assets.library.tracks import TABLE as TRACKS_TABLE
from melgraph.assets.library.tracks import Tracks
from melgraph.assets.stages import BY_DEFAULT, TRACKS
from melgraph.ml.audio.payload import PAYLOAD_METHOD, payload_digest
from melgraph.storage.artifacts import Artifact, ArtifactStore, Production, file_sha256
from melgraph.storage.home import Home
from melgraph.storage.spectrogram_store import SpectrogramStore
from melgraph.storage.tables import read_table

RATE = 22050


def tone(path: Path, hz: float = 440.0, seconds: float = 1.0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    time = np.arange(round(seconds * RATE)) / RATE
    soundfile.write(path, 0.3 * np.sin(2 * np.pi * hz * time), RATE, subtype="PCM_16")


@pytest.fixture
def store(tmp_path: Path) -> ArtifactStore:
    (tmp_path / "songs").mkdir()
    return ArtifactStore(Home(tmp_path / "home", tmp_path / "songs").create())


def ingest_files(store: ArtifactStore, *paths: str, batch: str = "batch-000001"):
    """The three artifacts of a batch, from one pass. Some files may not exist."""
    context = Context.open(store.home)
    tracks = TRACKS.spec(batch, config={"files": [[path, 1000] for path in sorted(paths)]})
    specs = [tracks]
    specs += [ingest.representation_spec(s, context, tracks.reference) for s in BY_DEFAULT]
    with Production(store, specs) as production:
        ingest.write_batch(store, production.missing)
    return production.artifacts


def rows_of(tracks: Artifact) -> dict[str, dict]:
    table = read_table(tracks.folder / TRACKS_TABLE)
    assert dict(table.schema) == TRACKS_SCHEMA
    return {row["path"]: row for row in table.iter_rows(named=True)}


def stored_in(mel: Artifact) -> list[str]:
    return SpectrogramStore(mel.folder / STORE).track_ids


def test_one_pass_writes_all_three(store):
    tone(Path(store.home.library) / "a.wav", 440)
    tone(Path(store.home.library) / "b.flac", 880, seconds=2)
    artifacts = ingest_files(store, "a.wav", "b.flac")
    rows = rows_of(artifacts["tracks"])
    assert {path: row["status"] for path, row in rows.items()} == {"a.wav": "ok", "b.flac": "ok"}
    for path, row in rows.items():
        assert row["sha256"] == file_sha256(Path(store.home.library) / path)
        digest = payload_digest(Path(store.home.library) / path)
        assert row["track_id"] == (digest or row["sha256"])[:32]
        assert row["identified_by"] == (PAYLOAD_METHOD if digest else "file-sha256")
        assert row["sample_rate_hz"] == RATE
    assert rows["b.flac"]["duration_s"] == pytest.approx(2.0)
    ids = [rows["a.wav"]["track_id"], rows["b.flac"]["track_id"]]
    assert stored_in(artifacts["mel_spectrograms"]) == ids
    features = read_table(artifacts["audio_features"].folder / FEATURES_TABLE)
    assert features["track_id"].to_list() == ids
    assert features.null_count().sum_horizontal()[0] == 0
    assert artifacts["tracks"].facts["hours"] == pytest.approx(3 / 3600, abs=1e-4)
    assert [r.path for r in artifacts["tracks"].record.recordings] == ["a.wav", "b.flac"]


def test_unusable_files_do_not_stop_a_batch(store):
    library = Path(store.home.library)
    tone(library / "good.wav")
    (library / "text.mp3").write_text("no music at all")
    (library / "empty.wav").write_bytes(b"")
    tone(library / "whole.flac", seconds=2)
    whole = (library / "whole.flac").read_bytes()
    (library / "cut.flac").write_bytes(whole[: len(whole) // 2])
    soundfile.write(library / "silent.wav", np.zeros(RATE), RATE, subtype="PCM_16")
    (library / "folder.wav").mkdir()
    names = ("good.wav", "text.mp3", "empty.wav", "cut.flac", "silent.wav", "folder.wav",
             "whole.flac", "vanished.wav")  # fmt: skip
    artifacts = ingest_files(store, *names)
    rows = rows_of(artifacts["tracks"])
    assert set(rows) == set(names)
    quarantined = {path: row for path, row in rows.items() if row["status"] == "quarantined"}
    assert set(rows) - set(quarantined) == {"good.wav", "whole.flac"}
    assert all(row["code"] and row["reason"] for row in quarantined.values())
    assert quarantined["vanished.wav"]["code"] == "vanished"
    assert quarantined["vanished.wav"]["sha256"] is None
    assert quarantined["folder.wav"]["code"] == "unreadable"
    assert quarantined["silent.wav"]["sha256"] == file_sha256(library / "silent.wav")
    facts = artifacts["tracks"].facts
    assert (facts["files"], facts["ok"], facts["quarantined"]) == (8, 2, 6)
    assert sum(facts["codes"].values()) == 6
    assert len(stored_in(artifacts["mel_spectrograms"])) == 2


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every file")
def test_a_file_without_read_permission_is_quarantined(store):
    tone(Path(store.home.library) / "locked.wav")
    (Path(store.home.library) / "locked.wav").chmod(0)
    row = rows_of(ingest_files(store, "locked.wav")["tracks"])["locked.wav"]
    assert row["code"] == "unreadable"
    assert "Permission denied" in row["reason"]


def test_a_batch_may_have_no_usable_file(store):
    (Path(store.home.library) / "x.mp3").write_text("x")
    artifacts = ingest_files(store, "x.mp3")
    assert artifacts["tracks"].facts["ok"] == 0
    assert stored_in(artifacts["mel_spectrograms"]) == []
    features = read_table(artifacts["audio_features"].folder / FEATURES_TABLE)
    assert features.height == 0
    assert features.width > 50  # the columns are there


def test_a_duplicate_is_stored_once(store):
    library = Path(store.home.library)
    tone(library / "a.wav")
    shutil.copy(library / "a.wav", library / "b.wav")
    tone(library / "c.wav", 880)
    artifacts = ingest_files(store, "a.wav", "b.wav", "c.wav")
    rows = rows_of(artifacts["tracks"])
    assert rows["b.wav"]["duplicate_of"] == "a.wav"
    assert rows["a.wav"]["duplicate_of"] is None
    assert rows["b.wav"]["track_id"] == rows["a.wav"]["track_id"]
    assert artifacts["tracks"].facts["duplicates"] == 1
    ids = [rows["a.wav"]["track_id"], rows["c.wav"]["track_id"]]
    assert stored_in(artifacts["mel_spectrograms"]) == ids
    live = live_tracks([Tracks(store, artifacts["tracks"])])
    assert live["path"].to_list() == ["a.wav", "c.wav"]
    gone = live_tracks([Tracks(store, artifacts["tracks"])], {"missing": ["a.wav"]})
    assert gone["path"].to_list() == ["b.wav", "c.wav"]  # the copy replaces it


def test_names_in_any_script(store):
    names = (
        "été/naïve.wav",
        "音楽/海.flac",
        "with 'quotes' & <tags> #1?.wav",
        "e\u0301.wav",
        "é.wav",
    )
    for number, name in enumerate(names):
        tone(Path(store.home.library) / name, 300 + 50 * number, seconds=0.5)
    rows = rows_of(ingest_files(store, *names)["tracks"])
    assert set(rows) == set(names)
    assert {row["status"] for row in rows.values()} == {"ok"}


def test_a_changed_file_is_left_out_when_an_artifact_is_computed_again(store):
    library = Path(store.home.library)
    for number, name in enumerate(("a.wav", "b.wav", "c.wav")):
        tone(library / name, 300 + 100 * number)
    artifacts = ingest_files(store, "a.wav", "b.wav", "c.wav")
    shutil.rmtree(artifacts["mel_spectrograms"].folder)
    tone(library / "b.wav", 999)  # other bytes at the same path
    (library / "c.wav").unlink()
    spec = artifacts["mel_spectrograms"].record.spec
    again, _ = store.produce(spec, lambda work: ingest.write_one(store, work))
    assert stored_in(again) == [rows_of(artifacts["tracks"])["a.wav"]["track_id"]]
    changed, gone = again.facts["left_out"]
    assert changed == "b.wav: its sound is no longer that in tracks"
    assert gone == "c.wav: the file was registered and is no longer there"


def test_a_changed_file_replaces_its_earlier_track(store):
    tone(Path(store.home.library) / "a.wav", 300)
    tone(Path(store.home.library) / "b.wav", 400)
    first = ingest_files(store, "a.wav", "b.wav")["tracks"]
    tone(Path(store.home.library) / "a.wav", 500)
    second = ingest_files(store, "a.wav", batch="batch-000002")["tracks"]
    live = live_tracks([Tracks(store, a) for a in (first, second)])
    assert live.select("path", "batch").rows() == [
        ("b.wav", "batch-000001"),
        ("a.wav", "batch-000002"),
    ]
    (Path(store.home.library) / "a.wav").write_text("no longer audio")
    third = ingest_files(store, "a.wav", batch="batch-000003")["tracks"]
    assert live_tracks([Tracks(store, a) for a in (first, second, third)])["path"].to_list() == [
        "b.wav"
    ]
    assert live_tracks([]).schema == pl.Schema({**TRACKS_SCHEMA, "batch": pl.String})
