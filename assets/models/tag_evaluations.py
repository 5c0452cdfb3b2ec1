"""Evaluations of models that predict tags: files, facts, sentences and tables."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl

from melgraph.assets.models.evaluation import PREDICTIONS, TAG_CHART
from melgraph.assets.stage import Metadata
from melgraph.assets.ui import markdown_table, picture
from melgraph.storage.artifacts import Artifact, Work
from melgraph.storage.tables import write_table

MOST_NAMED = 8  # tags in a sentence


def write_tag_evaluation(
    work: Work,
    table: pl.DataFrame,
    probabilities: np.ndarray,
    truth: np.ndarray,
    train_truth: np.ndarray,
    classes: list[str],
) -> dict[str, Any]:
    """Write the predictions of a tagger on the test tracks, and the chart of its tags.

    Args:
        work: of the evaluation; its facts receive all figures.
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
    (work.folder / TAG_CHART).write_bytes(plots.tag_chart(figures["per_tag"], title))  # type: ignore[arg-type]
    work.facts.update(figures, multi_label=True, cross_validation=None)
    return figures


def figures_sentence(facts: Mapping[str, Any]) -> str:
    """Both areas with their intervals and chance levels, and the number of tags and tracks."""
    verdict = "above chance" if facts["above_chance"] else "not shown to be above chance"
    areas = [
        f"macro {name} {facts[key]:.3f} (95 % confidence interval {facts[f'{key}_low']:.3f} to "
        f"{facts[f'{key}_high']:.3f}; chance {facts[f'chance_{key}']:.3f})"
        for name, key in (("ROC-AUC", "roc_auc"), ("PR-AUC", "pr_auc"))
    ]
    return (
        f"{', '.join(areas)}: {verdict}; {facts['n_tags']} tags of mean prevalence "
        f"{facts['prevalence']:.1%}; n = {facts['n']} tracks of {facts['n_groups']} groups"
    )


def cautions(facts: Mapping[str, Any]) -> list[str]:
    """The tags that are excluded from the means or could not be learned, with the reason."""
    reasons = (
        ("without_positives", "excluded from the means, because no test track has them"),
        ("without_negatives", "excluded from the means, because all test tracks have them"),
        ("never_learned", "not learned, because no training track has them"),
    )
    return [f"{reason}: {_list_tags(facts[key])}" for key, reason in reasons if facts[key]]


def _list_tags(tags: Sequence[str]) -> str:
    more = len(tags) - MOST_NAMED
    return ", ".join(tags[:MOST_NAMED]) + (f" and {more} more" if more > 0 else "")


def tag_rows(facts: Mapping[str, Any]) -> list[dict[str, Any]]:
    """A row per tag for people, the best PR-AUC first; tags without a PR-AUC come last."""
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
    """The metadata of an evaluation of tags in the Dagster UI; `result` is its first line."""
    facts = artifact.facts
    metadata: Metadata = {
        "result": result,
        "macro ROC-AUC": facts["roc_auc"],
        "macro PR-AUC": facts["pr_auc"],
        "tags": picture(artifact.folder / TAG_CHART),
        "per tag": markdown_table(tag_rows(facts)),
    }
    if notes := [*([facts["note"]] if facts["note"] else []), *cautions(facts)]:
        metadata["note"] = "\n\n".join(notes)
    return metadata
