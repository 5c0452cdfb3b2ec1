"""Materialize an asset: plan the artifact, write it unless it exists, describe it to Dagster."""

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import groupby
from typing import Any

from dagster import (
    AssetExecutionContext,
    AssetsDefinition,
    DataVersion,
    Failure,
    MaterializeResult,
    asset,
)
from dagster._core.errors import DagsterUserCodeProcessError
from dagster._utils.error import SerializableErrorInfo

from melgraph.assets.context import Context
from melgraph.assets.partitions import partition_of
from melgraph.assets.resources import HomeResource
from melgraph.assets.stage import Metadata, Stage, Write
from melgraph.assets.ui import markdown_table, mlflow_link, page_link, rounded
from melgraph.ml.errors import UserError
from melgraph.storage.artifacts import Artifact, ArtifactStore, Work
from melgraph.storage.errors import StorageError
from melgraph.storage.licences import recorded_licences
from melgraph.storage.records import Reference, Spec

SHOWN_INPUTS = 5  # artifacts of one asset that the metadata name


def stage_asset(
    stage: Stage,
) -> Callable[[Callable[..., MaterializeResult[None]]], AssetsDefinition]:
    """Dagster's decorator `@asset`, with the arguments that the stage determines."""
    define: Callable[[Callable[..., Any]], AssetsDefinition] = asset(**stage.options())
    return define


def materialize(
    context: AssetExecutionContext, home: HomeResource, stage: Stage
) -> MaterializeResult[None]:
    """Plan the artifact of the run's partition, write it unless it exists, and describe it.

    Args:
        context: the Dagster context of the run.
        home: the home that receives the artifact.
        stage: the stage of the asset.
    """
    with plain_failures():
        home_context = home.context()
        spec = stage.plan(home_context, partition_of(context))
    return produce(context, home_context, stage, spec)


def produce(
    context: AssetExecutionContext,
    home_context: Context,
    stage: Stage,
    spec: Spec,
    write: Write | None = None,
) -> MaterializeResult[None]:
    """Write the artifact of `spec` unless it exists, and describe it to Dagster.

    Args:
        context: the Dagster context of the run.
        home_context: the context of the home.
        stage: the stage of the asset.
        spec: the spec of the artifact.
        write: writes files, facts and recordings; None for the write function of the stage.
    """

    def write_with_run(work: Work) -> None:
        work.run["dagster"] = context.run_id  # now: the MLflow run needs it during the work
        (write or stage.write)(home_context.store, work)
        note_threads(work)

    with plain_failures():
        artifact, is_new = home_context.store.produce(spec, write_with_run)
        return describe(artifact, stage, is_new=is_new)


def note_threads(work: Work) -> None:
    """Record the number of torch threads: it decides how sums are split, and so their last bit."""
    if torch := sys.modules.get("torch"):
        work.run["torch_threads"] = str(torch.get_num_threads())


def describe(artifact: Artifact, stage: Stage, *, is_new: bool) -> MaterializeResult[None]:
    """The MaterializeResult of an artifact, new or existing."""
    metadata: Metadata = {
        "outcome": "computed and stored" if is_new else "existed already, so nothing was computed",
        **{name: rounded(value) for name, value in stage.show(artifact).items()},
        "artifact": _place(artifact),
        "record": f"{artifact.reference} (digest {artifact.record.digest[:16]})",
    }
    if stage.method is not None:
        metadata["listen"] = page_link(f"sounds.html#recipe-{artifact.reference.partition}")
    if artifact.record.spec.inputs:
        metadata["made from"] = markdown_table(_input_rows(artifact, stage))
    if licences := recorded_licences(artifact.record):
        metadata["licences of weights"] = markdown_table(
            [{key: entry[key] for key in entry if key != "sha256"} for entry in licences]
        )
    result: MaterializeResult[None] = MaterializeResult(
        asset_key=artifact.reference.asset,
        metadata=metadata,
        data_version=DataVersion(artifact.reference.version),
    )
    return with_mlflow_run(result, artifact.record.run)


def _input_rows(artifact: Artifact, stage: Stage) -> list[Metadata]:
    """The direct inputs of an artifact by asset, also those that the asset graph does not draw."""
    rows = []
    by_asset = sorted(artifact.record.spec.inputs)
    for name, references in groupby(by_asset, key=lambda reference: reference.asset):
        inputs = [f"{r.partition} ({r.version[:8]})" for r in references]
        listed = ", ".join(inputs[:SHOWN_INPUTS]) + (" ..." if len(inputs) > SHOWN_INPUTS else "")
        drawn = "yes" if name in stage.reads else "no"
        rows.append({"asset": name, "count": len(inputs), "inputs": listed, "edge drawn": drawn})
    return rows


def _place(artifact: Artifact) -> str:
    """Where the artifact is: in the home, so that the entry is right after the home was moved."""
    in_bucket = artifact.bucket is not None
    return artifact.location if in_bucket else f"artifacts/{artifact.reference} in the home"


def with_mlflow_run(
    result: MaterializeResult[None], run: Mapping[str, str | None]
) -> MaterializeResult[None]:
    """The result with a link to its MLflow run, if `run` (from a record) names one."""
    if not run.get("mlflow"):
        return result
    return with_metadata(result, {"mlflow run": mlflow_link(run) or run["mlflow"]})


def with_metadata(result: MaterializeResult[None], metadata: Metadata) -> MaterializeResult[None]:
    """The result with additional metadata."""
    return result._replace(metadata={**(result.metadata or {}), **metadata})


class PlainFailure(DagsterUserCodeProcessError, Failure):
    """A failure for which the UI shows only the message.

    For a `Failure`, Dagster shows a traceback that consists mostly of its own frames. For an error
    of another process, it shows what that process reported. This class therefore presents itself as
    such an error, and reports the message without frames. It uses two private classes of Dagster:
    tests/assets/test_dagster_interfaces.py says what to do if an upgrade changes them.
    """

    def __init__(self, message: str) -> None:
        error = SerializableErrorInfo(message=message, stack=[], cls_name=None)
        super().__init__(message, user_code_process_error_infos=[error], allow_retries=False)


@contextmanager
def plain_failures() -> Iterator[None]:
    """A UserError or StorageError fails the step with only its message, and without a retry."""
    try:
        yield
    except (UserError, StorageError) as error:
        raise PlainFailure(str(error)) from None


def inputs_of(store: ArtifactStore, spec: Spec, stage: Stage) -> list[Artifact]:
    """The inputs of a spec that belong to a stage, sorted by partition."""
    return [store.get(reference) for reference in sorted(filter(stage.owns, spec.inputs))]


def input_of(store: ArtifactStore, spec: Spec, stage: Stage) -> Artifact:
    """The only input of a spec that belongs to a stage."""
    (artifact,) = inputs_of(store, spec, stage)
    return artifact


def current_references(store: ArtifactStore, stage: Stage, prefix: str = "") -> list[Reference]:
    """The current version of every partition whose name starts with `prefix`."""
    return [
        store.current_reference(stage.name, name) or store.need(stage.name, name).reference
        for name in store.partitions(stage.name)
        if name.startswith(prefix)
    ]


def readable_references(store: ArtifactStore, stage: Stage) -> list[Reference]:
    """The current version of every partition, unless it is too old to be shown.

    Of sounds on request, a partition whose folder a user has removed is left out: no run can make
    it again.
    """
    if not stage.is_planned:
        named = (store.current_reference(stage.name, name) for name in store.partitions(stage.name))
        return [reference for reference in named if reference is not None]
    references = current_references(store, stage)
    if stage.oldest_readable == 1:
        return references
    return [r for r in references if store.get(r).record.spec.stage >= stage.oldest_readable]


def all_current(store: ArtifactStore, specs: Sequence[Spec]) -> bool:
    """Whether the artifact of each spec exists and is the current version of its partition."""
    return all(
        store.current_reference(spec.asset, spec.partition) == spec.reference for spec in specs
    )
