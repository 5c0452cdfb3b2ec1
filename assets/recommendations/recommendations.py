"""`recommendation_indexes`, `recommendations`: what sounds like what, per encoder."""

import json
from functools import partial
from typing import Any

import numpy as np
import polars as pl
from dagster import (
    AllPartitionMapping,
    AssetDep,
    AssetExecutionContext,
    MaterializeResult,
    asset,
)

from melgraph.assets.embeddings.clusters.reports import vectors_of
from melgraph.assets.embeddings.embeddings import EMBEDDINGS, TRACK_VECTORS
from melgraph.assets.library import ingest
from melgraph.assets.library.live import library_state, live_tracks
from melgraph.assets.materialize import (
    Metadata,
    current_references,
    input_of,
    inputs_of,
    markdown_table,
    materialize,
    plain_failures,
)
from melgraph.assets.partitions import by_encoder, encoder_names
from melgraph.assets.resources import HomeResource
from melgraph.ml.collections.folders import folder_label
from melgraph.storage.artifacts import Artifact, ArtifactStore, Work
from melgraph.storage.catalogue import Catalogue
from melgraph.storage.records import Spec
from melgraph.storage.tables import read_table, write_table
from melgraph.storage.vector_index import VectorIndex, write_segment

STAGES = {"index_segments": 1, "recommendation_indexes": 1, "recommendations": 1}
SEGMENTS, INDEXES, RECOMMENDATIONS = STAGES
MANIFEST, TABLE = "manifest.json", "recommendations.parquet"
NEIGHBOURS = 10


def segment_specs(store: ArtifactStore, encoder: str) -> list[Spec]:
    """A segment for each batch that is embedded by an encoder."""
    vectors = current_references(store, EMBEDDINGS, f"{encoder}+")
    return [Spec(SEGMENTS, v.partition, STAGES[SEGMENTS], (v,)) for v in vectors]


def index_spec(encoder: str, segments: list[Spec]) -> Spec:
    """The index over these segments."""
    return Spec(INDEXES, encoder, STAGES[INDEXES], tuple(s.reference for s in segments))


def write_index_segment(store: ArtifactStore, work: Work) -> None:
    """One batch's vectors as an immutable segment."""
    table = read_table(input_of(store, work.spec, EMBEDDINGS).folder / TRACK_VECTORS)
    write_segment(work.folder, table["track_id"].to_list(), table["vector"].to_numpy())
    work.facts.update(tracks=table.height)


def write_index(store: ArtifactStore, work: Work) -> None:
    """The manifest: which segments make up the index. They are not copied: cost follows the new."""
    segments = inputs_of(store, work.spec, SEGMENTS)
    manifest = [{"segment": str(s.reference), "tracks": s.facts["tracks"]} for s in segments]
    (work.folder / MANIFEST).write_text(json.dumps(manifest, indent=1))
    work.facts.update(segments=len(segments), tracks=sum(s.facts["tracks"] for s in segments))


def open_index(store: ArtifactStore, index: Artifact) -> VectorIndex:
    """The committed index, ready to be searched."""
    return VectorIndex([s.folder for s in inputs_of(store, index.record.spec, SEGMENTS)])


def recommendation_spec(store: ArtifactStore, catalogue: Catalogue, encoder: str) -> Spec:
    """The snapshot of neighbours over the current index, as the library is now."""
    index = store.need(INDEXES, encoder)
    vectors = tuple(current_references(store, EMBEDDINGS, f"{encoder}+"))
    tracks = tuple(current_references(store, ingest.TRACKS))
    config = {
        "neighbours": NEIGHBOURS,
        **library_state(catalogue),
        "label_level": store.home.label_level,
    }
    inputs = (index.reference, *vectors, *tracks)
    return Spec(RECOMMENDATIONS, encoder, STAGES[RECOMMENDATIONS], inputs, config)


def write_recommendations(store: ArtifactStore, work: Work) -> None:
    """The nearest tracks of every track, never itself, never one that is gone."""
    from melgraph.ml.similarity.neighbours import label_agreement

    k = work.spec.config["neighbours"]
    names = _names(store, work.spec)
    ids, vectors = vectors_of(store, work.spec)
    present = [row for row, track_id in enumerate(ids) if track_id in names]
    ids, vectors = [ids[row] for row in present], vectors[present]
    index = open_index(store, input_of(store, work.spec, INDEXES))
    # A track may be in two segments, and gone ones are passed over: ask for more than k.
    spare = k + 1 + (len(index) - len(ids))
    hits = index.search(np.ascontiguousarray(vectors, np.float32), spare)
    rows = []
    for track_id, found in zip(ids, hits, strict=True):
        others = dict.fromkeys(hit for hit, _ in found if hit != track_id and hit in names)
        similarity = dict(found)
        for rank, near in enumerate(list(others)[:k], start=1):
            rows.append((track_id, rank, near, similarity[near]))
    schema = {
        "track_id": pl.String,
        "rank": pl.Int16,
        "recommended_id": pl.String,
        "similarity": pl.Float32,
    }
    table = pl.DataFrame(rows, schema=schema, orient="row")
    named = pl.DataFrame(list(names.values()), schema=_NAMES)
    found_names = {name: f"recommended_{name}" for name in ("path", "artist", "title")}
    table = table.join(named.rename({"path": "track"}).select("track_id", "track"), on="track_id")
    other = named.rename({"track_id": "recommended_id", **found_names})
    table = table.join(other, on="recommended_id")
    table = table.sort("track", "rank")
    write_table(table, work.folder / TABLE)
    work.facts.update(tracks=len(ids), recommendations=table.height)
    labels = {
        i: folder_label(row["path"], work.spec.config["label_level"]) for i, row in names.items()
    }
    neighbours: dict[str, list[str | None]] = {i: [] for i in ids if labels[i] is not None}
    for track_id, recommended in table.select("track_id", "recommended_id").iter_rows():
        if track_id in neighbours:
            neighbours[track_id].append(labels[recommended])
    own = [labels[i] or "" for i in neighbours]
    if table.height and len(set(own)) > 1:
        agreement = label_agreement(list(neighbours.values()), own)
        work.facts.update(
            same_label=round(agreement.precision, 4),
            same_label_by_chance=round(agreement.chance, 4),
        )


_NAMES = {"track_id": pl.String, "path": pl.String, "artist": pl.String, "title": pl.String}


def _names(store: ArtifactStore, spec: Spec) -> dict[str, dict[str, Any]]:
    """Track id -> where it is and what it is called, for tracks that are still there."""
    batches = inputs_of(store, spec, ingest.TRACKS)
    table = live_tracks(batches, spec.config)
    rows = table.select(*_NAMES)
    return {row["track_id"]: row for row in rows.iter_rows(named=True)}


@asset(
    partitions_def=encoder_names,
    deps=[AssetDep(EMBEDDINGS, partition_mapping=by_encoder)],
    group_name="recommendations",
    code_version=str(STAGES[INDEXES]),
)
def recommendation_indexes(context: AssetExecutionContext, home: HomeResource) -> MaterializeResult:
    """A vector index per encoder: immutable usearch segments, one per track batch, and a manifest.

    New tracks add one segment; nothing else is built again. Cosine similarity; exact below 100,000
    tracks, HNSW above.
    """
    with plain_failures():
        store = home.store()
        segments = segment_specs(store, context.partition_key)
        for segment in segments:  # those that are there already cost a look
            store.produce(segment, partial(write_index_segment, store))
        spec = index_spec(context.partition_key, segments)
    return materialize(context, store, spec, write_index, _show_index)


@asset(
    partitions_def=encoder_names,
    deps=[
        recommendation_indexes,
        AssetDep(EMBEDDINGS, partition_mapping=by_encoder),
        AssetDep(ingest.TRACKS, partition_mapping=AllPartitionMapping()),
    ],
    group_name="recommendations",
    code_version=str(STAGES[RECOMMENDATIONS]),
    kinds={"polars"},
)
def recommendations(context: AssetExecutionContext, home: HomeResource) -> MaterializeResult:
    """Parquet: the ten nearest tracks of every track in the encoder's space, with similarities."""
    with plain_failures():
        store = home.store()
        spec = recommendation_spec(store, home.catalogue(), context.partition_key)
    return materialize(context, store, spec, write_recommendations, _show)


def _show_index(artifact: Artifact) -> Metadata:
    return artifact.facts


def _show(artifact: Artifact) -> Metadata:
    table = read_table(artifact.folder / TABLE)
    columns = ("track", "rank", "recommended_path", "similarity")
    shown = artifact.facts | {
        "first rows": markdown_table(table.select(*columns).head(20).to_dicts())
    }
    return {name: value for name, value in shown.items() if value is not None}
