"""The library as it is now, through real scans and real ingests of tiny sounds."""

import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import soundfile

from melgraph.assets.dataset.datasets import dataset_spec, write_dataset
from melgraph.assets.generation.dreams import _decode
from melgraph.assets.library import ingest
from melgraph.assets.library.live import library_files, library_state, live_tracks
from melgraph.assets.materialize import current_references
from melgraph.ml import workers
from melgraph.pipelines.intake import cut_batches, scan_library
from melgraph.storage.artifacts import ArtifactStore, Production, file_sha256
from melgraph.storage.catalogue import Catalogue
from melgraph.storage.errors import ArtifactCorrupt
from melgraph.storage.home import Home
from melgraph.storage.lineage import trace
from melgraph.storage.tables import read_table

RATE = 22050


class Music:
    """A library of tones, its home, and what a run does with it."""

    def __init__(self, root: Path) -> None:
        (root / "songs").mkdir()
        self.home = Home(root / "home", root / "songs").create()
        self.store, self.catalogue = ArtifactStore(self.home), Catalogue(self.home.catalogue)
        self.clock = time.time() - 1e6
        self.decoded: list[str] = []

    @property
    def library(self) -> Path:
        return Path(self.home.library)

    def tone(self, path: str, hz: float) -> None:
        file = self.library / path
        file.parent.mkdir(parents=True, exist_ok=True)
        sound = 0.3 * np.sin(2 * np.pi * hz * np.arange(RATE) / RATE)
        soundfile.write(file, sound, RATE, subtype="PCM_16")
        self.date(path)

    def date(self, path: str) -> None:
        self.clock += 1
        os.utime(self.library / path, (self.clock, self.clock))

    def move(self, old: str, new: str) -> None:
        (self.library / new).parent.mkdir(parents=True, exist_ok=True)
        (self.library / old).rename(self.library / new)

    def remove(self, path: str) -> None:
        (self.library / path).unlink()

    def run(self) -> str:
        """Scan, cut, ingest. Returns what the scan said, from `new` on."""
        scan = scan_library(self.home, self.catalogue, look_again_s=0.0)
        for batch in cut_batches(self.catalogue, scan):
            spec = ingest.tracks_spec(batch, self.catalogue.batch_files(batch))
            with Production(self.store, [spec]) as production:
                ingest.write_batch(self.store, production.missing)
            found = production.artifacts[ingest.TRACKS].record.recordings
            self.decoded += [recording.path for recording in found]
            self.catalogue.identify(batch, {r.path: r.track_id for r in found if r.track_id})
        return scan.sentence().split(", ", 1)[1]

    def batches(self):
        return [self.store.get(r) for r in current_references(self.store, ingest.TRACKS)]

    def live(self) -> dict[str, str]:
        """Path -> SHA-256, as melgraph has it; checked against the folder."""
        table = live_tracks(self.batches(), library_state(self.catalogue))
        found = dict(table.select("path", "sha256").iter_rows())
        for path, sha256 in found.items():
            assert file_sha256(self.library / path) == sha256
        return found


@pytest.fixture
def music(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Music:
    """Three tones, ingested. In this process: what a crash costs is tested elsewhere."""
    monkeypatch.setattr(
        workers, "isolated_map",
        lambda function, jobs, **_: (workers.Outcome(job, function(job)) for job in jobs),
    )  # fmt: skip
    made = Music(tmp_path)
    for number, path in enumerate(("rock/a.wav", "rock/b.wav", "jazz/c.wav")):
        made.tone(path, 300 + 100 * number)
    assert made.run() == "3 new"
    made.decoded.clear()
    return made


def swap(music: Music) -> None:
    music.move("rock/a.wav", "x")
    music.move("rock/b.wav", "rock/a.wav")
    music.move("x", "rock/b.wav")


def replace(music: Music) -> None:
    shutil.copy(music.library / "rock/b.wav", music.library / "rock/a.wav")
    music.date("rock/a.wav")


def move_and_change(music: Music) -> None:
    music.move("rock/a.wav", "rock/edited.wav")
    music.tone("rock/edited.wav", 999)


def change(music: Music) -> None:
    music.tone("rock/a.wav", 999)


def spoil(music: Music) -> None:
    (music.library / "rock/a.wav").write_text("no longer audio")
    music.date("rock/a.wav")


def push_aside(music: Music) -> None:
    music.move("rock/a.wav", "rock/a (old).wav")
    music.tone("rock/a.wav", 999)


REST = ["jazz/c.wav", "rock/b.wav"]
CHANGES: dict[str, tuple[Callable[[Music], None], str, list[str], list[str]]] = {
    # what happens; what the scan says; what is decoded; what is live then
    "new": (lambda m: m.tone("d.wav", 800), "1 new", ["d.wav"], ["d.wav", *REST, "rock/a.wav"]),
    "changed": (change, "0 new, 1 changed", ["rock/a.wav"], [*REST, "rock/a.wav"]),
    "spoilt": (spoil, "0 new, 1 changed", ["rock/a.wav"], REST),
    "touched": (lambda m: m.date("rock/a.wav"), "0 new, 1 touched", [], [*REST, "rock/a.wav"]),
    "gone": (lambda m: m.remove("rock/a.wav"), "0 new, 1 gone", [], REST),
    "moved": (
        lambda m: m.move("rock/a.wav", "jazz/z.wav"), "0 new, 1 moved", [], [*REST, "jazz/z.wav"],
    ),
    "a case-only rename": (
        lambda m: m.move("rock/a.wav", "rock/A.WAV"), "0 new, 1 moved", [], [*REST, "rock/A.WAV"],
    ),
    "a folder renamed": (
        lambda m: m.move("rock", "Rock"), "0 new, 2 moved", [],
        ["jazz/c.wav", "Rock/a.wav", "Rock/b.wav"],
    ),
    "two names swapped": (swap, "0 new, 2 moved", [], [*REST, "rock/a.wav"]),
    "renamed over another": (
        lambda m: m.move("rock/b.wav", "rock/a.wav"), "0 new, 1 moved", [],
        ["jazz/c.wav", "rock/a.wav"],
    ),
    "replaced by a copy": (replace, "0 new, 1 changed", ["rock/a.wav"], REST),
    "moved and changed": (
        move_and_change, "1 new, 1 gone", ["rock/edited.wav"], [*REST, "rock/edited.wav"],
    ),
    "pushed aside": (
        push_aside, "0 new, 1 changed, 1 moved", ["rock/a.wav"],
        [*REST, "rock/a (old).wav", "rock/a.wav"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", CHANGES)
def test_what_is_live_is_what_is_there(music, kind):
    happen, said, decoded, there = CHANGES[kind]
    happen(music)
    assert music.run() == said
    assert music.decoded == decoded
    assert sorted(music.live()) == sorted(there)
    assert music.run() == "0 new"
    assert sorted(music.live()) == sorted(there)


def test_deleted_and_restored(music):
    library = music.library
    library.rename(library.with_name("kept"))
    shutil.copytree(library.with_name("kept"), library)  # with its times
    music.remove("rock/a.wav")
    music.run()
    assert "rock/a.wav" not in music.live()
    shutil.copy2(library.with_name("kept") / "rock/a.wav", library / "rock/a.wav")
    assert music.run() == "0 new, 1 returned"
    assert "rock/a.wav" in music.live()
    music.remove("rock/a.wav")
    music.run()
    shutil.copy(library.with_name("kept") / "rock/a.wav", library / "rock/a.wav")
    music.date("rock/a.wav")  # restored with the time of today
    assert music.run() == "0 new, 1 returned"
    assert music.decoded == []


def test_a_track_in_two_places_stays_when_one_goes(music):
    shutil.copy(music.library / "rock/a.wav", music.library / "copy.wav")
    music.date("copy.wav")
    assert music.run() == "1 new"
    (sha256,) = {music.live()["rock/a.wav"]}
    assert list(music.live().values()).count(sha256) == 1  # each track once
    music.remove("rock/a.wav")
    music.run()
    assert music.live()["copy.wav"] == sha256
    music.remove("copy.wav")
    music.run()
    assert sha256 not in music.live().values()


def test_moved_and_then_changed_gone_and_home_again(music):
    music.move("rock/a.wav", "z.wav")
    music.run()
    music.tone("z.wav", 777)
    assert music.run() == "0 new, 1 changed"
    music.tone("rock/a.wav", 888)  # the place it left
    assert music.run() == "1 new"
    assert sorted(music.live()) == sorted([*REST, "rock/a.wav", "z.wav"])
    music.move("z.wav", "y.wav")
    assert music.run() == "0 new, 1 moved"
    music.remove("y.wav")
    assert music.run() == "0 new, 1 gone"
    assert sorted(music.live()) == sorted([*REST, "rock/a.wav"])


def test_a_quarantined_file_that_moves_is_not_tried_again(music):
    (music.library / "text.mp3").write_text("no music")
    music.date("text.mp3")
    music.run()
    music.move("text.mp3", "bad/text.mp3")
    music.decoded.clear()
    assert music.run() == "0 new, 1 moved"
    assert music.decoded == []
    files = library_files(music.batches(), library_state(music.catalogue))
    (row,) = files.filter(pl.col("status") == "quarantined").to_dicts()
    assert (row["path"], row["gone"]) == ("bad/text.mp3", False)


def test_what_is_made_again_is_read_where_it_is_now(music):
    swap(music)
    music.move("jazz/c.wav", "z.wav")
    music.run()
    before, live = music.batches()[0], music.live()
    again = ingest.tracks_spec("batch-000001", music.catalogue.batch_files("batch-000001"))
    shutil.rmtree(before.folder)
    with Production(music.store, [again]) as production:
        ingest.write_batch(music.store, production.missing)
    assert music.batches()[0].record.files == before.record.files
    assert music.live() == live


def test_every_catalogued_file_is_listed_once(music):
    swap(music)
    music.move("jazz/c.wav", "rock/c.wav")
    music.tone("new.wav", 500)
    music.run()
    music.remove("new.wav")
    music.run()
    files = library_files(music.batches(), library_state(music.catalogue))
    assert files.select("path", "gone").rows() == [
        ("rock/a.wav", False), ("rock/b.wav", False), ("rock/c.wav", False), ("new.wav", True),
    ]  # fmt: skip
    as_ingested = library_files(music.batches(), {})
    assert as_ingested["path"].to_list() == ["jazz/c.wav", "rock/a.wav", "rock/b.wav", "new.wav"]


def test_a_snapshot_is_of_the_library_as_it_was(music):
    def snapshot():
        spec = dataset_spec(music.store, music.catalogue, "genres")
        return music.store.produce(spec, lambda work: write_dataset(music.store, work))[0]

    def labels(artifact) -> dict[str, str]:
        table = read_table(artifact.folder / "tracks.parquet")
        return dict(table.select("path", "label").iter_rows())

    first = snapshot()
    assert snapshot().reference == first.reference
    music.move("rock/a.wav", "jazz/a.wav")
    music.run()
    second = snapshot()
    assert labels(first)["rock/a.wav"] == "rock"
    assert labels(second) == {"jazz/a.wav": "jazz", "jazz/c.wav": "jazz", "rock/b.wav": "rock"}
    music.remove("jazz/a.wav")
    music.run()
    third = snapshot()
    assert set(labels(third)) == {"jazz/c.wav", "rock/b.wav"}
    assert len({artifact.reference for artifact in (first, second, third)}) == 3
    # From its record alone: the library has changed since, the snapshot has not.
    shutil.rmtree(second.folder)
    again, made = music.store.produce(
        second.record.spec, lambda work: write_dataset(music.store, work)
    )
    assert made
    assert again.record.files == second.record.files


def test_the_audit_finds_what_moved(music):
    music.move("rock", "Rock")
    music.run()
    chain = trace(music.store, music.batches()[0], locate=music.catalogue.locations)
    assert chain.problems == []
    assert chain.moved == {"rock/a.wav": "Rock/a.wav", "rock/b.wav": "Rock/b.wav"}


def test_the_source_of_a_dream_is_found_where_it_is_now(music):
    batches = music.batches()
    (row,) = live_tracks(batches).filter(pl.col("path") == "rock/a.wav").to_dicts()
    music.move("rock/a.wav", "z.wav")
    with pytest.raises(ArtifactCorrupt, match="gone"):
        _decode(music.home, row, row["sha256"])
    music.run()
    sound = _decode(music.home, row, row["sha256"]).samples
    music.tone("rock/a.wav", 999)  # another one, in its place
    assert np.array_equal(_decode(music.home, row, row["sha256"]).samples, sound)
