"""Duplicates in libraries written by hand, in any order of arrival, and their splits."""

import numpy as np
import polars as pl
import pytest

from melgraph.assets.context import Context
from melgraph.assets.dataset import datasets
from melgraph.assets.dataset import one_recording as recordings
from melgraph.assets.library import duplicates, recording_clusters
from melgraph.assets.library.tracks import SCHEMA as TRACKS_SCHEMA
from melgraph.assets.library.tracks import TABLE as TRACKS_TABLE
from melgraph.assets.resources import HomeResource
from melgraph.assets.stage import ONE
from melgraph.assets.stages import DATASETS, DUPLICATES, TRACKS
from melgraph.ml.recordings.fingerprints import FRAMES_PER_SECOND
from melgraph.storage.artifacts import Artifact, ArtifactStore
from melgraph.storage.catalogue import Catalogue, LibraryFile
from melgraph.storage.home import Home
from melgraph.storage.records import Spec
from melgraph.storage.tables import read_table, write_table


def sound(seed: int, seconds: float = 12.0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.integers(1, 2**32, round(seconds * FRAMES_PER_SECOND), dtype=np.uint32)


def from_second(codes: np.ndarray, second: float) -> np.ndarray:
    return codes[round(second * FRAMES_PER_SECOND) :]


class Library:
    """A home with `tracks` and `audio_fingerprints` that a test writes."""

    def __init__(self, root) -> None:
        (root / "songs").mkdir()
        self.home = Home((root / "home").resolve(), (root / "songs").resolve(), 1).create()
        self.store, self.catalogue = ArtifactStore(self.home), Catalogue(self.home.catalogue)

    def add(self, songs: dict[str, tuple[int, np.ndarray]], *, prints: bool = True) -> None:
        """Register a batch: path -> number and codes. Equal numbers stand for equal bytes."""
        rows = [self._row(path, *song) for path, song in songs.items()]
        batch = self.catalogue.register_batch([LibraryFile(path, 1, 1) for path in songs])

        def write_tracks(work):
            table = pl.DataFrame(rows, schema=TRACKS_SCHEMA)
            write_table(table, work.folder / TRACKS_TABLE)
            work.facts.update(files=len(rows), ok=len(rows), duplicates=0, quarantined=0, codes={})

        def write_prints(work):
            once = {row["track_id"]: songs[row["path"]][1] for row in reversed(rows)}
            schema = recording_clusters.FINGERPRINTS_SCHEMA
            table = pl.DataFrame(list(once.items()), schema, orient="row")
            write_table(table, work.folder / recording_clusters.FINGERPRINTS)
            work.facts.update(frames=sum(map(len, once.values())), unfit=None)

        self.store.produce(TRACKS.plan(Context.open(self.home), batch), write_tracks)
        if prints:
            self.store.produce(Spec("audio_fingerprints", batch, 1), write_prints)

    def _row(self, path: str, number: int, codes: np.ndarray) -> dict:
        row = dict.fromkeys(TRACKS_SCHEMA)
        sha256 = f"{number:064x}"[::-1]
        row.update(path=path, bytes=1, sha256=sha256, track_id=sha256[:32], status="ok")
        row.update(duration_s=len(codes) / FRAMES_PER_SECOND)
        return row

    def duplicates(self) -> Artifact:
        spec = DUPLICATES.plan(Context.open(self.home), ONE)
        artifact, _ = self.store.produce(
            spec, lambda work: duplicates.write_duplicates(self.store, work)
        )
        return artifact

    def snapshot(self, name: str = "genres") -> pl.DataFrame:
        spec = DATASETS.plan(Context.open(self.home), name)
        artifact, _ = self.store.produce(
            spec, lambda work: datasets.write_dataset(self.store, work)
        )
        return read_table(artifact.folder / datasets.TABLE)


@pytest.fixture
def library(tmp_path, monkeypatch) -> Library:
    monkeypatch.setenv("MELGRAPH_HOME", str(tmp_path / "home"))
    return Library(tmp_path)


def members(artifact: Artifact) -> dict[str, dict]:
    table = read_table(artifact.folder / duplicates.MEMBERS)
    return {row["path"]: row for row in table.iter_rows(named=True)}


def clusters(artifact: Artifact) -> set[frozenset[str]]:
    table = read_table(artifact.folder / duplicates.MEMBERS)
    grouped = table.group_by("cluster").agg("path")
    return {frozenset(paths) for paths in grouped["path"].to_list()}


WHOLE, OTHER = sound(1), sound(2)
CUT = from_second(WHOLE, 3.0)


def test_exact_and_near_duplicates_have_evidence(library):
    library.add({"a.wav": (5, WHOLE), "b again.wav": (5, WHOLE), "cut.mp3": (3, CUT)})
    library.add({"copies/a.wav": (5, WHOLE), "other.wav": (9, OTHER), "other 2.wav": (9, OTHER)})
    library.add({"alone.wav": (7, sound(3))})
    artifact = library.duplicates()
    rows = members(artifact)
    assert clusters(artifact) == {
        frozenset({"a.wav", "b again.wav", "cut.mp3", "copies/a.wav"}),
        frozenset({"other.wav", "other 2.wav"}),
    }
    assert {path: row["kind"] for path, row in rows.items()} == {
        "a.wav": "near", "cut.mp3": "near", "b again.wav": "exact", "copies/a.wav": "exact",
        "other.wav": "exact", "other 2.wav": "exact",
    }  # fmt: skip
    cut, whole = rows["cut.mp3"], rows["a.wav"]
    assert (cut["other_path"], whole["other_path"]) == ("a.wav", "cut.mp3")
    assert cut["offset_s"] == pytest.approx(3.0, abs=0.02)  # its beginning is 3 s into the other
    assert whole["offset_s"] == pytest.approx(-3.0, abs=0.02)
    assert cut["overlap_s"] == pytest.approx(9.0, abs=0.02)
    assert cut["bit_error_rate"] == 0
    assert rows["copies/a.wav"]["other_path"] == "a.wav"
    assert {row["cluster"] for row in rows.values()} <= {row["track_id"] for row in rows.values()}
    facts = artifact.facts
    counted = ("files", "tracks", "compared", "clusters", "exact_copies", "near_duplicates")
    assert [facts[name] for name in counted] == [7, 4, 4, 2, 3, 2]


def test_a_chain_is_flagged(library):
    long = sound(1, 20)
    ends = {"start.wav": (1, long[:400]), "end.wav": (2, long[-400:])}
    library.add({"mix.wav": (3, long), **ends, "a.wav": (4, OTHER), "b.wav": (5, OTHER)})
    rows = members(library.duplicates())
    assert {path for path, row in rows.items() if row["chained"]} == {"mix.wav", *ends}
    assert not rows["a.wav"]["chained"]


@pytest.mark.parametrize("block", [1, 1000, 10**9])
def test_the_block_size_does_not_matter(library, monkeypatch, block):
    monkeypatch.setattr(duplicates, "BLOCK_FRAMES", block)
    batches = [
        {"a.wav": (5, WHOLE), "b.wav": (6, OTHER)},
        {"cut.wav": (3, CUT), "c.wav": (8, sound(4))},
        {"b again.wav": (6, OTHER), "b part.wav": (2, from_second(OTHER, 2.0))},
        {"a near.wav": (4, from_second(WHOLE, 1.0))},
    ]
    for batch in batches:
        library.add(batch)
    at_once = library.duplicates()
    assert {len(cluster) for cluster in clusters(at_once)} == {3}


def test_only_new_tracks_are_compared(library, monkeypatch):
    library.add({"a.wav": (5, WHOLE), "b.wav": (6, OTHER), "b2.wav": (1, OTHER)})
    first = library.duplicates()
    assert library.duplicates().reference == first.reference
    library.add({"cut.wav": (3, CUT), "b again.wav": (6, OTHER)})
    sizes = []

    def counting(table, make=duplicates._fingerprints):
        sizes.append(table.height)
        return make(table)

    monkeypatch.setattr(duplicates, "_fingerprints", counting)
    second = library.duplicates()
    assert sizes == [1, 3]  # the new track with itself and with the old ones, never old ones
    assert first.reference in second.record.spec.inputs
    assert clusters(second) == {frozenset({"a.wav", "cut.wav"}),
                                frozenset({"b.wav", "b2.wav", "b again.wav"})}  # fmt: skip
    assert second.facts["compared"] == 4
    assert library.duplicates().reference == second.reference  # not its own child


def test_step_by_step_gives_the_same_as_all_at_once(tmp_path):
    songs = {f"{n}.wav": (n, from_second(sound(n % 4, 20), n % 3)) for n in range(1, 13)}
    (tmp_path / "x").mkdir(), (tmp_path / "y").mkdir()
    at_once, stepwise = Library(tmp_path / "x"), Library(tmp_path / "y")
    for path, song in songs.items():
        for library in (at_once, stepwise):
            library.add({path: song})
        stepwise.duplicates()
    for table in (duplicates.MEMBERS, duplicates.LINKS):
        tables = [read_table(lib.duplicates().folder / table) for lib in (at_once, stepwise)]
        assert tables[0].equals(tables[1])
    assert clusters(at_once.duplicates()) == {
        frozenset(f"{n}.wav" for n in range(1, 13) if n % 4 == kind) for kind in range(4)
    }


def test_a_file_that_is_gone_leaves_its_cluster(library):
    library.add({"a.wav": (5, WHOLE), "cut.wav": (3, CUT), "b.wav": (6, OTHER)})
    assert len(clusters(library.duplicates())) == 1
    library.catalogue.note_missing(["cut.wav"])
    assert clusters(library.duplicates()) == set()


def test_nothing_to_compare(library):
    library.add({"a.wav": (5, WHOLE)}, prints=False)
    artifact = library.duplicates()
    assert (artifact.facts["compared"], artifact.facts["clusters"]) == (0, 0)
    assert read_table(artifact.folder / duplicates.MEMBERS).schema == pl.Schema(
        duplicates.MEMBERS_SCHEMA
    )


# -- splits ---------------------------------------------------------------------------------------


def songs(first: int = 10, count: int = 16) -> dict[str, tuple[int, np.ndarray]]:
    """Two genres. Each recording is there twice, as a whole and as a part, under other names."""
    batch = {}
    for n in range(first, first + count):
        genre = ("rock", "jazz")[n % 2]
        batch[f"{genre}/{n}x.wav"] = (2 * n, sound(n))
        batch[f"{genre}/part of {n}.mp3"] = (2 * n + 1, from_second(sound(n), 2.0))
    return batch


def test_a_recording_is_in_one_split_and_counts_once(library):
    library.add(songs())
    library.duplicates()
    table = library.snapshot()
    pairs = table.group_by("duplicate_cluster").agg("split", "path", "left_out")
    assert pairs.height == 16
    assert pairs["duplicate_cluster"].null_count() == 0
    for splits, paths, why in pairs.select("split", "path", "left_out").iter_rows():
        if set(splits) == {"train"}:
            continue
        whole = next(path for path in paths if "part" not in path)
        assert set(splits) in ({"test", None}, {"validation", None})
        assert splits[paths.index(whole)] is not None  # the longest
        assert f"duplicate of {whole}" in why
    used = table.drop_nulls("split")
    assert set(used["split"]) == {"train", "validation", "test"}
    assert datasets.no_leakage(HomeResource()).passed
    again = library.store.need("datasets", "genres")
    assert again.facts["left_out"] == {"duplicate of another": table["split"].null_count()}


def test_the_same_copy_stays_in_later_snapshots(library):
    library.add(songs())
    library.duplicates()
    before = library.snapshot()
    counted = before.filter(pl.col("split").is_in(["test", "validation"]))
    row = counted.row(0, named=True)
    number = int(row["path"].split("/")[1].split("x")[0])
    longer = np.concatenate([sound(number), sound(999, 3.0)])
    library.add({f"{row['label']}/longer.wav": (900, longer)})
    library.duplicates()
    after = library.snapshot()
    splits = dict(after.select("path", "split").iter_rows())
    assert splits[row["path"]] == row["split"]
    assert splits[f"{row['label']}/longer.wav"] is None


def test_a_recording_in_two_splits_fails_the_check(library):
    library.add(songs())
    library.duplicates()
    library.snapshot()
    snapshot = library.store.need("datasets", "genres")
    spec = snapshot.record.spec

    def planted(work):
        table = read_table(snapshot.folder / datasets.TABLE)
        one = table.filter(pl.col("split") == "train")["track_id"][0]
        selected = pl.col("track_id") == one
        split = pl.when(selected).then(pl.lit("test")).otherwise(pl.col("split"))
        table = table.with_columns(split=split, group=pl.int_range(table.height))  # groups lost
        write_table(table, work.folder / datasets.TABLE)
        work.facts.update(snapshot.facts)

    library.store.produce(
        Spec(spec.asset, spec.partition, spec.stage, spec.inputs, spec.config, 12345), planted
    )
    check = datasets.no_leakage(HomeResource())
    assert not check.passed
    assert check.metadata["leaking groups"].value == {"genres": 0}
    assert check.metadata["leaking recordings"].value == {"genres": 1}


def test_a_snapshot_counts_batches_that_were_not_searched(library):
    library.add(songs())
    library.snapshot()
    assert library.store.need("datasets", "genres").facts["batches_not_searched"] == 1
    library.duplicates()
    library.add(songs(40, 2))
    library.snapshot()
    snapshot = library.store.need("datasets", "genres")
    assert snapshot.facts["batches_not_searched"] == 1
    assert recordings.input_clusters(library.store, snapshot.record.spec)
    assert datasets.show(snapshot)["track batches not searched for duplicates"] == 1
    library.duplicates()
    library.snapshot()
    assert library.store.need("datasets", "genres").facts["batches_not_searched"] == 0
