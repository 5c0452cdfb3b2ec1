"""What generated sounds come from, in lines for people: songs, networks, training tracks."""

from collections.abc import Iterator, Mapping
from typing import Any

import polars as pl

from melgraph.assets.dataset.snapshot import Snapshot
from melgraph.assets.generation.models.generative_model import (
    LEARNED,
    VALIDATED,
    GenerativeModel,
)
from melgraph.assets.generation.sound_files import COMPOSITION, ORIGINAL
from melgraph.assets.models.seen_tracks import models_behind
from melgraph.assets.stages import REQUESTED_SOUNDS, TRAINED_MODELS
from melgraph.storage.artifacts import Artifact, ArtifactStore
from melgraph.storage.licences import recorded_licences

_ROLES = {"train": "trained on", "validation": "its epoch chosen by"}


def origin_lines(
    store: ArtifactStore, artifact: Artifact, file: str | None, *, most: int
) -> Iterator[str]:
    """What generated sounds come from, in lines.

    Args:
        store: of the artifacts.
        artifact: the sounds.
        file: one of its files; None for all sounds.
        most: how many training tracks of each network to name.
    """
    config = artifact.record.spec.config
    yield f"method: {config['method']}, recipe {_recipe_of(artifact)} ({config['title']})"
    for row in artifact.facts["sounds"]:
        if file is None or file in row["files"].values():
            yield from _sound_lines(row, file)
    models = [r for r in artifact.record.spec.inputs if TRAINED_MODELS.owns(r)]
    for spec in models_behind(store, models):
        start = "" if spec.reference in models else ", the initial weights of the one above"
        yield f"network: {spec.reference}{start}"
        snapshot = Snapshot.input_of(store, spec)
        table = snapshot.table()
        for split, role in _ROLES.items():
            paths = table.filter(pl.col("split") == split)["path"].sort().to_list()
            if not paths:
                continue
            yield f"  {role} {len(paths)} track(s) of {snapshot.reference}:"
            yield from (f"    {path}" for path in paths[:most])
            if len(paths) > most:
                yield f"    ... and {len(paths) - most} more"
    for model in GenerativeModel.inputs_of(store, artifact.record.spec):
        yield f"network: {model.reference} ({model.title})"
        yield from _recordings_of(model, most)
    for entry in recorded_licences(artifact.record):
        yield f"network: published weights {entry['of']}, sha256 {entry['sha256']}"
        yield "  it is not recorded on which tracks they were trained"


def _sound_lines(row: Mapping[str, Any], file: str | None) -> Iterator[str]:
    """What one sound comes from; of a composition, which recording is beside it."""
    is_composition = COMPOSITION in row
    if is_composition and file == row["files"][ORIGINAL]:
        yield f"sound: a real recording, {_excerpt(row)}"
    elif is_composition:
        yield f"sound: {row[COMPOSITION]}, composed from noise; no recording was edited"
        yield f"  beside it, for comparison: {_excerpt(row)}"
    else:
        yield f"sound: from {_excerpt(row)}"
    if "guide" in row:
        yield f"  towards the guide {_excerpt(row['guide'])}"


def _recordings_of(model: GenerativeModel, most: int) -> Iterator[str]:
    """The recordings that a generative model has used."""
    roles = {LEARNED: "learned from", VALIDATED: "its validation loss measured on"}
    for part, role in roles.items():
        paths = model.recordings.filter(pl.col("part") == part)["path"].sort().to_list()
        yield f"  {role} {len(paths)} track(s) of {model.snapshot.reference}:"
        yield from (f"    {path}" for path in paths[:most])
        if len(paths) > most:
            yield f"    ... and {len(paths) - most} more"


def _recipe_of(artifact: Artifact) -> str:
    """The name of a recipe, by the partition of its own or of requested sounds."""
    partition = artifact.reference.partition
    is_request = REQUESTED_SOUNDS.owns(artifact.reference)
    return partition.rpartition(".")[0] if is_request else partition


def _excerpt(song: Mapping[str, Any]) -> str:
    start_s = song.get("start_s", 0.0)  # sounds of melgraph 0.1 do not state it
    return f"{song['path']}, {start_s:g} s to {start_s + song['seconds']:g} s"
