"""`duplicates`: recordings that the library holds several times, as equal or similar files."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import polars as pl
from dagster import AssetExecutionContext, MaterializeResult

from melgraph.assets.context import Context
from melgraph.assets.library.live import library_files, places
from melgraph.assets.library.recording_clusters import (
    LINKS,
    LINKS_SCHEMA,
    MEMBERS,
    MEMBERS_SCHEMA,
    AudioFingerprints,
    RecordingClusters,
)
from melgraph.assets.library.tracks import Tracks
from melgraph.assets.materialize import (
    current_references,
    materialize,
    stage_asset,
)
from melgraph.assets.resources import HomeResource
from melgraph.assets.stage import ONE, Metadata
from melgraph.assets.stages import AUDIO_FINGERPRINTS, DUPLICATES, TRACKS
from melgraph.assets.ui import markdown_table
from melgraph.storage.artifacts import Artifact, ArtifactStore, Work
from melgraph.storage.records import Reference, Spec
from melgraph.storage.tables import read_table, write_table

BLOCK_FRAMES = 32_000_000  # of the new tracks compared at once; they take about 300 MB
MOST_CLUSTERS_SHOWN = 20


def plan_duplicates(context: Context, partition: str = ONE) -> Spec:
    """The spec for the duplicates of the library as it is now.

    If nothing has changed, this is the spec of the current artifact. Otherwise the current artifact
    is one of the inputs, so that only new tracks are compared.
    """
    store = context.store
    inputs = tuple(
        reference
        for asset in (AUDIO_FINGERPRINTS, TRACKS)
        for reference in current_references(store, asset)
    )
    config = places(context.catalogue)
    spec = DUPLICATES.spec(partition, inputs, config)
    current = store.current(DUPLICATES.name, partition)
    if current is None or current.record.spec.stage != DUPLICATES.number:
        return spec
    before = current.record.spec
    inputs_before = {reference for reference in before.inputs if not DUPLICATES.owns(reference)}
    if inputs_before == set(inputs) and before.config == spec.config:
        return before
    return replace(spec, inputs=(*inputs, current.reference))


def write_duplicates(store: ArtifactStore, work: Work) -> None:
    """Write every pair of similar tracks, and every file that is in a cluster."""
    from melgraph.ml.recordings.duplicates import chained_clusters, cluster_names

    links, n_compared = _all_links(store, work.spec)
    files = _good_files(store, work.spec)
    pairs = list(links.select("track_id", "other_track_id").iter_rows())
    track_ids = files["track_id"].unique(maintain_order=True).to_list()
    clusters = cluster_names(track_ids, pairs)
    chained = chained_clusters(clusters, pairs)
    members = pl.DataFrame(list(_members(files, links, clusters, chained)), schema=MEMBERS_SCHEMA)
    members = members.sort("cluster", "path")
    write_table(links, work.folder / LINKS)
    write_table(members, work.folder / MEMBERS)
    batches = AudioFingerprints.inputs_of(store, work.spec)
    work.facts.update(
        caution=next((batch.caution for batch in batches if batch.caution), None),
        files=files.height,
        tracks=len(track_ids),
        compared=n_compared,
        clusters=members["cluster"].n_unique(),
        exact_copies=files.height - len(track_ids),
        near_duplicates=len(clusters),
        links=links.height,
        chained=len(chained),
    )


def _good_files(store: ArtifactStore, spec: Spec) -> pl.DataFrame:
    """Path, track_id and duration_s of every good file of the library, in order of arrival.

    Files with the same sound are different rows.
    """
    files = library_files(Tracks.inputs_of(store, spec), spec.config)
    good = files.filter(pl.col("status") == "ok", ~pl.col("gone"))
    return good.select("path", "track_id", "duration_s")


def _all_links(store: ArtifactStore, spec: Spec) -> tuple[pl.DataFrame, int]:
    """The links between all tracks, and the number of tracks that were compared.

    Links between tracks that an earlier artifact has compared are copied from it.
    """
    batches = AudioFingerprints.inputs_of(store, spec)
    compared_before, earlier_links = set[Reference](), pl.DataFrame(schema=LINKS_SCHEMA)
    for before in RecordingClusters.inputs_of(store, spec):
        compared_before, earlier_links = before.compared_fingerprints, before.links()
    old = [batch for batch in batches if batch.reference in compared_before]
    new = [batch for batch in batches if batch.reference not in compared_before]
    compared_ids = {track_id for batch in old for track_id in batch.track_ids()}
    earlier_links = earlier_links.filter(
        pl.col("track_id").is_in(compared_ids), pl.col("other_track_id").is_in(compared_ids)
    )
    rows = []
    for block, new_before_block in _blocks(new, compared_ids):
        rows += list(_links_of_block(block, [*old, *new_before_block]))
    links = pl.concat([earlier_links, pl.DataFrame(rows, schema=LINKS_SCHEMA, orient="row")])
    pair = ["track_id", "other_track_id"]
    links = links.sort(*pair, "bit_error_rate").unique(pair, keep="first", maintain_order=True)
    return links, len(compared_ids)


def _blocks(
    new: Sequence[AudioFingerprints], compared_ids: set[str]
) -> Iterator[tuple[pl.DataFrame, list[AudioFingerprints]]]:
    """Blocks of new tracks that fit into memory, each with the new batches before the block.

    Adds the ids of the tracks to `compared_ids`, so that no track is compared twice.
    """
    tables: list[pl.DataFrame] = []
    frames, first = 0, 0
    for number, batch in enumerate(new):
        table = _tracks_except(batch, compared_ids)
        compared_ids |= set(table["track_id"].to_list())
        tables.append(table)
        frames += batch.frames
        if frames >= BLOCK_FRAMES or number == len(new) - 1:
            yield pl.concat(tables), list(new[:first])
            tables, frames, first = [], 0, number + 1


def _tracks_except(batch: AudioFingerprints, track_ids: set[str]) -> pl.DataFrame:
    return batch.table().filter(~pl.col("track_id").is_in(track_ids))


def _links_of_block(
    block: pl.DataFrame, earlier: Sequence[AudioFingerprints]
) -> Iterator[tuple[Any, ...]]:
    """A row of links for each match within the block, and between it and the earlier batches."""
    from melgraph.ml.recordings.matching import Index

    references = _fingerprints(block)
    index = Index(references)
    block_ids = block["track_id"].to_list()
    for match in index.matches(references, within=True):
        yield _link(match, block_ids, block_ids)
    for batch in earlier:
        table = _tracks_except(batch, set(block_ids))
        batch_ids = table["track_id"].to_list()
        for match in index.matches(_fingerprints(table)):
            yield _link(match, batch_ids, block_ids)


def _members(
    files: pl.DataFrame, links: pl.DataFrame, clusters: dict[str, str], chained: set[str]
) -> Iterator[dict[str, Any]]:
    """A row for every file of every cluster, with the evidence for its membership."""
    paths: dict[str, list[str]] = {}
    for path, track_id in files.select("path", "track_id").iter_rows():
        paths.setdefault(track_id, []).append(path)
    best_links = _best_links(links, paths)
    for file in files.iter_rows(named=True):
        track_id = file["track_id"]
        copies = paths[track_id]
        if track_id not in clusters and len(copies) == 1:
            continue
        row: dict[str, Any] = dict.fromkeys(MEMBERS_SCHEMA)
        cluster = clusters.get(track_id, track_id)
        row.update(file, cluster=cluster, chained=cluster in chained)
        if file["path"] == copies[0] and track_id in best_links:
            row.update(best_links[track_id], kind="near")
        else:
            other = copies[1] if file["path"] == copies[0] else copies[0]
            row.update(kind="exact", other_path=other, offset_s=0.0, bit_error_rate=0.0)
            row["overlap_s"] = file["duration_s"]
        yield row


def _best_links(links: pl.DataFrame, paths: dict[str, list[str]]) -> dict[str, dict[str, Any]]:
    """For each track, its link with the lowest bit error rate, with the offset of this track."""
    best_links: dict[str, dict[str, Any]] = {}
    for link in links.sort("bit_error_rate", "track_id", "other_track_id").iter_rows(named=True):
        ends = (link["track_id"], link["other_track_id"])
        if not all(end in paths for end in ends):
            continue
        evidence = {name: link[name] for name in ("overlap_s", "bit_error_rate")}
        for track_id, other, sign in ((*ends, 1.0), (*ends[::-1], -1.0)):
            view = {"other_path": paths[other][0], "offset_s": sign * link["offset_s"] + 0.0}
            best_links.setdefault(track_id, {**evidence, **view})
    return best_links


def _fingerprints(table: pl.DataFrame) -> Any:
    from melgraph.ml.recordings.fingerprints import Fingerprints

    return Fingerprints.of([codes.to_numpy() for codes in table["codes"]])


def _link(match: Any, queries: list[str], references: list[str]) -> tuple[Any, ...]:
    """A row of `links.parquet`. The smaller track id comes first."""
    from melgraph.ml.recordings.fingerprints import FRAMES_PER_SECOND

    ids = queries[match.query], references[match.reference]
    offset = match.offset_frames if ids[0] < ids[1] else -match.offset_frames
    return (
        *sorted(ids),
        round(offset / FRAMES_PER_SECOND, 3),
        round(match.overlap_frames / FRAMES_PER_SECOND, 3),
        round(match.bit_error_rate, 5),
    )


@stage_asset(DUPLICATES)
def duplicates(context: AssetExecutionContext, home: HomeResource) -> MaterializeResult[None]:
    """Recordings that the library holds several times, as equal files or as re-encoded copies.

    A copy is found even if its format, level or polarity differs, or if one file is a part of the
    other. Live versions, covers and remixes count as other recordings.

    `duplicates.parquet` has one row per file of a cluster: the `cluster`, the most similar other
    file, its position (second t of this file is second t + `offset_s` of the other) and the share
    of differing fingerprint bits (below 0.15 for copies, about 0.45 for other music). A `chained`
    cluster contains two tracks that are similar only through a third; check it by listening.
    `links.parquet` has one row per pair of similar tracks. A split keeps all tracks of a cluster
    together.
    """
    return materialize(context, home, DUPLICATES)


def show(artifact: Artifact) -> Metadata:
    """How many recordings occur several times, and the first of these clusters."""
    facts = artifact.facts
    metadata: Metadata = {
        **({"caution": facts["caution"]} if facts["caution"] else {}),
        "tracks": facts["tracks"],
        "tracks compared": facts["compared"],
        "clusters": facts["clusters"],
        "files with exactly the sound of another file": facts["exact_copies"],
        "tracks similar to another track": facts["near_duplicates"],
        "clusters to check (chained)": facts["chained"],
    }
    members = read_table(artifact.folder / MEMBERS)
    first = members["cluster"].unique(maintain_order=True).head(MOST_CLUSTERS_SHOWN).implode()
    columns = [name for name in MEMBERS_SCHEMA if name not in ("track_id", "duration_s")]
    rows = members.filter(pl.col("cluster").is_in(first)).select(columns)
    if rows.height:
        short = rows.with_columns(pl.col("cluster").str.head(8), pl.col(pl.Float64).round(3))
        metadata["first clusters"] = markdown_table(short.to_dicts())
    return metadata
