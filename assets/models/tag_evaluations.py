"""Evaluations of models that answer tags: files, facts, and how they are told."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl

from melgraph.assets.materialize import Metadata, markdown_table, picture
from melgraph.storage.artifacts import Artifact, Work
from melgraph.storage.tables import write_table

PREDICTIONS, REPORT, CHART = "predictions.parquet", "report.json", "tags.png"
MOST_NAMED = 8  # tags in a sentence


def write_tag_evaluation(
    work: Work,
    table: pl.DataFrame,
    probabilities: np.ndarray,
    truth: np.ndarray,
    train_truth: np.ndarray,
    classes: list[str],
) -> dict[str, Any]:
    """Write the predictions and the picture of a tagger's answers to the test tracks.

    Args:
        work: the evaluation in the making; its facts receive all figures.
        table: the test tracks.
        probabilities: float `[track, tag]`.
        truth: `[track, tag]`, 0 or 1.
        train_truth: `[training track, tag]`.
        classes: the tags.

    Returns:
        All figures, for the report.
    """
    from melgraph.ml import plots
    from melgraph.ml.evaluation.tagging import evaluate_tags

    predictions = table.select("track_id", "path", "labels", "group").with_columns(
        **{f"p_{name}": probabilities[:, i] for i, name in enumerate(classes)}
    )
    write_table(predictions, work.folder / PREDICTIONS)
    figures = evaluate_tags(
        probabilities,
        truth.astype(bool),
        tags=classes,
        groups=table["group"].to_numpy(),
        seed=work.spec.seed or 0,
        train_truth=train_truth.astype(bool),
    ).to_dict()
    title = (
        f"{work.spec.partition}, test split: macro PR-AUC {figures['pr_auc']:.2f}; "
        "test tracks with each tag"
    )
    (work.folder / CHART).write_bytes(plots.tag_chart(figures["per_tag"], title))  # type: ignore[arg-type]
    work.facts.update(figures, multi_label=True, cross_validation=None)
    return figures


def figures_sentence(facts: Metadata) -> str:
    """Both areas with their intervals and chance, what they are over, and the verdict."""
    verdict = "above chance" if facts["above_chance"] else "not shown to be above chance"
    areas = [
        f"macro {name} {facts[key]:.3f} (95 % interval {facts[f'{key}_low']:.3f} to "
        f"{facts[f'{key}_high']:.3f}; chance {facts[f'chance_{key}']:.3f})"
        for name, key in (("ROC-AUC", "roc_auc"), ("PR-AUC", "pr_auc"))
    ]
    return (
        f"{', '.join(areas)}: {verdict}; {facts['n_tags']} tags of mean prevalence "
        f"{facts['prevalence']:.1%}; n = {facts['n']} tracks of {facts['n_groups']} groups"
    )


def cautions(facts: Metadata) -> list[str]:
    """Which tags are not in the means, and which could not be learned, a sentence each."""
    told = (
        ("without_positives", "not in the means, as no test track has them"),
        ("without_negatives", "not in the means, as all test tracks have them"),
        ("never_learned", "never learned, as no training track has them"),
    )
    return [f"{why}: {_named(facts[key])}" for key, why in told if facts[key]]


def _named(tags: Sequence[str]) -> str:
    more = len(tags) - MOST_NAMED
    return ", ".join(tags[:MOST_NAMED]) + (f" and {more} more" if more > 0 else "")


def tag_rows(facts: Metadata) -> list[dict[str, Any]]:
    """A tag each as people read it, the best first; those that cannot be ranked last."""
    rows = sorted(facts["per_tag"], key=lambda row: (-(row["pr_auc"] or -1.0), row["name"]))
    return [
        {
            "tag": row["name"],
            "test tracks": row["positives"],
            "prevalence": f"{row['prevalence']:.1%}",
            "PR-AUC": "-" if row["pr_auc"] is None else f"{row['pr_auc']:.3f}",
            "ROC-AUC": "-" if row["roc_auc"] is None else f"{row['roc_auc']:.3f}",
        }
        for row in rows
    ]


def show_tags(artifact: Artifact, result: str) -> Metadata:
    """What the UI tells of it, under its result in a sentence."""
    facts = artifact.facts
    shown: Metadata = {
        "result": result,
        "macro ROC-AUC": facts["roc_auc"],
        "macro PR-AUC": facts["pr_auc"],
        "tags": picture(artifact.folder / CHART),
        "per tag": markdown_table(tag_rows(facts)),
    }
    if told := [*([facts["note"]] if facts["note"] else []), *cautions(facts)]:
        shown["note"] = "\n\n".join(told)
    return shown
