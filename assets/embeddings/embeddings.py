"""`embeddings`: a vector per track and per segment, for a track batch and an encoder."""

import numpy as np
import polars as pl
from dagster import (
    AssetCheckResult,
    AssetCheckSeverity,
    AssetDep,
    AssetExecutionContext,
    MaterializeResult,
    MultiPartitionKey,
    asset,
    asset_check,
)

from melgraph.assets.embeddings.encoders import ENCODERS, check_transform, in_service
from melgraph.assets.embeddings.encoding import encode, input_of_encoder
from melgraph.assets.library import ingest
from melgraph.assets.library.inputs import TrackInputs
from melgraph.assets.materialize import Metadata, input_of, inputs_of, materialize, plain_failures
from melgraph.assets.models.trained_models import GPU_TAGS
from melgraph.assets.partitions import TRACK_BATCH, batches_by_encoder, by_batch, by_encoder
from melgraph.assets.resources import HomeResource
from melgraph.storage.artifacts import Artifact, ArtifactStore, Work
from melgraph.storage.errors import StorageError
from melgraph.storage.records import Spec, partition_name
from melgraph.storage.tables import write_table

STAGE = 3
READABLE = (*ingest.DEFAULT, *ingest.ON_DEMAND)  # an encoder reads one of them
EMBEDDINGS = "embeddings"
TRACK_VECTORS, SEGMENT_VECTORS = "tracks.parquet", "segments.parquet"


def embedding_spec(store: ArtifactStore, encoder: str, batch: str) -> Spec:
    """The embeddings of a batch by the encoder as it is frozen now."""
    frozen = store.need(ENCODERS, encoder)
    given = store.need(input_of_encoder(frozen).representation, batch)
    partition = partition_name({"encoder": encoder, TRACK_BATCH: batch})
    return Spec(EMBEDDINGS, partition, STAGE, (frozen.reference, given.reference))


def write_embeddings(store: ArtifactStore, work: Work) -> None:
    """Encode every track of the batch."""
    encoder = input_of(store, work.spec, ENCODERS)
    how = input_of_encoder(encoder)
    (given,) = inputs_of(store, work.spec, how.representation)
    reader = TrackInputs([given], how)
    ids = reader.track_ids(given.reference.partition)
    dimension = encoder.facts["dimension"]
    if ids:
        check_transform(encoder, reader)
        views = reader.tracks([given.reference.partition] * len(ids), ids)
        found = encode(store, encoder, views)
        vectors, segments = found.vectors, found.segment_vectors
        offsets, starts = found.segment_offsets, found.segment_starts
    else:
        vectors = segments = np.zeros((0, dimension), np.float32)
        offsets, starts = np.zeros(1, np.int64), np.zeros(0, np.int64)
    if not np.isfinite(vectors).all():
        row = int(np.flatnonzero(~np.isfinite(vectors).all(axis=1))[0])
        raise StorageError(
            f"the encoder {encoder.reference} gives NaN or infinite vectors, for {ids[row]} first",
            where=work.spec.partition,
            remedy="materialize its experiment again with a lower learning rate, then the encoder",
        )
    write_table(
        pl.DataFrame({"track_id": ids, "vector": _fixed(vectors, dimension)}),
        work.folder / TRACK_VECTORS,
    )
    counts = np.diff(offsets)
    write_table(
        pl.DataFrame(
            {
                "track_id": np.repeat(np.asarray(ids, dtype=object), counts).tolist(),
                "start_s": starts / (reader.frames_per_second or 1.0),
                "vector": _fixed(segments, dimension),
            },
            schema_overrides={"track_id": pl.String},
        ),
        work.folder / SEGMENT_VECTORS,
    )
    work.facts.update(tracks=len(ids), segments=len(starts), dimension=dimension)


def _fixed(vectors: np.ndarray, dimension: int) -> pl.Series:
    flat = np.ascontiguousarray(vectors, np.float32)
    return pl.Series(flat, dtype=pl.Array(pl.Float32, dimension))


@asset(
    partitions_def=batches_by_encoder,
    deps=[
        *(AssetDep(name, partition_mapping=by_batch) for name in READABLE),
        AssetDep(ENCODERS, partition_mapping=by_encoder),
    ],
    group_name="embeddings",
    code_version=str(STAGE),
    kinds={"pytorch", "polars"},
    pool="gpu",
    op_tags=GPU_TAGS,
)
def embeddings(context: AssetExecutionContext, home: HomeResource) -> MaterializeResult:
    """Parquet: one float32 vector per track (the mean over its segments), one per segment.

    Made per track batch and encoder, so that new tracks cost only themselves.
    """
    key = context.partition_key
    assert isinstance(key, MultiPartitionKey)
    with plain_failures():
        store = home.store()
        keys = key.keys_by_dimension
        spec = embedding_spec(store, keys["encoder"], keys[TRACK_BATCH])
    return materialize(context, store, spec, write_embeddings, _show)


def _show(artifact: Artifact) -> Metadata:
    return artifact.facts


@asset_check(
    asset=embeddings,
    description="How much of the library came after the model in service was trained.",
)
def serving_coverage(home: HomeResource) -> AssetCheckResult:
    """Per encoder: tracks embedded, and the batches its training snapshot had never seen."""
    store = home.store()
    unseen: dict[str, float] = {}
    for name in in_service(store):
        encoder = store.need(ENCODERS, name)
        seen: set[str] = set()
        for snapshot in inputs_of(store, encoder.record.spec, "datasets"):
            seen |= set(snapshot.facts["snapshot_of"])
        sizes = {
            p.split("+", 1)[1]: store.need(EMBEDDINGS, p).facts["tracks"]
            for p in store.partitions(EMBEDDINGS)
            if p.startswith(f"{name}+")
        }
        new = sum(n for batch, n in sizes.items() if batch not in seen)
        unseen[name] = new / total if (total := sum(sizes.values())) else 0.0
    return AssetCheckResult(
        passed=all(share <= 0.5 for share in unseen.values()),
        severity=AssetCheckSeverity.WARN,
        metadata={"share of tracks the serving model never saw": unseen},
    )
