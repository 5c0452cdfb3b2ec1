"""Generative models, in the shape that the template of the models expects."""

from typing import Any

from melgraph.assets.generation.models.generative_evaluations import GenerativeEvaluation
from melgraph.assets.generation.models.generative_model import CURVES_PICTURE, GenerativeModel
from melgraph.assets.pages.links import artifact_link, audit_command
from melgraph.storage.artifacts import ArtifactStore
from melgraph.storage.records import Spec

SHEETS = 6  # epochs whose samples the page shows, evenly spread


def generative_models(store: ArtifactStore, spec: Spec) -> list[dict[str, Any]]:
    """A mapping for each generative model, with the evaluation of this version if there is one."""
    evaluations = {
        GenerativeModel.input_of(store, one.spec).reference: one
        for one in GenerativeEvaluation.inputs_of(store, spec)
    }
    shown = []
    for model in GenerativeModel.inputs_of(store, spec):
        evaluation = evaluations.get(model.reference)
        item: dict[str, Any] = {
            "name": model.name,
            "title": model.title,
            "facts": model.facts,
            "dataset": model.snapshot.name,
            "curves": artifact_link(model.reference, CURVES_PICTURE),
            "sheets": [
                {"epoch": epoch, "link": artifact_link(model.reference, sheet)}
                for epoch, sheet in _spread(model.sheets)
            ],
            "mlflow_run": model.mlflow_run,
            "audits": [audit_command(model.reference)],
            "sentences": [],
            "pictures": [],
        }
        if evaluation is not None:
            item["audits"].append(audit_command(evaluation.reference))
            item["sentences"] = evaluation.sentences
            item["pictures"] = [
                artifact_link(evaluation.reference, name) for name in evaluation.pictures
            ]
        shown.append(item)
    return shown


def _spread(sheets: list[str]) -> list[tuple[int, str]]:
    """The first and the last sheet, and others evenly between them; each with its epoch."""
    count = min(len(sheets), SHEETS)
    numbers = {round(i * (len(sheets) - 1) / max(1, count - 1)) for i in range(count)}
    return [(number + 1, sheets[number]) for number in sorted(numbers)]
