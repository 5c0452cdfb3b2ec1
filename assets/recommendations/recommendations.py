"""`recommendations`: the most similar tracks of every track, per encoder."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl
from dagster import AssetExecutionContext, MaterializeResult

from melgraph.assets.context import Context
from melgraph.assets.dataset import one_recording
from melgraph.assets.embeddings.embeddings import vectors_of
from melgraph.assets.library.live import library_state, live_tracks
from melgraph.assets.library.tracks import Tracks
from melgraph.assets.materialize import (
    current_references,
    materialize,
    stage_asset,
)
from melgraph.assets.recommendations.agreement import agreement_sentence, held_out_agreement
from melgraph.assets.recommendations.indexes import RecommendationIndex
from melgraph.assets.resources import HomeResource
from melgraph.assets.stage import Metadata
from melgraph.assets.stages import DATASETS, EMBEDDINGS, RECOMMENDATIONS, TRACKS
from melgraph.assets.ui import markdown_table
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
    """The recommendations from the current index, for the tracks that the library has now.

    The duplicates and the dataset of the encoder are inputs if they exist.
    """
    store = context.store
    index = RecommendationIndex.current(store, encoder)
    vectors = tuple(current_references(store, EMBEDDINGS, f"{encoder}+"))
    tracks = tuple(current_references(store, TRACKS))
    snapshot = store.current_reference(DATASETS.name, context.specs.encoders[encoder].dataset)
    known = (*one_recording.duplicates_reference(store), *filter(None, [snapshot]))
    config = {"neighbours": NEIGHBOURS, **library_state(context.catalogue)}
    return RECOMMENDATIONS.spec(encoder, (index.reference, *vectors, *tracks, *known), config)


def write_recommendations(store: ArtifactStore, work: Work) -> None:
    """Write the most similar tracks of every track.

    A track is not recommended for itself or for a copy of its recording, each recording is
    recommended once, missing tracks are not recommended, and neither are tracks whose similarity is
    not positive.
    """
    names = _names(store, work.spec)
    ids, vectors = vectors_of(store, work.spec)
    present = [row for row, track_id in enumerate(ids) if track_id in names]
    ids, vectors = [ids[row] for row in present], vectors[present]
    index = RecommendationIndex.input_of(store, work.spec).open()
    recordings = one_recording.input_clusters(store, work.spec)
    k = work.spec.config["neighbours"]
    neighbours = _neighbours(index, ids, vectors, names, recordings, k)
    table = _add_names(neighbours, names)
    write_table(table, work.folder / TABLE)
    work.facts.update(tracks=len(ids), recommendations=table.height)
    work.facts.update(held_out_agreement(store, work.spec, table))


def _neighbours(
    index: VectorIndex,
    ids: list[str],
    vectors: np.ndarray,
    names: Mapping[str, Any],
    recordings: Mapping[str, str],
    k: int,
) -> pl.DataFrame:
    """The `k` nearest recordings of each track, each by its nearest track.

    Args:
        index: with all embedded tracks.
        ids: the tracks that the library has.
        vectors: float `[track, dim]`, of these tracks.
        names: by track id; tracks without a name are missing from the library.
        recordings: track id -> its recording cluster, for tracks of which there are copies.
        k: how many recordings.
    """
    # Search for more than k, because the track itself, missing tracks and copies are skipped.
    n_copies = len(recordings) - len(set(recordings.values()))
    search_size = min(len(index), k + 1 + (len(index) - len(ids)) + n_copies)
    hits = index.search(np.ascontiguousarray(vectors, np.float32), search_size)
    rows = []
    for track_id, nearest in zip(ids, hits, strict=True):
        taken = {recordings.get(track_id, track_id)}
        for other, similarity in nearest:
            recording = recordings.get(other, other)
            if similarity <= 0 or len(taken) > k:  # hits are sorted by similarity
                break
            if other in names and recording not in taken:
                rows.append((track_id, len(taken), other, similarity))
                taken.add(recording)
    return pl.DataFrame(rows, schema=_SCHEMA, orient="row")


def _add_names(neighbours: pl.DataFrame, names: Mapping[str, dict[str, Any]]) -> pl.DataFrame:
    """The neighbours with the names of both tracks, by track and rank."""
    name_table = pl.DataFrame(list(names.values()), schema=_NAMES)
    track = name_table.rename({"path": "track"}).select("track_id", "track")
    columns = {name: f"recommended_{name}" for name in ("path", "artist", "title")}
    recommended = name_table.rename({"track_id": "recommended_id", **columns})
    table = neighbours.join(track, on="track_id").join(recommended, on="recommended_id")
    return table.sort("track", "rank")


def _names(store: ArtifactStore, spec: Spec) -> dict[str, dict[str, Any]]:
    """Track id -> path, artist and title, for the tracks that the library has now."""
    rows = live_tracks(Tracks.inputs_of(store, spec), spec.config).select(*_NAMES)
    return {row["track_id"]: row for row in rows.iter_rows(named=True)}


@stage_asset(RECOMMENDATIONS)
def recommendations(context: AssetExecutionContext, home: HomeResource) -> MaterializeResult[None]:
    """The ten most similar tracks of every track by the embeddings of one encoder, as Parquet.

    `recommendations.parquet` has a row per track and rank, with the cosine similarity, which is
    positive. Each recording is recommended once. The agreement with the labels is measured on the
    test tracks of the encoder's dataset, without tracks of the same artist.
    """
    return materialize(context, home, RECOMMENDATIONS)


def show(artifact: Artifact) -> Metadata:
    """Counts, and the first rows of the table."""
    table = read_table(artifact.folder / TABLE)
    columns = ("track", "rank", "recommended_path", "similarity")
    metadata = artifact.facts | {
        "agreement with labels": agreement_sentence(artifact.facts),
        "first rows": markdown_table(table.select(*columns).head(20).to_dicts()),
    }
    return {name: value for name, value in metadata.items() if value is not None}
