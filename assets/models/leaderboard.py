"""`leaderboard`: the results and the cost of all evaluated experiments.

Experiments that predict tags have a table of their own, because their figures are areas and not
accuracies.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl
from dagster import AssetExecutionContext, MaterializeResult

from melgraph.assets.context import Context
from melgraph.assets.materialize import (
    materialize,
    readable_references,
    stage_asset,
)
from melgraph.assets.models.evaluation import Evaluation
from melgraph.assets.models.targets import tag_matrix
from melgraph.assets.resources import HomeResource
from melgraph.assets.settings import is_sample_library
from melgraph.assets.stage import ONE, Metadata
from melgraph.assets.stages import EVALUATIONS, LEADERBOARD
from melgraph.assets.ui import markdown_table
from melgraph.storage.artifacts import Artifact, ArtifactStore, Work
from melgraph.storage.files import write_json
from melgraph.storage.records import Spec
from melgraph.storage.tables import write_table
from melgraph.storage.test_reads import list_test_reads

TABLE, REPORT = "leaderboard.parquet", "leaderboard.json"
TAG_TABLE, TAG_REPORT = "tags.parquet", "tags.json"
SINGLE_READ = ("evaluation",)  # every evaluation needs this look; all others count as extra looks
TAG_FIGURES = ("roc_auc", "roc_auc_low", "roc_auc_high", "pr_auc", "pr_auc_low", "pr_auc_high",
               "chance_pr_auc", "prevalence", "n_tags", "n", "above_chance",
               "small_sample")  # fmt: skip


def plan_leaderboard(context: Context, partition: str = ONE) -> Spec:
    """The leaderboard of all current evaluations, with the looks at test splits until now."""
    store = context.store
    evaluations = readable_references(store, EVALUATIONS)
    models = sorted({Evaluation.at(store, e).model_reference for e in evaluations})
    config = {"reads": reads_of(store), "sample": is_sample_library(store.home.open_library())}
    return LEADERBOARD.spec(partition, (*evaluations, *models), config)


def reads_of(store: ArtifactStore) -> dict[str, dict[str, int]]:
    """Dataset version -> kind of look -> number of looks at its test tracks.

    Snapshots with the same test tracks share the looks at them.
    """
    reads = list_test_reads(store.home)
    by_tracks: dict[str, Counter[str]] = {}
    for read in reads:
        by_tracks.setdefault(read.tracks, Counter())[read.kind] += 1
    return {read.dataset: dict(sorted(by_tracks[read.tracks].items())) for read in reads}


def write_leaderboard(store: ArtifactStore, work: Work) -> None:
    """Rank the experiments of each dataset version, and compare each with the best one."""
    evaluations = Evaluation.inputs_of(store, work.spec)
    genres = [e for e in evaluations if not e.multi_label]
    taggers = [e for e in evaluations if e.multi_label]
    reads = work.spec.config["reads"]
    rows = _ranked([_row(e, reads, _figures) for e in genres], genres, by="accuracy",
                   against=_against)  # fmt: skip
    if rows:
        write_table(_table(rows), work.folder / TABLE)
    write_json(work.folder / REPORT, rows)
    work.facts.update(
        experiments=len(evaluations),
        rows=rows,
        sample=work.spec.config["sample"],
        datasets=sorted({e.snapshot_reference.partition for e in evaluations}),
    )
    if taggers:
        tag_rows = _ranked([_row(e, reads, _tag_figures) for e in taggers], taggers, by="pr_auc",
                           against=_tags_against)  # fmt: skip
        write_table(_table(tag_rows), work.folder / TAG_TABLE)
        write_json(work.folder / TAG_REPORT, tag_rows)
        work.facts["tag_rows"] = tag_rows


def _table(rows: Sequence[Mapping[str, Any]]) -> pl.DataFrame:
    """The rows as a table. Parquet cannot store `looks` if no row has one."""
    if not any(row["looks"] for row in rows):
        rows = [{**row, "looks": None} for row in rows]
    return pl.DataFrame(rows, infer_schema_length=None)


def _ranked(
    rows: list[dict[str, Any]],
    evaluations: Sequence[Evaluation],
    *,
    by: str,
    against: Callable[[Evaluation, Evaluation], dict[str, Any]],
) -> list[dict[str, Any]]:
    """The best of each dataset version first, each row with its difference from that one."""
    by_name = {evaluation.name: evaluation for evaluation in evaluations}
    rows = sorted(rows, key=lambda row: (row["dataset"], row["snapshot"], -row[by]))
    first: dict[tuple[str, str], str] = {}
    for row in rows:
        leader = first.setdefault((row["dataset"], row["snapshot"]), row["experiment"])
        row |= against(by_name[row["experiment"]], by_name[leader])
    return rows


def _row(
    evaluation: Evaluation,
    reads: Mapping[str, Mapping[str, int]],
    figures: Callable[[Mapping[str, Any]], dict[str, Any]],
) -> dict[str, Any]:
    model, snapshot = evaluation.model, evaluation.snapshot_reference
    looks = dict(reads.get(str(snapshot), {}))
    return {
        "experiment": evaluation.name,
        "dataset": snapshot.partition,
        "snapshot": snapshot.version[:12],
        "split": evaluation.split_policy,
        **figures(evaluation.facts),
        "parameters": model.n_parameters,
        "n_train": model.n_train,
        "seed": model.spec.seed,
        "seconds": model.training_seconds,
        "peak_memory_bytes": model.peak_memory_bytes,
        "device": model.training_device,
        "looks": looks,
        "extra_looks": sum(n for kind, n in looks.items() if kind not in SINGLE_READ),
        "evaluations_of_split": looks.get("evaluation", 0),
        "mlflow_run": model.mlflow_run,
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


def _tag_figures(facts: Mapping[str, Any]) -> dict[str, Any]:
    return {name: facts[name] for name in TAG_FIGURES} | {"groups": facts["n_groups"]}


def _against(evaluation: Evaluation, leader: Evaluation) -> dict[str, Any]:
    """The difference in accuracy from the best of the dataset version, paired by test track."""
    if evaluation is leader:
        return _difference(None)
    from melgraph.ml.evaluation.paired import compare

    mine, theirs = evaluation.correct(), leader.correct()
    both = theirs.join(mine, on="track_id", suffix="_mine", maintain_order="left")
    if not both.height:
        return _difference(None)
    return _difference(
        compare(
            both["right_mine"].to_numpy()[None].astype(np.float64),
            both["right"].to_numpy()[None].astype(np.float64),
            both["group"].to_numpy(),
        )
    )


def _tags_against(evaluation: Evaluation, leader: Evaluation) -> dict[str, Any]:
    """The difference in PR-AUC from the best of the dataset version, paired by test track."""
    if evaluation is leader:
        return _difference(None)
    from melgraph.ml.evaluation.tagging import compare_tags

    tags = [row["name"] for row in leader.per_tag]
    columns = [f"p_{name}" for name in tags]
    mine = evaluation.predictions().select("track_id", *columns)
    both = leader.predictions().join(mine, on="track_id", suffix="_mine", maintain_order="left")
    if not both.height:
        return _difference(None)
    return _difference(
        compare_tags(
            both.select(f"{name}_mine" for name in columns).to_numpy(),
            both.select(columns).to_numpy(),
            tag_matrix(both, tags).astype(bool),
            both["group"].to_numpy(),
        )
    )


def _difference(comparison: Any) -> dict[str, Any]:
    """A paired comparison as columns; None for the best one, and without common test tracks."""
    if comparison is None:
        return {"behind": None, "behind_low": None, "behind_high": None}
    return {
        "behind": comparison.difference,
        "behind_low": comparison.low,
        "behind_high": comparison.high,
    }


@stage_asset(LEADERBOARD)
def leaderboard(context: AssetExecutionContext, home: HomeResource) -> MaterializeResult[None]:
    """All evaluated experiments on the test split of their dataset, as Parquet and JSON.

    Each row of `leaderboard.parquet` has the accuracy with its 95 % confidence interval, macro-F1,
    calibration error, training cost and dataset version. It also has the paired difference from the
    best experiment of the same dataset version, and the number of looks at the labels of that test
    split. Experiments that predict tags are in `tags.parquet`.
    """
    return materialize(context, home, LEADERBOARD)


def show(artifact: Artifact) -> Metadata:
    """Both tables, and a caution if the library is the synthetic sample."""
    rows, tag_rows = artifact.facts["rows"], artifact.facts.get("tag_rows", [])
    metadata: Metadata = {"experiments": artifact.facts["experiments"]}
    if artifact.facts["sample"]:
        metadata["caution"] = (
            "The library is the synthetic sample: these figures say nothing about real music."
        )
    if rows or not tag_rows:
        metadata["leaderboard"] = markdown_table([board_row(row) for row in rows])
    if tag_rows:
        metadata["leaderboard of tags"] = markdown_table([board_row(row) for row in tag_rows])
    return metadata


def board_row(row: Mapping[str, Any]) -> dict[str, str]:
    """The row of an experiment as text for people."""
    return {
        "experiment": row["experiment"],
        **(_tag_figure_cells(row) if "pr_auc" in row else _figure_cells(row)),
        "parameters": f"{row['parameters']:,}",
        "training": "-" if row["seconds"] is None else f"{row['seconds']:.0f} s",
        "peak memory": "-" if row["peak_memory_bytes"] is None
        else f"{row['peak_memory_bytes'] / 1e6:.0f} MB",
        "dataset": f"{row['dataset']} {row['snapshot']}, {row['split']} split",
        "looks at this test split": looks_sentence(row),
    }  # fmt: skip


def _figure_cells(row: Mapping[str, Any]) -> dict[str, str]:
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


def _tag_figure_cells(row: Mapping[str, Any]) -> dict[str, str]:
    return {
        "macro PR-AUC (95 %)": f"{row['pr_auc']:.3f} ({row['pr_auc_low']:.3f} to "
        f"{row['pr_auc_high']:.3f})",
        "against the first": against_first(row),
        "chance": f"{row['chance_pr_auc']:.3f}",
        "macro ROC-AUC (95 %)": f"{row['roc_auc']:.3f} ({row['roc_auc_low']:.3f} to "
        f"{row['roc_auc_high']:.3f})",
        "tags": str(row["n_tags"]),
        "tracks / groups": f"{row['n']} / {row['groups']}",
    }


def against_first(row: Mapping[str, Any]) -> str:
    """The difference from the best of the dataset version; "not told apart" if it may be zero."""
    if row["behind"] is None:
        return "first"
    areas = "pr_auc" in row
    difference = f"{row['behind']:+.3f}" if areas else f"{100 * row['behind']:+.1f} points"
    excludes_zero = row["behind_high"] < 0 or row["behind_low"] > 0
    return difference if excludes_zero else f"{difference}, not told apart"


def looks_sentence(row: Mapping[str, Any]) -> str:
    """The number of looks at the labels of the test split, by kind.

    Results that were chosen after many looks are too optimistic.
    """
    if not row["looks"]:
        return "not registered"
    counts = [f"{n} {kind}" for kind, n in row["looks"].items()]
    extra = f"; {row['extra_looks']} of them not by evaluations" if row["extra_looks"] else ""
    return ", ".join(counts) + extra
