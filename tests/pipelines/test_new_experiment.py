"""A new experiment is one new file: nothing that is there changes, or goes stale."""

import os
import subprocess
import sys

from melgraph.storage.artifacts import ArtifactStore
from melgraph.storage.records import Reference

MINE = """\
extends = "small-cnn"
title = "Longer crops"
input = { crop_s = 2.0 }
"""
VERSIONS = """
from melgraph.pipelines.definitions import defs
for key in sorted(defs.resolve_asset_graph().get_all_asset_keys()):
    print(key.to_user_string(), defs.resolve_asset_graph().get(key).code_version)
"""


def current(store: ArtifactStore) -> dict[tuple[str, str], Reference]:
    return {
        (asset, name): store.current_reference(asset, name)
        for asset in store.assets()
        for name in store.partitions(asset)
    }


def code_versions(home) -> str:
    """As Dagster sees them, in a process of its own that reads the home's specs."""
    ran = subprocess.run(
        [sys.executable, "-c", VERSIONS], capture_output=True, text=True, check=True,
        env={**os.environ, "MELGRAPH_HOME": str(home.root)},
    )  # fmt: skip
    return ran.stdout


def test_one_new_file_is_one_new_experiment_and_nothing_else_moves(home_copy):
    home = home_copy()
    before, versions = current(home.store), code_versions(home)
    (home.root / "specs" / "experiments" / "mine.toml").write_text(MINE)
    assert code_versions(home) == versions
    ran = home.melgraph("run", "--library", str(home.library))
    assert ran.returncode == 0, ran.stdout + ran.stderr
    after = current(home.store)
    new = after.keys() - before.keys()
    assert new == {("trained_models", "mine"), ("evaluations", "mine")}
    moved = {key for key in before if after[key] != before[key]}
    expected = {("leaderboard", "all"), ("pages", "all")}  # which show the new one
    if home.store.need("generation_report", "all").record.spec.config["champions"] == ["mine"]:
        expected.add(("generation_report", "all"))  # the champion judges the sounds
    assert moved == expected
    board = home.store.need("leaderboard", "all").facts["rows"]
    assert {row["experiment"] for row in board} == {"mine", "small-cnn"}
    assert all(row["looks"]["evaluation"] == 2 for row in board)  # told of both
    again = home.melgraph("run", "--library", str(home.library))
    assert current(home.store) == after, again.stdout
