"""`tags`: what an encoder's own last layer says of each track, with probabilities."""

import numpy as np
import polars as pl
from dagster import AssetDep, AssetExecutionContext, MaterializeResult, MultiPartitionKey, asset

from melgraph.assets.embeddings.embeddings import EMBEDDINGS, SEGMENT_VECTORS
from melgraph.assets.embeddings.encoders import ENCODERS
from melgraph.assets.embeddings.encoding import network_of
from melgraph.assets.materialize import (
    Metadata,
    input_of,
    markdown_table,
    materialize,
    plain_failures,
)
from melgraph.assets.models.trained_models import device
from melgraph.assets.partitions import TRACK_BATCH, batches_by_encoder, by_encoder
from melgraph.assets.resources import HomeResource
from melgraph.storage.artifacts import Artifact, ArtifactStore, Work
from melgraph.storage.records import Spec, partition_name
from melgraph.storage.tables import read_table, write_table

STAGE = 1
TAGS, TABLE = "tags", "tags.parquet"
SHOWN = 10  # tags in the UI


def tags_spec(store: ArtifactStore, encoder: str, batch: str) -> Spec:
    """The tags of an embedded batch."""
    partition = partition_name({"encoder": encoder, TRACK_BATCH: batch})
    vectors = store.need(EMBEDDINGS, partition)
    (frozen,) = (r for r in vectors.record.spec.inputs if r.asset == ENCODERS)
    trained = store.get(frozen).record.spec.inputs  # the network, where it is an experiment's
    models = tuple(r for r in trained if r.asset == "trained_models")
    return Spec(TAGS, partition, STAGE, (vectors.reference, frozen, *models))


def write_tags(store: ArtifactStore, work: Work) -> None:
    """A column per tag. Nothing is decoded or embedded again: the last layer reads the vectors."""
    from melgraph.ml.inference.tagging import probabilities
    from melgraph.ml.inference.tracks import EMBEDDING, EmbeddedTracks

    encoder = input_of(store, work.spec, ENCODERS)
    tags: list[str] = encoder.facts.get("classes", [])
    segments = read_table(input_of(store, work.spec, EMBEDDINGS).folder / SEGMENT_VECTORS)
    if not tags or encoder.facts.get("layer") != EMBEDDING:
        work.facts.update(tracks=0, tags=[], why=_why_not(encoder))
        write_table(pl.DataFrame(schema={"track_id": pl.String}), work.folder / TABLE)
        return
    ids = segments["track_id"].unique(maintain_order=True).to_list()
    counts = segments["track_id"].rle().struct.field("len").to_numpy()
    vectors = segments["vector"].to_numpy()
    found = EmbeddedTracks(
        vectors=vectors[:0],
        segment_vectors=np.array(vectors, np.float32),  # torch wants to own it
        segment_offsets=np.cumsum([0, *counts], dtype=np.int64),
        segment_starts=np.zeros(len(vectors), np.int64),
    )
    scores = probabilities(network_of(store, encoder), found, device=device())
    columns = {tag: scores[:, i] for i, tag in enumerate(tags)}
    write_table(pl.DataFrame({"track_id": ids, **columns}), work.folder / TABLE)
    means = sorted(((float(s.mean()), tag) for tag, s in columns.items() if len(ids)), reverse=True)
    strongest = [[tag, round(mean, 4)] for mean, tag in means[:SHOWN]]
    work.facts.update(tracks=len(ids), tags=tags, strongest=strongest)


def _why_not(encoder: Artifact) -> str:
    name = encoder.reference.partition
    if encoder.facts.get("classes"):
        return f"{name} gives vectors of the layer {encoder.facts['layer']!r}, which no tags follow"
    if encoder.facts["kind"] == "experiment":
        return f"{name} was put into service by an older melgraph: materialize it again"
    return f"{name} has no network, so it names no tags"


@asset(
    partitions_def=batches_by_encoder,
    deps=[EMBEDDINGS, AssetDep(ENCODERS, partition_mapping=by_encoder)],
    group_name="embeddings",
    code_version=str(STAGE),
    kinds={"pytorch", "polars"},
)
def tags(context: AssetExecutionContext, home: HomeResource) -> MaterializeResult:
    """Parquet: a row per track, a column per tag with its probability (float32).

    Of a published tagger, its tags (those of MTG-Jamendo: genre, instrument, mood), which do not
    exclude each other; of a trained experiment, its classes. Read off the embeddings of the batch.
    """
    key = context.partition_key
    assert isinstance(key, MultiPartitionKey)
    with plain_failures():
        store = home.store()
        keys = key.keys_by_dimension
        spec = tags_spec(store, keys["encoder"], keys[TRACK_BATCH])
    return materialize(context, store, spec, write_tags, _show)


def _show(artifact: Artifact) -> Metadata:
    facts = artifact.facts
    if "why" in facts:
        return {"tracks": 0, "why there are none": facts["why"]}
    rows = [{"tag": tag, "mean probability": mean} for tag, mean in facts["strongest"]]
    return {
        "tracks": facts["tracks"],
        "tags": len(facts["tags"]),
        "strongest": markdown_table(rows),
    }
