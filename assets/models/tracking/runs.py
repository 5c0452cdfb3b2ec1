"""The contents of an MLflow run: settings, curves, dataset, environment and provenance."""

import hashlib
import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from melgraph.assets.dataset.snapshot import Snapshot
from melgraph.assets.settings import dagster_url
from melgraph.assets.stages import DATASETS, GENERATIVE_MODELS
from melgraph.assets.ui import licence_text
from melgraph.storage.artifacts import ArtifactStore, Work
from melgraph.storage.environment import environment

LONGEST = 500  # characters of a parameter
LONGEST_TAG = 5000  # characters of a tag, which every MLflow server accepts
BATCH = 1000  # metrics in one request: the limit of the MLflow server
NOT_KEPT = ("epoch", "seconds", "crops_per_second")  # of an epoch, not of its weights
RECORD_TAG, NOTE_TAG = "melgraph.record", "mlflow.note.content"


def describe_run(client: Any, run_id: str, store: ArtifactStore, work: Work) -> None:
    """Log what is known before a training: its settings, provenance and dataset.

    Args:
        client: an `MlflowClient`.
        run_id: of the run.
        store: of the artifacts that it is trained on.
        work: of the trained model or trial.
    """
    snapshot = snapshot_of(store, work)
    settings = {"seed": work.spec.seed, **flatten(work.spec.config)}
    client.log_batch(run_id, params=_parameters(settings), tags=_tags(store, work, snapshot))
    if snapshot is not None:
        is_generative = GENERATIVE_MODELS.owns(work.spec.reference)  # it uses the train side only
        parts = ("train",) if is_generative else ("train", "validation")
        client.log_inputs(run_id, _dataset_inputs(snapshot, parts))


def log_figures(client: Any, run_id: str, figures: Mapping[str, float], at_ms: int) -> None:
    """Log figures that are not of one epoch.

    Args:
        client: an `MlflowClient`.
        run_id: of the run.
        figures: value by name.
        at_ms: time of the figures, in milliseconds since 1970.
    """
    from mlflow.entities import Metric

    metrics = [Metric(name, float(value), at_ms, 0) for name, value in figures.items()]
    log_metrics(client, run_id, metrics)


def log_environment(
    client: Any, run_id: str, work: Work, recorded_environment: Mapping[str, Any] | None = None
) -> None:
    """Log the packages, the device and the number of threads of a training.

    Args:
        client: an `MlflowClient`.
        run_id: of the run.
        work: of the trained model or trial.
        recorded_environment: the environment in which it was trained; None for the current one.
    """
    recorded_environment = recorded_environment or environment()
    packages = recorded_environment.get("packages", {})
    facts = {name: packages.get(name) for name in ("torch", "numpy")}
    facts |= {name: recorded_environment.get(name) for name in ("python", "platform", "git_commit")}
    facts |= _machine(work)
    parameters = _parameters({f"environment.{name}": value for name, value in facts.items()})
    client.log_batch(run_id, params=parameters)
    client.log_dict(run_id, {**recorded_environment, **_machine(work)}, "environment.json")


def log_metrics(client: Any, run_id: str, metrics: Sequence[Any]) -> None:
    """Log MLflow metrics, in requests of a size that the server accepts."""
    for start in range(0, len(metrics), BATCH):
        client.log_batch(run_id, metrics=metrics[start : start + BATCH])


def metrics_of(curves: Sequence[Mapping[str, Any]], prefix: str, at_ms: int) -> list[Any]:
    """The figures of each epoch as MLflow metrics."""
    from mlflow.entities import Metric

    return [
        Metric(prefix + name, float(value), at_ms, int(row["epoch"]))
        for row in curves
        for name, value in row.items()
        if _is_number(value) and name != "epoch"
    ]


def kept_figures(curves: Sequence[Mapping[str, Any]], best_epoch: int) -> dict[str, float]:
    """The figures of the epoch whose weights are the model, without times, and its number.

    The last values of the curves are those of the last epoch, whose weights are often discarded.
    """
    row = row_of(curves, best_epoch)
    figures = {n: v for n, v in row.items() if _is_number(v) and n not in NOT_KEPT}
    return {**figures, "best_epoch": best_epoch, "epochs": len(curves)}


def row_of(curves: Sequence[Mapping[str, Any]], epoch: int) -> Mapping[str, Any]:
    """The figures of an epoch."""
    (row,) = [row for row in curves if row["epoch"] == epoch]
    return row


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def snapshot_of(store: ArtifactStore, work: Work) -> Snapshot | None:
    """The dataset snapshot among the inputs; None if there is none or it was deleted."""
    artifacts = (store.find(r) for r in work.spec.inputs if DATASETS.owns(r))
    return next((Snapshot(store, artifact) for artifact in artifacts if artifact), None)


def split_id(table: pl.DataFrame) -> str:
    """A hash of the split of each track, in 16 hexadecimal digits.

    Only figures with the same hash can be compared.

    Args:
        table: with `track_id` and `split`; tracks without a split are ignored.
    """
    rows = table.filter(pl.col("split").is_not_null()).select("track_id", "split").sort("track_id")
    lines = "".join(f"{track_id} {split}\n" for track_id, split in rows.iter_rows())
    return hashlib.sha256(lines.encode()).hexdigest()[:16]


def flatten(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings as one mapping; the keys are paths such as `training.epochs`."""
    settings: dict[str, Any] = {}
    for key, value in config.items():
        if isinstance(value, Mapping):
            settings.update(flatten(value, f"{prefix}{key}."))
        else:
            settings[prefix + key] = list(value) if isinstance(value, tuple) else value
    return settings


def _parameters(settings: Mapping[str, Any]) -> list[Any]:
    """Settings as MLflow parameters."""
    from mlflow.entities import Param

    return [Param(name, str(value)[:LONGEST]) for name, value in settings.items()]


def _machine(work: Work) -> dict[str, Any]:
    """The device, and the number of torch threads, which affects the last bits of a result."""
    threads = work.run.get("torch_threads")
    if threads is None and (torch := sys.modules.get("torch")):
        threads = str(torch.get_num_threads())
    return {"device": work.run.get("device"), "torch_threads": threads}


def _tags(store: ArtifactStore, work: Work, snapshot: Snapshot | None) -> list[Any]:
    """The MLflow tags of a run: its record, its inputs, its Dagster run and a note."""
    from mlflow.entities import RunTag

    run, record = work.run.get("dagster"), str(work.spec.reference)
    inputs: dict[str, list[str]] = {}
    for reference in sorted(work.spec.inputs):
        inputs.setdefault(f"melgraph.input.{reference.asset}", []).append(str(reference))
    tags = {name: ", ".join(batches)[:LONGEST_TAG] for name, batches in inputs.items()}
    tags |= {RECORD_TAG: record, "dagster.run_id": str(run)}
    title = str(work.spec.config.get("title", work.spec.partition))
    note = [f"**{title}**", f"Record: `{record}` (`melgraph audit` shows its provenance)"]
    if snapshot is not None:
        tags["melgraph.split"] = split_id(snapshot.table())
        note.append(f"Dataset: `{snapshot.reference}`, split `{tags['melgraph.split']}`")
    if licences := licence_text(store, work):
        tags["melgraph.licences"] = licences
        note.append(f"Licences of the weights it follows from: {licences}")
    if run:
        tags["dagster.url"] = f"{dagster_url()}/runs/{run}"
        note.append(f"Dagster: {dagster_link(run)}")
    tags[NOTE_TAG] = "\n\n".join(note)
    return [RunTag(name, value) for name, value in tags.items()]


def dagster_link(run: str) -> str:
    """A link to a Dagster run, in Markdown."""
    return f"[run {run[:8]}]({dagster_url()}/runs/{run})"


def _dataset_inputs(snapshot: Snapshot, parts: Sequence[str]) -> list[Any]:
    """The training and the validation split as MLflow datasets.

    Each split has a name of its own, because MLflow stores one context per name and digest.
    """
    from mlflow.entities import Dataset, DatasetInput, InputTag

    reference, artifact = snapshot.reference, snapshot.artifact
    source = {"record": str(reference)}
    if artifact.bucket is not None:  # a path of the home would be wrong after the home is moved
        source["uri"] = artifact.location
    sizes = snapshot.table()["split"].value_counts()
    inputs = []
    for part, tracks in sorted(sizes.drop_nulls().iter_rows()):
        if part not in parts:
            continue
        dataset = Dataset(
            name=f"{reference.partition}/{part}",
            digest=reference.version,
            source_type="melgraph",
            source=json.dumps(source),
            profile=json.dumps(
                {"num_rows": tracks, "policy": snapshot.policy, "classes": snapshot.classes}
            ),
        )
        inputs.append(DatasetInput(dataset, [InputTag("mlflow.data.context", part)]))
    return inputs
