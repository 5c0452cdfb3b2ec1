"""`recommendation_indexes`: a vector index per encoder, with one segment per track batch."""

import json
from typing import ClassVar

from dagster import AssetExecutionContext, MaterializeResult

from melgraph.assets.context import Context
from melgraph.assets.embeddings.embeddings import BatchEmbeddings
from melgraph.assets.materialize import (
    current_references,
    inputs_of,
    materialize,
    plain_failures,
    stage_asset,
)
from melgraph.assets.partitions import partition_of
from melgraph.assets.readers import Reader
from melgraph.assets.resources import HomeResource
from melgraph.assets.stage import Stage
from melgraph.assets.stages import EMBEDDINGS, INDEX_SEGMENTS, RECOMMENDATION_INDEXES
from melgraph.storage.artifacts import ArtifactStore, Work
from melgraph.storage.records import Spec
from melgraph.storage.vector_index import VectorIndex, write_segment

MANIFEST = "manifest.json"


class RecommendationIndex(Reader):
    """A committed `recommendation_indexes`."""

    stage: ClassVar[Stage] = RECOMMENDATION_INDEXES

    def open(self) -> VectorIndex:
        """The index, opened for searching."""
        segments = inputs_of(self.store, self.spec, INDEX_SEGMENTS)
        return VectorIndex([segment.folder for segment in segments])


def segment_specs(context: Context, encoder: str) -> list[Spec]:
    """The specs of the index segments of all track batches that an encoder has embedded."""
    vectors = current_references(context.store, EMBEDDINGS, f"{encoder}+")
    return [INDEX_SEGMENTS.spec(v.partition, (v,)) for v in vectors]


def plan_index_segment(context: Context, partition: str) -> Spec:
    """The index segment of one embedded track batch."""
    embeddings = BatchEmbeddings.current(context.store, partition)
    return INDEX_SEGMENTS.spec(partition, (embeddings.reference,))


def plan_index(context: Context, encoder: str) -> Spec:
    """The index of an encoder, over the segments of all embedded track batches."""
    segments = segment_specs(context, encoder)
    return RECOMMENDATION_INDEXES.spec(encoder, tuple(s.reference for s in segments))


def write_index_segment(store: ArtifactStore, work: Work) -> None:
    """Write the vectors of one track batch as an immutable index segment."""
    table = BatchEmbeddings.input_of(store, work.spec).track_vectors()
    write_segment(work.folder, table["track_id"].to_list(), table["vector"].to_numpy())
    work.facts.update(tracks=table.height)


def write_index(store: ArtifactStore, work: Work) -> None:
    """Write the manifest, which lists the segments of the index. The segments are not copied."""
    segments = inputs_of(store, work.spec, INDEX_SEGMENTS)
    manifest = [{"segment": str(s.reference), "tracks": s.facts["tracks"]} for s in segments]
    (work.folder / MANIFEST).write_text(json.dumps(manifest, indent=1))
    work.facts.update(segments=len(segments), tracks=sum(s.facts["tracks"] for s in segments))


@stage_asset(RECOMMENDATION_INDEXES)
def recommendation_indexes(
    context: AssetExecutionContext, home: HomeResource
) -> MaterializeResult[None]:
    """A vector index over all embeddings of an encoder, for finding similar tracks.

    The index has one immutable usearch segment per track batch; `manifest.json` lists them. A new
    track batch adds one segment, and no other segment is built again. The similarity is the cosine.
    The search is exact below 100,000 tracks and uses HNSW above.
    """
    with plain_failures():
        opened = home.context()
        for segment in segment_specs(opened, partition_of(context)):
            # A segment that exists is not written again.
            opened.store.produce(segment, lambda work: write_index_segment(opened.store, work))
    return materialize(context, home, RECOMMENDATION_INDEXES)
