"""The table of stages: every function it names exists, and it agrees with Dagster's graph."""

import inspect
from collections.abc import Iterator
from fnmatch import fnmatch

import pytest
from dagster import AssetKey

from melgraph.assets.embeddings.encoders import encoder_representations
from melgraph.assets.stage import ONE
from melgraph.assets.stages import (
    AUDIO_FEATURES,
    EMBEDDINGS,
    ON_REQUEST,
    RECOMMENDATION_REPORT,
    REPRESENTATIONS,
    STAGES,
    TRAINED_MODELS,
    stages_of,
)
from melgraph.ml.specs import load_specs
from melgraph.pipelines.commands.run import default_experiments
from melgraph.pipelines.definitions import defs
from melgraph.pipelines.jobs import JOBS
from melgraph.storage.artifacts import Artifact, ArtifactStore
from melgraph.storage.home import Home

each_stage = pytest.mark.parametrize("stage", STAGES.values(), ids=STAGES)
NOT_SHIPPED = {"audio-features", "tiny-tagger"}  # encoders of the test home that read other assets
# made while another asset is materialized, or on request
INNER_STAGES = {"trials", "index_segments", "excerpts", "requested_sounds"}


@each_stage
def test_every_function_exists(stage):
    module = stage._functions
    write = inspect.signature(getattr(module, f"write_{stage.makes}"))
    assert list(write.parameters)[:2] == ["store", "work"]
    if stage.is_planned:
        plan = inspect.signature(getattr(module, f"plan_{stage.makes}"))
        assert next(iter(plan.parameters)) in ("context", "partition")
    if stage.has_show:
        assert callable(module.show)


@each_stage
def test_the_wing_is_the_folder_and_the_dagster_group(stage):
    assert f"melgraph.assets.{stage.wing}." in stage._functions.__name__ + "."
    if stage.job is not None:
        node = defs.resolve_asset_graph().get(AssetKey(stage.name))
        assert node.group_name == stage.wing
        assert node.code_version == str(stage.number)
        assert {key.to_user_string() for key in node.parent_keys} == set(stage.reads)


def test_a_stage_reads_only_stages_above_it_in_the_table():
    order = list(STAGES)
    for name, stage in STAGES.items():
        assert all(order.index(read) < order.index(name) for read in stage.reads)


def test_the_jobs_of_the_stages_are_those_of_dagster():
    assert {stage.job for stage in STAGES.values()} - {None} == set(JOBS)
    assert all(stages_of(job) for job in JOBS)
    assert {name for name, stage in STAGES.items() if stage.job is None} == INNER_STAGES


def direct_inputs(store: ArtifactStore, artifact: Artifact) -> Iterator[str]:
    """The assets that an artifact was made from, as Dagster could draw them."""
    for reference in artifact.record.spec.inputs:
        if STAGES[reference.asset].job is None:  # made inside of the asset
            yield from direct_inputs(store, store.get(reference))
        elif reference.asset != artifact.reference.asset:  # the parent of a snapshot
            yield reference.asset


def hidden_inputs(name: str) -> set[str]:
    """Assets to which the graph draws no edge from this one.

    The sounds and the evaluations of generative models are made on request themselves, and all of
    them need a generative model: there, the question of the UI is right.
    """
    return ON_REQUEST - {"generative_models"} if name in ON_REQUEST else ON_REQUEST


@each_stage
def test_the_graph_draws_what_the_shipped_specifications_use(made_home, stage):
    """No edge less, so that lineage is complete; and none more, or Dagster calls artifacts stale
    that never read what changed.
    """
    if stage.job is None:
        return
    store, inputs = made_home.store, set()
    for partition in store.partitions(stage.name):
        if partition.split("+")[0] not in NOT_SHIPPED:
            inputs |= set(direct_inputs(store, store.need(stage.name, partition)))
    if stage is RECOMMENDATION_REPORT:  # it reads them unless an encoder not shipped is in service
        inputs.add(AUDIO_FEATURES.name)
    assert inputs - hidden_inputs(stage.name) == set(stage.reads)


def test_the_shipped_specifications_read_the_representations_that_the_graph_draws(tmp_path):
    """The home above has specifications of its own: these are the shipped ones, in a home without
    weights. An experiment that is trained only where weights are at hand draws no edge.
    """
    specs = load_specs()
    names, _ = default_experiments(Home(tmp_path / "home", str(tmp_path)))
    trained = {
        representation
        for name in names
        for representation in specs.experiments[name].input.representations(specs.taggers)
    }
    embedded = {r for name in specs.in_service for r in encoder_representations(specs, name)}
    assert trained == set(TRAINED_MODELS.reads) & set(REPRESENTATIONS)
    assert embedded == set(EMBEDDINGS.reads) & set(REPRESENTATIONS)


@each_stage
def test_no_asset_seems_to_need_what_is_made_on_request_only(stage):
    """For such an input the UI asks "Are you sure? Materializing these assets may fail because the
    upstream assets listed below have not been materialized yet".
    """
    assert not set(stage.reads) & hidden_inputs(stage.name)


@each_stage
def test_artifacts_hold_only_files_that_match_the_patterns(made_home, stage):
    partitions = made_home.store.partitions(stage.name)
    assert partitions
    for partition in partitions:
        for file in made_home.store.need(stage.name, partition).record.files:
            assert any(fnmatch(file, pattern) for pattern in stage.files), file


def test_only_these_stages_are_unpartitioned():
    assert {stage.name for stage in STAGES.values() if not stage.partitioned_by} == {
        "duplicates", "leaderboard", "recommendation_report", "generation_report", "pages",
        *INNER_STAGES,
    }  # fmt: skip
    assert ONE == "all"
