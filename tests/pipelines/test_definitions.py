"""The asset graph, under a snapshot: a change of it shows in the diff of `asset_graph.json`."""

import ast
import difflib
import inspect
import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from dagster import (
    DefaultSensorStatus,
    DynamicPartitionsDefinition,
    MaterializeResult,
    MultiPartitionsDefinition,
    PartitionsDefinition,
)

from melgraph.pipelines.definitions import defs
from tests.conftest import PATIENCE_S

ROOT = Path(__file__).parents[2]
SNAPSHOT = Path(__file__).with_name("asset_graph.json")
UPDATE = "MELGRAPH_UPDATE_SNAPSHOT"
GRAPH = defs.resolve_asset_graph()
NODES = [GRAPH.get(key) for key in sorted(GRAPH.get_all_asset_keys())]
each_asset = pytest.mark.parametrize("node", NODES, ids=lambda node: node.key.to_user_string())


def spell_partitions(definition: PartitionsDefinition | None) -> object:
    """The kind of the partitions, not the keys: users add specs of their own."""
    if isinstance(definition, MultiPartitionsDefinition):
        return {d.name: spell_partitions(d.partitions_def) for d in definition.partitions_defs}
    if isinstance(definition, DynamicPartitionsDefinition):
        return f"dynamic: {definition.name}"
    return None if definition is None else type(definition).__name__


def spell_asset(node) -> dict[str, object]:
    def mapping(key) -> str:
        found = node.partition_mappings.get(key)
        dimension = getattr(found, "partition_dimension_name", None)
        if found is None:
            return "(default)"
        return type(found).__name__ + (f" of {dimension}" if dimension else "")

    return {
        "group": node.group_name,
        "partitions": spell_partitions(node.partitions_def),
        "deps": {key.to_user_string(): mapping(key) for key in sorted(node.parent_keys)},
        "code_version": node.code_version,
        "kinds": sorted(node.kinds),
        "pools": sorted(node.pools),
        "checks": sorted(key.name for key in node.check_keys),
    }


def spell_graph() -> dict[str, object]:
    repository = defs.get_repository_def()
    jobs = (job for job in repository.get_all_jobs() if not job.name.startswith("__"))
    sensors = sorted(repository.sensor_defs, key=lambda sensor: sensor.name)
    return {
        "assets": {node.key.to_user_string(): spell_asset(node) for node in NODES},
        "jobs": {
            job.name: {
                "assets": sorted(
                    key.to_user_string() for key in job.asset_layer.selected_asset_keys
                ),
                "partitions": spell_partitions(job.partitions_def),
                "tags": {k: v for k, v in job.tags.items() if k.startswith("melgraph/")},
            }
            for job in sorted(jobs, key=lambda job: job.name)
        },
        "sensors": {
            sensor.name: {
                "type": sensor.sensor_type.value,
                "jobs": sorted(target.job_name for target in sensor.targets),
                "running": sensor.default_status is DefaultSensorStatus.RUNNING,
                "every_s": sensor.minimum_interval_seconds,
            }
            for sensor in sensors
        },
        "schedules": sorted(schedule.name for schedule in repository.schedule_defs),
    }


def test_the_graph_is_as_it_was():
    now = json.dumps(spell_graph(), indent=1) + "\n"
    if os.environ.get(UPDATE):
        SNAPSHOT.write_text(now)
    before = SNAPSHOT.read_text() if SNAPSHOT.exists() else ""
    if now != before:
        changes = difflib.unified_diff(
            before.splitlines(), now.splitlines(), SNAPSHOT.name, "the graph now", lineterm="", n=4
        )
        pytest.fail(
            "the asset graph has changed:\n"
            + "\n".join(changes)
            + f"\n\nIf that is meant, write the snapshot anew and commit it:"
            f"\n  {UPDATE}=1 pytest {Path(__file__).relative_to(ROOT)}",
            pytrace=False,
        )


@each_asset
def test_every_asset_says_what_it_is(node):
    assert len(node.description or "") > 40, "the docstring is what the UI shows"
    assert node.group_name != "default"
    assert re.fullmatch(r"[1-9]\d*", node.code_version or ""), "the asset's stage, as a string"


@each_asset
def test_every_asset_does_its_own_reading_and_writing(node):
    """Without the annotation Dagster's pickle IO manager would act."""
    function = node.assets_def.op.compute_fn.decorated_fn
    returned = inspect.signature(function).return_annotation
    assert MaterializeResult.__name__ in str(returned)
    assert node.io_manager_key == "io_manager"  # the default, which is never used


def test_every_job_and_sensor_says_what_it_does():
    repository = defs.get_repository_def()
    for thing in (*repository.get_all_jobs(), *repository.sensor_defs):
        assert thing.name.startswith("__") or len(thing.description or "") > 20, thing.name


def test_definitions_only_compose():
    path = ROOT / "pipelines" / "definitions.py"
    body = ast.parse(path.read_text()).body
    kinds = (ast.Import, ast.ImportFrom, ast.Assign, ast.Expr)
    assert all(isinstance(statement, kinds) for statement in body)
    assert len(path.read_text().splitlines()) < 80


def test_every_tool_loads_the_same_definitions():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]
    (workspace,) = yaml.safe_load((ROOT / "workspace.yaml").read_text())["load_from"]
    module, name = "melgraph.pipelines.definitions", "melgraph"
    assert workspace == {"python_module": {"module_name": module, "location_name": name}}
    assert project["dagster"] == {"module_name": module, "code_location_name": name}
    assert project["dg"]["project"]["code_location_target_module"] == module
    assert project["dg"]["project"]["code_location_name"] == name


def test_dagster_finds_the_definitions_valid(tmp_path):
    ran = subprocess.run(
        [sys.executable, "-m", "dagster", "definitions", "validate", "--log-level", "warning",
         "-w", str(ROOT / "workspace.yaml")],
        cwd=tmp_path, capture_output=True, text=True, timeout=PATIENCE_S,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    # The one warning allowed is about the name of the command itself.
    told = [line for line in ran.stderr.splitlines() if "Warning" in line or "WARNING" in line]
    assert [line for line in told if "definitions_validate_command" not in line] == []
