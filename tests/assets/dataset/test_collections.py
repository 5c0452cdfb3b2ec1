"""Datasets of published collections: their labels and official splits, in a home."""

import hashlib
from collections import Counter
from dataclasses import replace

import polars as pl
import pytest

from melgraph.assets.dataset import datasets
from melgraph.assets.dataset.datasets import usable_snapshot
from melgraph.assets.dataset.snapshot import Snapshot
from melgraph.assets.models.targets import targets_of
from melgraph.assets.remaking import remake
from melgraph.assets.resources import HomeResource
from melgraph.assets.stages import DATASETS
from melgraph.ml.errors import UserError
from tests.assets.dataset.test_datasets import Library, row, songs, table_of
from tests.conftest import write_spec
from tests.ml.collections.layouts import fma_row, write_fma, write_gtzan, write_jamendo


@pytest.fixture
def library(tmp_path, monkeypatch) -> Library:
    monkeypatch.setenv("MELGRAPH_HOME", str(tmp_path / "home"))
    return Library(tmp_path)


@pytest.fixture
def specify(library):
    """`specify(labels="table", ...)` writes the specification of the dataset `genres`."""

    def set_spec(**keys) -> None:
        write_spec(library.home, "datasets", "genres", title="x", **keys)

    return set_spec


def files(*paths: str, artists: dict[str, str] | None = None) -> list[dict]:
    """Rows of `tracks`, one for each path. The path determines the track id."""
    rows = []
    for path in paths:
        number = int(hashlib.sha256(path.encode()).hexdigest()[:12], 16)
        rows.append(
            row(number, "x", (artists or {}).get(path))
            | {"path": path, "genre": None, "genres": []}
        )
    return rows


GTZAN = [f"genres/{g}/{g}.{n:05d}.wav" for g in ("blues", "rock") for n in range(6)]
LISTS = {
    "train": ["blues.00000", "blues.00001", "rock.00000", "rock.00001"],
    "valid": ["blues.00002", "rock.00002"],
    "test": ["blues.00003", "rock.00003", "rock.00009"],
}


@pytest.fixture
def gtzan(library, specify) -> Library:
    """Twelve clips. Four are in no list; one artist is in train and in test."""
    write_gtzan(library.home.root / "metadata" / "gtzan", **LISTS)
    specify(labels="gtzan", metadata="metadata/gtzan", split="official")
    one = {"genres/blues/blues.00001.wav": "B. B.", "genres/blues/blues.00003.wav": "b. b."}
    library.add(files(*GTZAN, artists=one))
    return library


def test_an_official_split_without_its_leaks(gtzan):
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
    assert usable_snapshot(gtzan.store, "genres").reference == snapshot.reference
    metadata = datasets.show(snapshot)
    assert (metadata["straddling groups"], metadata["files with a row"]) == (1, 12)
    assert "rock.00009" in metadata["findings"].value


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


def test_the_location_of_the_lists_does_not_change_the_version(gtzan, specify, tmp_path):
    first = gtzan.snapshot()
    elsewhere = write_gtzan(tmp_path / "elsewhere", **LISTS)
    specify(labels="gtzan", metadata=str(elsewhere), split="official")
    assert gtzan.snapshot().reference == first.reference


def test_reproduce_needs_the_recorded_lists(gtzan, tmp_path):
    snapshot = gtzan.snapshot()
    (tmp_path / "again").mkdir()
    assert remake(gtzan.store, snapshot, tmp_path / "again") == []
    changed = gtzan.home.root / "metadata" / "gtzan" / "valid_filtered.txt"
    recorded = snapshot.record.spec.config["metadata"]["valid_filtered.txt"]
    changed.write_text("blues/blues.00002.wav\n")
    with pytest.raises(UserError, match=recorded) as caught:
        remake(gtzan.store, snapshot, tmp_path / "again")
    assert str(changed) in caught.value.where


def test_missing_lists_are_an_error(gtzan):
    (gtzan.home.root / "metadata" / "gtzan" / "test_filtered.txt").unlink()
    with pytest.raises(UserError, match=r"missing: test_filtered\.txt") as caught:
        DATASETS.plan(gtzan.context, "genres")
    assert "jongpillee/music_dataset_split" in caught.value.remedy
    assert str(gtzan.home.root / "metadata" / "gtzan") in caught.value.where


def test_a_split_without_test_tracks_is_unusable(library, specify):
    write_gtzan(library.home.root / "metadata", **LISTS)
    specify(labels="gtzan", metadata="metadata", split="official")
    library.add(files(*[path for path in GTZAN if "00003" not in path]))
    assert library.snapshot().facts["unusable"] == "of the official split, no test track is here"
    with pytest.raises(UserError, match="no test track") as caught:
        usable_snapshot(library.store, "genres")
    assert "melgraph validate" in caught.value.remedy


def test_quarantined_files_do_not_count_as_missing(library, specify):
    write_gtzan(library.home.root / "metadata", **LISTS)
    specify(labels="gtzan", metadata="metadata", split="official")
    rows = files(*GTZAN)
    rows[0] |= {"status": "quarantined", "code": "damaged", "reason": "no audio"}
    library.add(rows)
    snapshot = library.snapshot()
    assert snapshot.facts["collection"]["rows_without_a_file"] == 1  # rock.00009, as before
    assert table_of(snapshot).height == len(GTZAN) - 1


def test_a_row_may_name_any_path_of_a_track(library, specify):
    specify(labels="table", metadata="metadata/mine.csv")
    (copy,) = files("downloads/copy.wav")
    original = songs()[0]
    copy |= {key: original[key] for key in ("sha256", "track_id", "artist", "artists")}
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


# -- a table of the user ---------------------------------------------------------------------------


def write_labels(library: Library, rows: list[dict], header="path,label,group") -> None:
    lines = [header]
    lines += [",".join(str(r.get(name) or "") for name in header.split(",")) for r in rows]
    folder = library.home.root / "metadata"
    folder.mkdir(exist_ok=True)
    (folder / "mine.csv").write_text("\n".join(lines) + "\n")


def moods(rows: list[dict]) -> list[dict]:
    return [r | {"label": ("calm", "wild")[n // 2 % 2]} for n, r in enumerate(rows)]


def test_splits_stay_when_a_table_grows(library, specify):
    specify(labels="table", metadata="metadata/mine.csv")
    library.add(songs())
    write_labels(library, moods(songs()))
    first = library.snapshot()
    assert first.facts["classes"] == ["calm", "wild"]
    library.add(songs(100))
    write_labels(library, moods(songs() + songs(100)))
    second = library.snapshot()
    assert first.reference in second.record.spec.inputs
    before = dict(table_of(first).select("track_id", "split").iter_rows())
    after = dict(table_of(second).select("track_id", "split").iter_rows())
    assert len(after) == 2 * len(before)
    assert {track: after[track] for track in before} == before
    assert library.snapshot().reference == second.reference
    assert datasets.no_leakage(HomeResource()).passed


def test_groups_and_artists_of_the_table_stay_together(library, specify):
    specify(labels="table", metadata="metadata/mine.csv")
    alone = files(*(f"{n}.wav" for n in range(24)))
    library.add(alone)
    labelled = [r | {"label": "ab"[n % 2], "group": f"g{n // 4}"} for n, r in enumerate(alone)]
    write_labels(library, labelled)
    table = table_of(library.snapshot())
    by_path = {r["path"]: r["group"] for r in labelled}
    splits: dict[str, set] = {}
    for path, split in table.select("path", "split").iter_rows():
        splits.setdefault(by_path[path], set()).add(split)
    assert len(splits) == 6
    assert all(len(names) == 1 for names in splits.values())
    assert set.union(*splits.values()) == {"train", "validation", "test"}


def test_an_official_split_of_a_table(library, specify):
    specify(labels="table", metadata="metadata/mine.csv", split="official")
    library.add(songs())
    split = ["train"] * 4 + ["test"] * 4 + ["val"] * 4
    rows = [r | {"split": side} for r, side in zip(moods(songs()), split, strict=True)]
    write_labels(library, rows, "path,label,split")
    snapshot = library.snapshot()
    splits = dict(table_of(snapshot).select("path", "split").iter_rows())
    assert [splits[r["path"]] for r in rows] == ["train"] * 4 + ["test"] * 4 + ["validation"] * 4
    assert snapshot.facts["collection"]["listed"] == {"train": 4, "test": 4, "validation": 4}


def test_tracks_may_have_several_labels(library, specify):
    specify(labels="mtg_jamendo", metadata="metadata", multi_label=True, split="grouped")
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
    assert facts["groups"] == 15  # the artists of the list, not of the file metadata
    per_label = {(c["label"], c["split"]) for c in facts["counts"]}
    assert per_label == {(t, s) for t in tags for s in ("train", "validation", "test")}
    assert datasets.no_leakage(HomeResource()).passed
    assert usable_snapshot(library.store, "genres").reference == snapshot.reference
    used = table.filter(pl.col("split").is_not_null())
    assert (
        targets_of(used, sorted(tags), tags=Snapshot(library.store, snapshot).multi_label)
        .sum(axis=1)
        .tolist()
        == [2] * 30
    )


def test_an_old_snapshot_with_several_labels_is_unusable(library, specify):
    """A new snapshot has another version, and can be used."""
    specify(labels="mtg_jamendo", metadata="metadata", multi_label=True, split="grouped")
    tags = ("genre---rock", "genre---pop", "mood/theme---calm")
    recordings = [f"{n} {n // 2} {tags[n % 3]} {tags[(n + 1) % 3]}" for n in range(1000, 1030)]
    write_jamendo(library.home.root / "metadata", train=recordings)
    library.add(files(*(f"{n % 100:02d}/{n}.low.mp3" for n in range(1000, 1030))))
    spec = DATASETS.plan(library.context, "genres")
    before = replace(spec, config={k: v for k, v in spec.config.items() if k != "learned_as"})

    def write(work) -> None:
        datasets.write_dataset(library.store, work)
        work.facts["unusable"] = "its tracks have several labels each"

    library.store.produce(before, write)
    with pytest.raises(UserError, match="several labels each") as caught:
        usable_snapshot(library.store, "genres")
    assert "--refresh" in caught.value.remedy
    assert library.snapshot().reference != library.store.get(before.reference).reference
    usable_snapshot(library.store, "genres")


def test_fma_in_a_home(library, specify):
    parts = ("training", "training", "validation", "test")
    rows = [
        fma_row(n, split=parts[n % 4], top=("Rock", "Hip-Hop")[n // 4 % 2], artist=str(n))
        for n in range(2, 26)
    ]
    write_fma(library.home.root / "metadata" / "fma_metadata", rows)
    specify(labels="fma", metadata="metadata", split="official")
    library.add(files(*(f"fma_small/000/{n:06d}.mp3" for n in range(2, 26))))
    snapshot = library.snapshot()
    table = table_of(snapshot)
    assert table["official_split"].to_list() == table["split"].to_list()
    assert snapshot.facts["classes"] == ["Hip-Hop", "Rock"]
    assert snapshot.facts["artist_known"] == 24
    usable_snapshot(library.store, "genres")


def test_real_names_and_real_lists(library, specify, real_data):
    """Some files of GTZAN, with the published lists of 443, 197 and 290 tracks."""
    folder = real_data / "library" / "gtzan"
    paths = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.*"))
    specify(labels="gtzan", metadata=str(real_data / "metadata" / "gtzan"), split="official")
    library.add(files(*paths))
    snapshot = library.snapshot()
    facts = snapshot.facts["collection"]
    assert (facts["files_with_a_row"], facts["files_without_a_row"]) == (89, 1)
    assert facts["listed"] == {"train": 443, "validation": 197, "test": 290}
    official = Counter(table_of(snapshot)["official_split"])
    assert official == {None: 12, "train": 31, "validation": 31, "test": 16}
    assert facts["straddling_groups"] == 0
    assert datasets.no_leakage(HomeResource()).passed
