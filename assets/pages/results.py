"""What was made, in the shape the templates and the scripts of the pages expect."""

import math
from collections.abc import Iterable, Mapping
from typing import Any

from melgraph.assets.dataset.datasets import DATASETS, artist_caution
from melgraph.assets.dataset.exploration.reports import EXPLORATION_REPORTS
from melgraph.assets.embeddings.clusters.reports import CLUSTER_REPORTS
from melgraph.assets.generation.dreams import DREAMS, sound_rows
from melgraph.assets.library.ingest import TRACKS
from melgraph.assets.materialize import inputs_of
from melgraph.assets.models.evaluations import EVALUATIONS
from melgraph.assets.models.leaderboard import LEADERBOARD
from melgraph.assets.models.studies.reports import STUDY_REPORTS
from melgraph.assets.models.trained_models import CURVES_PICTURE, TRAINED
from melgraph.assets.pages.evaluations import shown_evaluation
from melgraph.assets.pages.library import Library, Names
from melgraph.assets.pages.links import artifact_link, audit_command
from melgraph.assets.recommendations.recommendations import RECOMMENDATIONS
from melgraph.assets.recommendations.recommendations import TABLE as NEIGHBOURS_TABLE
from melgraph.storage.artifacts import ArtifactStore
from melgraph.storage.records import Spec
from melgraph.storage.tables import read_table

# What the pages are about, in the order in which it is made.
SHOWN = (
    TRACKS,
    DATASETS,
    EXPLORATION_REPORTS,
    TRAINED,
    EVALUATIONS,
    STUDY_REPORTS,
    LEADERBOARD,
    CLUSTER_REPORTS,
    RECOMMENDATIONS,
    DREAMS,
)
LIMIT = 5000  # rows, points or tracks a page holds; more would be slow to open


def datasets(store: ArtifactStore, spec: Spec) -> list[dict[str, Any]]:
    """A dataset each: its facts, and what its split cannot promise."""
    found = []
    for artifact in inputs_of(store, spec, DATASETS):
        facts = artifact.facts
        caution = artist_caution(facts) if facts["artist_known"] < facts["used"] else None
        found.append({"name": artifact.reference.partition, "facts": facts, "caution": caution})
    return found


def models(store: ArtifactStore, spec: Spec, library: Library) -> list[dict[str, Any]]:
    """An experiment each: the evaluated model, or the trained one that was not evaluated yet."""
    evaluations = {a.reference.partition: a for a in inputs_of(store, spec, EVALUATIONS)}
    found = []
    for newest in inputs_of(store, spec, TRAINED):
        name = newest.reference.partition
        evaluation = evaluations.get(name)
        model = newest
        if evaluation is not None:
            (reference,) = (r for r in evaluation.record.spec.inputs if r.asset == TRAINED)
            model = store.get(reference)
        item: dict[str, Any] = {
            "name": name,
            "outdated": model.reference != newest.reference,
            "facts": model.facts,
            "curves": artifact_link(model.reference, CURVES_PICTURE),
            "mlflow_run": model.record.run.get("mlflow"),
            "audits": [audit_command(model.reference)],
            "evaluation": None,
        }
        if evaluation is not None:
            item["evaluation"] = shown_evaluation(evaluation, library)
            item["audits"].append(audit_command(evaluation.reference))
        found.append(item)
    return found


def recommendations(
    store: ArtifactStore, spec: Spec, library: Library
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """An encoder each, for the template; and the neighbours, for `recommendations.js`."""
    found, encoders, names = [], {}, Names(library)
    for artifact in inputs_of(store, spec, RECOMMENDATIONS):
        table = read_table(artifact.folder / NEIGHBOURS_TABLE).sort("track", "rank")
        columns = ("track_id", "track", "recommended_id", "recommended_path", "similarity")
        near: dict[int, list[list[float | None]]] = {}
        asked: set[str] = set()
        for track_id, path, other, other_path, similarity in table.select(*columns).iter_rows():
            if track_id not in asked and len(asked) == LIMIT:
                continue
            asked.add(track_id)
            entry = [names.add(other, other_path), finite(similarity, 3)]
            near.setdefault(names.add(track_id, path), []).append(entry)
        name = artifact.reference.partition
        encoders[name] = {str(track): entries for track, entries in near.items()}
        found.append(
            {
                "name": name,
                "facts": artifact.facts,
                "tracks": table["track_id"].n_unique(),
                "shown": len(near),
                "audit": audit_command(artifact.reference),
            }
        )
    return found, {"tracks": names.tracks, "encoders": encoders}


def dreams(store: ArtifactStore, spec: Spec, library: Library) -> list[dict[str, Any]]:
    """A recipe each, with its sounds."""
    found = []
    for artifact in inputs_of(store, spec, DREAMS):
        facts = artifact.facts
        sounds = []
        for sound, row in zip(facts["sounds"], sound_rows(facts), strict=True):
            links = {k: artifact_link(artifact.reference, f) for k, f in sound["files"].items()}
            sounds.append(
                sound
                | {
                    "name": library.title(sound["track_id"], sound["path"]),
                    "artist": library.artist(sound["track_id"]),
                    "source": library.source(sound["track_id"]),
                    "links": links,
                    "row": {key: row[key] for key in row if key != "track"},
                }
            )
        found.append(
            {
                "name": artifact.reference.partition,
                "title": facts["recipe"],
                "sounds": sounds,
                "audit": audit_command(artifact.reference),
            }
        )
    return found


def track_rows(library: Library) -> dict[str, Any]:
    """The table of tracks, for `tracks.js`."""
    rows = [
        [
            row["name"],
            row["artist"] or "",
            row["path"],
            library.source(row["track_id"]) if row["status"] in ("ok", "duplicate") else None,
            row["label"] or "",
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
    """A number JSON can spell, or None."""
    return None if value is None or not math.isfinite(value) else round(value, digits)


def absences(items: Mapping[str, Iterable[Any]], found: list[dict[str, Any]]) -> dict[str, str]:
    """Why each kind of result that does not exist is absent, a sentence each.

    Args:
        items: kind of result -> what there is of it.
        found: the datasets, whose facts know why nothing could be learned.
    """
    unusable = [item["facts"]["unusable"] for item in found]
    reasons = {}
    for kind in (kind for kind, there in items.items() if not there):
        reasons[kind] = f"No {kind} yet: they have not been materialized; `melgraph run` does that."
        if kind == "studies":
            reasons[kind] = "No studies yet: `melgraph run --study NAME` answers one; ml/README.md."
        elif kind in ("models", "dreams") and unusable and all(unusable):
            reasons[kind] = f"No {kind}: nothing could be learned, because {unusable[0]}."
        elif kind == "dreams" and not items["models"]:
            reasons[kind] = "No dreams yet: they need a trained model, and there is none."
    return reasons
