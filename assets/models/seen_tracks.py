"""The tracks that trained weights have seen. No part that is held out may contain them.

A model that starts from another one has also learned from the tracks of that one, which may be test
tracks here: those of another dataset, of another snapshot, or of the folds of a study. The records
name every model behind a model, and the snapshots that these were trained on. Tracks count by
group: a track of the same artist or recording as a training track counts as seen, too.

Published weights and a user's file have no records. The tracks that they have seen are unknown, and
each result says so.
"""

from collections.abc import Iterable, Iterator

import numpy as np
import polars as pl

from melgraph.assets.dataset.joint_groups import joint_groups
from melgraph.assets.dataset.snapshot import Snapshot
from melgraph.assets.stages import DATASETS, EMBEDDINGS, ENCODERS, TRAINED_MODELS
from melgraph.storage.artifacts import ArtifactStore
from melgraph.storage.records import Reference, Spec

TRAINED_ON = ("train",)
USED = ("train", "validation")  # validation tracks choose the epoch whose weights are kept


def models_behind(store: ArtifactStore, references: Iterable[Reference]) -> Iterator[Spec]:
    """The specs of all trained models that these artifacts follow from, and of those themselves.

    Embeddings, encoders and trained models are followed; further inputs are not.
    """
    visited: set[Reference] = set()
    pending = [r for r in references if _is_followed(r)]
    while pending:
        reference = pending.pop()
        if reference in visited:
            continue
        visited.add(reference)
        spec = store.get(reference).record.spec
        pending += [r for r in spec.inputs if _is_followed(r)]
        if TRAINED_MODELS.owns(reference):
            yield spec


def training_snapshots(store: ArtifactStore, references: Iterable[Reference]) -> set[Reference]:
    """The dataset snapshots that any model behind these artifacts was trained on."""
    specs = models_behind(store, references)
    return {r for spec in specs for r in spec.inputs if DATASETS.owns(r)}


def seen_rows(
    store: ArtifactStore,
    references: Iterable[Reference],
    snapshot: Snapshot,
    table: pl.DataFrame,
    *,
    own_split: bool,
    parts: tuple[str, ...] = USED,
) -> np.ndarray:
    """Which tracks of a snapshot the models behind some artifacts have seen: bool `[row]`.

    Args:
        store: of the artifacts.
        references: trained models, encoders or embeddings; the models behind them are included.
        snapshot: the snapshot that the tracks are held out from.
        table: rows of this snapshot.
        own_split: whether the tracks are held out by the split of the snapshot itself. Models that
            were trained on this same snapshot are then no concern, because its split keeps their
            training tracks apart.
        parts: the splits whose tracks a model has seen.
    """
    of_models = training_snapshots(store, references)
    if own_split:
        of_models.discard(snapshot.reference)
    if not of_models:
        return np.zeros(table.height, bool)
    others = [Snapshot.at(store, reference) for reference in sorted(of_models)]
    groups = joint_groups([snapshot, *others])
    seen_ids = (track_id for s in others for part in parts for track_id in s.track_ids(part))
    seen_groups = {groups[track_id] for track_id in seen_ids}
    return np.array([groups[track_id] in seen_groups for track_id in table["track_id"]], bool)


def unknown_origins(store: ArtifactStore, training: Spec) -> list[str]:
    """The initial weights without records that a training follows from, as its recipes name them.

    Args:
        store: of the artifacts.
        training: the spec of a trained model or of a trial.
    """
    specs = [training, *models_behind(store, training.inputs)]
    return sorted({name for spec in specs if (name := _file_of_weights(spec)) is not None})


def start_notes(
    store: ArtifactStore, training: Spec, n_left_out: int, n_tracks: int, kind: str
) -> list[str]:
    """What a reader must know about the initial weights of a training; empty for random weights.

    Args:
        store: of the artifacts.
        training: the spec of a trained model or of a trial.
        n_left_out: how many held-out tracks are left out, because the weights have seen them.
        n_tracks: how many tracks there were before.
        kind: of the tracks, for people: "test tracks".
    """
    notes = []
    if n_left_out:
        names = ", ".join(sorted(r.partition for r in training.inputs if TRAINED_MODELS.owns(r)))
        notes.append(
            f"{n_left_out} of {n_tracks} {kind} are left out: the initial weights, those of "
            f"{names}, were trained on them or on tracks of the same groups"
        )
    notes += [
        f"it is not known on which tracks the initial weights {name!r} were trained: {kind} may be "
        "among them"
        for name in unknown_origins(store, training)
    ]
    return notes


def _is_followed(reference: Reference) -> bool:
    return any(stage.owns(reference) for stage in (EMBEDDINGS, ENCODERS, TRAINED_MODELS))


def _file_of_weights(training: Spec) -> str | None:
    """The published weights or the file that a training starts from; None if there are none."""
    recipe = training.config.get("recipe", training.config)  # a trial holds its recipe in a table
    name: str = recipe.get("model", {}).get("weights", "none")
    if name == "none" or any(map(TRAINED_MODELS.owns, training.inputs)):
        return None
    return name
