"""The report on recommendations: every figure counted again, and what an encoder has not seen."""

import json
import shutil
from itertools import pairwise

import numpy as np
import polars as pl
import pytest
from sklearn.metrics import average_precision_score

from melgraph.assets.context import Context
from melgraph.assets.dataset.snapshot import Snapshot
from melgraph.assets.library.live import live_tracks
from melgraph.assets.library.tracks import Tracks
from melgraph.assets.models.seen_tracks import training_snapshots
from melgraph.assets.pages.results import recommendation_reports
from melgraph.assets.recommendations import agreement
from melgraph.assets.recommendations.lists import RecommendationLists
from melgraph.assets.recommendations.report import reports
from melgraph.assets.recommendations.report.figures import ALL, HELD_OUT, POOLED
from melgraph.assets.recommendations.report.recordings import Recordings
from melgraph.assets.recommendations.report.reports import (
    QUERY_TABLE,
    RECORDING_TABLE,
    REPORT,
    RecommendationReport,
    plan_recommendation_report,
    show,
)
from melgraph.assets.recommendations.report.spaces import (
    FEATURES,
    _first_of_others,
    near_lists,
    space_in_service,
)
from melgraph.assets.recommendations.report.tables import (
    figure_rows,
    headlines,
    sentences,
    title_of,
)
from melgraph.assets.stages import PAGES, RECOMMENDATION_REPORT
from melgraph.ml.errors import UserError
from melgraph.ml.evaluation.paired import compare, holm
from melgraph.ml.similarity.hubness import hubness, rescaled
from melgraph.storage.tables import read_table
from tests.assets.models.trainings import make
from tests.conftest import MadeHome, copy_home

TRAINED, UNTRAINED, BASELINE = "small-cnn", "tiny-tagger", "audio-features"
SERVED = {BASELINE, "mel-statistics", TRAINED, UNTRAINED}


def report_of(home: MadeHome) -> RecommendationReport:
    return RecommendationReport.current(home.store, "all")


def recordings_of(home: MadeHome) -> Recordings:
    several = RecommendationLists.all_current(home.store)
    return Recordings.of(several, Snapshot.current(home.store, "genres"))


def question_of(section: dict, scope: str, name: str) -> dict:
    (of_scope,) = (one for one in section["scopes"] if one["scope"] == scope)
    (question,) = (one for one in of_scope["questions"] if one["question"] == name)
    return question


def in_service(home: MadeHome, encoder: str) -> None:
    (home.root / "specs" / "encoders.toml").write_text(f'in_service = ["{encoder}"]\n')


@pytest.fixture(scope="module")
def queries(made_home: MadeHome) -> pl.DataFrame:
    return read_table(report_of(made_home).artifact.folder / QUERY_TABLE)


class TestFigures:
    @pytest.mark.parametrize("encoder", sorted(SERVED))
    @pytest.mark.parametrize("question", ["label", "artist"])
    def test_the_values_of_every_query_counted_again(self, made_home, queries, encoder, question):
        """By loops over the vectors, the scales, the labels and the groups."""
        lists = RecommendationLists.current(made_home.store, encoder)
        recordings = recordings_of(made_home)
        ids = recordings.table["track_id"].to_list()
        index = lists.index.open()
        vectors = index.vectors(np.array([index.track_ids.index(one) for one in ids]))
        scale = dict(lists.scales().select("track_id", "scale").iter_rows())
        tracks = live_tracks(Tracks.all_current(made_home.store))
        artist = dict(tracks.select("track_id", "artist").iter_rows())
        used = Snapshot.current(made_home.store, "genres").table()
        label, group = (dict(used.select("track_id", c).iter_rows()) for c in ("label", "group"))
        rows = queries.filter(pl.col("space") == encoder, pl.col("ranking") == "in_service")
        evaluated = 0
        for row in rows.iter_rows(named=True):
            query = row["track_id"]
            cosines = vectors.astype(np.float64) @ vectors[ids.index(query)].astype(np.float64)
            scores = rescaled(cosines, scale[query], np.array([scale[one] for one in ids]))
            near = [ids[i] for i in np.argsort(-scores, kind="stable") if ids[i] != query]
            if question == "label":
                near = [i for i in near if label[i] is not None and group[i] != group[query]]
                right = [label[i] == label[query] for i in near]
            else:
                near = [i for i in near if artist[i] is not None]
                right = [artist[i] == artist[query] for i in near]
            precision, average = row[f"{question}_precision"], row[f"{question}_average_precision"]
            if precision is None:
                assert average is None
                continue
            evaluated += 1
            assert precision == pytest.approx(np.mean(right[:10]))
            expected = average_precision_score(right, -np.arange(len(right)))
            assert average == pytest.approx(expected)
        assert evaluated >= 4

    def test_means_and_tests_are_those_of_the_queries(self, made_home, queries):
        (section,) = report_of(made_home).sections
        question = question_of(section, ALL, "label")
        of_all = queries.filter(pl.col("ranking") == "in_service")
        values = {
            name: of_all.filter(pl.col("space") == name)["label_average_precision"].to_numpy()
            for name in SERVED - {TRAINED}
        }
        groups = of_all.filter(pl.col("space") == BASELINE)["group"].to_numpy()
        for row in question["rows"]:
            mean = np.nanmean(values[row["space"]])
            assert row["average_precision"]["mean"] == pytest.approx(mean, abs=1e-4)
            assert row["average_precision"]["low"] <= mean <= row["average_precision"]["high"]
        means = [row["average_precision"]["mean"] for row in question["rows"]]
        assert all(first >= second for first, second in pairwise(means))
        tests = [test for test in question["tests"] if test["measure"] == "average_precision"]
        ps = []
        for test in tests:
            arm, control = values[test["space"]], values[test["against"]]
            again = compare(arm[None], control[None], groups)
            assert test["difference"] == pytest.approx(again.difference, abs=1e-4)
            assert (test["n"], test["groups"]) == (again.n, again.n_groups)
            ps.append(again.p_value)
        assert [test["p_holm"] for test in tests] == pytest.approx(holm(ps))

    def test_each_encoder_is_compared_with_the_best_baseline_and_each_other(self, made_home):
        (section,) = report_of(made_home).sections
        question = question_of(section, HELD_OUT, "label")
        rows = {row["space"]: row for row in question["rows"]}
        assert set(rows) == SERVED
        assert {name for name, row in rows.items() if row["baseline"]} == {
            BASELINE,
            "mel-statistics",
        }
        for measure in ("precision", "average_precision"):
            best = max((BASELINE, "mel-statistics"), key=lambda one: rows[one][measure]["mean"])
            tests = [test for test in question["tests"] if test["measure"] == measure]
            against = {test["space"] for test in tests if test["against"] == best}
            assert against == {TRAINED, UNTRAINED}
            assert all(test["against_baseline"] == (test["against"] == best) for test in tests)
            pairs = {(TRAINED, UNTRAINED)} if measure == "average_precision" else set()
            others = {tuple(sorted((t["space"], t["against"]))) for t in tests
                      if t["against"] != best}  # fmt: skip
            assert others == pairs

    def test_the_random_ranking_is_the_mean_over_random_rankings(self, made_home, queries):
        (section,) = report_of(made_home).sections
        row = question_of(section, ALL, "label")["rows"][0]
        recordings = recordings_of(made_home)
        label, group = recordings.table["labels"].to_list(), recordings.groups
        rng, precisions, averages = np.random.default_rng(0), [], []
        rows = {path: i for i, path in enumerate(recordings.table["path"])}
        asked = queries.filter(pl.col("space") == BASELINE, pl.col("ranking") == "cosine")
        for path in asked.drop_nulls("label_precision")["path"]:
            query = rows[path]
            judged = [i for i in range(len(label)) if label[i] and group[i] != group[query]]
            right = np.array([label[i] == label[query] for i in judged])
            for _ in range(100):
                drawn = rng.permutation(right)
                precisions.append(drawn[:10].mean())
                averages.append(average_precision_score(drawn, -np.arange(len(drawn))))
        assert row["precision"]["random"] == pytest.approx(np.mean(precisions), abs=0.01)
        assert row["average_precision"]["random"] == pytest.approx(np.mean(averages), abs=0.01)


class TestHeldOut:
    def test_an_encoder_is_measured_only_with_groups_it_was_not_trained_with(
        self, made_home, queries
    ):
        table = Snapshot.current(made_home.store, "genres").table()
        parts = table.filter(pl.col("split").is_in(["train", "validation"]))
        seen = set(table.filter(pl.col("group").is_in(parts["group"].to_list()))["track_id"])
        columns = [name for name in queries.columns if name.endswith("precision")]
        of_trained = queries.filter(pl.col("space") == TRAINED)
        measured = of_trained.filter(pl.any_horizontal(pl.col(columns).is_not_null()))
        assert measured.height
        assert not seen & set(measured["track_id"])
        others = queries.filter(pl.col("space") == UNTRAINED)
        others = others.filter(pl.any_horizontal(pl.col(columns).is_not_null()))
        assert seen & set(others["track_id"])

    def test_only_encoders_that_were_not_trained_here_have_all_recordings(self, made_home):
        (section,) = report_of(made_home).sections
        rows = question_of(section, ALL, "label")["rows"]
        assert {row["space"] for row in rows} == SERVED - {TRAINED}
        assert len({(row["n"], row["groups"]) for row in rows}) == 1  # all on the same queries
        held_out = question_of(section, HELD_OUT, "label")["rows"]
        assert len({(row["n"], row["groups"]) for row in held_out}) == 1
        assert {row["space"] for row in held_out if row["trained_here"]} == {TRAINED}
        test = Snapshot.current(made_home.store, "genres").part("test")
        assert held_out[0]["n"] <= test.height < rows[0]["n"]

    def test_the_facts_of_recommendations_ask_what_the_encoder_was_trained_with(
        self, made_home, monkeypatch
    ):
        """An index is no model: the tracks behind it are those of its encoder."""
        asked = []

        def note(store, references, snapshot, table, *, own_split):
            asked.extend(training_snapshots(store, references))
            return np.zeros(table.height, bool)

        monkeypatch.setattr(agreement, "seen_rows", note)
        lists = RecommendationLists.current(made_home.store, TRAINED)
        agreement.held_out_agreement(made_home.store, lists.spec, lists.table())
        assert [reference.partition for reference in asked] == ["genres"]


class TestLists:
    @pytest.mark.parametrize("encoder", sorted(SERVED))
    def test_the_occurrences_counted_again(self, made_home, encoder):
        report = report_of(made_home)
        lists = RecommendationLists.current(made_home.store, encoder)
        recordings = recordings_of(made_home)
        counts = dict.fromkeys(recordings.table["track_id"], 0)
        shown = lists.table().filter(pl.col("track_id").is_in(list(counts)))
        for other in shown["recommended_id"]:
            counts[recordings.table["track_id"][recordings.row_of[other]]] += 1
        table = read_table(report.artifact.folder / RECORDING_TABLE)
        table = table.filter(pl.col("encoder") == encoder)
        assert dict(table.select("track_id", "in_service").iter_rows()) == counts
        (facts,) = (one for one in report.sections[0]["lists"] if one["space"] == encoder)
        values = np.array(list(counts.values()))
        assert facts["in_service"]["coverage"] == pytest.approx((values > 0).mean(), abs=1e-4)
        assert facts["in_service"]["largest_hub"] == values.max()
        hub = facts["in_service"]["hub"]
        assert table.filter(pl.col("path") == hub)["in_service"].item() == values.max()

    @pytest.mark.parametrize("encoder", sorted(SERVED))
    def test_the_lists_by_cosine_counted_again(self, made_home, encoder):
        lists = RecommendationLists.current(made_home.store, encoder)
        recordings = recordings_of(made_home)
        index = lists.index.open()
        known = [one for one in index.track_ids if one in recordings.row_of]
        vectors = index.vectors(np.array([index.track_ids.index(one) for one in known]))
        by_cosine = near_lists(lists, recordings).by_cosine
        assert by_cosine is not None
        for row, track_id in enumerate(recordings.table["track_id"]):
            cosines = vectors.astype(np.float64) @ vectors[known.index(track_id)]
            near = []
            for i in np.argsort(-cosines, kind="stable"):
                recording = recordings.row_of[known[i]]
                if cosines[i] > 0 and recording not in (row, *near):
                    near.append(recording)
            expected = (near + [-1] * 10)[:10]
            assert sum(a != b for a, b in zip(by_cosine[row], expected, strict=True)) <= 2  # ties
        (section,) = report_of(made_home).sections
        (facts,) = (one for one in section["lists"] if one["space"] == encoder)
        figures = hubness(by_cosine, len(recordings))
        assert facts["cosine"]["largest_hub"] == figures.largest_hub
        assert facts["cosine"]["skewness"] == pytest.approx(figures.skewness, abs=1e-4)

    def test_a_copy_takes_no_place_of_its_own(self):
        near = np.array([[0, 3, 3, 1, 2], [1, 1, -1, -1, -1], [4, 0, 4, 0, 3]])
        first = _first_of_others(near, np.array([0, 1, 2]), 3)
        assert first.tolist() == [[3, 1, 2], [-1, -1, -1], [4, 0, 3]]

    def test_the_recommended_order_is_compared_with_that_by_cosine(self, made_home, queries):
        (section,) = report_of(made_home).sections
        for scope in section["scopes"]:
            rows = [row for row in scope["rescaling"] if row["measure"] == "precision"]
            assert rows[-1]["space"] == POOLED
            for row in rows[:-1]:
                values = queries.filter(pl.col("space") == row["space"])
                if scope["scope"] == HELD_OUT:
                    values = values.filter(pl.col("split") == "test")
                mean = dict(
                    values.group_by("ranking").agg(pl.col("label_precision").mean()).iter_rows()
                )
                difference = mean["in_service"] - mean["cosine"]
                assert row["difference"] == pytest.approx(difference, abs=1e-4)
                assert row["low"] <= row["difference"] <= row["high"]


class TestRecordings:
    def test_one_track_stands_for_all_copies(self, made_home):
        recordings = recordings_of(made_home)
        lists = RecommendationLists.current(made_home.store, BASELINE)
        assert set(recordings.row_of) == set(lists.scales()["track_id"])
        assert len(recordings) == len(set(recordings.row_of.values()))
        for row, track_id in enumerate(recordings.table["track_id"]):
            assert recordings.row_of[track_id] == row

    def test_the_queries_of_the_test_split_are_drawn_first(self, made_home):
        recordings = recordings_of(made_home)
        candidates = recordings.candidates()
        n_test = int(recordings.held_out[candidates].sum())
        few = recordings.draw(candidates, n_test - 1, seed=0)
        assert len(few) == n_test - 1
        assert recordings.held_out[few].all()
        more = recordings.draw(candidates, n_test + 2, seed=0)
        assert recordings.held_out[more].sum() == n_test
        assert set(few) < set(more)
        assert set(recordings.draw(candidates, n_test + 2, seed=1)) != set(more)
        assert recordings.draw(candidates, 10_000, seed=0).tolist() == candidates.tolist()

    def test_a_drawing_is_said_so(self, home_copy, monkeypatch):
        home = home_copy()
        monkeypatch.setattr(reports, "MOST_QUERIES", 5)
        artifact = make(home, RECOMMENDATION_REPORT, "all")
        (section,) = artifact.facts["sections"]
        assert section["queries"] == 5
        assert section["queries_before_drawing"] > 5
        caution = f"5 of {section['queries_before_drawing']} recordings were drawn as queries"
        assert caution in section["cautions"]

    def test_placeholders_are_no_artists_and_an_album_needs_its_artist(self):
        from melgraph.assets.recommendations.report.recordings import _with_keys

        table = pl.DataFrame(
            {
                "track_id": ["a", "b", "c", "d"],
                "path": ["a", "b", "c", "d"],
                "batch": ["1"] * 4,
                "artists": [["The Kinks"], ["Kinks, The", "Guest"], ["Unknown Artist"], None],
                "album": ["Face to Face", "Face To Face", "Face to Face", None],
                "labels": [["rock"], None, ["rock"], []],
                "split": ["test", None, None, None],
                "group": [7, None, None, None],
            },
            schema_overrides={"artists": pl.List(pl.String), "labels": pl.List(pl.String)},
        )
        keys = _with_keys(table)
        assert keys["artists"].to_list() == [["kinks"], ["kinks", "guest"], [], []]
        assert keys["albums"].to_list() == [["kinks/facetoface"]] * 2 + [[], []]
        assert keys["labels"].to_list() == [["rock"], [], ["rock"], []]
        assert keys["group"].n_unique() == 4


class TestBaselines:
    @pytest.fixture(scope="class")
    def without_baselines(
        self, made_home: MadeHome, tmp_path_factory: pytest.TempPathFactory
    ) -> MadeHome:
        home = copy_home(made_home, tmp_path_factory.mktemp("without"))
        in_service(home, UNTRAINED)
        make(home, RECOMMENDATION_REPORT, "all")
        return home

    def test_tabular_features_are_there_without_an_encoder_in_service(self, without_baselines):
        report = report_of(without_baselines)
        assert {r.asset for r in report.spec.inputs} == {"recommendations", "audio_features"}
        (section,) = report.sections
        rows = {row["space"]: row for row in question_of(section, ALL, "label")["rows"]}
        assert set(rows) == {UNTRAINED, FEATURES}
        assert rows[FEATURES]["baseline"]
        assert [one["space"] for one in section["lists"]] == [UNTRAINED]
        assert any("mel-statistics into service" in caution for caution in section["cautions"])
        (test,) = (
            test
            for test in question_of(section, ALL, "label")["tests"]
            if test["measure"] == "precision"
        )
        assert test["against"] == FEATURES

    def test_they_are_near_those_of_the_encoder(self, made_home, without_baselines):
        """The same features; only the standardisation and the rescaling differ."""
        both = [
            question_of(report_of(home).sections[0], ALL, "label")["rows"]
            for home in (made_home, without_baselines)
        ]
        names = {BASELINE, FEATURES}
        means = [row["average_precision"]["mean"] for rows in both for row in rows
                 if row["space"] in names]  # fmt: skip
        assert means[0] == pytest.approx(means[1], abs=0.1)

    def test_an_encoder_in_service_replaces_them(self, made_home):
        assert {r.asset for r in report_of(made_home).spec.inputs} == {"recommendations"}


class TestWithoutLabels:
    def test_artists_alone_are_judged_and_a_trained_encoder_is_not(self, made_home):
        several = RecommendationLists.all_current(made_home.store)
        recordings = Recordings.of(several, None)
        assert recordings.questions[0].name == "artist"
        assert not recordings.held_out.any()
        spaces = {one.name: space_in_service(one, recordings) for one in several}
        assert not spaces[TRAINED].unseen.any()
        assert spaces[UNTRAINED].unseen.all()

    def test_without_recommendations_there_is_no_report(self, home_copy):
        home = home_copy()
        in_service(home, "crnn-jamendo")
        with pytest.raises(UserError, match="no encoder in service has recommendations"):
            plan_recommendation_report(Context.open(home.home))


class TestSmallLibraries:
    @pytest.mark.parametrize("n_tracks", [0, 1, 2])
    def test_a_library_of_hardly_any_tracks_has_a_report(self, home_copy, monkeypatch, n_tracks):
        """One track alone has no scale, so no recording is left."""
        scales = RecommendationLists.scales

        def few(lists):
            return scales(lists).sort("track_id").head(n_tracks)

        home = home_copy()
        shutil.rmtree(home.home.artifacts / RECOMMENDATION_REPORT.name)
        monkeypatch.setattr(RecommendationLists, "scales", few)
        artifact = make(home, RECOMMENDATION_REPORT, "all")
        (section,) = artifact.facts["sections"]
        assert section["recordings"] == n_tracks
        assert len(section["lists"]) == len(SERVED)
        assert all(sentence for sentence in headlines(section))
        assert show(artifact)
        assert read_table(artifact.folder / QUERY_TABLE).height <= 2 * n_tracks * len(SERVED)


class TestText:
    def test_the_report_is_on_the_page_in_the_summary_and_in_the_ui(self, made_home):
        report = report_of(made_home)
        (section,) = report.sections
        shown = recommendation_reports(made_home.store, PAGES.plan(made_home.context, "all"))
        assert len(shown) == 1
        pages = made_home.store.need("pages", "all").folder
        page = (pages / "recommendations.html").read_text(encoding="utf-8")
        assert "How good the recommendations are" in page
        for encoder in SERVED:
            assert f"{encoder}" in page
        assert (pages / shown[0]["picture"]).resolve().is_file()
        summary = made_home.output_file.read_text()
        for sentence in headlines(section):
            assert f"recommendation report: {sentence}" in summary
        metadata = show(report.artifact)
        titles = [title_of(scope, q) for scope in section["scopes"] for q in scope["questions"]]
        assert {f"genres: {title}" for title in titles} <= set(metadata)

    def test_a_table_has_a_row_per_space_and_one_for_a_random_ranking(self, made_home):
        (section,) = report_of(made_home).sections
        rows = figure_rows(question_of(section, HELD_OUT, "label"), 10)
        assert [row["encoder"] for row in rows][-1] == "random ranking"
        assert len(rows) == len(SERVED) + 1
        assert any("(baseline)" in row["encoder"] for row in rows)
        assert any(row["encoder"] == f"{TRAINED} (trained here)" for row in rows)
        assert len({tuple(row) for row in rows}) == 1

    def test_one_group_is_no_measurement(self, made_home):
        (section,) = json.loads(json.dumps(report_of(made_home).sections))
        for scope in section["scopes"]:
            for question in scope["questions"]:
                for row in question["rows"]:
                    row |= {"n": 1, "groups": 1}
            for row in scope["rescaling"]:
                row |= {"n": 1, "groups": 1}
        *verdicts, reach = sentences(section)
        assert verdicts
        assert all("cannot be measured" in sentence for sentence in verdicts)
        assert reach.startswith("Lists of ")

    def test_the_json_file_has_the_facts(self, made_home):
        report = report_of(made_home)
        data = json.loads((report.artifact.folder / REPORT).read_text())
        assert data["sections"] == json.loads(json.dumps(report.sections))
        assert set(data["encoders"]) == SERVED
