"""The one way an asset makes, or finds, its artifact and tells Dagster about it."""

import base64
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from dagster import AssetExecutionContext, DataVersion, Failure, MaterializeResult, MetadataValue
from dagster._core.errors import DagsterUserCodeProcessError
from dagster._utils.error import SerializableErrorInfo

from melgraph.assets.settings import mlflow_url, pages_url
from melgraph.ml.errors import UserError
from melgraph.storage.artifacts import Artifact, ArtifactStore, Work
from melgraph.storage.errors import StorageError
from melgraph.storage.records import Reference, Spec

Write = Callable[[ArtifactStore, Work], None]
Metadata = dict[str, Any]
_MARKDOWN = re.compile(r"[\\`*_\[\]<>|~$]")


def materialize(
    context: AssetExecutionContext,
    store: ArtifactStore,
    spec: Spec,
    write: Write,
    show: Callable[[Artifact], Metadata],
) -> MaterializeResult:
    """Make the artifact of `spec` unless it is there already, and describe it to Dagster.

    Args:
        context: of the asset.
        store: where artifacts are kept.
        spec: all that decides the artifact's bytes.
        write: writes its files, facts and recordings.
        show: what is worth reading about it in the UI.
    """

    def write_with_run(work: Work) -> None:
        work.run["dagster"] = context.run_id  # MLflow is told of it while the work is written
        write(store, work)
        note_threads(work)

    with plain_failures():
        artifact, made = store.produce(spec, write_with_run)
        return result(artifact, made=made, show=show)


def note_threads(work: Work) -> None:
    """Note how many threads torch had: sums are split among them, and the last bit follows."""
    if torch := sys.modules.get("torch"):
        work.run["torch_threads"] = str(torch.get_num_threads())


def result(
    artifact: Artifact, *, made: bool, show: Callable[[Artifact], Metadata]
) -> MaterializeResult:
    """The MaterializeResult of an artifact that was made, or was there already."""
    outcome = "made" if made else "there already: nothing to do"
    metadata: Metadata = {
        "outcome": outcome,
        **{name: _rounded(value) for name, value in show(artifact).items()},
        "artifact": MetadataValue.path(artifact.location),
        "record": f"{artifact.reference} (digest {artifact.record.digest[:16]})",
    }
    told: MaterializeResult = MaterializeResult(
        asset_key=artifact.reference.asset,
        metadata=metadata,
        data_version=DataVersion(artifact.reference.version),
    )
    return with_mlflow_run(told, artifact.record.run)


def with_mlflow_run(result: MaterializeResult, run: Mapping[str, str | None]) -> MaterializeResult:
    """The result with a link to its MLflow run, where `run` (as of a record) names one."""
    if not run.get("mlflow"):
        return result
    shown = {**(result.metadata or {}), "mlflow run": mlflow_link(run) or run["mlflow"]}
    return result._replace(metadata=shown)


class PlainFailure(DagsterUserCodeProcessError, Failure):
    """A failure of which the UI shows the message alone.

    Of a `Failure`, Dagster shows every frame it went through, nearly all of them its own. What
    failed in another process is taken as it was told, and here that is the message, without frames.
    """

    def __init__(self, message: str) -> None:
        told = SerializableErrorInfo(message=message, stack=[], cls_name=None)
        super().__init__(message, user_code_process_error_infos=[told], allow_retries=False)


@contextmanager
def plain_failures() -> Iterator[None]:
    """A user's mistake fails the step with its message alone: no traceback, no retry."""
    try:
        yield
    except (UserError, StorageError) as error:
        raise PlainFailure(str(error)) from None


def picture(path: Path) -> Any:
    """A PNG file shown in the Dagster UI (which strips `<img>`, and renders `data:` images)."""
    return png(path.read_bytes(), path.stem)


def png(data: bytes, name: str) -> Any:
    """A PNG in memory, shown in the Dagster UI."""
    return MetadataValue.md(f"![{name}](data:image/png;base64,{base64.b64encode(data).decode()})")


def markdown_table(rows: Sequence[Mapping[str, object]]) -> Any:
    """A table shown in the Dagster UI."""
    if not rows:
        return MetadataValue.md("(none)")
    names = list(rows[0])
    lines = ["| " + " | ".join(names) + " |", "|" + " --- |" * len(names)]
    lines += ["| " + " | ".join(_cell(row[name]) for name in names) + " |" for row in rows]
    return MetadataValue.md("\n".join(lines))


def _cell(value: object) -> str:
    """A value as a cell: a dash for nothing, and no name of a file is taken for Markdown."""
    if value is None:
        return "-"
    return _MARKDOWN.sub(r"\\\g<0>", " ".join(str(_rounded(value)).split()))


def _rounded(value: Any) -> Any:
    """Four decimals are enough to read; the exact figure lies in the artifact."""
    return round(value, 4) if isinstance(value, float) else value


def mlflow_link(run: Mapping[str, str | None]) -> Any:
    """A link to the MLflow run, where `melgraph ui` serves MLflow; else None."""
    experiment, url = run.get("mlflow_experiment"), mlflow_url()
    if experiment is None or url is None:
        return None
    return MetadataValue.url(f"{url}/#/experiments/{experiment}/runs/{run['mlflow']}")


def page_link(page: str) -> Any:
    """A link to a page that `melgraph ui` serves."""
    return MetadataValue.url(f"{pages_url()}/pages/{page}")


def inputs_of(store: ArtifactStore, spec: Spec, asset: str) -> list[Artifact]:
    """The inputs of a spec that are of one asset, in order of partition."""
    references = sorted(reference for reference in spec.inputs if reference.asset == asset)
    return [store.get(reference) for reference in references]


def input_of(store: ArtifactStore, spec: Spec, asset: str) -> Artifact:
    """The one input of a spec that is of an asset."""
    (artifact,) = inputs_of(store, spec, asset)
    return artifact


def current_references(store: ArtifactStore, asset: str, prefix: str = "") -> list[Reference]:
    """The current version of every partition of an asset (whose name starts with `prefix`)."""
    partitions = (name for name in store.partitions(asset) if name.startswith(prefix))
    found = ((name, store.current_reference(asset, name)) for name in partitions)
    return [reference or store.need(asset, name).reference for name, reference in found]


# Of an older stage, these hold other facts than what shows them expects: made before an upgrade of
# melgraph, they are left out until they are materialized again.
OLDEST_SHOWN = {"evaluations": 2, "cluster_reports": 2}


def shown_references(store: ArtifactStore, asset: str) -> list[Reference]:
    """The current version of every partition of an asset, of those that can still be shown."""
    references = current_references(store, asset)
    oldest = OLDEST_SHOWN.get(asset)
    if oldest is None:
        return references
    return [r for r in references if store.get(r).record.spec.stage >= oldest]
