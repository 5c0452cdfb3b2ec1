"""Cluster reports of small homes: figures, outliers, and reports on too few tracks or labels."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from melgraph.assets.context import Context
from melgraph.assets.embeddings.clusters.agreement import (
    ALL_TRACKS,
    CLUSTERERS,
    CONTINGENCY,
    FIGURE_NAMES,
)
from melgraph.assets.embeddings.clusters.maps import rows_shown
from melgraph.assets.embeddings.clusters.outliers import OUTLIERS, outlier_sentences, strangest
from melgraph.assets.embeddings.clusters.reports import (
    MAP,
    density_sentence,
    figure_rows,
    plan_cluster_report,
    write_cluster_report,
)
from melgraph.assets.embeddings.clusters.tracks import (
    HELD_OUT,
    is_trained_on_dataset,
    report_tracks,
    training_track_ids,
)
from melgraph.assets.embeddings.embeddings import TRACK_VECTORS
from melgraph.ml.errors import UserError
from melgraph.storage.artifacts import Work
from melgraph.storage.tables import read_table, write_table
from tests.assets.pages.small_home import SmallHome

ENCODER = "small-cnn"
OUTSIDE = ("world/a.flac", "world/b.flac", "opera/c.flac", "solo/d.flac")


def home_at(folder, tracks=60, *, labels="folder", others=OUTSIDE):
    home = SmallHome(folder, tracks=tracks, sample=False, others=others)
    return home.add_tracks().add_dataset(labels=labels)


def report_of(home, encoder=ENCODER, **config):
    home.add_maps(encoder, **config)
    return home.store.need("cluster_reports", encoder)


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    home = home_at(tmp_path_factory.mktemp("reports")).add_model()
    return home.add_maps(ENCODER, "mel-statistics")


@pytest.fixture(scope="module")
def report(home):
    return home.store.need("cluster_reports", ENCODER)


class TestTracks:
    def test_every_embedded_track_has_its_place(self, home, report):
        table = read_table(report.folder / MAP)
        assert table.height == 64
        places = [f"{axis}_{method}" for method in ("pca", "tsne", "umap") for axis in "xy"]
        assert table.select(places).null_count().sum_horizontal().item() == 0
        assert sorted(table["tile"]) == list(range(64))
        splits = dict(home.snapshot.select("track_id", "split").iter_rows())
        for row in table.iter_rows(named=True):
            assert row["path"]
            outside = row["path"].split("/")[0] not in home.classes
            assert row["split"] == splits[row["track_id"]]
            assert row["part"] == ("outside" if outside else row["split"])

    def test_a_track_without_split_class_and_training_is_outside(self, home, report):
        spec = report.record.spec
        ids = read_table(report.folder / MAP)["track_id"].to_list()
        train = home.snapshot.filter(pl.col("split") == "train")["track_id"]
        assert training_track_ids(home.store, spec) == set(train)
        assert is_trained_on_dataset(home.store, spec)
        untrained = home.store.need("cluster_reports", "mel-statistics").record.spec
        assert training_track_ids(home.store, untrained) == set()
        assert not is_trained_on_dataset(home.store, untrained)
        table = report_tracks(home.store, spec, [*ids, "ff" * 16])  # the last is no track
        assert table["track_id"].to_list() == [*ids, "ff" * 16]
        assert table["part"][-1] == "outside"
        assert table["path"][-1] is None

    def test_a_track_without_split_but_with_a_class_is_left_out(self, tmp_path):
        home = home_at(tmp_path, tracks=12, others=())
        home.add_embeddings(ENCODER)
        spec = plan_cluster_report(Context.open(home.home), ENCODER)
        snapshot = home.store.need("datasets", "genres")
        one = home.snapshot.filter(pl.col("split") == "test")["track_id"][0]
        changed = home.snapshot.with_columns(
            split=pl.when(pl.col("track_id") == one).then(None).otherwise("split")
        )
        write_table(changed, snapshot.folder / "tracks.parquet")
        table = report_tracks(home.store, spec, home.snapshot["track_id"].to_list())
        parts = dict(table.select("track_id", "part").iter_rows())
        assert parts.pop(one) == "left out"
        assert set(parts.values()) == {"train", *HELD_OUT}


class TestFigures:
    def test_each_clusterer_is_evaluated_on_both_selections(self, report):
        rows = report.facts["figures"]
        evaluated = [(row["tracks"], row["clusterer"]) for row in rows]
        selections = ("held-out tracks", ALL_TRACKS)
        assert evaluated == [(s, c) for s in selections for c in CLUSTERERS]
        for row in rows:
            assert row["clusters"] == row["classes"] == 3
            for name in FIGURE_NAMES:
                figure = row[name]
                assert figure["low"] <= figure["value"] <= figure["high"]
        assert rows[0]["accuracy"]["value"] > rows[0]["accuracy"]["chance_95"]
        cells = figure_rows(report.facts)[0]
        assert cells["clusters by"] == "k-means"
        assert "with shuffled labels" in str(cells["Hungarian accuracy"])

    def test_contingency_counts_every_evaluated_track(self, report):
        table = read_table(report.folder / CONTINGENCY)
        for row in report.facts["figures"]:
            part = table.filter(
                pl.col("tracks") == row["tracks"], pl.col("clusterer") == row["clusterer"]
            )
            assert part["count"].sum() == row["n"]
            right = part.filter(pl.col("label") == pl.col("matched_label"))["count"].sum()
            assert right / row["n"] == pytest.approx(row["accuracy"]["value"])

    def test_clusters_of_the_map_are_those_of_all_tracks(self, report):
        table = read_table(report.folder / MAP)
        used = table.filter(pl.col("split").is_not_null())
        counted = read_table(report.folder / CONTINGENCY).filter(pl.col("tracks") == ALL_TRACKS)
        for clusterer in CLUSTERERS:
            assert table[clusterer].null_count() == 0  # tracks outside the dataset are assigned too
            counts = used.group_by(clusterer, "label").len().rows()
            written = counted.filter(pl.col("clusterer") == clusterer, pl.col("count") > 0)
            expected = written.select("cluster", "label", "count").rows()
            assert sorted(counts) == sorted(expected)
        assert table.filter(pl.col("split").is_null())["hdbscan"].null_count() == 4
        assert f"of {used.height} tracks" in density_sentence(report.facts)


class TestOutliers:
    def test_distant_tracks_are_flagged_and_held_out_tracks_are_rarely(self, report):
        facts = report.facts["outliers"]
        assert facts["trained"]
        assert facts["outside"]["tracks"] == facts["outside"]["flagged"] == 4
        assert facts["calibration_flagged"] <= 0.05 * facts["calibration"]
        for area in facts["outside"]["auc"].values():
            assert area["low"] > 0.7
        assert [part["folder"] for part in facts["by_folder"]] == ["opera", "solo", "world"]
        assert [part["tracks"] for part in facts["by_folder"]] == [1, 1, 2]

    def test_the_table_has_a_p_value_of_each_track(self, report):
        table = read_table(report.folder / OUTLIERS)
        calibration = table.filter(pl.col("part").is_in(HELD_OUT))
        trained = table.filter(pl.col("part") == "train")
        assert trained["p_knn"].null_count() == trained.height
        assert calibration["p_knn"].min() == 1 / calibration.height
        for row in strangest(table, 10):
            assert row["p_knn"] == 1 / (1 + calibration.height)
            assert len(row["nearest_labels"]) <= 3
            assert row["nearest_shares"] == sorted(row["nearest_shares"], reverse=True)

    def test_too_few_held_out_tracks_flag_nothing_and_say_so(self, tmp_path):
        report = report_of(home_at(tmp_path, tracks=24))
        facts = report.facts["outliers"]
        assert facts["calibration"] < 19
        assert facts["outside"]["flagged"] == 0
        sentences = outlier_sentences(facts)
        assert any("no track can be flagged at the level of 5%" in s for s in sentences)

    def test_without_tracks_outside_there_is_no_auc(self, tmp_path):
        report = report_of(home_at(tmp_path, tracks=24, others=()))
        facts = report.facts["outliers"]
        assert facts["outside"]["auc"] == {}
        assert "no track is outside it" in outlier_sentences(facts)[-1]
        assert facts["by_folder"] == []


class TestFewTracksOrLabels:
    def test_no_labels(self, tmp_path):
        report = report_of(home_at(tmp_path, tracks=24, labels="none", others=()))
        rows = report.facts["figures"]
        assert [row["clusterer"] for row in rows] == list(CLUSTERERS)
        for row in rows:
            assert (row["tracks"], row["n"], row["classes"]) == ("all tracks", 24, 0)
            assert row["clusters"] == 3  # as many as folders, although these are no labels here
            assert row["accuracy"] is row["nmi"] is row["silhouette_by_label"] is None
            assert row["silhouette_by_cluster"]["low"] > row["silhouette_by_cluster"]["chance_95"]
        assert read_table(report.folder / CONTINGENCY).height == 0
        assert figure_rows(report.facts)[0]["Hungarian accuracy"] == "-"
        absent = report.facts["outliers"]["absent"]
        assert "0 embedded training tracks" in absent
        assert OUTLIERS not in report.record.files
        assert read_table(report.folder / MAP)["part"].null_count() == 24

    def test_one_track(self, tmp_path):
        home = home_at(tmp_path, tracks=8, labels="none", others=()).add_embeddings(ENCODER)
        for left, reference in enumerate(reversed(home.references("embeddings"))):
            file = home.store.get(reference).folder / TRACK_VECTORS
            write_table(read_table(file).head(left), file)
        work = Work(plan_cluster_report(Context.open(home.home), ENCODER), tmp_path)
        write_cluster_report(home.store, work)
        assert work.facts["figures"] == []
        assert work.facts["skipped"] == ["all tracks: 1 tracks, and clusters need three"]
        (row,) = read_table(tmp_path / MAP).to_dicts()
        assert (row["x_umap"], row["y_tsne"], row["kmeans"], row["hdbscan"]) == (0, 0, None, -1)

    def test_fewer_held_out_tracks_than_classes(self, tmp_path):
        home = home_at(tmp_path, tracks=24, others=())
        home.add_embeddings(ENCODER)
        spec = plan_cluster_report(Context.open(home.home), ENCODER)
        snapshot = home.store.need("datasets", "genres")
        test = home.snapshot.filter(pl.col("split") == "test")["track_id"][:2].to_list()
        few = home.snapshot.with_columns(
            split=pl.when(pl.col("track_id").is_in(test)).then("split").otherwise(pl.lit("train"))
        )
        write_table(few, snapshot.folder / "tracks.parquet")
        work = Work(replace(spec, config={**spec.config, "bootstrap": 9, "shuffles": 3}), tmp_path)
        write_cluster_report(home.store, work)
        assert len(work.facts["skipped"]) == 1
        assert work.facts["skipped"][0].startswith("held-out tracks: 2 tracks of ")
        assert {row["tracks"] for row in work.facts["figures"]} == {ALL_TRACKS}

    def test_vectors_with_nan_are_refused(self, tmp_path):
        home = home_at(tmp_path, tracks=8, others=()).add_embeddings(ENCODER)
        spec = plan_cluster_report(Context.open(home.home), ENCODER)
        first = home.references("embeddings")[0]
        file = home.store.get(first).folder / TRACK_VECTORS
        table = read_table(file)
        vectors = table["vector"].to_numpy().copy()
        vectors[1, 3] = np.nan
        write_table(
            table.with_columns(vector=pl.Series(vectors, dtype=table["vector"].dtype)), file
        )
        with pytest.raises(UserError, match="1 of 8 vectors have NaN"):
            write_cluster_report(home.store, Work(spec, tmp_path))

    def test_a_large_library_is_mapped_and_drawn_in_part(self, tmp_path):
        report = report_of(home_at(tmp_path, tracks=26), mapped=12, drawn=4)
        table = read_table(report.folder / MAP)
        assert report.facts["mapped"] == table["x_umap"].count() == table["y_pca"].count() == 12
        assert table["tile"].drop_nulls().to_list() == [0, 1, 2, 3]
        assert table.filter(pl.col("tile").is_not_null())["x_umap"].null_count() == 0
        assert table["kmeans"].null_count() == 0
        outside = table.filter(pl.col("part") == "outside")  # 4 tracks; half of the rows are theirs
        assert outside["x_umap"].null_count() == 0
        assert outside["tile"].count() == 2
        assert report.facts["density"]["tracks"] == 12


def test_the_same_bytes_again(home, report, tmp_path):
    again = Work(report.record.spec, tmp_path)
    write_cluster_report(home.store, again)
    assert again.facts == {k: v for k, v in report.facts.items() if k != "licences"}
    for name in report.record.files:
        assert (tmp_path / name).read_bytes() == (report.folder / name).read_bytes(), name


@given(st.lists(st.sampled_from(["train", "outside", None]), max_size=40), st.integers(1, 45))
def test_rows_shown_has_the_right_size_and_prefers_tracks_outside(parts, most):
    table = pl.DataFrame({"part": parts}, schema={"part": pl.String})
    rows = rows_shown(table, most).tolist()
    assert len(rows) == min(len(parts), most)
    assert rows == sorted(set(rows))
    outside = parts.count("outside")
    assert sum(parts[row] == "outside" for row in rows) >= min(outside, most // 2)
