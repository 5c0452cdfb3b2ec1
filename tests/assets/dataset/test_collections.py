"""Datasets of real collections: labels and official splits of their lists, in a home."""

import hashlib
from collections import Counter
from dataclasses import replace

import polars as pl
import pytest

from melgraph.assets.dataset import datasets
from melgraph.assets.dataset.datasets import dataset_spec, usable_dataset
from melgraph.assets.kinds import remake
from melgraph.assets.models.targets import has_tags, targets_of
from melgraph.assets.partitions import SPECS
from melgraph.assets.resources import HomeResource
from melgraph.ml.errors import UserError
from melgraph.ml.specs.dataset import DatasetSpec
from tests.assets.dataset.test_datasets import Library, row, songs, table_of
from tests.ml.collections.layouts import fma_row, write_fma, write_gtzan, write_jamendo


@pytest.fixture
def library(tmp_path, monkeypatch) -> Library:
    monkeypatch.setenv("MELGRAPH_HOME", str(tmp_path / "home"))
    return Library(tmp_path)


@pytest.fixture
def ask(monkeypatch):
    """`ask(labels="table", ...)` makes that the dataset `genres`."""

    def set_spec(**keys) -> None:
        monkeypatch.setitem(SPECS.datasets, "genres", DatasetSpec(title="x", **keys))

    return set_spec


def files(*paths: str, artists: dict[str, str] | None = None) -> list[dict]:
    """Rows of `tracks`, one for each path; ids follow the path."""
    made = []
    for path in paths:
        number = int(hashlib.sha256(path.encode()).hexdigest()[:12], 16)
        made.append(row(number, "x", (artists or {}).get(path)) | {"path": path, "genre": None})
    return made


GTZAN = [f"genres/{g}/{g}.{n:05d}.wav" for g in ("blues", "rock") for n in range(6)]
LISTS = {
    "train": ["blues.00000", "blues.00001", "rock.00000", "rock.00001"],
    "valid": ["blues.00002", "rock.00002"],
    "test": ["blues.00003", "rock.00003", "rock.00009"],
}


@pytest.fixture
def gtzan(library, ask) -> Library:
    """Twelve clips, four of them in no list; the artist of one is in train and in test."""
    write_gtzan(library.home.root / "metadata" / "gtzan", **LISTS)
    ask(labels="gtzan", metadata="metadata/gtzan", split="official")
    one = {"genres/blues/blues.00001.wav": "B. B.", "genres/blues/blues.00003.wav": "b. b."}
    library.add(files(*GTZAN, artists=one))
    return library


def test_an_official_split_less_its_leaks(gtzan):
    snapshot = gtzan.snapshot()
    table = table_of(snapshot)
    assert Counter(table["split"]) == {None: 5, "train": 3, "validation": 2, "test": 2}
    reasons = Counter(table["left_out"].drop_nulls())
    assert reasons == {
        "faulty or repeated (fault-filtered split)": 4,
        "official split train, but its artist or recording is in test": 1,
    }
    assert table.filter(pl.col("official_split") == "train").height == 4  # as published
    facts = snapshot.facts
    assert (facts["policy"], facts["leaks"], facts["unusable"]) == ("official", 0, None)
    assert facts["collection"]["straddling_groups"] == 1
    assert facts["collection"]["removed_for_that"] == 1
    assert (facts["collection"]["rows"], facts["collection"]["rows_without_a_file"]) == (9, 1)
    assert datasets.no_leakage(HomeResource()).passed
    assert usable_dataset(gtzan.store, "genres").reference == snapshot.reference
    shown = datasets._show(snapshot)
    assert (shown["straddling groups"], shown["files with a row"]) == (1, 12)
    assert "rock.00009" in shown["findings"].value


def test_a_changed_list_is_a_new_version_without_a_parent(gtzan):
    first = gtzan.snapshot()
    assert gtzan.snapshot().reference == first.reference
    lists = LISTS | {"train": ["blues.00000", "rock.00000"]}
    write_gtzan(gtzan.home.root / "metadata" / "gtzan", **lists)
    second = gtzan.snapshot()
    assert second.reference != first.reference
    assert [r.asset for r in second.record.spec.inputs] == ["tracks"]
    write_gtzan(gtzan.home.root / "metadata" / "gtzan", **LISTS)
    assert gtzan.snapshot().reference == first.reference


def test_the_place_of_the_lists_is_no_part_of_the_version(gtzan, ask, tmp_path):
    first = gtzan.snapshot()
    elsewhere = write_gtzan(tmp_path / "elsewhere", **LISTS)
    ask(labels="gtzan", metadata=str(elsewhere), split="official")
    assert gtzan.snapshot().reference == first.reference


def test_reproduce_needs_the_lists_that_were_used(gtzan, tmp_path):
    snapshot = gtzan.snapshot()
    (tmp_path / "again").mkdir()
    assert remake(gtzan.store, snapshot, tmp_path / "again") == []
    changed = gtzan.home.root / "metadata" / "gtzan" / "valid_filtered.txt"
    recorded = snapshot.record.spec.config["metadata"]["valid_filtered.txt"]
    changed.write_text("blues/blues.00002.wav\n")
    with pytest.raises(UserError, match=recorded) as caught:
        remake(gtzan.store, snapshot, tmp_path / "again")
    assert str(changed) in caught.value.where


def test_lists_that_are_missing_are_asked_for(gtzan):
    (gtzan.home.root / "metadata" / "gtzan" / "test_filtered.txt").unlink()
    with pytest.raises(UserError, match=r"not there: test_filtered\.txt") as caught:
        dataset_spec(gtzan.store, gtzan.catalogue, "genres")
    assert "jongpillee/music_dataset_split" in caught.value.remedy
    assert str(gtzan.home.root / "metadata" / "gtzan") in caught.value.where


def test_a_part_of_a_collection_says_what_it_lacks(library, ask):
    write_gtzan(library.home.root / "metadata", **LISTS)
    ask(labels="gtzan", metadata="metadata", split="official")
    library.add(files(*[path for path in GTZAN if "00003" not in path]))
    assert library.snapshot().facts["unusable"] == "of the official split, no test track is here"
    with pytest.raises(UserError, match="no test track") as caught:
        usable_dataset(library.store, "genres")
    assert "melgraph validate" in caught.value.remedy


def test_quarantined_files_are_not_missed(library, ask):
    write_gtzan(library.home.root / "metadata", **LISTS)
    ask(labels="gtzan", metadata="metadata", split="official")
    found = files(*GTZAN)
    found[0] |= {"status": "quarantined", "code": "damaged", "reason": "no audio"}
    library.add(found)
    snapshot = library.snapshot()
    assert snapshot.facts["collection"]["rows_without_a_file"] == 1  # rock.00009, as before
    assert table_of(snapshot).height == len(GTZAN) - 1


def test_a_row_of_any_path_of_a_recording_will_do(library, ask):
    ask(labels="table", metadata="metadata/mine.csv")
    (copy,) = files("downloads/copy.wav")
    original = songs()[0]
    copy |= {key: original[key] for key in ("sha256", "track_id", "artist")}
    rows = moods(songs())
    library.add(songs())
    library.add([copy])
    write_labels(library, [rows[0] | {"path": copy["path"]}, *rows[1:]])
    snapshot = library.snapshot()
    table = table_of(snapshot)
    assert table.height == len(songs())  # each recording once
    assert table["label"].null_count() == 0
    assert snapshot.facts["collection"]["findings"] == []
    write_labels(library, [*rows, rows[0] | {"path": copy["path"], "label": "wild"}])
    (finding,) = library.snapshot().facts["collection"]["findings"]
    assert f"{original['path']} and downloads/copy.wav" in finding


# -- a table of one's own --------------------------------------------------------------------------


def write_labels(library: Library, rows: list[dict], header="path,label,group") -> None:
    lines = [header]
    lines += [",".join(str(r.get(name) or "") for name in header.split(",")) for r in rows]
    folder = library.home.root / "metadata"
    folder.mkdir(exist_ok=True)
    (folder / "mine.csv").write_text("\n".join(lines) + "\n")


def moods(rows: list[dict]) -> list[dict]:
    return [r | {"label": ("calm", "wild")[n // 2 % 2]} for n, r in enumerate(rows)]


def test_a_table_grows_with_its_library_and_splits_stay(library, ask):
    ask(labels="table", metadata="metadata/mine.csv")
    library.add(songs())
    write_labels(library, moods(songs()))
    first = library.snapshot()
    assert first.facts["classes"] == ["calm", "wild"]
    library.add(songs(100))
    write_labels(library, moods(songs() + songs(100)))
    second = library.snapshot()
    assert first.reference in second.record.spec.inputs
    sides = dict(table_of(first).select("track_id", "split").iter_rows())
    after = dict(table_of(second).select("track_id", "split").iter_rows())
    assert len(after) == 2 * len(sides)
    assert {track: after[track] for track in sides} == sides
    assert library.snapshot().reference == second.reference
    assert datasets.no_leakage(HomeResource()).passed


def test_groups_and_artists_of_the_table_stay_together(library, ask):
    ask(labels="table", metadata="metadata/mine.csv")
    alone = files(*(f"{n}.wav" for n in range(24)))
    library.add(alone)
    labelled = [r | {"label": "ab"[n % 2], "group": f"g{n // 4}"} for n, r in enumerate(alone)]
    write_labels(library, labelled)
    table = table_of(library.snapshot())
    by_path = {r["path"]: r["group"] for r in labelled}
    sides: dict[str, set] = {}
    for path, split in table.select("path", "split").iter_rows():
        sides.setdefault(by_path[path], set()).add(split)
    assert len(sides) == 6
    assert all(len(found) == 1 for found in sides.values())
    assert set.union(*sides.values()) == {"train", "validation", "test"}


def test_an_official_split_of_a_table(library, ask):
    ask(labels="table", metadata="metadata/mine.csv", split="official")
    library.add(songs())
    split = ["train"] * 4 + ["test"] * 4 + ["val"] * 4
    rows = [r | {"split": side} for r, side in zip(moods(songs()), split, strict=True)]
    write_labels(library, rows, "path,label,split")
    snapshot = library.snapshot()
    sides = dict(table_of(snapshot).select("path", "split").iter_rows())
    assert [sides[r["path"]] for r in rows] == ["train"] * 4 + ["test"] * 4 + ["validation"] * 4
    assert snapshot.facts["collection"]["listed"] == {"train": 4, "test": 4, "validation": 4}


def test_several_labels_are_kept_and_can_be_learned(library, ask):
    ask(labels="mtg_jamendo", metadata="metadata", multi_label=True, split="grouped")
    tags = ("genre---rock", "genre---pop", "mood/theme---calm")
    recordings = [f"{n} {n // 2} {tags[n % 3]} {tags[(n + 1) % 3]}" for n in range(1000, 1030)]
    write_jamendo(library.home.root / "metadata", train=[*recordings, "7 7 genre---rare"])
    library.add(files(*(f"{n % 100:02d}/{n}.low.mp3" for n in range(1000, 1030)), "07/7.mp3"))
    snapshot = library.snapshot()
    facts = snapshot.facts
    assert facts["classes"] == sorted(tags)
    table = table_of(snapshot)
    assert table["label"].null_count() == table.height
    assert set(table.filter(pl.col("split").is_not_null())["labels"].list.len()) == {2}
    assert "class 'genre---rare' has 1 tracks" in table["left_out"].drop_nulls()[0]
    assert facts["groups"] == 15  # the artists of the list, not of the tags
    per_label = {(c["label"], c["split"]) for c in facts["counts"]}
    assert per_label == {(t, s) for t in tags for s in ("train", "validation", "test")}
    assert datasets.no_leakage(HomeResource()).passed
    assert usable_dataset(library.store, "genres").reference == snapshot.reference
    used = table.filter(pl.col("split").is_not_null())
    assert targets_of(used, sorted(tags), tags=has_tags(snapshot)).sum(axis=1).tolist() == [2] * 30


def test_a_snapshot_of_the_time_when_tags_could_not_be_learned(library, ask):
    """It says so of itself; a new one has another version, and can be."""
    ask(labels="mtg_jamendo", metadata="metadata", multi_label=True, split="grouped")
    tags = ("genre---rock", "genre---pop", "mood/theme---calm")
    recordings = [f"{n} {n // 2} {tags[n % 3]} {tags[(n + 1) % 3]}" for n in range(1000, 1030)]
    write_jamendo(library.home.root / "metadata", train=recordings)
    library.add(files(*(f"{n % 100:02d}/{n}.low.mp3" for n in range(1000, 1030))))
    spec = dataset_spec(library.store, library.catalogue, "genres")
    before = replace(spec, config={k: v for k, v in spec.config.items() if k != "learned_as"})

    def write(work) -> None:
        datasets.write_dataset(library.store, work)
        work.facts["unusable"] = "its tracks have several labels each"

    library.store.produce(before, write)
    with pytest.raises(UserError, match="several labels each") as caught:
        usable_dataset(library.store, "genres")
    assert "--refresh" in caught.value.remedy
    assert library.snapshot().reference != library.store.get(before.reference).reference
    usable_dataset(library.store, "genres")


def test_fma_in_a_home(library, ask):
    parts = ("training", "training", "validation", "test")
    rows = [
        fma_row(n, split=parts[n % 4], top=("Rock", "Hip-Hop")[n // 4 % 2], artist=str(n))
        for n in range(2, 26)
    ]
    write_fma(library.home.root / "metadata" / "fma_metadata", rows)
    ask(labels="fma", metadata="metadata", split="official")
    library.add(files(*(f"fma_small/000/{n:06d}.mp3" for n in range(2, 26))))
    snapshot = library.snapshot()
    table = table_of(snapshot)
    assert table["official_split"].to_list() == table["split"].to_list()
    assert snapshot.facts["classes"] == ["Hip-Hop", "Rock"]
    assert snapshot.facts["artist_known"] == 24
    usable_dataset(library.store, "genres")


def test_real_names_and_real_lists(library, ask, real_data):
    """The part of GTZAN at hand, by name: what is left of 443, 197 and 290."""
    folder = real_data / "library" / "gtzan"
    paths = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.*"))
    ask(labels="gtzan", metadata=str(real_data / "metadata" / "gtzan"), split="official")
    library.add(files(*paths))
    snapshot = library.snapshot()
    facts = snapshot.facts["collection"]
    assert (facts["files_with_a_row"], facts["files_without_a_row"]) == (89, 1)
    assert facts["listed"] == {"train": 443, "validation": 197, "test": 290}
    official = Counter(table_of(snapshot)["official_split"])
    assert official == {None: 12, "train": 31, "validation": 31, "test": 16}
    assert facts["straddling_groups"] == 0
    assert datasets.no_leakage(HomeResource()).passed
