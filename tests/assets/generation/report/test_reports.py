import shutil
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from melgraph.assets.context import Context
from melgraph.assets.generation.report import judges as judging
from melgraph.assets.generation.report.figures import OWN, Verdicts, recipe_summary
from melgraph.assets.generation.report.measurements import Measurer, cases_of
from melgraph.assets.generation.report.reports import (
    TABLE,
    GenerationReport,
    plan_generation_report,
    show,
    sound_reports,
)
from melgraph.assets.generation.report.sets import set_distances
from melgraph.assets.generation.report.tables import set_rows
from melgraph.assets.generation.sounds import Sounds
from melgraph.assets.remaking import remake
from melgraph.assets.stages import GENERATION_REPORT, GENERATORS, TRAINED_MODELS
from melgraph.ml.errors import UserError
from melgraph.storage.tables import read_table
from tests.conftest import MadeHome, copy_home, write_spec

KINDS = ["sound", "matched noise", "identity edit", "inversion alone", "mp3 at 64 kbit/s",
         "random phase"]  # fmt: skip


@pytest.fixture(scope="module")
def judged(made_home: MadeHome, tmp_path_factory: pytest.TempPathFactory) -> MadeHome:
    """A home with a probe on a tagger, and a report by it."""
    home = copy_home(made_home, tmp_path_factory.mktemp("judged"))
    write_spec(
        home.home, "experiments", "probe-tiny", title="A probe: for tests", dataset="genres",
        input={"representation": "vectors", "sources": ["tiny"]}, folds=0,
        model={"architecture": "probe"}, training={"epochs": 1, "augment": []},
    )  # fmt: skip
    context = Context.open(home.home)
    for stage, name in ((TRAINED_MODELS, "probe-tiny"), (GENERATION_REPORT, "all")):
        spec = stage.plan(context, name)
        home.store.produce(spec, partial(stage.write, home.store))
    return home


def of_deep_dream(recipes: list[dict[str, Any]]) -> dict[str, Any]:
    """The summary of the dreams, which have no target."""
    return next(recipe for recipe in recipes if recipe["recipe"] == "deep-dream")


def test_the_report_of_a_home_without_independent_judges(made_home: MadeHome) -> None:
    report = GenerationReport.current(made_home.store, "all")
    assert [judge["name"] for judge in report.judges] == ["small-cnn"]
    assert report.judges[0]["champion"]
    recipe = of_deep_dream(report.recipes)
    assert [row["kind"] for row in recipe["rows"]] == KINDS
    by_kind = {row["kind"]: row for row in recipe["rows"]}
    assert all(row["judges"]["small-cnn"]["refusals"] == [OWN] for row in recipe["rows"])
    identity = by_kind["identity edit"]["figures"]
    assert identity["log_spectral_distance_db"]["mean"] < 0.1
    assert identity["chroma_correlation"]["mean"] > 0.999
    distances = [by_kind[kind]["figures"]["log_spectral_distance_db"]["mean"] for kind in KINDS[:2]]
    assert distances[0] == pytest.approx(distances[1], abs=0.3)  # noise is matched
    table = read_table(report.artifact.folder / TABLE)
    assert table.filter(pl.col("recipe") == "deep-dream")["kind"].to_list() == KINDS
    assert set(table["recipe"]) == {recipe["recipe"] for recipe in report.recipes}
    metadata = show(report.artifact)
    assert "There is no probe-musicnn and no probe-mn04" in str(metadata["absent judges"])


def test_a_probe_judges_and_its_own_training_songs_are_left_out(judged: MadeHome) -> None:
    report = GenerationReport.current(judged.store, "all")
    (probe,) = report.judges  # it is the champion now, so the small CNN is no judge
    assert probe["name"] == "probe-tiny"
    assert probe["champion"]
    assert probe["tagger"] == "tiny"
    assert "too few songs" in probe["cross_fitted"]
    recipe = of_deep_dream(report.recipes)
    for row in recipe["rows"]:
        assert row["judges"]["probe-tiny"]["judged"] == 1
    identity = next(row for row in recipe["rows"] if row["kind"] == "identity edit")
    change = identity["judges"]["probe-tiny"]["top_probability_change"]
    assert change["mean"] == pytest.approx(0, abs=1e-3)


def test_the_cache_of_songs_may_be_lost_or_damaged(judged: MadeHome, tmp_path: Path) -> None:
    artifact = judged.store.need("generation_report", "all")
    (cached,) = (judged.home.cache / "judges").iterdir()
    good = cached.read_bytes()
    for number, data in enumerate((None, b"", good[: len(good) // 2])):
        cached.unlink()
        if data is not None:
            cached.write_bytes(data)
        folder = tmp_path / str(number)
        folder.mkdir()
        assert remake(judged.store, artifact, folder) == []
        assert judging.Songs.load(cached) is not None


def test_a_target_is_judged_and_compared_with_real_recordings(
    judged: MadeHome, tmp_path: Path
) -> None:
    several = [s for s in Sounds.of_all_generators(judged.store) if s.name == "deep-dream"]
    cases = [replace(case, row={**case.row, "target": "country"}) for case in cases_of(several)]
    judges = judging.judges_of(judged.store, "genres")
    measurements = list(Measurer({"genres": judges}, tmp_path).measure(cases))
    verdicts = Verdicts(judges, measurements)
    summary = recipe_summary("deep-dream", measurements, verdicts)
    assert summary["targets"] == ["country"]
    assert summary["verdict"].startswith("No verdict: a verdict on")
    sound = summary["rows"][0]["judges"]["probe-tiny"]
    before, after = sound["target_before"]["mean"], sound["target_after"]["mean"]
    assert sound["target_change"]["mean"] == pytest.approx(after - before, abs=2e-4)
    rows = set_distances(measurements, judges)
    assert {row["embedding"] for row in rows} == {"tiny"}
    assert all(row.get("undetermined", True) for row in rows)
    assert len(set_rows({"sets": rows})) == len(rows)


def test_what_determines_the_report(judged: MadeHome) -> None:
    spec = plan_generation_report(Context.open(judged.home))
    assert spec == judged.store.need("generation_report", "all").record.spec
    assert {reference.asset for reference in spec.inputs} == {
        *(stage.name for stage in GENERATORS), "trained_models", "datasets", "waveforms"
    }  # fmt: skip
    assert spec.config == {"champions": ["probe-tiny"]}


def test_without_sounds(made_home: MadeHome, tmp_path: Path) -> None:
    home = copy_home(made_home, tmp_path)
    for stage in GENERATORS:
        shutil.rmtree(home.home.artifacts / stage.name)
    with pytest.raises(UserError, match="no sounds have been generated"):
        plan_generation_report(Context.open(home.home))


def test_the_table_of_single_sounds(judged: MadeHome) -> None:
    table = read_table(judged.store.need("generation_report", "all").folder / TABLE)
    assert set(table.filter(pl.col("kind") == "identity edit")["clipping_share"]) == {0.0}
    assert "probe-tiny: top_after" in table.columns
    assert "octave_1000_hz_db" in table.columns


def test_the_page(made_home: MadeHome, judged: MadeHome) -> None:
    html = (made_home.store.need("pages", "all").folder / "report.html").read_text()
    assert "<h1>Report on sounds</h1>" in html
    assert "The method has no target" in html
    assert "recipe or control" in html
    assert "matched noise (1)" in html
    assert "There is no probe-musicnn" in html
    spec = judged.store.need("generation_report", "all").record.spec
    (view,) = sound_reports(judged.store, replace(spec, inputs=(spec.reference,)))
    assert [row["judge"] for row in view["judges"]] == ["probe-tiny"]
    assert len(view["overview"]) == len(view["recipes"]) + len(KINDS) - 2  # sound and noise are one
    recipe = next(one for one in view["recipes"] if one["name"] == "deep-dream")
    assert recipe["size"].startswith("Sounds: 1; songs: 1; artists: 1; dataset: genres.")
    assert len(recipe["octaves"]) == len(recipe["rows"]) == len(KINDS)
