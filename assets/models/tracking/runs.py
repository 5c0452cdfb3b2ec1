"""The contents of an MLflow run: settings, curves, dataset, environment and provenance."""

import hashlib
import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from melgraph.assets.dataset.snapshot import Snapshot
from melgraph.assets.settings import dagster_url
from melgraph.assets.stages import DATASETS
from melgraph.storage.artifacts import ArtifactStore, Work
from melgraph.storage.environment import environment

LONGEST = 500  # characters of a parameter
BATCH = 1000  # metrics in one request: the limit of the MLflow server


def write_run(
    client: Any,
    run_id: str,
    store: ArtifactStore,
    work: Work,
    curves: Mapping[str, Sequence[Mapping[str, Any]]],
    figures: Mapping[str, float],
    recorded_environment: Mapping[str, Any] | None = None,
) -> Snapshot | None:
    """Log everything but the model.

    Args:
        client: an `MlflowClient`.
        run_id: of the run.
        store: of the artifacts that it was trained on.
        work: of the trained model or trial.
        curves: prefix of the names -> one mapping of figures per epoch.
        figures: of the whole training or trial.
        recorded_environment: the environment in which it was trained; None for the current one.

    Returns:
        The dataset snapshot that it was trained on; None if its spec names none.
    """
    from mlflow.entities import Metric

    recorded_environment = recorded_environment or environment()
    snapshot = snapshot_of(store, work)
    metrics = [m for prefix, rows in curves.items() for m in metrics_of(rows, prefix)]
    metrics += [Metric(name, float(value), 0, 0) for name, value in figures.items()]
    for start in range(0, len(metrics), BATCH):
        client.log_batch(run_id, metrics=metrics[start : start + BATCH])
    parameters = _parameters(work, recorded_environment)
    client.log_batch(run_id, params=parameters, tags=_tags(work, snapshot))
    client.log_dict(run_id, {**recorded_environment, **_machine(work)}, "environment.json")
    if snapshot is not None:
        client.log_inputs(run_id, _dataset_inputs(snapshot))
    return snapshot


def metrics_of(curves: Sequence[Mapping[str, Any]], prefix: str = "") -> list[Any]:
    """The figures of each epoch as MLflow metrics."""
    from mlflow.entities import Metric

    return [
        Metric(prefix + name, float(value), 0, int(row["epoch"]))
        for row in curves
        for name, value in row.items()
        if isinstance(value, int | float) and not isinstance(value, bool) and name != "epoch"
    ]


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


def _parameters(work: Work, recorded_environment: Mapping[str, Any]) -> list[Any]:
    """The seed, all settings and the main facts of the environment as MLflow parameters."""
    from mlflow.entities import Param

    packages = recorded_environment.get("packages", {})
    settings = {"seed": work.spec.seed, **flatten(work.spec.config)}
    settings |= {f"environment.{name}": packages.get(name) for name in ("torch", "numpy")}
    names = ("python", "platform", "git_commit")
    settings |= {f"environment.{name}": recorded_environment.get(name) for name in names}
    settings |= {f"environment.{name}": value for name, value in _machine(work).items()}
    return [Param(name, str(value)[:LONGEST]) for name, value in settings.items()]


def _machine(work: Work) -> dict[str, Any]:
    """The device, and the number of torch threads, which affects the last bits of a result."""
    threads = work.run.get("torch_threads")
    if threads is None and (torch := sys.modules.get("torch")):
        threads = str(torch.get_num_threads())
    return {"device": work.run.get("device"), "torch_threads": threads}


def _tags(work: Work, snapshot: Snapshot | None) -> list[Any]:
    """The MLflow tags of a run: its record, its inputs, its Dagster run and a note."""
    from mlflow.entities import RunTag

    run, record = work.run.get("dagster"), str(work.spec.reference)
    tags = {f"melgraph.input.{r.asset}": str(r) for r in work.spec.inputs}
    tags |= {"melgraph.record": record, "dagster.run_id": str(run)}
    title = str(work.spec.config.get("title", work.spec.partition))
    note = [f"**{title}**", f"Record: `{record}` (`melgraph audit` shows its provenance)"]
    if snapshot is not None:
        tags["melgraph.split"] = split_id(snapshot.table())
        note.append(f"Dataset: `{snapshot.reference}`, split `{tags['melgraph.split']}`")
    if run and (url := dagster_url()):
        tags["dagster.url"] = f"{url}/runs/{run}"
        note.append(f"Dagster: [run {run[:8]}]({tags['dagster.url']})")
    elif run:
        note.append(f"Dagster: run `{run}`")
    tags["mlflow.note.content"] = "\n\n".join(note)
    return [RunTag(name, value) for name, value in tags.items()]


def _dataset_inputs(snapshot: Snapshot) -> list[Any]:
    """The training and the validation split as MLflow datasets.

    Each split has a name of its own, because MLflow stores one context per name and digest.
    """
    from mlflow.entities import Dataset, DatasetInput, InputTag

    reference = snapshot.reference
    sizes = snapshot.table()["split"].value_counts()
    inputs = []
    for part, tracks in sorted(sizes.drop_nulls().iter_rows()):
        if part not in ("train", "validation"):
            continue
        dataset = Dataset(
            name=f"{reference.partition}/{part}",
            digest=reference.version,
            source_type="melgraph",
            source=json.dumps({"uri": snapshot.artifact.location, "record": str(reference)}),
            profile=json.dumps(
                {"num_rows": tracks, "policy": snapshot.policy, "classes": snapshot.classes}
            ),
        )
        inputs.append(DatasetInput(dataset, [InputTag("mlflow.data.context", part)]))
    return inputs
