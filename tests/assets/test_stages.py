"""The table of stages: every function it names exists, and it agrees with Dagster's graph."""

import inspect
from fnmatch import fnmatch

import pytest
from dagster import AssetKey

from melgraph.assets.stage import ONE
from melgraph.assets.stages import STAGES, stages_of
from melgraph.pipelines.definitions import defs
from melgraph.pipelines.jobs import JOBS

each_stage = pytest.mark.parametrize("stage", STAGES.values(), ids=STAGES)
# made while another asset is materialized
INNER_STAGES = {"trials": "study_reports", "index_segments": "recommendation_indexes"}


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
    assert {name for name, stage in STAGES.items() if stage.job is None} == set(INNER_STAGES)


@each_stage
def test_artifacts_hold_only_files_that_match_the_patterns(made_home, stage):
    partitions = made_home.store.partitions(stage.name)
    assert partitions
    for partition in partitions:
        for file in made_home.store.need(stage.name, partition).record.files:
            assert any(fnmatch(file, pattern) for pattern in stage.files), file


def test_only_these_stages_are_unpartitioned():
    assert {stage.name for stage in STAGES.values() if not stage.partitioned_by} == {
        "duplicates", "leaderboard", "pages", *INNER_STAGES,
    }  # fmt: skip
    assert ONE == "all"
