"""`embeddings`: one vector per track and one per segment, for a track batch and an encoder."""

import numpy as np
import polars as pl
from dagster import (
    AssetCheckResult,
    AssetCheckSeverity,
    AssetExecutionContext,
    MaterializeResult,
    asset_check,
)

from melgraph.assets.context import Context
from melgraph.assets.embeddings.batch_embeddings import SEGMENT_VECTORS, TRACK_VECTORS
from melgraph.assets.embeddings.batch_embeddings import BatchEmbeddings as BatchEmbeddings
from melgraph.assets.embeddings.encoder import Encoder
from melgraph.assets.embeddings.encoders import check_transform, in_service
from melgraph.assets.embeddings.encoding import encode
from melgraph.assets.embeddings.fusion import fused_vectors, plan_fused_embeddings
from melgraph.assets.library.inputs import TrackInputs
from melgraph.assets.materialize import (
    current_references,
    input_of,
    materialize,
    stage_asset,
)
from melgraph.assets.resources import HomeResource
from melgraph.assets.stage import encoder_and_batch
from melgraph.assets.stages import EMBEDDINGS, REPRESENTATIONS
from melgraph.ml.embeddings.fusion import TrackVectors
from melgraph.ml.errors import UserError
from melgraph.storage.artifacts import ArtifactStore, Work
from melgraph.storage.errors import StorageError
from melgraph.storage.records import Spec
from melgraph.storage.tables import write_table

# The reasons of an answer need the segments of ten tracks, each in another batch. With one group,
# each reading would decompress the whole batch.
_SEGMENTS_PER_GROUP = 1024


def plan_embeddings(context: Context, partition: str) -> Spec:
    """The embeddings of a track batch by the current version of an encoder.

    Raises:
        UserError: the encoder is a fusion, and the embeddings by one of its parts are of another
            version than it is frozen to.
    """
    name, batch = encoder_and_batch(partition)
    encoder = Encoder.current(context.store, name)
    if encoder.is_fusion:
        return plan_fused_embeddings(context, encoder, batch)
    representation = context.store.need(encoder.input.representation, batch)
    return EMBEDDINGS.spec(partition, (encoder.reference, representation.reference))


def write_embeddings(store: ArtifactStore, work: Work) -> None:
    """Encode every track of the batch, and write the vectors of tracks and of segments.

    Raises:
        StorageError: the encoder computed a vector with NaN or infinite values.
        UserError: the representation was computed with other settings than the encoder expects.
    """
    encoder = Encoder.input_of(store, work.spec)
    compute = fused_vectors if encoder.is_fusion else _encoded_vectors
    ids, embedded = compute(store, work)
    vectors, dimension = embedded.vectors, encoder.dimension
    if not np.isfinite(vectors).all():
        row = int(np.flatnonzero(~np.isfinite(vectors).all(axis=1))[0])
        raise StorageError(
            f"the encoder {encoder.reference} computed NaN or infinite values for the track "
            f"{ids[row]}",
            where=work.spec.partition,
            remedy="train its experiment again with a lower learning rate, then materialize the "
            "encoder again",
        )
    write_table(
        pl.DataFrame({"track_id": ids, "vector": _vector_column(vectors, dimension)}),
        work.folder / TRACK_VECTORS,
    )
    counts = np.diff(embedded.segment_offsets)
    write_table(
        pl.DataFrame(
            {
                "track_id": np.repeat(np.asarray(ids, dtype=object), counts).tolist(),
                "start_s": embedded.segment_starts,
                "vector": _vector_column(embedded.segment_vectors, dimension),
            },
            schema_overrides={"track_id": pl.String},
        ),
        work.folder / SEGMENT_VECTORS,
        rows_per_group=_SEGMENTS_PER_GROUP,
    )
    n_segments = len(embedded.segment_starts)
    work.facts.update(tracks=len(ids), segments=n_segments, dimension=dimension)


def _encoded_vectors(store: ArtifactStore, work: Work) -> tuple[list[str], TrackVectors]:
    """Track ids and vectors, from the representation that the encoder reads."""
    encoder = Encoder.input_of(store, work.spec)
    representation = input_of(store, work.spec, REPRESENTATIONS[encoder.input.representation])
    inputs, batch = TrackInputs([representation], encoder.input), representation.reference.partition
    ids = inputs.track_ids(batch)
    if not ids:
        none = np.zeros((0, encoder.dimension), np.float32)
        return ids, TrackVectors(none, none, np.zeros(1, np.int64), np.zeros(0))
    check_transform(encoder, inputs)
    embedded = encode(encoder, inputs.tracks([batch] * len(ids), ids))
    return ids, TrackVectors(
        embedded.vectors,
        embedded.segment_vectors,
        embedded.segment_offsets,
        embedded.segment_starts / (inputs.frames_per_second or 1.0),
    )


def _vector_column(vectors: np.ndarray, dimension: int) -> pl.Series:
    flat = np.ascontiguousarray(vectors, np.float32)
    return pl.Series(flat, dtype=pl.Array(pl.Float32, dimension))


def vectors_of(store: ArtifactStore, spec: Spec) -> tuple[list[str], np.ndarray]:
    """Track ids and float32 `[track, dim]` of all embeddings among the inputs of a spec.

    Each track is returned once.

    Raises:
        UserError: there are no vectors.
    """
    tables = [batch.track_vectors() for batch in BatchEmbeddings.inputs_of(store, spec)]
    tables = [table for table in tables if table.height]
    if not tables:
        raise UserError(
            f"no track has an embedding by the encoder {spec.partition!r}",
            where=f"{spec.asset}/{spec.partition}",
            remedy=f"materialize `embeddings` of the encoder {spec.partition!r} first",
        )
    table = pl.concat(tables).unique("track_id", keep="first", maintain_order=True)
    return table["track_id"].to_list(), table["vector"].to_numpy()


@stage_asset(EMBEDDINGS)
def embeddings(context: AssetExecutionContext, home: HomeResource) -> MaterializeResult[None]:
    """Vectors of the tracks of one track batch, computed by one encoder, as Parquet.

    `tracks.parquet` has one float32 vector per track (the mean over its segments).
    `segments.parquet` has one float32 vector per segment, with its start in seconds. New track
    batches are embedded alone; the vectors of earlier batches are not computed again. The vectors
    of a fusion are joined from the embeddings of the batch by its parts, which must exist. Dagster
    cannot draw edges from an asset to itself: the metadata `made from` list these inputs.
    """
    return materialize(context, home, EMBEDDINGS)


@asset_check(
    asset=embeddings,
    description="Warns if more than half of the tracks of an encoder came after its training.",
)
def serving_coverage(home: HomeResource) -> AssetCheckResult:
    """Per encoder: the share of embedded tracks in batches that its training snapshot lacks."""
    context = home.context()
    new_shares: dict[str, float] = {}
    for name in in_service(context):
        training_batches = Encoder.current(context.store, name).training_batches
        if not training_batches:  # a published tagger: it learned nothing from this library
            continue
        sizes: dict[str, int] = {}
        for reference in current_references(context.store, EMBEDDINGS, f"{name}+"):
            batch = BatchEmbeddings.at(context.store, reference)
            sizes[batch.batch] = batch.n_tracks
        new = sum(n for batch, n in sizes.items() if batch not in training_batches)
        new_shares[name] = new / total if (total := sum(sizes.values())) else 0.0
    return AssetCheckResult(
        passed=all(share <= 0.5 for share in new_shares.values()),
        severity=AssetCheckSeverity.WARN,
        metadata={"share of tracks added after the training": new_shares},
    )
