"""Tables of a study, computed from its trials: results per track, and a row per arm."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl

from melgraph.assets.models.studies.trials import TrialReader


def right_by_repeat(trials: list[TrialReader]) -> pl.DataFrame:
    """Whether an arm predicted each track correctly, by seed.

    Columns: `track_id`, `label`, `group`, and `right<seed>` for each trial; null for a track that
    the trial did not predict.
    """
    table = trials[0].correct().select("track_id", "label", "group")
    for trial in trials:
        column = trial.correct().select("track_id", pl.col("right").alias(f"right{trial.seed}"))
        table = table.join(column, on="track_id", how="left", maintain_order="left")
    return table


def correctness_matrix(table: pl.DataFrame) -> np.ndarray:
    """float64 `[repeat, track]`: 1 for a correct prediction, 0 for a wrong one, NaN for none."""
    columns = [name for name in table.columns if name.startswith("right")]
    return np.stack([table[name].cast(pl.Float64).fill_null(np.nan).to_numpy() for name in columns])


def pair_arms(
    arm: pl.DataFrame, control: pl.DataFrame
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The results of two arms on the tracks and seeds that both have.

    Args:
        arm: `right_by_repeat` of an arm.
        control: `right_by_repeat` of the control.

    Returns:
        `correctness_matrix` of the arm and of the control, and the group of each track.
    """
    seeds = [name for name in control.columns if name.startswith("right") and name in arm.columns]
    shared = control.select("track_id", "group").join(
        arm.select("track_id"), on="track_id", maintain_order="left"
    )
    arm_rows, control_rows = (
        shared.join(table.select("track_id", *seeds), on="track_id", maintain_order="left")
        for table in (arm, control)
    )
    groups = shared["group"].to_numpy()
    return correctness_matrix(arm_rows), correctness_matrix(control_rows), groups


def arm_row(
    arm: str, trials: list[TrialReader], estimate: Any, comparison: Any, adjusted: float | None
) -> dict[str, Any]:
    """The row of an arm: figures of `ml.evaluation.paired`, and the cost of its trials.

    Args:
        arm: its name.
        trials: one per seed.
        estimate: of its accuracy.
        comparison: with the control; None for the control itself.
        adjusted: p-value after Holm's correction; None for the control.
    """
    return {
        "arm": arm,
        "accuracy": estimate.accuracy,
        "low": estimate.low,
        "high": estimate.high,
        "spread": estimate.spread,
        "macro_f1": float(np.mean([trial.macro_f1 for trial in trials])),
        "n": estimate.n,
        "groups": estimate.n_groups,
        "repeats": estimate.n_repeats,
        "difference": None if comparison is None else comparison.difference,
        "difference_low": None if comparison is None else comparison.low,
        "difference_high": None if comparison is None else comparison.high,
        "p_holm": adjusted,
        "smallest": None if comparison is None else comparison.smallest,
        "parameters": trials[0].n_parameters,
        "crops": trials[0].n_crops,
        "trainings": sum(trial.n_trainings for trial in trials),
        "seconds": sum(trial.seconds for trial in trials),
        "peak_memory_bytes": max(trial.peak_memory_bytes for trial in trials),
    }


def curves_of(trials: list[TrialReader]) -> list[list[dict[str, Any]]]:
    """Per training of an arm a list with the figures of each epoch."""
    return [curve for trial in trials for curve in trial.curves()]


def chance_of(table: pl.DataFrame) -> float:
    """The accuracy of always predicting the most frequent class."""
    return float(table["label"].value_counts()["count"].max()) / table.height  # type: ignore[arg-type]


def summary_row(row: Mapping[str, Any]) -> dict[str, str]:
    """The row of an arm as text for people."""
    cells = {
        "arm": row["arm"],
        "accuracy": f"{row['accuracy']:.1%} ({row['low']:.1%} to {row['high']:.1%})",
        "spread over seeds": f"{row['spread']:.1%}" if row["repeats"] > 1 else "one seed",
        "macro F1": f"{row['macro_f1']:.2f}",
        "against the control": "control",
        "p (Holm)": "",
        "tracks / groups / repeats": f"{row['n']} / {row['groups']} / {row['repeats']}",
        "crops per training": f"{row['crops']:,}",
        "parameters": f"{row['parameters']:,}",
        "seconds per training": f"{row['seconds'] / max(1, row['trainings']):.1f}",
        "peak memory": f"{row['peak_memory_bytes'] / 1e6:.0f} MB",
    }
    if row["difference"] is not None:
        cells["against the control"] = (
            f"{100 * row['difference']:+.1f} points "
            f"({100 * row['difference_low']:+.1f} to {100 * row['difference_high']:+.1f})"
        )
        cells["p (Holm)"] = f"{row['p_holm']:.3f}" if row["p_holm"] >= 0.001 else "< 0.001"
    return cells
