"""`recommendation_indexes`: a vector index per encoder, with one segment for several batches."""

import json
from collections.abc import Sequence

import numpy as np
import polars as pl
from dagster import AssetExecutionContext, MaterializeResult

from melgraph.assets.context import Context
from melgraph.assets.embeddings.batch_embeddings import BatchEmbeddings
from melgraph.assets.embeddings.encoder import Encoder
from melgraph.assets.materialize import (
    current_references,
    inputs_of,
    materialize,
    plain_failures,
    stage_asset,
)
from melgraph.assets.partitions import partition_of
from melgraph.assets.recommendations.recommendation_index import HIDDEN, MANIFEST
from melgraph.assets.resources import HomeResource
from melgraph.assets.stage import encoder_and_batch
from melgraph.assets.stages import EMBEDDINGS, INDEX_SEGMENTS, RECOMMENDATION_INDEXES
from melgraph.assets.ui import progress_bar
from melgraph.storage.artifacts import ArtifactStore, Work
from melgraph.storage.records import Spec
from melgraph.storage.vector_index import VectorIndex, segments_of_batches, write_segment

TOMBSTONES = "tombstones"  # key of the config of an index: the tracks without a file
WITHOUT = "without"  # key of the config of a segment: tombstones that it does not hold
_SHARE_TO_REMOVE = 0.25  # of the vectors of a segment; with fewer tombstones, it stays as it is


def segment_specs(context: Context, encoder: str) -> list[Spec]:
    """The specs of the segments that hold all track batches that an encoder has embedded.

    Which batches share a segment follows from their sizes. A segment is made from embeddings, and
    not from smaller segments, so that a new home writes each vector once. Embeddings by an earlier
    version of the encoder are left out, because they cannot be compared with newer ones.
    """
    version = Encoder.current(context.store, encoder).reference
    embeddings = [
        reference
        for reference in current_references(context.store, EMBEDDINGS, f"{encoder}+")
        if version in context.store.get(reference).record.spec.inputs
    ]
    batches = [encoder_and_batch(reference.partition)[1] for reference in embeddings]
    sizes = context.catalogue.batch_sizes()
    absent: dict[str, list[str]] = {}
    for track_id, batch in context.catalogue.absent_tracks():
        absent.setdefault(batch, []).append(track_id)
    specs = []
    for part in segments_of_batches([sizes.get(batch, 0) for batch in batches]):
        name = segment_partition(encoder, batches[part])
        dead = sorted(track_id for batch in batches[part] for track_id in absent.get(batch, []))
        size = sum(sizes.get(batch, 0) for batch in batches[part])
        without = _removed(context.store, name, dead, size)
        config = {WITHOUT: without} if without else {}
        specs.append(INDEX_SEGMENTS.spec(name, tuple(embeddings[part]), config))
    return specs


def segment_partition(encoder: str, batches: Sequence[str]) -> str:
    """The name of the segment of some consecutive track batches."""
    last = "" if len(batches) == 1 else f"-to-{batches[-1]}"
    return f"{encoder}+{batches[0]}{last}"


def _removed(store: ArtifactStore, partition: str, dead: Sequence[str], size: int) -> list[str]:
    """The tombstones that a segment does not hold.

    A segment is written again without its tombstones when these are a quarter of its vectors.
    """
    segment = store.current(INDEX_SEGMENTS.name, partition) if dead else None
    removed = list(segment.record.spec.config.get(WITHOUT, [])) if segment is not None else []
    if not set(removed) <= set(dead):
        removed = []  # some of them are back
    n_held, n_dead = size - len(removed), len(dead) - len(removed)
    return list(dead) if n_dead > _SHARE_TO_REMOVE * max(n_held, 1) else removed


def plan_index_segment(context: Context, partition: str) -> Spec:
    """One segment of the index of an encoder.

    Raises:
        StorageError: no segment has this name now.
    """
    encoder, _ = encoder_and_batch(partition)
    specs = {spec.partition: spec for spec in segment_specs(context, encoder)}
    if partition not in specs:
        return context.store.need(INDEX_SEGMENTS.name, partition).record.spec
    return specs[partition]


def plan_index(context: Context, encoder: str) -> Spec:
    """The index of an encoder, over the segments of all embedded track batches."""
    version = Encoder.current(context.store, encoder).reference
    segments = segment_specs(context, encoder)
    tombstones = sorted({track_id for track_id, _ in context.catalogue.absent_tracks()})
    config = {TOMBSTONES: tombstones} if tombstones else {}
    return RECOMMENDATION_INDEXES.spec(
        encoder, (version, *(segment.reference for segment in segments)), config
    )


def write_index_segment(store: ArtifactStore, work: Work) -> None:
    """Write the vectors of some track batches as an immutable index segment."""
    tables = [one.track_vectors() for one in BatchEmbeddings.inputs_of(store, work.spec)]
    tables = [table for table in tables if table.height] or tables[:1]
    table = pl.concat(tables).filter(~pl.col("track_id").is_in(work.spec.config.get(WITHOUT, [])))
    with progress_bar(table.height, "vectors", f"indexing {work.spec.partition}") as bar:
        write_segment(
            work.folder,
            table["track_id"].to_list(),
            table["vector"].to_numpy(),
            progress=lambda done, _: bar.update(done - bar.n),
        )
    work.facts.update(tracks=table.height)


def write_index(store: ArtifactStore, work: Work) -> None:
    """Write the manifest, which lists the segments of the index. The segments are not copied."""
    segments = inputs_of(store, work.spec, INDEX_SEGMENTS)
    manifest = [{"segment": str(s.reference), "tracks": s.facts["tracks"]} for s in segments]
    (work.folder / MANIFEST).write_text(json.dumps(manifest, indent=1))
    ids = pl.Series(VectorIndex([s.folder for s in segments]).track_ids, dtype=pl.String)
    is_tombstone = ids.is_in(work.spec.config.get(TOMBSTONES, []))
    hidden = np.flatnonzero((is_tombstone | ~ids.is_first_distinct()).to_numpy())
    np.save(work.folder / HIDDEN, hidden)
    work.facts.update(
        segments=len(segments),
        tracks=len(ids) - len(hidden),
        tombstones=int(is_tombstone.sum()),
    )


@stage_asset(RECOMMENDATION_INDEXES)
def recommendation_indexes(
    context: AssetExecutionContext, home: HomeResource
) -> MaterializeResult[None]:
    """A vector index over all embeddings of an encoder, for finding similar tracks.

    The index has a few immutable segments, which `manifest.json` lists. A new track batch adds one
    segment; four segments of about the same size are merged into one, so that the cost of an
    addition follows what is new. A deleted track is a tombstone in `hidden.npy`. The similarity is
    the cosine. The search is exact below 50,000 tracks and looks into a part of the index above.
    """
    with plain_failures():
        opened = home.context()
        for segment in segment_specs(opened, partition_of(context)):
            # A segment that exists is not written again.
            opened.store.produce(segment, lambda work: write_index_segment(opened.store, work))
    return materialize(context, home, RECOMMENDATION_INDEXES)
