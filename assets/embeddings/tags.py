"""`tags`: the tags or classes of each track, predicted by the last layer of an encoder."""

import numpy as np
import polars as pl
from dagster import AssetExecutionContext, MaterializeResult

from melgraph.assets.context import Context
from melgraph.assets.embeddings.batch_embeddings import BatchEmbeddings
from melgraph.assets.embeddings.batch_tags import TABLE as TABLE
from melgraph.assets.embeddings.encoder import Encoder
from melgraph.assets.materialize import (
    materialize,
    stage_asset,
)
from melgraph.assets.models.trained_model import device
from melgraph.assets.resources import HomeResource
from melgraph.assets.stage import Metadata
from melgraph.assets.stages import TAGS
from melgraph.assets.ui import markdown_table
from melgraph.ml.specs.model_input import EMBEDDING
from melgraph.storage.artifacts import Artifact, ArtifactStore, Work
from melgraph.storage.records import Spec
from melgraph.storage.tables import write_table

SHOWN = 10  # tags in the Dagster UI


def plan_tags(context: Context, partition: str) -> Spec:
    """The tags of an embedded track batch."""
    embeddings = BatchEmbeddings.current(context.store, partition)
    # If the network is a trained model, the record of the encoder names it.
    return TAGS.spec(partition, (embeddings.reference, embeddings.encoder_reference))


def write_tags(store: ArtifactStore, work: Work) -> None:
    """Write a table with a column per tag, computed by the last layer from stored embeddings.

    An encoder without tags writes a table without tag columns, and the reason into the facts.
    """
    from melgraph.ml.inference.tagging import probabilities
    from melgraph.ml.inference.tracks import EmbeddedTracks

    encoder = Encoder.input_of(store, work.spec)
    tags = encoder.classes
    if not tags or encoder.layer != EMBEDDING:
        work.facts.update(tracks=0, tags=[], why=_why_not(encoder))
        write_table(pl.DataFrame(schema={"track_id": pl.String}), work.folder / TABLE)
        return
    segments = BatchEmbeddings.input_of(store, work.spec).segment_vectors()
    ids = segments["track_id"].unique(maintain_order=True).to_list()
    counts = segments["track_id"].rle().struct.field("len").to_numpy()
    vectors = segments["vector"].to_numpy()
    embedded = EmbeddedTracks(
        vectors=vectors[:0],
        segment_vectors=np.array(vectors, np.float32),  # a copy: torch needs writable memory
        segment_offsets=np.cumsum([0, *counts], dtype=np.int64),
        segment_starts=np.zeros(len(vectors), np.int64),
    )
    scores = probabilities(encoder.network(), embedded, device=device())
    columns = {tag: scores[:, i] for i, tag in enumerate(tags)}
    write_table(pl.DataFrame({"track_id": ids, **columns}), work.folder / TABLE)
    means = sorted(((float(s.mean()), tag) for tag, s in columns.items() if len(ids)), reverse=True)
    strongest = [[tag, round(mean, 4)] for mean, tag in means[:SHOWN]]
    work.facts.update(tracks=len(ids), tags=tags, strongest=strongest)


def _why_not(encoder: Encoder) -> str:
    """Why an encoder predicts no tags; the text is stored as a fact."""
    name = encoder.name
    if encoder.is_fusion:
        tagging = [part.name for part in encoder.parts if part.classes and part.layer == EMBEDDING]
        reason = f"{name} joins the vectors of other encoders, which no tags follow"
        return f"{reason}; ask its part {' or '.join(tagging)} for tags" if tagging else reason
    if encoder.classes:
        return f"{name} gives vectors of the layer {encoder.layer!r}, which no tags follow"
    if encoder.kind == "experiment":
        return f"{name} was put into service by an older melgraph: materialize it again"
    return f"{name} has no network, so it names no tags"


@stage_asset(TAGS)
def tags(context: AssetExecutionContext, home: HomeResource) -> MaterializeResult[None]:
    """Predicted tags of the tracks of one track batch, as Parquet (`tags.parquet`).

    The table has a row per track and a column per tag with its probability (float32). A published
    tagger predicts its tags (those of MTG-Jamendo: genres, instruments and moods), of which a track
    may have several. A trained experiment predicts its classes or tags. The last layer of the
    encoder computes them from the stored embeddings.
    """
    return materialize(context, home, TAGS)


def show(artifact: Artifact) -> Metadata:
    """The tags with the highest mean probability in the batch, or why there are none."""
    facts = artifact.facts
    if "why" in facts:
        return {"tracks": 0, "why there are none": facts["why"]}
    rows = [{"tag": tag, "mean probability": mean} for tag, mean in facts["strongest"]]
    return {
        "tracks": facts["tracks"],
        "tags": len(facts["tags"]),
        "strongest": markdown_table(rows),
    }
