"""`leaderboard`: every evaluated experiment side by side, with what it cost.

Experiments on tags have a table of their own (`tag_board`): their figures are no accuracies.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import polars as pl
from dagster import AllPartitionMapping, AssetDep, AssetExecutionContext, MaterializeResult, asset

from melgraph.assets.dataset.datasets import DATASETS
from melgraph.assets.materialize import (
    Metadata,
    inputs_of,
    markdown_table,
    materialize,
    plain_failures,
    shown_references,
)
from melgraph.assets.models.evaluations import EVALUATIONS, PREDICTIONS
from melgraph.assets.models.tag_board import (
    TAG_REPORT,
    TAG_TABLE,
    shown_tag_figures,
    tag_figures,
    tags_against,
)
from melgraph.assets.models.trained_models import TRAINED, write_json
from melgraph.assets.resources import HomeResource
from melgraph.assets.settings import is_sample_library
from melgraph.storage.artifacts import Artifact, ArtifactStore, Work
from melgraph.storage.records import Spec
from melgraph.storage.tables import read_table, write_table
from melgraph.storage.test_reads import known_reads

STAGE = 1
LEADERBOARD, EVERYTHING = "leaderboard", "all"
TABLE, REPORT = "leaderboard.parquet", "leaderboard.json"
SINGLE_READ = ("evaluation",)  # the look an experiment is due; every other is an extra one


def leaderboard_spec(store: ArtifactStore) -> Spec:
    """Of all current evaluations, and of the looks at their test splits up to now."""
    inputs = shown_references(store, EVALUATIONS)
    models = [r for e in inputs for r in store.get(e).record.spec.inputs if r.asset == TRAINED]
    config = {"reads": reads_of(store), "sample": is_sample_library(store.home.open_library())}
    return Spec(LEADERBOARD, EVERYTHING, STAGE, (*inputs, *sorted(set(models))), config)


def reads_of(store: ArtifactStore) -> dict[str, dict[str, int]]:
    """Dataset version -> kind of look -> how many there were at its test tracks.

    Snapshots that share their test tracks share the looks at them.
    """
    reads = known_reads(store.home)
    by_tracks: dict[str, Counter[str]] = {}
    for read in reads:
        by_tracks.setdefault(read.tracks, Counter())[read.kind] += 1
    return {read.dataset: dict(sorted(by_tracks[read.tracks].items())) for read in reads}


def write_leaderboard(store: ArtifactStore, work: Work) -> None:
    """Rank the experiments of each dataset version, and say which are not told apart."""
    evaluations = inputs_of(store, work.spec, EVALUATIONS)
    models = {m.reference: m for m in inputs_of(store, work.spec, TRAINED)}
    reads = work.spec.config["reads"]
    boards: dict[bool, list[dict[str, Any]]] = {False: [], True: []}  # by whether it answers tags
    for evaluation in evaluations:
        tags = bool(evaluation.facts.get("multi_label"))
        figures = tag_figures if tags else _figures
        boards[tags].append(_row(evaluation, models, reads, figures))
    by_name = {e.reference.partition: e for e in evaluations}
    rows = _ranked(boards[False], by_name, by="accuracy", against=_against)
    if rows:
        write_table(pl.DataFrame(rows, infer_schema_length=None), work.folder / TABLE)
    write_json(work.folder / REPORT, rows)
    work.facts.update(
        experiments=len(evaluations), rows=rows, sample=work.spec.config["sample"],
        datasets=sorted({row["dataset"] for board in boards.values() for row in board}),
    )  # fmt: skip
    if boards[True]:
        tag_rows = _ranked(boards[True], by_name, by="pr_auc", against=tags_against)
        write_table(pl.DataFrame(tag_rows, infer_schema_length=None), work.folder / TAG_TABLE)
        write_json(work.folder / TAG_REPORT, tag_rows)
        work.facts["tag_rows"] = tag_rows


def _ranked(
    rows: list[dict[str, Any]],
    by_name: Mapping[str, Artifact],
    *,
    by: str,
    against: Callable[[Artifact, Artifact], dict[str, Any]],
) -> list[dict[str, Any]]:
    """The best of each dataset version first, each row with its difference from that one."""
    rows = sorted(rows, key=lambda row: (row["dataset"], row["snapshot"], -row[by]))
    first: dict[tuple[str, str], str] = {}
    for row in rows:
        leader = first.setdefault((row["dataset"], row["snapshot"]), row["experiment"])
        row |= against(by_name[row["experiment"]], by_name[leader])
    return rows


def _row(
    evaluation: Artifact,
    models: Mapping[Any, Artifact],
    reads: Mapping[str, Mapping[str, int]],
    figures: Callable[[Mapping[str, Any]], dict[str, Any]],
) -> dict[str, Any]:
    facts, inputs = evaluation.facts, evaluation.record.spec.inputs
    (model,) = (models[r] for r in inputs if r.asset == TRAINED)
    (snapshot,) = (r for r in inputs if r.asset == DATASETS)
    cost = model.record.run
    looks = dict(reads.get(str(snapshot), {}))
    return {
        "experiment": evaluation.reference.partition,
        "dataset": snapshot.partition,
        "snapshot": snapshot.version[:12],
        "split": facts["split_policy"],
        **figures(facts),
        "parameters": model.facts["parameters"],
        "n_train": model.facts["n_train"],
        "seed": model.record.spec.seed,
        "seconds": _number(cost.get("seconds")),
        "peak_memory_bytes": _number(cost.get("peak_memory_bytes")),
        "device": cost.get("device"),
        "looks": looks,
        "extra_looks": sum(n for kind, n in looks.items() if kind not in SINGLE_READ),
        "evaluations_of_split": looks.get("evaluation", 0),
        "mlflow_run": cost.get("mlflow"),
    }


def _figures(facts: Mapping[str, Any]) -> dict[str, Any]:
    folds = facts["cross_validation"]
    return {
        "accuracy": facts["accuracy"],
        "low": facts["accuracy_low"],
        "high": facts["accuracy_high"],
        "macro_f1": facts["macro_f1"],
        "n": facts["n"],
        "groups": facts["n_groups"],
        "chance": max(facts["chance_uniform"], facts["chance_majority"]),
        "above_chance": facts["above_chance"],
        "small_sample": facts["small_sample"],
        "cross_validated": None if folds is None else folds["accuracy"],
        "calibration_error": facts["calibration_error"],
    }


def _against(evaluation: Artifact, leader: Artifact) -> dict[str, Any]:
    """The difference from the first of its dataset version, paired by test track."""
    nothing = {"behind": None, "behind_low": None, "behind_high": None}
    if evaluation is leader:
        return nothing
    from melgraph.ml.evaluation.paired import compare

    mine, theirs = (_right(e) for e in (evaluation, leader))
    both = theirs.join(mine, on="track_id", suffix="_mine", maintain_order="left")
    if not both.height:
        return nothing
    found = compare(
        both["right_mine"].to_numpy()[None].astype(np.float64),
        both["right"].to_numpy()[None].astype(np.float64),
        both["group"].to_numpy(),
    )
    return {
        "behind": found.difference,
        "behind_low": found.low,
        "behind_high": found.high,
    }


def _right(evaluation: Artifact) -> pl.DataFrame:
    table = read_table(evaluation.folder / PREDICTIONS)
    return table.select("track_id", "group", right=pl.col("prediction") == pl.col("label"))


def _number(text: str | None) -> float | None:
    return None if text is None else float(text)


@asset(
    deps=[
        AssetDep(name, partition_mapping=AllPartitionMapping()) for name in (EVALUATIONS, TRAINED)
    ],
    group_name="models",
    code_version=str(STAGE),
    kinds={"polars"},
)
def leaderboard(context: AssetExecutionContext, home: HomeResource) -> MaterializeResult:
    """Every experiment on its dataset's test split: accuracy with interval, macro-F1, calibration,
    cost, dataset version; which ones are not told apart from the first; and how often the labels of
    that test split were looked at, by what.
    """
    with plain_failures():
        store = home.store()
        spec = leaderboard_spec(store)
    return materialize(context, store, spec, write_leaderboard, _show)


def _show(artifact: Artifact) -> Metadata:
    rows, tag_rows = artifact.facts["rows"], artifact.facts.get("tag_rows", [])
    shown: Metadata = {"experiments": artifact.facts["experiments"]}
    if artifact.facts["sample"]:
        shown["caution"] = "sample library, synthetic: these figures say nothing about real music"
    if rows or not tag_rows:
        shown["leaderboard"] = markdown_table([board_row(row) for row in rows])
    if tag_rows:
        shown["leaderboard of tags"] = markdown_table([board_row(row) for row in tag_rows])
    return shown


def board_row(row: Mapping[str, Any]) -> dict[str, str]:
    """An experiment's figures as people read them."""
    return {
        "experiment": row["experiment"],
        **(shown_tag_figures(row) if "pr_auc" in row else _shown_figures(row)),
        "parameters": f"{row['parameters']:,}",
        "training": "-" if row["seconds"] is None else f"{row['seconds']:.0f} s",
        "peak memory": "-" if row["peak_memory_bytes"] is None
        else f"{row['peak_memory_bytes'] / 1e6:.0f} MB",
        "dataset": f"{row['dataset']} {row['snapshot']}, {row['split']} split",
        "looks at this test split": looks_sentence(row),
    }  # fmt: skip


def _shown_figures(row: Mapping[str, Any]) -> dict[str, str]:
    cross_validated = row["cross_validated"]
    return {
        "accuracy (95 %)": f"{row['accuracy']:.1%} ({row['low']:.1%} to {row['high']:.1%})",
        "against the first": against_first(row),
        "cross-validated": "-" if cross_validated is None else f"{cross_validated:.1%}",
        "macro F1": f"{row['macro_f1']:.2f}",
        "chance": f"{row['chance']:.0%}",
        "tracks / groups": f"{row['n']} / {row['groups']}",
        "calibration error": f"{row['calibration_error']:.2f}",
    }


def against_first(row: Mapping[str, Any]) -> str:
    """Whether an experiment is told apart from the best of its dataset version."""
    if row["behind"] is None:
        return "first"
    told = f"{100 * row['behind']:+.1f} points"
    apart = row["behind_high"] < 0 or row["behind_low"] > 0
    return told if apart else f"{told}, not told apart"


def looks_sentence(row: Mapping[str, Any]) -> str:
    """How often the labels were looked at: what everybody who compares on this split must know."""
    if not row["looks"]:
        return "not registered"
    parts = [f"{n} {kind}" for kind, n in row["looks"].items()]
    extra = f"; {row['extra_looks']} beyond evaluations" if row["extra_looks"] else ""
    return ", ".join(parts) + extra
