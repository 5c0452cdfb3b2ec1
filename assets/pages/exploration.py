"""Exploration reports in the shape that the template of their page expects."""

from typing import Any

from melgraph.assets.dataset.exploration.pictures import (
    BALANCE_PICTURE,
    CORRELATIONS_PICTURE,
    DURATIONS_PICTURE,
    EXAMPLES,
    FEATURES_PICTURE,
    LOUDNESS_PICTURE,
    SPECTRA_PICTURE,
)
from melgraph.assets.dataset.exploration.reports import (
    artist_rows,
    code_rows,
    feature_rows,
    format_rows,
)
from melgraph.assets.materialize import inputs_of
from melgraph.assets.pages.library import Library
from melgraph.assets.pages.links import artifact_link, audit_command
from melgraph.assets.stages import EXPLORATION_REPORTS
from melgraph.storage.artifacts import Artifact, ArtifactStore
from melgraph.storage.records import Spec
from melgraph.storage.tables import read_table

PICTURES = {
    "balance": BALANCE_PICTURE,
    "durations": DURATIONS_PICTURE,
    "loudness": LOUDNESS_PICTURE,
    "features": FEATURES_PICTURE,
    "correlations": CORRELATIONS_PICTURE,
    "spectra": SPECTRA_PICTURE,
}
MOST_CLASSES = 200  # rows of the table of classes


def explorations(store: ArtifactStore, spec: Spec, library: Library) -> list[dict[str, Any]]:
    """A mapping for each dataset: facts, tables, pictures, and an example track of each class."""
    return [
        {
            "name": artifact.reference.partition,
            "facts": artifact.facts,
            "config": artifact.record.spec.config,
            "pictures": _pictures(artifact),
            "examples": _examples(artifact, library),
            "classes": artist_rows(artifact)[:MOST_CLASSES],
            "features": feature_rows(artifact),
            "formats": format_rows(artifact),
            "codes": code_rows(artifact),
            "audit": audit_command(artifact.reference),
        }
        for artifact in inputs_of(store, spec, EXPLORATION_REPORTS)
    ]


def _pictures(artifact: Artifact) -> dict[str, dict[str, str]]:
    """Link and alternative text of each picture that the report contains."""
    alts = artifact.facts["pictures"]
    return {
        name: {"link": artifact_link(artifact.reference, file), "alt": alts[file]}
        for name, file in PICTURES.items()
        if file in alts
    }


def _examples(artifact: Artifact, library: Library) -> list[dict[str, Any]]:
    """An example track of each class. Its link plays from where its picture starts."""
    examples = []
    for row in read_table(artifact.folder / EXAMPLES).iter_rows(named=True):
        source = library.source(row["track_id"])
        if source is not None and row["start_s"] >= 1.0:
            source += f"#t={row['start_s']:.1f}"
        examples.append(
            {
                "class": row["class"],
                "name": library.title(row["track_id"], row["path"]),
                "artist": library.artist(row["track_id"]),
                "path": row["path"],
                "source": source,
                "start_s": row["start_s"],
                "stop_s": row["start_s"] + row["seconds"],
                "picture": artifact_link(artifact.reference, row["picture"]),
            }
        )
    return examples
