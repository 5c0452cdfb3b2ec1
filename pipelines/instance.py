"""The Dagster instance of a home. Its settings are written once; the user may change them."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from melgraph.pipelines.runs.damage import explained_database, explained_settings
from melgraph.storage.home import Home, write_aside
from melgraph.storage.urls import unquoted_path

if TYPE_CHECKING:
    from dagster import DagsterInstance

# Without a `storage` section Dagster uses SQLite; several machines need Postgres.
DAGSTER_YAML = """\
# Written by melgraph; yours to change.
telemetry:
  enabled: false
nux:
  enabled: false        # no first-visit dialog
concurrency:
  runs:
    max_concurrent_runs: 2
    tag_concurrency_limits:
      - key: melgraph/exclusive
        limit: 1
        value:
          applyLimitPerUniqueValue: true
  pools:
    granularity: op     # without this, pool="gpu" limits nothing
    default_limit: 1
run_monitoring:
  enabled: true
  free_slots_after_run_end_seconds: 60
"""


def write_settings(home: Home) -> None:
    """Write `dagster.yaml` where there is none."""
    home.dagster.mkdir(parents=True, exist_ok=True)
    settings = home.dagster / "dagster.yaml"
    if not settings.exists():
        write_aside(settings, DAGSTER_YAML.encode())
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # as Dagster's, above


def prepare(home: Home) -> None:
    """Write `dagster.yaml` where there is none, and point this process at the home: for the
    processes that it starts, such as Dagster's servers.
    """
    write_settings(home)
    os.environ["DAGSTER_HOME"] = str(unquoted_path(home.dagster))
    os.environ["MELGRAPH_HOME"] = str(home.root)
    os.environ["MELGRAPH_LIBRARY"] = home.library
    if home.artifact_store is not None:
        os.environ["MELGRAPH_STORE"] = home.artifact_store
    os.environ["MELGRAPH_LABEL_LEVEL"] = str(home.label_level or "none")


@contextmanager
def open_instance(home: Home) -> Iterator["DagsterInstance"]:
    """The instance; use it as a context manager. The environment names no home afterwards that it
    did not name before: one process can run two homes.

    Raises:
        StorageError: `dagster.yaml` or the database cannot be used, or became unusable meanwhile.
    """
    from dagster import DagsterInstance

    write_settings(home)
    with explained_database(home):
        with explained_settings(home):
            instance = DagsterInstance.from_config(str(unquoted_path(home.dagster)))
        with instance:
            yield instance
