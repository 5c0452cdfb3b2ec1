"""`recommendations`: the most similar tracks of every track, per encoder."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl
from dagster import AssetExecutionContext, MaterializeResult

from melgraph.assets.context import Context
from melgraph.assets.embeddings.embeddings import vectors_of
from melgraph.assets.library.live import library_state, live_tracks
from melgraph.assets.library.tracks import Tracks
from melgraph.assets.materialize import (
    current_references,
    materialize,
    stage_asset,
)
from melgraph.assets.recommendations.indexes import RecommendationIndex
from melgraph.assets.resources import HomeResource
from melgraph.assets.stage import Metadata
from melgraph.assets.stages import EMBEDDINGS, RECOMMENDATIONS, TRACKS
from melgraph.assets.ui import markdown_table
from melgraph.ml.collections.folders import folder_label
from melgraph.storage.artifacts import Artifact, ArtifactStore, Work
from melgraph.storage.records import Spec
from melgraph.storage.tables import read_table, write_table
from melgraph.storage.vector_index import VectorIndex

TABLE = "recommendations.parquet"
NEIGHBOURS = 10
_SCHEMA = {
    "track_id": pl.String,
    "rank": pl.Int16,
    "recommended_id": pl.String,
    "similarity": pl.Float32,
}
_NAMES = {"track_id": pl.String, "path": pl.String, "artist": pl.String, "title": pl.String}


def plan_recommendations(context: Context, encoder: str) -> Spec:
    """The recommendations from the current index, for the tracks that the library has now."""
    store = context.store
    index = RecommendationIndex.current(store, encoder)
    vectors = tuple(current_references(store, EMBEDDINGS, f"{encoder}+"))
    tracks = tuple(current_references(store, TRACKS))
    config = {
        "neighbours": NEIGHBOURS,
        **library_state(context.catalogue),
        "label_level": context.home.label_level,
    }
    return RECOMMENDATIONS.spec(encoder, (index.reference, *vectors, *tracks), config)


def write_recommendations(store: ArtifactStore, work: Work) -> None:
    """Write the most similar tracks of every track.

    A track is not recommended for itself, and missing tracks are not recommended.
    """
    names = _names(store, work.spec)
    ids, vectors = vectors_of(store, work.spec)
    present = [row for row, track_id in enumerate(ids) if track_id in names]
    ids, vectors = [ids[row] for row in present], vectors[present]
    index = RecommendationIndex.input_of(store, work.spec).open()
    neighbours = _neighbours(index, ids, vectors, names, work.spec.config["neighbours"])
    table = _add_names(neighbours, names)
    write_table(table, work.folder / TABLE)
    work.facts.update(tracks=len(ids), recommendations=table.height)
    work.facts.update(_label_agreement(table, ids, names, work.spec.config["label_level"]))


def _neighbours(
    index: VectorIndex,
    ids: list[str],
    vectors: np.ndarray,
    names: Mapping[str, Any],
    k: int,
) -> pl.DataFrame:
    """The `k` nearest tracks of each track.

    Tracks that are not in `names` are missing from the library, and are skipped.
    """
    # Search for more than k, because the track itself, missing tracks and copies are skipped.
    search_size = k + 1 + (len(index) - len(ids))
    hits = index.search(np.ascontiguousarray(vectors, np.float32), search_size)
    rows = []
    for track_id, nearest in zip(ids, hits, strict=True):
        others = dict.fromkeys(hit for hit, _ in nearest if hit != track_id and hit in names)
        similarity = dict(nearest)
        for rank, other in enumerate(list(others)[:k], start=1):
            rows.append((track_id, rank, other, similarity[other]))
    return pl.DataFrame(rows, schema=_SCHEMA, orient="row")


def _add_names(neighbours: pl.DataFrame, names: Mapping[str, dict[str, Any]]) -> pl.DataFrame:
    """The neighbours with the names of both tracks, by track and rank."""
    name_table = pl.DataFrame(list(names.values()), schema=_NAMES)
    track = name_table.rename({"path": "track"}).select("track_id", "track")
    columns = {name: f"recommended_{name}" for name in ("path", "artist", "title")}
    recommended = name_table.rename({"track_id": "recommended_id", **columns})
    table = neighbours.join(track, on="track_id").join(recommended, on="recommended_id")
    return table.sort("track", "rank")


def _label_agreement(
    table: pl.DataFrame,
    ids: Sequence[str],
    names: Mapping[str, dict[str, Any]],
    label_level: int | None,
) -> Metadata:
    """The share of recommendations with the label of the track, and the share by chance.

    The result is empty if there are fewer than two labels.
    """
    from melgraph.ml.similarity.neighbours import label_agreement

    labels = {i: folder_label(row["path"], label_level) for i, row in names.items()}
    neighbours: dict[str, list[str | None]] = {i: [] for i in ids if labels[i] is not None}
    for track_id, recommended in table.select("track_id", "recommended_id").iter_rows():
        if track_id in neighbours:
            neighbours[track_id].append(labels[recommended])
    own = [labels[i] or "" for i in neighbours]
    if not table.height or len(set(own)) < 2:
        return {}
    agreement = label_agreement(list(neighbours.values()), own)
    return {
        "same_label": round(agreement.precision, 4),
        "same_label_by_chance": round(agreement.chance, 4),
    }


def _names(store: ArtifactStore, spec: Spec) -> dict[str, dict[str, Any]]:
    """Track id -> path, artist and title, for the tracks that the library has now."""
    rows = live_tracks(Tracks.inputs_of(store, spec), spec.config).select(*_NAMES)
    return {row["track_id"]: row for row in rows.iter_rows(named=True)}


@stage_asset(RECOMMENDATIONS)
def recommendations(context: AssetExecutionContext, home: HomeResource) -> MaterializeResult[None]:
    """The ten most similar tracks of every track by the embeddings of one encoder, as Parquet.

    `recommendations.parquet` has a row per track and rank, with the cosine similarity.
    """
    return materialize(context, home, RECOMMENDATIONS)


def show(artifact: Artifact) -> Metadata:
    """Counts, and the first rows of the table."""
    table = read_table(artifact.folder / TABLE)
    columns = ("track", "rank", "recommended_path", "similarity")
    metadata = artifact.facts | {
        "first rows": markdown_table(table.select(*columns).head(20).to_dicts())
    }
    return {name: value for name, value in metadata.items() if value is not None}
