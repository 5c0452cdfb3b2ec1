"""Snapshots: labels, artists, parents, and a check of leaks that finds one."""

import json
import shutil

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from melgraph.assets.dataset import datasets
from melgraph.assets.dataset.datasets import TABLE, dataset_spec, usable_dataset
from melgraph.assets.dataset.labels import artist_key
from melgraph.assets.embeddings import embeddings
from melgraph.assets.library import ingest, representations
from melgraph.assets.partitions import SPECS
from melgraph.assets.resources import HomeResource
from melgraph.ml.errors import UserError
from melgraph.storage.artifacts import ArtifactStore
from melgraph.storage.catalogue import Catalogue, LibraryFile
from melgraph.storage.home import Home
from melgraph.storage.records import Spec
from melgraph.storage.tables import read_table, write_table


def test_nobody_is_no_artist():
    for name in (None, "", "  ", "Unknown", "unknown  ARTIST", "Various Artists", "VA", "n/a"):
        assert artist_key(name) is None
    assert artist_key("The  Beatles ") == artist_key("the beatles") == "the beatles"
    assert artist_key("Unknown Mortal Orchestra") == "unknown mortal orchestra"
    assert artist_key("STRASSE") == artist_key("Straße")


@given(st.text())
def test_an_artist_is_spelled_one_way(name):
    spelled = artist_key(name)
    assert spelled is None or artist_key(spelled) == spelled


# -- snapshots of a library of names; no sound is needed ------------------------------------------


def row(number: int, label: str, artist: str | None) -> dict:
    made = dict.fromkeys(ingest.TRACKS_SCHEMA)
    sha256 = f"{number:064x}"[::-1]
    made.update(path=f"{label}/{number:03d}.wav", bytes=1, sha256=sha256, track_id=sha256[:32])
    made.update(status="ok", duration_s=1.0, artist=artist, title=f"song {number}", genre="tagged")
    return made


class Library:
    """A home whose batches of `tracks` are written by hand."""

    def __init__(self, root) -> None:
        (root / "songs").mkdir()
        self.home = Home((root / "home").resolve(), (root / "songs").resolve()).create()
        self.store, self.catalogue = ArtifactStore(self.home), Catalogue(self.home.catalogue)

    def add(self, rows: list[dict]) -> None:
        files = [LibraryFile(r["path"], r["bytes"], 1) for r in rows]
        batch = self.catalogue.register_batch(files)

        def write(work):
            table = pl.DataFrame(rows, schema=ingest.TRACKS_SCHEMA)
            write_table(table, work.folder / ingest.TRACKS_TABLE)
            quarantined = sum(r["status"] != "ok" for r in rows)
            work.facts.update(files=len(rows), ok=len(rows) - quarantined, duplicates=0)
            work.facts.update(quarantined=quarantined, codes={"silent": quarantined})

        spec = ingest.tracks_spec(batch, self.catalogue.batch_files(batch))
        self.store.produce(spec, write)

    def snapshot(self):
        spec = dataset_spec(self.store, self.catalogue, "genres")
        write = datasets.write_dataset
        return self.store.produce(spec, lambda work: write(self.store, work))[0]


def songs(first: int = 0, artists: int = 6) -> list[dict]:
    """Two songs of each artist, two genres."""
    return [
        row(first + 2 * n + k, ("rock", "jazz")[n % 2], f"artist {first + n}")
        for n in range(artists)
        for k in range(2)
    ]


@pytest.fixture
def library(tmp_path, monkeypatch) -> Library:
    monkeypatch.setenv("MELGRAPH_HOME", str(tmp_path / "home"))
    made = Library(tmp_path)
    made.add(songs())
    return made


def table_of(artifact) -> pl.DataFrame:
    return read_table(artifact.folder / TABLE)


def test_a_snapshot_of_the_same_library_is_the_same(library):
    first = library.snapshot()
    assert first.facts["classes"] == ["jazz", "rock"]
    assert library.snapshot().reference == first.reference
    assert [r.asset for r in first.record.spec.inputs] == [ingest.TRACKS]


def test_the_last_snapshot_is_the_parent_of_the_next(library):
    first = library.snapshot()
    library.add(songs(100))
    second = library.snapshot()
    assert first.reference in second.record.spec.inputs
    sides = dict(table_of(first).select("track_id", "split").iter_rows())
    after = dict(table_of(second).select("track_id", "split").iter_rows())
    assert len(after) == 2 * len(sides)
    assert all(after[track_id] == side for track_id, side in sides.items())
    assert library.snapshot().reference == second.reference  # not its own child


def test_another_question_starts_anew(library, monkeypatch):
    first = library.snapshot()
    library.add(songs(100))
    other = SPECS.datasets["genres"].model_copy(update={"seed": 1})
    monkeypatch.setitem(SPECS.datasets, "genres", other)
    assert first.reference not in library.snapshot().record.spec.inputs


def test_missing_files_are_left_out_and_make_a_new_snapshot(library):
    first = library.snapshot()
    path = table_of(first)["path"][0]
    library.catalogue.note_missing([path])
    second = library.snapshot()
    assert second.reference != first.reference
    assert path not in table_of(second)["path"].to_list()
    assert second.facts["tracks"] == first.facts["tracks"] - 1


def test_the_labels_can_be_tags_or_none_at_all(library, monkeypatch):
    spec = SPECS.datasets["genres"]
    for labels, why in (("none", "no labels"), ("tag", "classes")):
        changed = spec.model_copy(update={"labels": labels})
        monkeypatch.setitem(SPECS.datasets, "genres", changed)
        snapshot = library.snapshot()
        assert why in snapshot.facts["unusable"]
        with pytest.raises(UserError, match="cannot be learned from") as caught:
            usable_dataset(library.store, "genres")
        assert str(snapshot.folder) in str(caught.value)
    assert set(table_of(snapshot)["label"]) == {"tagged"}


def test_every_track_that_is_left_out_says_why(library):
    library.add([row(200, "polka", "one"), row(201, "polka", "two")])
    table = table_of(library.snapshot())
    out = table.filter(pl.col("split").is_null())
    assert out["left_out"].null_count() == 0
    assert table.filter(pl.col("split").is_not_null())["left_out"].null_count() == table.height - 2
    assert "class 'polka' has 2 tracks" in out["left_out"][0]


def plant(library: Library, artifact, change) -> None:
    """Change a snapshot's table behind the back of the code that writes it."""
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
        chosen = first & (pl.col("group") == group)
        return table.with_columns(
            split=pl.when(chosen).then(pl.lit("test")).otherwise(pl.col("split"))
        )

    plant(library, snapshot, leak)
    found = datasets.no_leakage(HomeResource())
    assert not found.passed
    assert found.metadata["leaking groups"].value == {"genres": 1}


def test_no_snapshot_ever_leaks(library):
    for first in (100, 200, 300):
        bridge = row(first + 90, "rock", "artist 0") | {"path": f"rock/{first} bridge.wav"}
        library.add([*songs(first), bridge])
        assert library.snapshot().facts["leaks"] == 0
        assert datasets.no_leakage(HomeResource()).passed


def test_the_quarantine_check_warns(library):
    assert representations.quarantine_rate(HomeResource()).passed
    library.add([row(300, "rock", "x") | {"status": "quarantined", "code": "silent"}])
    found = representations.quarantine_rate(HomeResource())
    assert not found.passed  # 1 of 13
    assert found.severity.value == "WARN"
    assert found.metadata["quarantined"].value == 1
    assert found.metadata["codes"].value == {"silent": 1}


def test_serving_coverage_tells_what_the_model_never_saw(home_copy, monkeypatch):
    home = home_copy()
    monkeypatch.setenv("MELGRAPH_HOME", str(home.root))
    name = "share of tracks the serving model never saw"
    found = embeddings.serving_coverage(HomeResource())
    assert found.passed
    assert found.metadata[name].value == {"mel-statistics": 0.0, "small-cnn": 0.0}
    seen = home.store.need(embeddings.EMBEDDINGS, "small-cnn+batch-000001")

    def write(work):
        shutil.copytree(seen.folder, work.folder, dirs_exist_ok=True)
        (work.folder / "record.json").unlink()
        work.facts.update(seen.facts | {"tracks": 3 * seen.facts["tracks"]})

    home.store.produce(Spec(embeddings.EMBEDDINGS, "small-cnn+batch-000002", 1), write)
    found = embeddings.serving_coverage(HomeResource())
    assert not found.passed
    assert found.metadata[name].value == {"mel-statistics": 0.0, "small-cnn": 0.75}


def test_the_spec_is_kept_beside_the_snapshot(library):
    snapshot = library.snapshot()
    kept = json.loads((snapshot.folder / "spec.json").read_text())
    assert kept == snapshot.record.spec.config
