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

from melgraph.assets.context import Context
from melgraph.assets.dataset.datasets import write_dataset
from melgraph.assets.generation.sources import read_excerpt
from melgraph.assets.library import ingest
from melgraph.assets.library.live import library_files, library_state, live_tracks
from melgraph.assets.library.tracks import Tracks
from melgraph.assets.stages import DATASETS, TRACKS
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
    """A library of tones and its home."""

    def __init__(self, root: Path) -> None:
        (root / "songs").mkdir()
        self.home = Home(root / "home", root / "songs").create()
        self.store, self.catalogue = ArtifactStore(self.home), Catalogue(self.home.catalogue)
        self.clock = time.time() - 1e6
        self.decoded: list[str] = []

    @property
    def context(self) -> Context:
        return Context.open(self.home)

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
        """Scan, cut batches and ingest them. Returns the summary of the scan, from `new` on."""
        scan = scan_library(self.home, self.catalogue, look_again_s=0.0)
        for batch in cut_batches(self.catalogue, scan):
            spec = TRACKS.plan(self.context, batch)
            with Production(self.store, [spec]) as production:
                ingest.write_batch(self.store, production.missing)
            recordings = production.artifacts["tracks"].record.recordings
            self.decoded += [recording.path for recording in recordings]
            self.catalogue.identify(batch, recordings)
        return scan.sentence().split(", ", 1)[1]

    def batches(self):
        return Tracks.all_current(self.store)

    def live(self) -> dict[str, str]:
        """Path -> SHA-256 of the live tracks, after a comparison with the files."""
        table = live_tracks(self.batches(), library_state(self.catalogue))
        digests = dict(table.select("path", "sha256").iter_rows())
        for path, sha256 in digests.items():
            assert file_sha256(self.library / path) == sha256
        return digests


@pytest.fixture
def music(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Music:
    """Three tones, ingested. Files are examined in this process, which is faster."""
    monkeypatch.setattr(
        workers, "isolated_map",
        lambda function, jobs, **_: (workers.Outcome(job, function(job)) for job in jobs),
    )  # fmt: skip
    music = Music(tmp_path)
    for number, path in enumerate(("rock/a.wav", "rock/b.wav", "jazz/c.wav")):
        music.tone(path, 300 + 100 * number)
    assert music.run() == "3 new"
    music.decoded.clear()
    return music


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
    # the change; the summary of the scan; the decoded files; the live tracks afterwards
    "new": (lambda m: m.tone("d.wav", 800), "1 new", ["d.wav"], ["d.wav", *REST, "rock/a.wav"]),
    "changed": (change, "0 new, 1 changed", ["rock/a.wav"], [*REST, "rock/a.wav"]),
    "spoilt": (spoil, "0 new, 1 changed", ["rock/a.wav"], REST),
    "touched": (
        lambda m: m.date("rock/a.wav"), "0 new, 1 with a new date only", [], [*REST, "rock/a.wav"],
    ),
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
def test_live_tracks_follow_the_files(music, kind):
    apply, summary, decoded, live = CHANGES[kind]
    apply(music)
    assert music.run() == summary
    assert music.decoded == decoded
    assert sorted(music.live()) == sorted(live)
    assert music.run() == "0 new"
    assert sorted(music.live()) == sorted(live)


def test_deleted_and_restored(music):
    library = music.library
    library.rename(library.with_name("backup"))
    shutil.copytree(library.with_name("backup"), library)  # with the same modification times
    music.remove("rock/a.wav")
    music.run()
    assert "rock/a.wav" not in music.live()
    shutil.copy2(library.with_name("backup") / "rock/a.wav", library / "rock/a.wav")
    assert music.run() == "0 new, 1 returned"
    assert "rock/a.wav" in music.live()
    music.remove("rock/a.wav")
    music.run()
    shutil.copy(library.with_name("backup") / "rock/a.wav", library / "rock/a.wav")
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
    music.tone("rock/a.wav", 888)  # at its earlier path
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


def test_moved_files_are_read_at_their_present_path(music):
    swap(music)
    music.move("jazz/c.wav", "z.wav")
    music.run()
    before, live = music.batches()[0], music.live()
    again = TRACKS.plan(music.context, "batch-000001")
    shutil.rmtree(before.artifact.folder)
    with Production(music.store, [again]) as production:
        ingest.write_batch(music.store, production.missing)
    assert music.batches()[0].artifact.record.files == before.artifact.record.files
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
        spec = DATASETS.plan(music.context, "genres")
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
    # The library has changed since then, but the record alone determines the snapshot.
    shutil.rmtree(second.folder)
    again, is_new = music.store.produce(
        second.record.spec, lambda work: write_dataset(music.store, work)
    )
    assert is_new
    assert again.record.files == second.record.files


def test_the_audit_finds_what_moved(music):
    music.move("rock", "Rock")
    music.run()
    chain = trace(music.store, music.batches()[0].artifact, locate=music.catalogue.locations)
    assert chain.problems == []
    places = {s.recording.path: s.place for s in chain.sources if s.has_moved}
    assert places == {"rock/a.wav": "Rock/a.wav", "rock/b.wav": "Rock/b.wav"}


def test_the_source_of_a_dream_is_found_where_it_is_now(music):
    batches = music.batches()
    (row,) = live_tracks(batches).filter(pl.col("path") == "rock/a.wav").to_dicts()
    music.move("rock/a.wav", "z.wav")
    with pytest.raises(ArtifactCorrupt, match="missing"):
        read_excerpt(music.home, row, 0.0, 60.0)
    music.run()
    sound = read_excerpt(music.home, row, 0.0, 60.0).samples
    music.tone("rock/a.wav", 999)  # another one, in its place
    assert np.array_equal(read_excerpt(music.home, row, 0.0, 60.0).samples, sound)
