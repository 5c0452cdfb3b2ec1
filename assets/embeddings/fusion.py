"""Fusions: encoders that join the vectors of other encoders, their parts.

The vectors of a fusion are made from the embeddings of its parts. Nothing is decoded or computed by
a network again. A fusion is frozen to one version of each part, and only embeddings by these
versions can be joined.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from melgraph.assets.context import Context
from melgraph.assets.dataset.snapshot import Snapshot
from melgraph.assets.embeddings.batch_embeddings import BatchEmbeddings
from melgraph.assets.embeddings.encoder import STATISTICS, Encoder
from melgraph.assets.stage import ENCODER, TRACK_BATCH, Metadata
from melgraph.assets.stages import EMBEDDINGS, ENCODERS
from melgraph.assets.ui import markdown_table
from melgraph.ml.embeddings.fusion import PartScaling, TrackVectors, fuse_tracks, scaling_of
from melgraph.ml.errors import UserError
from melgraph.ml.moments import Moments
from melgraph.storage.artifacts import ArtifactStore, Work
from melgraph.storage.records import Reference, Spec, partition_name


def plan_fusion(context: Context, name: str) -> Spec:
    """A fusion frozen to the current versions of its parts and of their embeddings of a dataset.

    Raises:
        ArtifactMissing: a part has not embedded the dataset.
        UserError: a part is not in service yet, or the embeddings of a batch are not by its current
            version.
    """
    store, encoder = context.store, context.specs.encoders[name]
    missing = [part for part in encoder.parts if not store.current_reference(ENCODERS.name, part)]
    if missing:
        raise UserError(
            f"parts of this fusion are not in service yet: {', '.join(missing)}",
            where=f"{ENCODERS.name}/{name}",
            remedy="materialize these encoders first, and embed the dataset with them; or run "
            "`melgraph run`, which does this in the right order",
        )
    snapshot = Snapshot.current(store, encoder.dataset)
    parts = [Encoder.current(store, part) for part in encoder.parts]
    batches = sorted(snapshot.table()["batch"].unique())
    vectors = [_vectors_by(part, batch) for part in parts for batch in batches]
    config = encoder.dump_for_version(mode="json", exclude={"by_default", "weights"})
    config |= {"parts": list(encoder.parts), "shares": list(encoder.shares)}
    inputs = (snapshot.reference, *(part.reference for part in parts), *vectors)
    return ENCODERS.spec(name, inputs, config)


def plan_fused_embeddings(context: Context, fusion: Encoder, batch: str) -> Spec:
    """The embeddings of a track batch by a frozen fusion.

    Raises:
        ArtifactMissing: a part has not embedded the batch.
        UserError: the embeddings of a part are by another version than the fusion is frozen to.
    """
    vectors = [_vectors_by(part, batch, fusion) for part in fusion.parts]
    partition = partition_name({ENCODER: fusion.name, TRACK_BATCH: batch})
    return EMBEDDINGS.spec(partition, (fusion.reference, *vectors))


def _vectors_by(part: Encoder, batch: str, fusion: Encoder | None = None) -> Reference:
    """The current embeddings of a batch by a part, which must be by this version of the part.

    Args:
        part: the part.
        batch: the track batch.
        fusion: the fusion that is frozen to this version; None while one is being frozen.
    """
    store, partition = part.store, partition_name({ENCODER: part.name, TRACK_BATCH: batch})
    embeddings = BatchEmbeddings.current(store, partition)
    if embeddings.encoder_reference == part.reference:
        return embeddings.reference
    if fusion is not None and store.current_reference(ENCODERS.name, part.name) != part.reference:
        raise UserError(
            f"{part.name} has a new version, and {fusion.name} is frozen to an older one",
            where=str(fusion.reference),
            remedy=f"run `melgraph run`, or materialize the encoder {fusion.name!r} again",
        )
    raise UserError(
        f"the embeddings of {batch} by {part.name} are not by the current version of this encoder",
        where=str(embeddings.reference),
        remedy=f"run `melgraph run`, or materialize `embeddings` of the encoder {part.name!r} for "
        f"{batch} again",
    )


def write_fusion(store: ArtifactStore, work: Work) -> dict[str, Any]:
    """Write the mean and the deviation of the vectors of each part over the dataset.

    Returns:
        The facts of the encoder.

    Raises:
        UserError: a part has not embedded any track of the dataset.
    """
    config = work.spec.config
    parts = {part.name: part for part in Encoder.inputs_of(store, work.spec)}
    embeddings = BatchEmbeddings.inputs_of(store, work.spec)
    track_ids = set(Snapshot.input_of(store, work.spec).table()["track_id"])
    scalings, counts = [], {}
    for name in config["parts"]:
        of_part = [e for e in embeddings if e.encoder_reference == parts[name].reference]
        scalings.append(_scaling(name, of_part, track_ids))
        counts[name] = sum(batch.n_segments for batch in of_part)
    np.savez(
        work.folder / STATISTICS,
        mean=np.concatenate([scaling.mean for scaling in scalings]),
        deviation=np.concatenate([scaling.deviation for scaling in scalings]),
    )
    finest = max(config["parts"], key=lambda name: counts[name])  # the first one of several
    return {
        "dimension": sum(len(scaling.mean) for scaling in scalings),
        "parts": [
            {"encoder": name, "dimension": len(scaling.mean), "share": share}
            for name, scaling, share in zip(
                config["parts"], scalings, config["shares"], strict=True
            )
        ],
        "segments_of": finest,
        "crop_s": parts[finest].crop_s,
    }


def _scaling(name: str, embeddings: Sequence[BatchEmbeddings], track_ids: set[str]) -> PartScaling:
    """The scaling of a part, from its vectors of these tracks, batch by batch."""
    moments, ids_so_far = Moments(), set[str]()
    for batch in embeddings:
        table = batch.track_vectors()
        new_ids = track_ids - ids_so_far
        is_new = np.array([track_id in new_ids for track_id in table["track_id"]], bool)
        moments.add(table["vector"].to_numpy()[is_new])
        ids_so_far |= set(table["track_id"])
    if not moments.count:
        raise UserError(
            f"the encoder {name!r} has not embedded any track of the dataset",
            where=", ".join(str(batch.reference) for batch in embeddings) or name,
            remedy="choose another dataset in the TOML file of the fusion",
        )
    return scaling_of(moments)


def fused_vectors(store: ArtifactStore, work: Work) -> tuple[list[str], TrackVectors]:
    """Track ids and vectors by a fusion, from the embeddings of its parts.

    A track without a vector by each part is left out. The facts have the number of such tracks.

    Args:
        store: the artifacts.
        work: the embedding to be made; its inputs are the fusion and the embeddings of its parts.

    Returns:
        The ids, and their vectors as `join` returns them, in the order of the ids.
    """
    fusion = Encoder.input_of(store, work.spec)
    by_encoder = {e.encoder_reference: e for e in BatchEmbeddings.inputs_of(store, work.spec)}
    arrays = [by_encoder[part.reference].arrays() for part in fusion.parts]
    all_ids = [ids for ids, _ in arrays]
    common = set(all_ids[0]).intersection(*all_ids[1:])
    ids = [track_id for track_id in all_ids[0] if track_id in common]
    if n_left_out := len(set().union(*all_ids)) - len(ids):
        work.facts["left_out"] = n_left_out
    parts = []
    for of_part, vectors in arrays:
        row_of = {track_id: row for row, track_id in enumerate(of_part)}
        rows = np.array([row_of[track_id] for track_id in ids], np.int64)
        parts.append(vectors if of_part == ids else vectors.of_tracks(rows))
    return ids, join(fusion, parts)


def join(fusion: Encoder, parts: Sequence[TrackVectors]) -> TrackVectors:
    """The vectors of tracks by a fusion.

    Args:
        fusion: a committed fusion.
        parts: the vectors of the same tracks by each of `fusion.parts`, in this order: float32
            `[track, dimension of the part]`, and of the segments, whose starts are in seconds.

    Returns:
        float32 `[track, sum of the dimensions]`, of length 1, and the same for the segments, which
        are those of the part with the shortest ones.
    """
    part_facts = fusion.facts["parts"]
    ends = np.cumsum([part["dimension"] for part in part_facts])[:-1]
    with np.load(fusion.statistics) as statistics:
        means = np.split(statistics["mean"], ends)
        deviations = np.split(statistics["deviation"], ends)
    names = [part["encoder"] for part in part_facts]
    return fuse_tracks(
        parts,
        [PartScaling(*pair) for pair in zip(means, deviations, strict=True)],
        [part["share"] for part in part_facts],
        segments_of=names.index(fusion.facts["segments_of"]),
        segment_s=fusion.crop_s,
    )


def show_parts(facts: Metadata) -> Metadata:
    """What the Dagster UI shows of the parts of a fusion; nothing for other encoders."""
    if "parts" not in facts:
        return {}
    rows = [
        {"part": p["encoder"], "dimension": p["dimension"], "share": f"{p['share']:.0%}"}
        for p in facts["parts"]
    ]
    return {"parts": markdown_table(rows), "segments of": facts["segments_of"]}
