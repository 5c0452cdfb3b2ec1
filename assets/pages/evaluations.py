"""Evaluations in the shape that the template of the models expects."""

from collections.abc import Mapping
from typing import Any

import polars as pl

from melgraph.assets.models.evaluation import CONFUSION, RELIABILITY, TAG_CHART, Evaluation
from melgraph.assets.models.evaluations import fold_sentence, sentence
from melgraph.assets.models.tag_evaluations import cautions, tag_rows
from melgraph.assets.models.vectors.explanations import explanation_rows
from melgraph.assets.pages.library import Library
from melgraph.assets.pages.links import artifact_link

WRONG_ANSWERS = 200  # rows of the table


def shown_evaluation(evaluation: Evaluation, library: Library) -> dict[str, Any]:
    """The evaluation of a classifier or tagger: figures, pictures, and wrong predictions."""
    facts, reference = evaluation.facts, evaluation.reference
    if evaluation.multi_label:
        return _of_tags(evaluation)
    wrong = evaluation.predictions().filter(pl.col("prediction") != pl.col("label"))
    wrong = wrong.sort("probability", "path", descending=[True, False])
    return {
        "facts": facts,
        "tags": None,
        "sentence": sentence(facts),
        "fold_sentence": fold_sentence(facts),
        "explanation": explanation_rows(facts),
        "confusion": artifact_link(reference, CONFUSION),
        # an evaluation of an older melgraph has neither
        "reliability": artifact_link(reference, RELIABILITY) if "wrong" in facts else None,
        "shown_wrong": [_wrong(evaluation, each, library) for each in evaluation.wrong_answers],
        "n_wrong": wrong.height,
        "wrong": [
            row | {"name": library.title(row["track_id"], row["path"])}
            | {"source": library.source(row["track_id"])}
            for row in wrong.head(WRONG_ANSWERS).iter_rows(named=True)
        ],
    }  # fmt: skip


def _of_tags(evaluation: Evaluation) -> dict[str, Any]:
    """The evaluation of a tagger: figures, the picture, and a row for each tag."""
    facts = evaluation.facts
    return {
        "facts": facts,
        "tags": tag_rows(facts),
        "cautions": cautions(facts),
        "sentence": sentence(facts),
        "fold_sentence": None,
        "chart": artifact_link(evaluation.reference, TAG_CHART),
    }


def _wrong(evaluation: Evaluation, wrong: Mapping[str, Any], library: Library) -> dict[str, Any]:
    """The picture of a wrong prediction, and links to play the tracks that it shows."""
    kinds = {
        "track": f"{wrong['label']}, predicted as {wrong['prediction']} "
        f"({wrong['probability']:.0%})",
        "like_truth": f"typical of {wrong['label']}",
        "like_answer": f"typical of {wrong['prediction']}",
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
    return {
        **wrong,
        "link": artifact_link(evaluation.reference, wrong["picture"]),
        "sounds": sounds,
    }
