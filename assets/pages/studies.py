"""Study reports and the leaderboard in the shape that the templates of their pages expect."""

from typing import Any

from melgraph.assets.materialize import inputs_of
from melgraph.assets.models.leaderboard import board_row
from melgraph.assets.models.studies.reports import ARMS, CURVES_PICTURE, DIFFERENCES
from melgraph.assets.models.studies.tables import summary_row
from melgraph.assets.pages.links import artifact_link, audit_command
from melgraph.assets.stages import LEADERBOARD, STUDY_REPORTS
from melgraph.storage.artifacts import Artifact, ArtifactStore
from melgraph.storage.records import Spec


def studies(store: ArtifactStore, spec: Spec) -> list[dict[str, Any]]:
    """A mapping for each study: question, answer, table and pictures."""
    return [_study(artifact) for artifact in inputs_of(store, spec, STUDY_REPORTS)]


def board(store: ArtifactStore, spec: Spec) -> list[dict[str, Any]]:
    """A mapping for each dataset version: its experiments, best first; datasets with tags last."""
    tables: dict[tuple[str, str, str], list[dict[str, str]]] = {}
    audit = ""
    for artifact in inputs_of(store, spec, LEADERBOARD):
        audit = audit_command(artifact.reference)
        for row in (*artifact.facts["rows"], *artifact.facts.get("tag_rows", [])):
            cells = board_row(row)
            version = f"snapshot {row['snapshot']}, {row['split']} split"
            key = (row["dataset"], version, cells.pop("looks at this test split"))
            cells.pop("dataset")
            tables.setdefault(key, []).append(cells)
    return [
        {"name": name, "version": version, "looks": looks, "rows": rows, "audit": audit}
        for (name, version, looks), rows in tables.items()
    ]


def _study(artifact: Artifact) -> dict[str, Any]:
    facts, config = artifact.facts, artifact.record.spec.config
    files = dict(artifact.record.files)
    pictures = [
        {"link": artifact_link(artifact.reference, file), "alt": alt}
        for file, alt in (
            (ARMS, "Accuracy of each arm with its 95 % confidence interval. Each dot is one seed."),
            (
                DIFFERENCES,
                f"Difference in accuracy between each arm and the control, {facts['control']}, "
                "with its 95 % confidence interval.",
            ),
            (CURVES_PICTURE, "Training loss of each arm after each epoch."),
        )
        if file in files
    ]
    return {
        "name": artifact.reference.partition,
        "title": config["title"],
        "facts": facts,
        "rows": [summary_row(row) for row in facts["arms"]],
        "pictures": pictures,
        "audit": audit_command(artifact.reference),
    }
