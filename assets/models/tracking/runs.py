"""What an MLflow run holds: recipe, curves, data, environment, and where it came from."""

import hashlib
import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from melgraph.assets.dataset.datasets import DATASETS, TABLE
from melgraph.assets.settings import current_home, dagster_url
from melgraph.storage.artifacts import Artifact, ArtifactStore, Work
from melgraph.storage.environment import environment
from melgraph.storage.tables import read_table

LONGEST = 500  # characters of a parameter
BATCH = 1000  # metrics in one request, as the MLflow server allows


def write_run(
    client: Any,
    run_id: str,
    work: Work,
    curves: Mapping[str, Sequence[Mapping[str, Any]]],
    figures: Mapping[str, float],
    made_in: Mapping[str, Any] | None = None,
) -> Artifact | None:
    """Log everything but the model.

    Args:
        client: an `MlflowClient`.
        run_id: of the run.
        work: what was made, or is in the making.
        curves: prefix of the names -> one mapping of figures per epoch.
        figures: of the whole.
        made_in: the environment it was made in; None for this one.

    Returns:
        The snapshot of the dataset it learned from; None where its spec names none.
    """
    from mlflow.entities import Metric

    made_in = made_in or environment()
    snapshot = snapshot_of(work)
    metrics = [m for prefix, rows in curves.items() for m in metrics_of(rows, prefix)]
    metrics += [Metric(name, float(value), 0, 0) for name, value in figures.items()]
    for start in range(0, len(metrics), BATCH):
        client.log_batch(run_id, metrics=metrics[start : start + BATCH])
    client.log_batch(run_id, params=_parameters(work, made_in), tags=_tags(work, snapshot))
    client.log_dict(run_id, {**made_in, **_machine(work)}, "environment.json")
    if snapshot is not None:
        client.log_inputs(run_id, _dataset_inputs(snapshot))
    return snapshot


def metrics_of(curves: Sequence[Mapping[str, Any]], prefix: str = "") -> list[Any]:
    """The numbers of each epoch, as MLflow's metrics."""
    from mlflow.entities import Metric

    return [
        Metric(prefix + name, float(value), 0, int(row["epoch"]))
        for row in curves
        for name, value in row.items()
        if isinstance(value, int | float) and not isinstance(value, bool) and name != "epoch"
    ]


def snapshot_of(work: Work) -> Artifact | None:
    """The snapshot of a dataset among the inputs."""
    store = ArtifactStore(current_home())
    found = (store.find(r) for r in work.spec.inputs if r.asset == DATASETS)
    return next((snapshot for snapshot in found if snapshot is not None), None)


def split_id(table: pl.DataFrame) -> str:
    """Which track is in which split, in 16 hexadecimal digits: what figures to compare must share.

    Args:
        table: with `track_id` and `split`; tracks without a split do not count.
    """
    sides = table.filter(pl.col("split").is_not_null()).select("track_id", "split").sort("track_id")
    lines = "".join(f"{track_id} {split}\n" for track_id, split in sides.iter_rows())
    return hashlib.sha256(lines.encode()).hexdigest()[:16]


def flat(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Every setting by its path: `training.epochs`."""
    found: dict[str, Any] = {}
    for key, value in config.items():
        if isinstance(value, Mapping):
            found.update(flat(value, f"{prefix}{key}."))
        else:
            found[prefix + key] = list(value) if isinstance(value, tuple) else value
    return found


def _parameters(work: Work, made_in: Mapping[str, Any]) -> list[Any]:
    from mlflow.entities import Param

    packages = made_in.get("packages", {})
    settings = {"seed": work.spec.seed, **flat(work.spec.config)}
    settings |= {f"environment.{name}": packages.get(name) for name in ("torch", "numpy")}
    settings |= {f"environment.{k}": made_in.get(k) for k in ("python", "platform", "git_commit")}
    settings |= {f"environment.{name}": value for name, value in _machine(work).items()}
    return [Param(name, str(value)[:LONGEST]) for name, value in settings.items()]


def _machine(work: Work) -> dict[str, Any]:
    """The device, and the threads among which torch splits its sums."""
    threads = work.run.get("torch_threads")
    if threads is None and (torch := sys.modules.get("torch")):
        threads = str(torch.get_num_threads())
    return {"device": work.run.get("device"), "torch_threads": threads}


def _tags(work: Work, snapshot: Artifact | None) -> list[Any]:
    from mlflow.entities import RunTag

    run, record = work.run.get("dagster"), str(work.spec.reference)
    tags = {f"melgraph.input.{r.asset}": str(r) for r in work.spec.inputs}
    tags |= {"melgraph.record": record, "dagster.run_id": str(run)}
    title = str(work.spec.config.get("title", work.spec.partition))
    note = [f"**{title}**", f"Record: `{record}` (`melgraph audit` tells where it came from)"]
    if snapshot is not None:
        tags["melgraph.split"] = split_id(read_table(snapshot.folder / TABLE))
        note.append(f"Dataset: `{snapshot.reference}`, split `{tags['melgraph.split']}`")
    if run and (url := dagster_url()):
        tags["dagster.url"] = f"{url}/runs/{run}"
        note.append(f"Dagster: [run {run[:8]}]({tags['dagster.url']})")
    elif run:
        note.append(f"Dagster: run `{run}`")
    tags["mlflow.note.content"] = "\n\n".join(note)
    return [RunTag(name, value) for name, value in tags.items()]


def _dataset_inputs(snapshot: Artifact) -> list[Any]:
    """One per split that training sees: MLflow keeps one context of a name and digest."""
    from mlflow.entities import Dataset, DatasetInput, InputTag

    reference, facts = snapshot.reference, snapshot.facts
    sizes = read_table(snapshot.folder / TABLE)["split"].value_counts()
    found = []
    for part, tracks in sorted(sizes.drop_nulls().iter_rows()):
        if part not in ("train", "validation"):
            continue
        dataset = Dataset(
            name=f"{reference.partition}/{part}",
            digest=reference.version,
            source_type="melgraph",
            source=json.dumps({"uri": snapshot.location, "record": str(reference)}),
            profile=json.dumps(
                {"num_rows": tracks, "policy": facts["policy"], "classes": facts["classes"]}
            ),
        )
        found.append(DatasetInput(dataset, [InputTag("mlflow.data.context", part)]))
    return found
