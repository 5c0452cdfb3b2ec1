"""The leaderboard's table of experiments on tags."""

from collections.abc import Mapping
from typing import Any

from melgraph.assets.models.tag_evaluations import PREDICTIONS
from melgraph.assets.models.targets import tag_matrix
from melgraph.storage.artifacts import Artifact
from melgraph.storage.tables import read_table

TAG_TABLE, TAG_REPORT = "tags.parquet", "tags.json"


def tag_figures(facts: Mapping[str, Any]) -> dict[str, Any]:
    """The figures of an evaluation that its row holds."""
    names = ("roc_auc", "roc_auc_low", "roc_auc_high", "pr_auc", "pr_auc_low", "pr_auc_high",
             "chance_pr_auc", "prevalence", "n_tags", "n", "above_chance",
             "small_sample")  # fmt: skip
    return {name: facts[name] for name in names} | {"groups": facts["n_groups"]}


def tags_against(evaluation: Artifact, leader: Artifact) -> dict[str, Any]:
    """The difference in PR-AUC from the first of its dataset version, paired by test track."""
    from melgraph.ml.evaluation.tagging import compare_tags

    nothing = {"behind": None, "behind_low": None, "behind_high": None}
    if evaluation is leader:
        return nothing
    mine, theirs = (read_table(e.folder / PREDICTIONS) for e in (evaluation, leader))
    tags = [row["name"] for row in leader.facts["per_tag"]]
    columns = [f"p_{name}" for name in tags]
    both = theirs.join(mine.select("track_id", *columns), on="track_id", suffix="_mine",
                       maintain_order="left")  # fmt: skip
    found = compare_tags(
        both.select(f"{name}_mine" for name in columns).to_numpy(),
        both.select(columns).to_numpy(),
        tag_matrix(both, tags).astype(bool),
        both["group"].to_numpy(),
    )
    return {"behind": found.difference, "behind_low": found.low, "behind_high": found.high}


def shown_tag_figures(row: Mapping[str, Any]) -> dict[str, str]:
    """The figures of a row as people read them."""
    return {
        "macro PR-AUC (95 %)": f"{row['pr_auc']:.3f} ({row['pr_auc_low']:.3f} to "
        f"{row['pr_auc_high']:.3f})",
        "against the first": _against_first(row),
        "chance": f"{row['chance_pr_auc']:.3f}",
        "macro ROC-AUC (95 %)": f"{row['roc_auc']:.3f} ({row['roc_auc_low']:.3f} to "
        f"{row['roc_auc_high']:.3f})",
        "tags": str(row["n_tags"]),
        "tracks / groups": f"{row['n']} / {row['groups']}",
    }


def _against_first(row: Mapping[str, Any]) -> str:
    if row["behind"] is None:
        return "first"
    told = f"{row['behind']:+.3f}"
    apart = row["behind_high"] < 0 or row["behind_low"] > 0
    return told if apart else f"{told}, not told apart"
