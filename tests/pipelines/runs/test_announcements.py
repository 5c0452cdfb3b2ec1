"""Artifacts that Dagster's database does not know are announced to it again."""

import shutil
from functools import partial
from pathlib import Path

import pytest
from dagster import AssetKey

from melgraph.assets.context import Context
from melgraph.assets.resources import HomeResource
from melgraph.assets.stages import MEL_SPECTROGRAMS, STAGES
from melgraph.assets.staleness import stale_artifacts
from melgraph.pipelines.deployment import build_definitions
from melgraph.pipelines.instance import open_instance
from melgraph.pipelines.runs.announcements import announce
from melgraph.storage.artifacts import Artifact
from melgraph.storage.home import Home
from melgraph.storage.records import RECORD_NAME, Reference
from tests.pipelines.dagster_staleness import stale_in_dagster

BATCH = "batch-000001"


def test_the_folder_of_dagster_is_removed(home_copy):
    home = home_copy()
    shutil.rmtree(home.home.dagster)
    ran = home.melgraph("run", "--library", str(home.library), "--experiment", "small-cnn")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "announcing" in ran.stdout
    assert "\n0 done, " in ran.stdout, "something was made again"
    definitions = build_definitions(home.context.specs, HomeResource(root=str(home.root)))
    with open_instance(home.home) as instance:
        assert announce(instance, home.context) == 0
        assert stale_in_dagster(instance, definitions) == {}
        assert instance.get_dynamic_partitions("track_batch") == [BATCH]
        assert instance.get_dynamic_partitions("study") == ["tiny"]
        for key in definitions.resolve_asset_graph().get_all_asset_keys():
            (event,) = instance.fetch_materializations(key, limit=1).records
            metadata = event.asset_materialization.metadata
            assert "cannot be shown" not in str(metadata["outcome"].value), key
        model = instance.get_latest_materialization_event(AssetKey("evaluations"))
        assert "accuracy" in str(model.asset_materialization.metadata)


@pytest.fixture
def context(tmp_path: Path) -> Context:
    (tmp_path / "songs").mkdir()
    return Context.open(Home(tmp_path / "home", str(tmp_path / "songs")).create())


def make(context: Context, asset: str, partition: str, *inputs: Reference, **config) -> Artifact:
    """An artifact without files."""
    spec = STAGES[asset].spec(partition, inputs, config)
    artifact, _ = context.store.produce(spec, lambda work: None)
    return artifact


def test_dagster_calls_stale_what_was_made_from_another_version(context):
    """Also if an artifact was made from a version that is current again, or no longer."""
    tracks = make(context, "tracks", BATCH).reference
    mel = make(context, "mel_spectrograms", BATCH, tracks).reference
    old = make(context, "datasets", "genres", tracks).reference
    model = make(context, "trained_models", "small-cnn", old, mel).reference
    make(context, "evaluations", "small-cnn", model, old, mel)
    new = make(context, "datasets", "genres", tracks, old, seed=1).reference
    other = make(context, "trained_models", "resnet18", new, mel).reference
    make(context, "evaluations", "resnet18", other, new, mel)
    definitions = build_definitions(context.specs, HomeResource(root=str(context.home.root)))
    of_model = {("trained_models", "small-cnn"), ("evaluations", "small-cnn")}
    of_other = {("trained_models", "resnet18"), ("evaluations", "resnet18")}
    with open_instance(context.home) as instance:
        stale = partial(stale_in_dagster, instance, definitions)
        assert announce(instance, context) == 7
        assert announce(instance, context) == 0
        assert stale().keys() == of_model
        assert set(map(tuple, stale().values())) == {
            ("datasets has a new dependency data version",)
        }
        context.store.set_current(old)
        assert announce(instance, context) == 1
        assert stale().keys() == of_other
        context.store.set_current(new)
        assert announce(instance, context) == 1
        assert stale().keys() == of_model


def test_what_cannot_be_shown_is_listed_all_the_same(context):
    make(context, "tracks", BATCH)
    with open_instance(context.home) as instance:
        assert announce(instance, context) == 1
        event = instance.get_latest_materialization_event(AssetKey("tracks"))
    assert "cannot be shown" in event.asset_materialization.metadata["outcome"].value


def test_a_damaged_record_keeps_no_other_artifact_from_dagster(context):
    tracks = make(context, "tracks", BATCH).reference
    damaged = make(context, "mel_spectrograms", BATCH, tracks).reference
    make(context, "audio_fingerprints", BATCH, damaged)
    (context.store.folder(damaged) / RECORD_NAME).write_text("{")
    with open_instance(context.home) as instance:
        announce(instance, context)
        known = {key.to_user_string() for key in instance.get_asset_keys()}
    assert known == {"tracks", "audio_fingerprints"}
    reasons = {one.reference: one.reasons for one in stale_artifacts(context)}
    assert "the record cannot be read" in reasons[damaged][0]


def test_new_edges_of_the_graph_are_announced(context):
    """Dagster would call everything stale whose asset has lost or gained an edge by an upgrade."""
    tracks = make(context, "tracks", BATCH).reference
    make(context, "mel_spectrograms", BATCH, tracks)
    with open_instance(context.home) as instance:
        before = MEL_SPECTROGRAMS.reads
        object.__setattr__(MEL_SPECTROGRAMS, "reads", (*before, "duplicates"))
        try:
            announce(instance, context)
        finally:
            object.__setattr__(MEL_SPECTROGRAMS, "reads", before)
        definitions = build_definitions(context.specs, HomeResource(root=str(context.home.root)))
        removed = stale_in_dagster(instance, definitions)
        assert removed == {
            ("mel_spectrograms", BATCH): ["duplicates removed dependency on duplicates"]
        }
        assert announce(instance, context) == 1
        assert stale_in_dagster(instance, definitions) == {}
