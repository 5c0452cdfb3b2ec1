"""Results in the shape that the templates and the scripts of the pages expect."""

import math
from collections.abc import Iterable, Mapping
from typing import Any

from melgraph.assets.dataset.snapshot import Snapshot
from melgraph.assets.materialize import inputs_of
from melgraph.assets.models.evaluation import Evaluation
from melgraph.assets.models.trained_model import CURVES_PICTURE, TrainedModel
from melgraph.assets.pages.evaluations import shown_evaluation
from melgraph.assets.pages.library import Library, Names
from melgraph.assets.pages.links import artifact_link, audit_command
from melgraph.assets.recommendations.agreement import agreement_sentence, best_first
from melgraph.assets.recommendations.lists import TABLE as NEIGHBOURS_TABLE
from melgraph.assets.recommendations.report.reports import (
    PICTURE,
    RecommendationReport,
    shown_section,
)
from melgraph.assets.stages import RECOMMENDATIONS
from melgraph.assets.ui import licence_sentences
from melgraph.storage.artifacts import ArtifactStore
from melgraph.storage.licences import recorded_licences
from melgraph.storage.records import Spec
from melgraph.storage.tables import read_table

# The stages whose artifacts the pages show, in the order in which data flows.
LIMIT = 5000  # rows, points or tracks a page holds; more would be slow to open

# Kinds of results whose name on the pages is another one.
_KIND_NAMES = {
    "explorations": "exploration reports",
    "clusters": "cluster reports",
    "sounds": "generated sounds",
}


def datasets(store: ArtifactStore, spec: Spec) -> list[dict[str, Any]]:
    """A mapping for each dataset: its facts, and a caution about its split."""
    return [
        {"name": snapshot.name, "facts": snapshot.facts, "caution": snapshot.caution}
        for snapshot in Snapshot.inputs_of(store, spec)
    ]


def models(store: ArtifactStore, spec: Spec, library: Library) -> list[dict[str, Any]]:
    """A mapping for each experiment: its evaluated model, or its newest one without evaluation."""
    evaluations = {e.name: e for e in Evaluation.inputs_of(store, spec)}
    rows = []
    for newest in TrainedModel.inputs_of(store, spec):
        evaluation = evaluations.get(newest.name)
        model = evaluation.model if evaluation is not None else newest
        item: dict[str, Any] = {
            "name": newest.name,
            "outdated": model.reference != newest.reference,
            "facts": model.facts,
            "curves": artifact_link(model.reference, CURVES_PICTURE),
            "mlflow_run": model.mlflow_run,
            "audits": [audit_command(model.reference)],
            "licences": licence_sentences(recorded_licences(model.artifact.record)),
            "evaluation": None,
        }
        if evaluation is not None:
            item["evaluation"] = shown_evaluation(evaluation, library)
            item["audits"].append(audit_command(evaluation.reference))
        rows.append(item)
    return rows


def recommendations(
    store: ArtifactStore, spec: Spec, library: Library
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """A mapping for each encoder, the best first; and neighbours, for `recommendations.js`."""
    summaries, encoders, names = [], {}, Names(library)
    artifacts = inputs_of(store, spec, RECOMMENDATIONS)
    for artifact in sorted(artifacts, key=lambda artifact: best_first(artifact.facts)):
        table = read_table(artifact.folder / NEIGHBOURS_TABLE).sort("track", "rank")
        columns = ("track_id", "track", "recommended_id", "recommended_path", "similarity")
        neighbours: dict[int, list[list[float | None]]] = {}
        queries: set[str] = set()  # tracks that recommendations are for
        for track_id, path, other, other_path, similarity in table.select(*columns).iter_rows():
            if track_id not in queries and len(queries) == LIMIT:
                continue
            queries.add(track_id)
            entry = [names.add(other, other_path), finite(similarity, 3)]
            neighbours.setdefault(names.add(track_id, path), []).append(entry)
        name = artifact.reference.partition
        encoders[name] = {str(track): entries for track, entries in neighbours.items()}
        summaries.append(
            {
                "name": name,
                "facts": artifact.facts,
                "agreement": agreement_sentence(artifact.facts),
                "tracks": table["track_id"].n_unique(),
                "shown": len(neighbours),
                "audit": audit_command(artifact.reference),
            }
        )
    return summaries, {"tracks": names.tracks, "encoders": encoders}


def recommendation_reports(store: ArtifactStore, spec: Spec) -> list[dict[str, Any]]:
    """The report on recommendations as the page shows it; empty if there is none."""
    return [
        {
            "sections": [shown_section(section) for section in report.sections],
            "picture": artifact_link(report.reference, PICTURE),
            "audit": audit_command(report.reference),
        }
        for report in RecommendationReport.inputs_of(store, spec)
    ]


def track_rows(library: Library) -> dict[str, Any]:
    """The table of tracks, for `tracks.js`."""
    rows = [
        [
            row["name"],
            row["artist"] or "",
            row["path"],
            library.source(row["track_id"]) if row["status"] in ("ok", "duplicate") else None,
            row["label"] or "",
            str(row["year"] or ""),  # text, which the filter of the page searches
            finite(row["duration_s"], 1),
            row["codec"] or "",
            row["status"],
            row["reason"] or row["warning"] or "",
            *row["splits"],
        ]
        for row in library.rows[:LIMIT]
    ]
    return {"splits": library.splits, "rows": rows}


def finite(value: float | None, digits: int) -> float | None:
    """The rounded number; None if JSON cannot hold it."""
    return None if value is None or not math.isfinite(value) else round(value, digits)


def absences(items: Mapping[str, Iterable[Any]], snapshots: list[dict[str, Any]]) -> dict[str, str]:
    """A sentence for each kind of result that does not exist: why, and how to make it.

    Args:
        items: kind of result -> the results of this kind.
        snapshots: the datasets. Their facts say why no model can be trained.
    """
    unusable = [item["facts"]["unusable"] for item in snapshots]
    reasons = {}
    for kind in (kind for kind, results in items.items() if not results):
        name = _KIND_NAMES.get(kind, kind)
        reasons[kind] = f"There are no {name} yet. The command “melgraph run” makes them."
        if kind == "leaderboard":
            reasons[kind] = "There is no leaderboard yet. The command “melgraph run” makes it."
        elif kind == "studies":
            reasons[kind] = (
                "There are no studies yet. The command “melgraph run --study NAME” answers one."
            )
        elif kind in ("models", "sounds") and unusable and all(unusable):
            reasons[kind] = f"There are no {name}, because no model can be trained: {unusable[0]}."
        elif kind == "sounds" and not items["models"]:
            reasons[kind] = f"There are no {name} yet. Most need a trained model; there is none."
    return reasons
