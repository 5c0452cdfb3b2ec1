"""What Dagster calls stale, and what the records say."""

from dagster import AssetKey

from melgraph.assets.resources import HomeResource
from melgraph.assets.stages import WAVEFORMS_32K, assets
from melgraph.assets.staleness import CHECK, stale_artifacts
from melgraph.pipelines.deployment import build_definitions
from melgraph.pipelines.instance import open_instance
from melgraph.pipelines.plan import Step
from melgraph.pipelines.runner import _execute
from tests.pipelines.dagster_staleness import stale_in_dagster

BATCH = "batch-000001"


def test_a_representation_on_demand_makes_nothing_stale_that_does_not_read_it(home_copy):
    home = home_copy()
    before = home.store.need(WAVEFORMS_32K.name, BATCH).reference
    (home.root / "specs" / "representations.toml").write_text(
        "[waveforms_32k]\nsample_rate = 24000\n"
    )
    assert [str(one.reference) for one in stale_artifacts(home.context)] == [str(before)]
    definitions = build_definitions(home.context.specs, HomeResource(root=str(home.root)))
    step = Step("representing", {"track_batch": BATCH}, assets=(WAVEFORMS_32K.name,))
    with open_instance(home.home) as instance:
        assert stale_in_dagster(instance, definitions) == {}
        assert _execute(definitions, instance, home.home, step) is None
        assert home.store.need(WAVEFORMS_32K.name, BATCH).reference != before
        assert stale_in_dagster(instance, definitions) == {}  # nothing here reads WAVEFORMS_32K
        checks = definitions.resolve_job_def("checking").execute_in_process(instance=instance)
    evaluations = checks.get_asset_check_evaluations()
    assert {(e.asset_key, e.check_name) for e in evaluations} == {
        (AssetKey(stage.name), CHECK) for stage in assets()
    }
    assert all(evaluation.passed for evaluation in evaluations)


def test_the_command_says_what_is_stale_and_why(home_copy, monkeypatch, capsys):
    from melgraph.pipelines.cli import main

    home = home_copy()
    monkeypatch.setenv("MELGRAPH_HOME", str(home.root))
    assert main(["stale"]) == 0
    assert "nothing is stale" in capsys.readouterr().out
    experiment = home.root / "specs" / "experiments" / "small-cnn.toml"
    experiment.write_text(experiment.read_text().replace("epochs = 2", "epochs = 3"))
    assert main(["stale"]) == 1
    said = capsys.readouterr().out
    assert "trained_models/small-cnn\n  training.epochs was 2 and is 3\n" in said
    follows = "it was made from trained_models small-cnn, which is stale"
    for reference in ("evaluations/small-cnn", "encoders/small-cnn", "dreams/deep-dream"):
        assert f"\n{reference}\n  {follows}" in said
    assert "encoders/mel-statistics" not in said
    assert "embeddings/mel-statistics" not in said


def test_nothing_is_called_stale_because_the_catalogue_was_lost(home_copy, monkeypatch, capsys):
    from melgraph.pipelines.cli import main

    home = home_copy()
    monkeypatch.setenv("MELGRAPH_HOME", str(home.root))
    home.home.catalogue.unlink()
    for _ in range(2):  # nor by the next command, because this one wrote an empty catalogue
        assert main(["stale"]) == 2
        said = capsys.readouterr()
        assert said.out == ""
        assert "the catalogue of the library was lost" in said.err
        assert "`melgraph run` rebuilds it" in said.err
    assert not home.home.catalogue.exists()
