"""Snapshots: labels, artists, parent snapshots, and the check for leaks."""

import json
import shutil

import polars as pl
import pytest

from melgraph.assets.context import Context
from melgraph.assets.dataset import datasets
from melgraph.assets.dataset.datasets import usable_snapshot
from melgraph.assets.dataset.snapshot import TABLE
from melgraph.assets.embeddings import embeddings
from melgraph.assets.library import representations
from melgraph.assets.library.tracks import SCHEMA
from melgraph.assets.library.tracks import TABLE as TRACKS_TABLE
from melgraph.assets.resources import HomeResource
from melgraph.assets.stages import DATASETS, TRACKS
from melgraph.ml.errors import UserError
from melgraph.storage.artifacts import ArtifactStore
from melgraph.storage.catalogue import Catalogue, LibraryFile
from melgraph.storage.home import Home
from melgraph.storage.records import Spec
from melgraph.storage.tables import read_table, write_table
from tests.conftest import write_spec

# -- snapshots of a library without audio files ---------------------------------------------------


def row(number: int, label: str, artist: str | None) -> dict:
    values = dict.fromkeys(SCHEMA)
    sha256 = f"{number:064x}"[::-1]
    values.update(path=f"{label}/{number:03d}.wav", bytes=1, sha256=sha256, track_id=sha256[:32])
    values.update(
        status="ok", duration_s=1.0, artist=artist, title=f"song {number}", genre="tagged",
        artists=[artist] if artist else [], genres=["tagged"],
    )  # fmt: skip
    return values


class Library:
    """A home with batches of `tracks` that a test writes."""

    def __init__(self, root) -> None:
        (root / "songs").mkdir()
        self.home = Home((root / "home").resolve(), (root / "songs").resolve()).create()
        self.store, self.catalogue = ArtifactStore(self.home), Catalogue(self.home.catalogue)

    @property
    def context(self) -> Context:
        return Context.open(self.home)

    def add(self, rows: list[dict]) -> None:
        files = [LibraryFile(r["path"], r["bytes"], 1) for r in rows]
        batch = self.catalogue.register_batch(files)

        def write(work):
            table = pl.DataFrame(rows, schema=SCHEMA)
            write_table(table, work.folder / TRACKS_TABLE)
            quarantined = sum(r["status"] != "ok" for r in rows)
            work.facts.update(files=len(rows), ok=len(rows) - quarantined, duplicates=0)
            work.facts.update(quarantined=quarantined, codes={"silent": quarantined})

        self.store.produce(TRACKS.plan(self.context, batch), write)

    def snapshot(self):
        spec = DATASETS.plan(self.context, "genres")
        return self.store.produce(spec, lambda work: DATASETS.write(self.store, work))[0]


def songs(first: int = 0, artists: int = 6) -> list[dict]:
    """Two songs of each artist, in two genres."""
    return [
        row(first + 2 * n + k, ("rock", "jazz")[n % 2], f"artist {first + n}")
        for n in range(artists)
        for k in range(2)
    ]


@pytest.fixture
def library(tmp_path, monkeypatch) -> Library:
    monkeypatch.setenv("MELGRAPH_HOME", str(tmp_path / "home"))
    library = Library(tmp_path)
    library.add(songs())
    return library


def table_of(artifact) -> pl.DataFrame:
    return read_table(artifact.folder / TABLE)


def test_a_snapshot_of_the_same_library_is_the_same(library):
    first = library.snapshot()
    assert first.facts["classes"] == ["jazz", "rock"]
    assert library.snapshot().reference == first.reference
    assert [r.asset for r in first.record.spec.inputs] == ["tracks"]


def test_the_last_snapshot_is_the_parent_of_the_next(library):
    first = library.snapshot()
    library.add(songs(100))
    second = library.snapshot()
    assert first.reference in second.record.spec.inputs
    before = dict(table_of(first).select("track_id", "split").iter_rows())
    after = dict(table_of(second).select("track_id", "split").iter_rows())
    assert len(after) == 2 * len(before)
    assert all(after[track_id] == split for track_id, split in before.items())
    assert library.snapshot().reference == second.reference  # not its own child


def test_another_seed_starts_without_a_parent(library):
    first = library.snapshot()
    library.add(songs(100))
    write_spec(library.home, "datasets", "genres", title="x", seed=1)
    assert first.reference not in library.snapshot().record.spec.inputs


def test_a_share_of_0_leaves_the_validation_split_out(library):
    keys = {"train": 0.5, "validation": 0, "test": 0.5}
    write_spec(library.home, "datasets", "genres", title="x", **keys)
    snapshot = library.snapshot()
    assert snapshot.facts["unusable"] is None
    assert set(table_of(snapshot)["split"]) == {"train", "test"}


def test_missing_files_are_left_out_and_make_a_new_snapshot(library):
    first = library.snapshot()
    path = table_of(first)["path"][0]
    library.catalogue.note_missing([path])
    second = library.snapshot()
    assert second.reference != first.reference
    assert path not in table_of(second)["path"].to_list()
    assert second.facts["tracks"] == first.facts["tracks"] - 1


def test_labels_can_come_from_file_metadata_or_be_absent(library):
    for labels, reason in (("none", "no labels"), ("tag", "classes")):
        write_spec(library.home, "datasets", "genres", title="x", labels=labels)
        snapshot = library.snapshot()
        assert reason in snapshot.facts["unusable"]
        with pytest.raises(UserError, match="cannot be learned from") as caught:
            usable_snapshot(library.store, "genres")
        assert str(snapshot.folder) in str(caught.value)
    assert set(table_of(snapshot)["label"]) == {"tagged"}


def test_every_track_that_is_left_out_has_a_reason(library):
    library.add([row(200, "polka", "one"), row(201, "polka", "two")])
    table = table_of(library.snapshot())
    left_out = table.filter(pl.col("split").is_null())
    assert left_out["left_out"].null_count() == 0
    assert table.filter(pl.col("split").is_not_null())["left_out"].null_count() == table.height - 2
    assert "class 'polka' has 2 tracks" in left_out["left_out"][0]


def plant(library: Library, artifact, change) -> None:
    """Write a snapshot with a changed table, as no code of melgraph would."""
    spec = artifact.record.spec
    other = Spec(spec.asset, spec.partition, spec.stage, spec.inputs, spec.config, 12345)

    def write(work):
        shutil.copytree(artifact.folder, work.folder, dirs_exist_ok=True)
        (work.folder / "record.json").unlink()
        write_table(change(table_of(artifact)), work.folder / TABLE)
        work.facts.update(artifact.facts)

    library.store.produce(other, write)


def test_a_planted_leak_fails_the_check(library):
    snapshot = library.snapshot()
    assert datasets.no_leakage(HomeResource()).passed
    group = table_of(snapshot).filter(pl.col("split") == "train")["group"][0]

    def leak(table: pl.DataFrame) -> pl.DataFrame:
        first = (pl.col("group") == group).cum_sum() == 1
        selected = first & (pl.col("group") == group)
        return table.with_columns(
            split=pl.when(selected).then(pl.lit("test")).otherwise(pl.col("split"))
        )

    plant(library, snapshot, leak)
    check = datasets.no_leakage(HomeResource())
    assert not check.passed
    assert check.metadata["leaking groups"].value == {"genres": 1}


def test_no_snapshot_ever_leaks(library):
    for first in (100, 200, 300):
        bridge = row(first + 90, "rock", "artist 0") | {"path": f"rock/{first} bridge.wav"}
        library.add([*songs(first), bridge])
        assert library.snapshot().facts["leaks"] == 0
        assert datasets.no_leakage(HomeResource()).passed


def test_the_quarantine_check_warns(library):
    assert representations.quarantine_rate(HomeResource()).passed
    library.add([row(300, "rock", "x") | {"status": "quarantined", "code": "silent"}])
    check = representations.quarantine_rate(HomeResource())
    assert not check.passed  # 1 of 13
    assert check.severity.value == "WARN"
    assert check.metadata["quarantined"].value == 1
    assert check.metadata["codes"].value == {"silent": 1}


def test_serving_coverage_is_the_share_of_tracks_added_after_the_training(home_copy, monkeypatch):
    home = home_copy()
    monkeypatch.setenv("MELGRAPH_HOME", str(home.root))
    name = "share of tracks added after the training"
    check = embeddings.serving_coverage(HomeResource())
    assert check.passed
    nothing_new = dict.fromkeys(("audio-features", "mel-statistics", "small-cnn"), 0.0)
    assert check.metadata[name].value == nothing_new  # without published taggers
    embedded = home.store.need("embeddings", "small-cnn+batch-000001")

    def write(work):
        shutil.copytree(embedded.folder, work.folder, dirs_exist_ok=True)
        (work.folder / "record.json").unlink()
        work.facts.update(embedded.facts | {"tracks": 3 * embedded.facts["tracks"]})

    home.store.produce(Spec("embeddings", "small-cnn+batch-000002", 1), write)
    check = embeddings.serving_coverage(HomeResource())
    assert not check.passed
    assert check.metadata[name].value == nothing_new | {"small-cnn": 0.75}


def test_a_snapshot_contains_its_configuration(library):
    snapshot = library.snapshot()
    config = json.loads((snapshot.folder / "spec.json").read_text())
    assert config == snapshot.record.spec.config
