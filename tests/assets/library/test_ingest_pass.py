"""The pass over a batch: isolated, with bounded memory, in order, independent of the workers."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile

from melgraph.assets.library import ingest, ingest_pass
from melgraph.ml.spectral import MelTransform
from melgraph.storage.errors import StorageError
from melgraph.storage.library import open_library
from tests.assets.library import misbehaving
from tests.assets.library.test_ingest import ingest_files, rows_of, store, stored_in, tone  # noqa: F401

REPRESENTATIONS = {"mel_spectrograms": MelTransform()}


def test_a_crash_and_a_hang_quarantine_one_file_each(store, monkeypatch):  # noqa: F811
    for number, name in enumerate(("a", "crash", "hang", "z")):
        tone(Path(store.home.library) / f"{name}.wav", 300 + 100 * number)
    monkeypatch.setattr(ingest_pass, "examine", misbehaving.examine)
    limit = ingest_pass.time_limit
    monkeypatch.setattr(
        ingest_pass, "time_limit", lambda job: 2.0 if "hang" in job.path else limit(job)
    )
    artifacts = ingest_files(store, "a.wav", "crash.wav", "hang.wav", "z.wav")
    rows = rows_of(artifacts["tracks"])
    assert [row["status"] for row in rows.values()] == ["ok", "quarantined", "quarantined", "ok"]
    assert rows["crash.wav"]["code"] == "crashed"
    assert "SIGSEGV" in rows["crash.wav"]["reason"]
    assert rows["hang.wav"]["code"] == "hung"
    # their SHA-256 is recorded, so that a user can find the bytes
    assert rows["crash.wav"]["sha256"] == ingest_pass.file_sha256(
        Path(store.home.library) / "crash.wav"
    )
    assert stored_in(artifacts["mel_spectrograms"]) == [
        rows[n]["track_id"] for n in ("a.wav", "z.wav")
    ]


def test_a_file_that_changes_while_it_is_read_is_quarantined(store, monkeypatch):  # noqa: F811
    tone(Path(store.home.library) / "changes.wav")
    monkeypatch.setattr(ingest_pass, "examine", misbehaving.examine)
    row = rows_of(ingest_files(store, "changes.wav")["tracks"])["changes.wav"]
    assert (row["status"], row["code"]) == ("quarantined", "changed")


def test_a_disk_error_quarantines_one_file(store, monkeypatch):  # noqa: F811
    tone(Path(store.home.library) / "a.wav")
    tone(Path(store.home.library) / "disk.wav", 880)
    monkeypatch.setenv("MELGRAPH_WORKERS", "1")
    monkeypatch.setattr(ingest_pass, "examine", misbehaving.examine)
    rows = rows_of(ingest_files(store, "a.wav", "disk.wav")["tracks"])
    assert rows["disk.wav"]["code"] == "unreadable"
    assert "Input/output error" in rows["disk.wav"]["reason"]
    assert rows["a.wav"]["status"] == "ok"


def test_the_bytes_do_not_depend_on_workers_and_blocks(store, monkeypatch):  # noqa: F811
    names = [f"{number:02d}.wav" for number in range(8)]
    for number, name in enumerate(names):
        tone(Path(store.home.library) / name, 200 + 40 * number, seconds=0.5 + 0.7 * number)
    files = []
    for workers, block_s in (("2", "60"), ("1", "1"), ("4", "2.3")):
        monkeypatch.setenv("MELGRAPH_WORKERS", workers)
        monkeypatch.setenv("MELGRAPH_BLOCK_SECONDS", block_s)
        artifacts = ingest_files(store, *names)
        files.append({asset: artifact.record.files for asset, artifact in artifacts.items()})
        shutil.rmtree(store.home.artifacts)
    assert files[0] == files[1] == files[2]


def test_no_temporary_file_is_left(store):  # noqa: F811
    library = Path(store.home.library)
    tone(library / "a.wav")
    (library / "x.mp3").write_text("no music")
    ingest_files(store, "a.wav", "x.mp3")
    assert not [path for path in store.home.pending.rglob("*") if path.is_file()]


def test_results_are_in_order_and_few_are_stored(tmp_path, monkeypatch):
    names = [f"{number:02d}.wav" for number in range(20)]
    for name in names:
        tone(tmp_path / name, seconds=0.6)
    temporary, most = tmp_path / "work.aside", 0
    paths = []
    for item in ingest_pass.examine_all(
        open_library(str(tmp_path)),
        [(name, 100) for name in names],
        REPRESENTATIONS,
        tmp_path / "work",
    ):
        paths.append(item.row["path"])
        most = max(most, len([path for path in temporary.rglob("*") if path.is_file()]))
        values = item.arrays("mel_spectrograms")["values"]
        assert values.dtype == np.float16
        assert values.shape == (26, 128)
    assert paths == names
    assert most <= 8 * ingest_pass.worker_count() + 1
    assert not temporary.exists()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_a_full_disk_quarantines_no_file(store, monkeypatch):  # noqa: F811
    tone(Path(store.home.library) / "a.wav", seconds=5.0)
    monkeypatch.setattr(ingest_pass, "examine", misbehaving.examine_onto_a_full_disk)
    with pytest.raises(StorageError, match="No space left on device"):
        ingest_files(store, "a.wav")
    assert store.partitions("tracks") == []


def test_three_artifacts_share_one_pass(store, monkeypatch):  # noqa: F811
    tone(Path(store.home.library) / "a.wav", seconds=2.0)
    soundfile.write(
        Path(store.home.library) / "b.wav", np.random.default_rng(0).normal(0, 0.1, 30000), 44100
    )
    calls = []
    original = ingest_pass.examine_all

    def count_calls(*arguments):
        calls.append(arguments)
        return original(*arguments)

    monkeypatch.setattr(ingest, "examine_all", count_calls)
    artifacts = ingest_files(store, "a.wav", "b.wav")
    assert len(calls) == 1
    assert len(artifacts) == 3


def test_settings_are_checked(monkeypatch):
    for bad in ("0", "-1", "many", "nan", "inf"):
        monkeypatch.setenv("MELGRAPH_WORKERS", bad)
        with pytest.raises(StorageError, match="MELGRAPH_WORKERS"):
            ingest_pass.worker_count()
    monkeypatch.setenv("MELGRAPH_WORKERS", "3")
    assert ingest_pass.worker_count() == 3


def test_time_limit_grows_with_the_file():
    library = open_library("/nowhere")
    short, long = (ingest_pass.Job(library, "x", size, {}, "", 60.0) for size in (0, 5_000_000))
    assert ingest_pass.time_limit(long) == pytest.approx(ingest_pass.time_limit(short) + 100)


def test_a_cue_sheet_beside_a_file_is_counted(store, monkeypatch):  # noqa: F811
    monkeypatch.setenv("MELGRAPH_WORKERS", "1")
    folder = Path(store.home.library)
    tone(folder / "album.wav")
    tone(folder / "song.wav", 880)
    (folder / "album.cue").write_text('FILE "album.wav" WAVE\nTRACK 01 AUDIO\nTRACK 02 AUDIO\n')
    rows = rows_of(ingest_files(store, "album.wav", "song.wav")["tracks"])
    assert {name: row["cue_tracks"] for name, row in rows.items()} == {
        "album.wav": 2, "song.wav": None
    }  # fmt: skip
