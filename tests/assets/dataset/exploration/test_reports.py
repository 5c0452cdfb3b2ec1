"""Exploration reports on unusual datasets: without labels, with one class, one track, no track."""

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from melgraph.assets.context import Context
from melgraph.assets.dataset import snapshot
from melgraph.assets.dataset.exploration import pictures, reports, tables
from melgraph.assets.dataset.exploration.cautions import cautions
from melgraph.assets.library import features, tracks
from melgraph.assets.library.recording_clusters import MEMBERS
from melgraph.assets.library.tracks import SCHEMA as TRACKS_SCHEMA
from melgraph.assets.library.tracks import TABLE as TRACKS_TABLE
from melgraph.assets.stages import EXPLORATION_REPORTS
from melgraph.ml.features.track_features import feature_names
from melgraph.storage.artifacts import Artifact, Work
from melgraph.storage.tables import read_part, read_table, write_table
from tests.assets.pages.small_home import SmallHome


def library(tmp_path: Path, paths: list[str], *, labels: str = "folder") -> SmallHome:
    """A home whose tracks are only rows, without audio files."""
    home = SmallHome(tmp_path, tracks=0)
    rows = []
    for number, path in enumerate(paths):
        row = dict.fromkeys(TRACKS_SCHEMA)
        row.update(path=path, track_id=f"{number * 2654435761 % 2**32:08x}{number:024x}")
        row.update(status="ok", duration_s=30.0 + number, sample_rate_hz=44100, channels=2)
        row.update(codec="MP3", peak_dbfs=-1.0, rms_dbfs=-15.0 - number, artist=f"artist {number}")
        rows.append(row)
    quarantined = dict.fromkeys(TRACKS_SCHEMA)
    quarantined.update(path="z/bad.mp3", track_id="ff" * 16, status="quarantined", code="silent")
    for batch, part in (("batch-000001", rows), ("batch-000002", [quarantined])):

        def write(work, part=part):
            table = pl.DataFrame(part, schema=TRACKS_SCHEMA)
            write_table(table, work.folder / TRACKS_TABLE)

        home.produce("tracks", batch, (), write)
    return home.add_dataset(labels=labels).add_representations()


def report(home: SmallHome) -> Artifact:
    home.add_exploration()
    artifact = home.store.need("exploration_reports", "genres")
    assert json.loads((artifact.folder / reports.FACTS).read_text()) == artifact.facts
    assert {"open", "artists", "features", "formats", "quarantine"} <= reports.show(artifact).keys()
    texts = [artifact.facts, reports.artist_rows(artifact), reports.feature_rows(artifact)]
    assert "nan" not in str(texts).casefold()
    assert artifact.facts["quarantined"] == 1
    assert reports.code_rows(artifact) == [{"code": "silent", "files": 1}]
    return artifact


CASES = {
    "no labels": ([f"{i}.mp3" for i in range(5)], "none", [tables.ALL_TRACKS]),
    "one class": ([f"a/{i}.mp3" for i in range(5)], "folder", ["a"]),
    "one track": (["a/1.mp3"], "folder", ["a"]),
    "no track": ([], "folder", []),
}


@pytest.mark.parametrize("case", CASES)
def test_a_report_can_be_written_for_unusual_datasets(tmp_path, case):
    paths, labels, classes = CASES[case]
    artifact = report(library(tmp_path, paths, labels=labels))
    facts = artifact.facts
    assert facts["classes"] == classes
    assert facts["measured"] == facts["tracks"] == len(paths)
    assert not facts["separable"]
    assert facts["cautions"] == []
    drawn = {path.name for path in artifact.folder.glob("*.png")}
    if paths:
        assert {pictures.BALANCE_PICTURE, pictures.SPECTRA_PICTURE, "example-01.png"} <= drawn
    else:
        assert drawn == set()
    assert (pictures.CORRELATIONS_PICTURE in drawn) == (len(paths) >= 3)
    assert read_table(artifact.folder / pictures.EXAMPLES).height == len(classes)


@pytest.fixture(scope="module")
def labelled(tmp_path_factory) -> tuple[SmallHome, Artifact]:
    names = [f"{label}/{i}.mp3" for label in ("aa", "bbbb", "cccccc") for i in range(12)]
    home = library(tmp_path_factory.mktemp("labelled"), names)
    return home, report(home)


def test_counts_include_test_tracks_and_medians_do_not(labelled):
    home, artifact = labelled
    snapshot = home.snapshot
    usable = snapshot.filter(pl.col("split").is_in(["train", "validation"]))
    assert 0 < usable.height < snapshot.height
    assert artifact.facts["heard"] == artifact.facts["measured"] == usable.height
    classes = read_table(artifact.folder / reports.CLASSES)
    assert classes.select("class", "tracks", "test").rows() == [
        (name, 12, snapshot.filter(pl.col("label") == name, pl.col("split") == "test").height)
        for name in ("aa", "bbbb", "cccccc")
    ]
    medians = usable.group_by("label").agg(pl.col("duration_s").median()).sort("label")
    assert classes["duration_s"].to_list() == medians["duration_s"].to_list()
    quantities = read_table(artifact.folder / reports.FEATURES)
    assert set(quantities["tracks"]) == {usable.height}


def test_the_example_is_the_medoid_of_its_class(labelled):
    home, artifact = labelled
    folder = home.store.need("audio_features", "batch-000001").folder
    usable = home.snapshot.filter(pl.col("split").is_in(["train", "validation"]))
    table = usable.join(read_table(folder / features.FEATURES_TABLE), on="track_id").sort(
        "track_id"
    )
    values = table.select(feature_names()).to_numpy()
    values = (values - values.mean(axis=0)) / values.std(axis=0)
    examples = read_table(artifact.folder / pictures.EXAMPLES)
    for label, track_id in examples.select("class", "track_id").iter_rows():
        rows = np.flatnonzero(table["label"].to_numpy() == label)
        distances = np.linalg.norm(values[rows, None] - values[rows], axis=-1).sum(axis=1)
        assert table["track_id"][int(rows[distances.argmin()])] == track_id


def test_only_counts_of_the_test_split_reach_the_report(labelled, tmp_path, monkeypatch):
    """If every number of every test track is replaced, the report does not change."""
    home, artifact = labelled
    test = home.snapshot.filter(pl.col("split") == "test")["track_id"].to_list()
    counts = []

    def replace_numbers(table):
        if "track_id" not in table.columns:
            return table
        numbers = [name for name in table.columns if table[name].dtype == pl.Float64]
        of_test = pl.col("track_id").is_in(test)
        counts.append(table.filter(of_test).height)
        return table.with_columns(pl.when(of_test).then(1e9).otherwise(pl.col(numbers)).name.keep())

    for module in (features, tracks):
        monkeypatch.setattr(
            module, "read_part", lambda *arguments: replace_numbers(read_part(*arguments))
        )
    monkeypatch.setattr(snapshot, "read_table", lambda path: replace_numbers(read_table(path)))
    reports.write_exploration_report(home.store, Work(artifact.record.spec, tmp_path))
    assert max(counts) == len(test)
    files = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert files == {name: (artifact.folder / name).read_bytes() for name in artifact.record.files}


def test_a_sample_takes_equally_many_of_each_class():
    rows = [(f"{i * 7919 % 1000:03d}", "ab"[i % 5 == 0]) for i in range(1000)]
    table = pl.DataFrame(rows, schema=["track_id", "class"], orient="row").sort("track_id")
    sample = tables.sample(table, 100)
    assert dict(sample["class"].value_counts().iter_rows()) == {"a": 50, "b": 50}
    for name in "ab":
        ids = table.filter(pl.col("class") == name)["track_id"].to_list()
        assert sample.filter(pl.col("class") == name)["track_id"].to_list() == ids[:50]
    assert tables.sample(table, 1000) is table
    assert tables.sample(table.head(0), 10).height == 0


def test_only_the_largest_classes_are_drawn():
    table = pl.DataFrame({"class": ["b", "b", "a", "c", "c", None, "d"]})
    assert tables.largest_classes(table, 3) == ["a", "b", "c"]


def collection(counts: dict[str, int], artists: list[str | None], **columns) -> pl.DataFrame:
    labels = [name for name, count in counts.items() for _ in range(count)]
    n = len(labels)
    values = {"sample_rate_hz": [44100] * n, "duration_s": [30.0] * n} | columns
    values |= {"path": [f"{row:02d}.flac" for row in range(n)]}
    values |= {"cue_tracks": columns.get("cue_tracks", pl.Series([None] * n, dtype=pl.Int32))}
    values |= {"rms_dbfs": [-9.0] * n, "peak_dbfs": [0.0] * n, "channels": [2] * n}
    usable = [i % 2 == 0 for i in range(n)]
    part = ["train" if h else "test" for h in usable]
    return pl.DataFrame(
        {"class": labels, "artist": artists, "heard": usable, "part": part} | values
    )


def cautions_on(table: pl.DataFrame, facts: dict | None = None) -> list[str]:
    quantities = tables.feature_table(table, dict.fromkeys(tables.RECORDING, "recording"))
    return cautions(table, tables.class_table(table), quantities, facts or {}, sample_rate=22050)


def test_a_balanced_dataset_has_no_caution():
    assert cautions_on(collection({"a": 6, "b": 6}, [f"artist {i}" for i in range(12)])) == []


def test_every_problem_has_a_caution():
    artists = ["One", "one ", "ONE", "Two", *["Three", "Four"] * 10]
    table = collection(
        {"a": 4, "b": 20}, artists, duration_s=[10.0] * 4 + [30.0] * 20,
        sample_rate_hz=[44100] * 23 + [16000],
    )  # fmt: skip
    first, second, third, fourth, fifth = cautions_on(table)
    assert first.startswith("'b' has 20 tracks, 'a' 4: ")
    # Every other track may be used; among these, `b` has only the artist 'Three'.
    assert second == "100% of what is learned 'b' from is one artist, 'Three'"
    assert third == "75% of 'a' is one artist, 'ONE'"
    assert fourth.startswith("the length differs between the classes")
    assert "100% of its variance" in fourth
    assert fifth.startswith("1 of 24 tracks are sampled at less than 22,050 Hz")


def test_albums_in_one_file_are_a_caution():
    cue = pl.Series([None] * 10 + [12, 9], dtype=pl.Int32)
    table = collection({"a": 6, "b": 6}, [f"artist {i}" for i in range(12)], cue_tracks=cue)
    (caution,) = cautions_on(table)
    assert caution.startswith("2 files have a cue sheet that lists 21 tracks: each is one album")
    assert "such as 10.flac" in caution


def test_unknown_artists_are_counted():
    (caution,) = cautions_on(collection({"a": 2, "b": 2}, [None, "Various", "", "unknown"]))
    assert caution == "the artist of 4 of 4 tracks is not known"


def test_what_groups_rest_on_is_a_caution():
    facts = {
        "labelled": 24,
        "collection": {"several_labels": 7},
        "grouping": {
            "guessed_groups": 3, "largest_share": 0.3, "n_connected_pairs": 7,
            "dropped": {"artist or album, by folder": 12},
            "connected_pairs": [["Simon & Garfunkel", "Simon"]] * 6,
            "numbered_series": ["rock/mine-001.wav (60 files)"], "n_numbered_series": 1,
        },
    }  # fmt: skip
    even = collection({"a": 12, "b": 12}, [f"artist {i}" for i in range(24)])
    guessed, largest, dropped, pairs, series, several = cautions_on(even, facts)
    assert guessed.startswith("3 groups of tracks rest on guesses")
    assert "guess_groups = false" in guessed
    assert "the largest group of related tracks has 30% of all tracks" in largest
    assert dropped.startswith(
        "weak connections (artist or album, by folder) of 12 tracks were dropped"
    )
    assert "'Simon & Garfunkel' and 'Simon'" in pairs
    assert pairs.endswith("and 2 other pairs")
    assert "rock/mine-001.wav (60 files)" in series
    assert several.startswith("7 of 24 tracks have several genres")


def test_duplicates_are_counted_if_they_were_searched_for(labelled, tmp_path):
    home, artifact = labelled
    ids = home.snapshot.sort("path").select("track_id", "path").rows()

    def write(work):
        rows = [(ids[0][0], "x"), (ids[3][0], "x"), (ids[5][0], "y"), ("ee" * 16, "y")]
        table = pl.DataFrame(rows, schema=["track_id", "cluster"], orient="row")
        write_table(table, work.folder / MEMBERS)

    duplicates = home.produce("duplicates", "all", (), write)
    spec = artifact.record.spec
    searched = type(spec)(
        spec.asset, spec.partition, spec.stage, (*spec.inputs, duplicates.reference), spec.config
    )
    clusters = tables.duplicate_clusters(home.store, searched, home.snapshot)
    assert clusters == {"clusters": 1, "tracks": 2, "first": [sorted([ids[0][1], ids[3][1]])]}
    assert tables.duplicate_clusters(home.store, spec, home.snapshot) is None


def test_a_newer_batch_does_not_change_the_report(labelled):
    home, _ = labelled

    def write(work):
        table = pl.DataFrame([], schema=TRACKS_SCHEMA)
        write_table(table, work.folder / TRACKS_TABLE)

    before = EXPLORATION_REPORTS.plan(Context.open(home.home), "genres")
    home.produce("tracks", "batch-000003", (), write)
    assert EXPLORATION_REPORTS.plan(Context.open(home.home), "genres") == before
    assert home.store.need("datasets", "genres").reference in before.inputs


def test_only_features_of_all_batches_are_used(labelled):
    home, artifact = labelled
    options = {"harmonic_percussive": False, "tempo": True, "window_s": 600.0}
    more = home.produce(
        "audio_features", "batch-000009", (), lambda work: None, {"options": options}
    )
    spec = artifact.record.spec
    inputs = [r for r in spec.inputs if r.asset != "audio_features"]
    alone = type(spec)(spec.asset, spec.partition, 1, (*inputs, more.reference))
    both = type(spec)(spec.asset, spec.partition, 1, (*spec.inputs, more.reference))
    assert tables.feature_columns(home.store, alone) == [*feature_names(), "tempo_bpm"]
    assert tables.feature_columns(home.store, both) == feature_names()


@pytest.mark.parametrize("labels", [["a", "a", "b", "b"], [None] * 4])
def test_test_tracks_are_never_used(labels):
    table = pl.DataFrame(
        {"label": labels, "split": ["train", "test", "validation", None]},
        schema={"label": pl.String, "split": pl.String},
    )
    parts = tables._with_parts(table)
    assert parts["heard"].to_list() == [True, False, True, False]
    assert parts["part"].to_list() == ["train", "test", "validation", "left out"]
    assert parts["class"].to_list() == [label or tables.ALL_TRACKS for label in labels]
