"""What the trials of a study add up to: answers by track, rows of its table."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl

from melgraph.assets.models.studies.trials import CURVES, right_answers
from melgraph.storage.artifacts import Artifact
from melgraph.storage.tables import read_table


def right_by_repeat(trials: list[Artifact]) -> pl.DataFrame:
    """`track_id`, `label`, `group`, and per repeat whether the answer is right, if there is one."""
    tables = [right_answers(trial) for trial in trials]
    table = tables[0].select("track_id", "label", "group")
    for trial, found in zip(trials, tables, strict=True):
        seed = trial.record.spec.seed
        column = found.select("track_id", pl.col("right").alias(f"right{seed}"))
        table = table.join(column, on="track_id", how="left", maintain_order="left")
    return table


def matrix(table: pl.DataFrame) -> np.ndarray:
    """float64 `[repeat, track]`, NaN where a track was not asked."""
    columns = [name for name in table.columns if name.startswith("right")]
    return np.stack([table[name].cast(pl.Float64).fill_null(np.nan).to_numpy() for name in columns])


def common(mine: pl.DataFrame, theirs: pl.DataFrame) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The answers of two arms to the tracks and of the seeds both have, in one order; and the
    groups of these.
    """
    seeds = [name for name in theirs.columns if name.startswith("right") and name in mine.columns]
    shared = theirs.select("track_id", "group").join(
        mine.select("track_id"), on="track_id", maintain_order="left"
    )
    rows = [
        shared.join(table.select("track_id", *seeds), on="track_id", maintain_order="left")
        for table in (mine, theirs)
    ]
    return matrix(rows[0]), matrix(rows[1]), shared["group"].to_numpy()


def arm_row(
    arm: str, trials: list[Artifact], estimate: Any, comparison: Any, adjusted: float | None
) -> dict[str, Any]:
    """An arm's row in the table: figures of `ml.evaluation.paired`, and what it cost.

    Args:
        arm: its name.
        trials: one per seed.
        estimate: of its accuracy.
        comparison: with the control; None for the control itself.
        adjusted: p-value after Holm; None likewise.
    """
    facts = [trial.facts for trial in trials]
    seconds = sum(float(t.record.run["seconds"] or 0) for t in trials)
    return {
        "arm": arm,
        "accuracy": estimate.accuracy,
        "low": estimate.low,
        "high": estimate.high,
        "spread": estimate.spread,
        "macro_f1": float(np.mean([f["macro_f1"] for f in facts])),
        "n": estimate.n,
        "groups": estimate.n_groups,
        "repeats": estimate.n_repeats,
        "difference": None if comparison is None else comparison.difference,
        "difference_low": None if comparison is None else comparison.low,
        "difference_high": None if comparison is None else comparison.high,
        "p_holm": adjusted,
        "smallest": None if comparison is None else comparison.smallest,
        "parameters": facts[0]["parameters"],
        "crops": facts[0]["crops"],
        "trainings": sum(f["trainings"] for f in facts),
        "seconds": seconds,
        "peak_memory_bytes": max(int(t.record.run["peak_memory_bytes"] or 0) for t in trials),
    }


def curves_of(trials: list[Artifact]) -> list[list[dict[str, Any]]]:
    """One list of epochs per training of an arm."""
    curves = []
    for trial in trials:
        table = read_table(trial.folder / CURVES)
        curves += [part.to_dicts() for part in table.partition_by("fold", maintain_order=True)]
    return curves


def chance_of(table: pl.DataFrame) -> float:
    """The share of the most frequent class: what always giving one answer gets."""
    return float(table["label"].value_counts()["count"].max()) / table.height  # type: ignore[arg-type]


def summary_row(row: Mapping[str, Any]) -> dict[str, str]:
    """An arm's figures as people read them."""
    told = {
        "arm": row["arm"],
        "accuracy": f"{row['accuracy']:.1%} ({row['low']:.1%} to {row['high']:.1%})",
        "spread over seeds": f"{row['spread']:.1%}" if row["repeats"] > 1 else "one seed",
        "macro F1": f"{row['macro_f1']:.2f}",
        "against the control": "control",
        "p (Holm)": "",
        "tracks / groups / repeats": f"{row['n']} / {row['groups']} / {row['repeats']}",
        "crops a training": f"{row['crops']:,}",
        "parameters": f"{row['parameters']:,}",
        "seconds a training": f"{row['seconds'] / max(1, row['trainings']):.1f}",
        "peak memory": f"{row['peak_memory_bytes'] / 1e6:.0f} MB",
    }
    if row["difference"] is not None:
        told["against the control"] = (
            f"{100 * row['difference']:+.1f} points "
            f"({100 * row['difference_low']:+.1f} to {100 * row['difference_high']:+.1f})"
        )
        told["p (Holm)"] = f"{row['p_holm']:.3f}" if row["p_holm"] >= 0.001 else "< 0.001"
    return told
