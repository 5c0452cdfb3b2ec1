"""Evaluations in the shape the template of the models expects."""

from collections.abc import Mapping
from typing import Any

import polars as pl

from melgraph.assets.models.evaluations import (
    CONFUSION,
    PREDICTIONS,
    RELIABILITY,
    fold_sentence,
    sentence,
)
from melgraph.assets.models.tag_evaluations import CHART, cautions, tag_rows
from melgraph.assets.pages.library import Library
from melgraph.assets.pages.links import artifact_link
from melgraph.storage.artifacts import Artifact
from melgraph.storage.tables import read_table

WRONG_ANSWERS = 200  # rows of the table


def shown_evaluation(artifact: Artifact, library: Library) -> dict[str, Any]:
    """What an experiment answers on the test split: figures, pictures, wrong answers."""
    facts = artifact.facts
    if facts.get("multi_label"):
        return _of_tags(artifact)
    table = read_table(artifact.folder / PREDICTIONS)
    wrong = table.filter(pl.col("prediction") != pl.col("label"))
    wrong = wrong.sort("probability", "path", descending=[True, False])
    return {
        "facts": facts,
        "tags": None,
        "sentence": sentence(facts),
        "fold_sentence": fold_sentence(facts),
        "confusion": artifact_link(artifact.reference, CONFUSION),
        # an evaluation of an older melgraph has neither
        "reliability": artifact_link(artifact.reference, RELIABILITY) if "wrong" in facts else None,
        "shown_wrong": [_wrong(artifact, each, library) for each in facts.get("wrong", [])],
        "n_wrong": wrong.height,
        "wrong": [
            row | {"name": library.title(row["track_id"], row["path"])}
            | {"source": library.source(row["track_id"])}
            for row in wrong.head(WRONG_ANSWERS).iter_rows(named=True)
        ],
    }  # fmt: skip


def _of_tags(artifact: Artifact) -> dict[str, Any]:
    """What an experiment on tags answers: figures, the picture, and a row per tag."""
    facts = artifact.facts
    return {
        "facts": facts,
        "tags": tag_rows(facts),
        "cautions": cautions(facts),
        "sentence": sentence(facts),
        "fold_sentence": None,
        "chart": artifact_link(artifact.reference, CHART),
    }


def _wrong(artifact: Artifact, wrong: Mapping[str, Any], library: Library) -> dict[str, Any]:
    """A wrong answer in a picture, and the tracks in it to listen to."""
    kinds = {
        "track": f"{wrong['label']}, taken for {wrong['prediction']} ({wrong['probability']:.0%})",
        "like_truth": f"a typical {wrong['label']}",
        "like_answer": f"a typical {wrong['prediction']}",
    }
    sounds = [
        {
            "what": what,
            "name": library.title(track["track_id"], track["path"]),
            "source": library.source(track["track_id"]),
        }
        for kind, what in kinds.items()
        if (track := wrong["tracks"][kind]) is not None
    ]
    return {**wrong, "link": artifact_link(artifact.reference, wrong["picture"]), "sounds": sounds}
