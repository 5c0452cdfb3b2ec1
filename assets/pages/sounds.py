"""Generated sounds, in the shape that their template expects."""

from collections.abc import Mapping
from typing import Any

from melgraph.assets.generation.presentation import Presentation, presentation_of
from melgraph.assets.generation.requested_sounds import RequestedSounds
from melgraph.assets.generation.sound_files import (
    COMPOSITION,
    GUIDE,
    ORIGINAL,
    PICTURE,
    SHARED_FILES,
    UNPROCESSED,
)
from melgraph.assets.generation.sounds import Sounds
from melgraph.assets.materialize import inputs_of
from melgraph.assets.pages.library import Library
from melgraph.assets.pages.links import artifact_link, audit_command
from melgraph.assets.stages import GENERATORS
from melgraph.assets.ui import licence_sentences
from melgraph.storage.artifacts import ArtifactStore
from melgraph.storage.licences import recorded_licences
from melgraph.storage.records import Spec


def generators(store: ArtifactStore, spec: Spec, library: Library) -> list[dict[str, Any]]:
    """A mapping for each generator: what it does, and its recipes with their sounds."""
    shown = []
    for stage in GENERATORS:
        presentation = presentation_of(stage)
        recipes = [
            _recipe(Sounds(store, artifact), presentation, library, f"recipe-{name}", name)
            for artifact in inputs_of(store, spec, stage)
            for name in [artifact.reference.partition]
        ]
        shown.append(
            {
                "name": stage.name,
                "heading": presentation.heading,
                "about": presentation.about,
                "recipes": recipes,
            }
        )
    return shown


def requested(store: ArtifactStore, spec: Spec, library: Library) -> list[dict[str, Any]]:
    """A mapping for each recipe with requested sounds; their requests, the newest first."""
    by_recipe: dict[str, list[RequestedSounds]] = {}
    for sounds in RequestedSounds.inputs_of(store, spec):
        by_recipe.setdefault(sounds.recipe, []).append(sounds)
    shown = []
    for name, requests in sorted(by_recipe.items()):
        requests.sort(key=lambda sounds: sounds.artifact.record.finished_at, reverse=True)
        items = [
            _recipe(one, presentation_of(one.generator), library, f"requested-{one.name}", name)
            for one in requests
        ]
        shown.append({"name": name, "title": requests[0].title, "requests": items})
    return shown


def _recipe(
    sounds: Sounds, presentation: Presentation, library: Library, anchor: str, name: str
) -> dict[str, Any]:
    return {
        "name": name,
        "anchor": anchor,
        "title": sounds.title,
        "sounds": [_sound(sounds, row, presentation, library) for row in sounds.rows],
        "audit": audit_command(sounds.reference),
        "licences": licence_sentences(recorded_licences(sounds.artifact.record)),
    }


def _sound(
    sounds: Sounds, row: Mapping[str, Any], presentation: Presentation, library: Library
) -> dict[str, Any]:
    return {
        **_song(row, library),
        "guide": _song(row["guide"], library) if "guide" in row else None,
        "players": _players(sounds, row, presentation.result),
        "picture": artifact_link(sounds.reference, row["files"][PICTURE]),
        "composed": row.get(COMPOSITION),
        "result": presentation.result,
        "figures": presentation.figures(row),
        "steps": [step["step"].replace("_", " ") for step in row.get("post", ())],
    }


def _song(song: Mapping[str, Any], library: Library) -> dict[str, Any]:
    """A source or a guide: what it is, and which part of it is used."""
    start_s = song.get("start_s") or 0.0
    return {
        "name": library.title(song["track_id"], song["path"]),
        "artist": library.artist(song["track_id"]),
        "path": song["path"],
        "label": song.get("label"),
        "source": library.source(song["track_id"]),
        "start_s": f"{start_s:.4g}",
        "end_s": f"{start_s + song['seconds']:.4g}",
    }


def _players(sounds: Sounds, row: Mapping[str, Any], result: str) -> list[dict[str, Any]]:
    """The sounds to compare, in the order in which a person listens to them."""
    (kind,) = row["files"].keys() - SHARED_FILES
    titles = {
        ORIGINAL: "A real recording of the genre" if COMPOSITION in row else "Original",
        GUIDE: "Guide",
        UNPROCESSED: f"{result}, before post-processing",
        kind: result,
    }
    predictions = {ORIGINAL: row.get("heard_before"), kind: row.get("heard_after")}
    loudness = row.get("loudness_lufs", {})  # sounds of melgraph 0.1 have none
    return [
        {
            "title": title,
            "link": artifact_link(sounds.reference, row["files"][key]),
            "lufs": loudness.get(key),
            "prediction": predictions.get(key),
        }
        for key, title in titles.items()
        if key in row["files"]
    ]
