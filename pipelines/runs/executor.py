"""The executor of all jobs: the one that the environment names, in a run that has an owner."""

import importlib
from collections.abc import Iterator
from typing import Any

from dagster import (
    Executor,
    ExecutorDefinition,
    InitExecutorContext,
    in_process_executor,
    multiprocess_executor,
)

from melgraph.assets.resources import HomeResource
from melgraph.assets.settings import executor_name
from melgraph.ml.errors import UserError
from melgraph.pipelines.runs.ownership import owned_run

# In one process, a run with small steps takes 0.2 s instead of 4 to 5 s.
BUILT_IN = {"in_process": in_process_executor, "multiprocess": multiprocess_executor}


class OwnedExecutor(Executor):
    """An executor whose process holds the lock of the run: see `ownership`."""

    def __init__(self, inner: Executor, home: HomeResource) -> None:
        self.inner, self.home = inner, home

    @property
    def retries(self) -> Any:
        """Those of the inner executor."""
        return self.inner.retries

    @property
    def step_dependency_config(self) -> Any:
        """That of the inner executor."""
        return self.inner.step_dependency_config

    def execute(self, plan_context: Any, execution_plan: Any) -> Iterator[Any]:
        """Execute the steps with the inner executor."""
        with owned_run(self.home.open(), plan_context.run_id):
            yield from self.inner.execute(plan_context, execution_plan)


def executor_of_environment(home: HomeResource) -> ExecutorDefinition:
    """The executor that `MELGRAPH_EXECUTOR` names, with its own configuration.

    Args:
        home: the home that holds the locks of the runs.

    Raises:
        UserError: the setting names no executor.
    """
    chosen = _named(executor_name())

    schema: Any = chosen.config_schema  # Dagster's annotation names only what users write by hand

    def create(context: InitExecutorContext) -> Executor:
        assert chosen.executor_creation_fn is not None, "it was checked when it was chosen"
        return OwnedExecutor(chosen.executor_creation_fn(context), home)

    return ExecutorDefinition(
        chosen.name,
        config_schema=schema,
        requirements=chosen.get_requirements,
        executor_creation_fn=create,
        description=chosen.description,
    )


def _named(setting: str) -> ExecutorDefinition:
    if setting in BUILT_IN:
        return BUILT_IN[setting]
    module, _, name = setting.partition(":")
    try:
        executor = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise _no_executor(setting, str(error)) from None
    if not isinstance(executor, ExecutorDefinition) or executor.executor_creation_fn is None:
        raise _no_executor(setting, f"it is a {type(executor).__name__}")
    return executor


def _no_executor(setting: str, why: str) -> UserError:
    return UserError(
        f"{setting!r} does not name a Dagster executor ({why})",
        where="MELGRAPH_EXECUTOR",
        remedy=f"use {' or '.join(BUILT_IN)}, or PACKAGE.MODULE:NAME of an ExecutorDefinition that "
        "can be imported, for example dagster_k8s:k8s_job_executor",
    )
