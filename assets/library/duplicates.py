"""`duplicates`: the same recording found several times in the library, exactly or nearly."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import polars as pl
from dagster import AllPartitionMapping, AssetDep, AssetExecutionContext, MaterializeResult, asset

from melgraph.assets.library import ingest
from melgraph.assets.library.fingerprints import FINGERPRINTS
from melgraph.assets.library.fingerprints import TABLE as FINGERPRINTS_TABLE
from melgraph.assets.library.live import library_files, library_state
from melgraph.assets.materialize import (
    Metadata,
    current_references,
    inputs_of,
    markdown_table,
    materialize,
    plain_failures,
)
from melgraph.assets.resources import HomeResource
from melgraph.storage.artifacts import Artifact, ArtifactStore, Work
from melgraph.storage.catalogue import Catalogue
from melgraph.storage.records import Reference, Spec
from melgraph.storage.tables import read_table, write_table

STAGE = 1
DUPLICATES, EVERYTHING = "duplicates", "all"
MEMBERS, LINKS = "duplicates.parquet", "links.parquet"
BLOCK_FRAMES = 32_000_000  # of new tracks that are compared at once: some 300 MB
CLUSTERS_SHOWN = 20

LINKS_SCHEMA = {
    "track_id": pl.String,
    "other_track_id": pl.String,
    "offset_s": pl.Float64,
    "overlap_s": pl.Float64,
    "bit_error_rate": pl.Float64,
}
MEMBERS_SCHEMA = {
    "cluster": pl.String,
    "path": pl.String,
    "track_id": pl.String,
    "kind": pl.String,
    "other_path": pl.String,
    "offset_s": pl.Float64,
    "overlap_s": pl.Float64,
    "bit_error_rate": pl.Float64,
    "chained": pl.Boolean,
    "duration_s": pl.Float64,
}


def duplicates_spec(store: ArtifactStore, catalogue: Catalogue) -> Spec:
    """The duplicates of the library as it is now.

    Where nothing has changed, this is the spec of what is there; else that is an input, so that
    only new tracks are compared.
    """
    inputs = tuple(
        reference
        for asset in (FINGERPRINTS, ingest.TRACKS)
        for reference in current_references(store, asset)
    )
    config = library_state(catalogue)
    fresh = Spec(DUPLICATES, EVERYTHING, STAGE, inputs, config)
    last = store.current(DUPLICATES, EVERYTHING)
    if last is None or last.record.spec.stage != STAGE:
        return fresh
    before = last.record.spec
    if {r for r in before.inputs if r.asset != DUPLICATES} == set(inputs) and (
        before.config == fresh.config
    ):
        return before
    return replace(fresh, inputs=(*inputs, last.reference))


def write_duplicates(store: ArtifactStore, work: Work) -> None:
    """Write every link between two tracks, and every file that is in a cluster."""
    from melgraph.ml.recordings.duplicates import chained_clusters, cluster_names

    links, compared = _links(store, work.spec)
    files = _good_files(store, work.spec)
    pairs = list(links.select("track_id", "other_track_id").iter_rows())
    track_ids = files["track_id"].unique(maintain_order=True).to_list()
    clusters = cluster_names(track_ids, pairs)
    chained = chained_clusters(clusters, pairs)
    members = pl.DataFrame(list(_members(files, links, clusters, chained)), schema=MEMBERS_SCHEMA)
    members = members.sort("cluster", "path")
    write_table(links, work.folder / LINKS)
    write_table(members, work.folder / MEMBERS)
    prints = inputs_of(store, work.spec, FINGERPRINTS)
    work.facts.update(
        caution=next((batch.facts["unfit"] for batch in prints if batch.facts["unfit"]), None),
        files=files.height,
        tracks=len(track_ids),
        compared=compared,
        clusters=members["cluster"].n_unique(),
        exact_copies=files.height - len(track_ids),
        near_duplicates=len(clusters),
        links=links.height,
        chained=len(chained),
    )


def _good_files(store: ArtifactStore, spec: Spec) -> pl.DataFrame:
    """Every good file as the library is now, each copy of a track too: path, track_id, duration_s.

    In the order in which they came.
    """
    files = library_files(inputs_of(store, spec, ingest.TRACKS), spec.config)
    good = files.filter(pl.col("status") == "ok", ~pl.col("gone"))
    return good.select("path", "track_id", "duration_s")


def _links(store: ArtifactStore, spec: Spec) -> tuple[pl.DataFrame, int]:
    """All links, of which those between tracks compared before are taken over; tracks compared."""
    prints = inputs_of(store, spec, FINGERPRINTS)
    known, kept = set[Reference](), pl.DataFrame(schema=LINKS_SCHEMA)
    for before in inputs_of(store, spec, DUPLICATES):
        known = {r for r in before.record.spec.inputs if r.asset == FINGERPRINTS}
        kept = read_table(before.folder / LINKS)
    old = [batch for batch in prints if batch.reference in known]
    new = [batch for batch in prints if batch.reference not in known]
    seen: set[str] = set()
    for batch in old:
        table = read_table(batch.folder / FINGERPRINTS_TABLE, columns=["track_id"])
        seen |= set(table["track_id"].to_list())
    kept = kept.filter(pl.col("track_id").is_in(seen), pl.col("other_track_id").is_in(seen))
    found = []
    for block, passing in _blocks(new, seen):
        found += list(_compare(block, [*old, *passing]))
    links = pl.concat([kept, pl.DataFrame(found, schema=LINKS_SCHEMA, orient="row")])
    pair = ["track_id", "other_track_id"]
    return links.sort(*pair, "bit_error_rate").unique(pair, keep="first", maintain_order=True), len(
        seen
    )


def _blocks(
    new: Sequence[Artifact], seen: set[str]
) -> Iterator[tuple[pl.DataFrame, list[Artifact]]]:
    """New tracks, as many as fit into memory, and the new batches before theirs.

    Adds their ids to `seen`; a track that was seen is not compared a second time.
    """
    waiting: list[pl.DataFrame] = []
    frames, first = 0, 0
    for number, batch in enumerate(new):
        table = _unseen(batch, seen)
        seen |= set(table["track_id"].to_list())
        waiting.append(table)
        frames += batch.facts["frames"]
        if frames >= BLOCK_FRAMES or number == len(new) - 1:
            yield pl.concat(waiting), list(new[:first])
            waiting, frames, first = [], 0, number + 1


def _unseen(batch: Artifact, seen: set[str]) -> pl.DataFrame:
    table = read_table(batch.folder / FINGERPRINTS_TABLE)
    return table.filter(~pl.col("track_id").is_in(seen))


def _compare(block: pl.DataFrame, earlier: Sequence[Artifact]) -> Iterator[tuple[Any, ...]]:
    """A row of links for each match within the block, and with the earlier batches."""
    from melgraph.ml.recordings.matching import Index

    references = _fingerprints(block)
    index = Index(references)
    ids = block["track_id"].to_list()
    for match in index.matches(references, within=True):
        yield _link(match, ids, ids)
    ours = set(ids)
    for batch in earlier:
        table = _unseen(batch, ours)
        others = table["track_id"].to_list()
        for match in index.matches(_fingerprints(table)):
            yield _link(match, others, ids)


def _members(
    files: pl.DataFrame, links: pl.DataFrame, clusters: dict[str, str], chained: set[str]
) -> Iterator[dict[str, Any]]:
    """A row for every file of every cluster, with the evidence for its being there."""
    paths: dict[str, list[str]] = {}
    for path, track_id in files.select("path", "track_id").iter_rows():
        paths.setdefault(track_id, []).append(path)
    nearest = _nearest(links, paths)
    for file in files.iter_rows(named=True):
        track_id = file["track_id"]
        copies = paths[track_id]
        if track_id not in clusters and len(copies) == 1:
            continue
        row: dict[str, Any] = dict.fromkeys(MEMBERS_SCHEMA)
        cluster = clusters.get(track_id, track_id)
        row.update(file, cluster=cluster, chained=cluster in chained)
        if file["path"] == copies[0] and track_id in nearest:
            row.update(nearest[track_id], kind="near")
        else:
            other = copies[1] if file["path"] == copies[0] else copies[0]
            row.update(kind="exact", other_path=other, offset_s=0.0, bit_error_rate=0.0)
            row["overlap_s"] = file["duration_s"]
        yield row


def _nearest(links: pl.DataFrame, paths: dict[str, list[str]]) -> dict[str, dict[str, Any]]:
    """Of each track that is there, the link with the fewest wrong bits, seen from its side."""
    nearest: dict[str, dict[str, Any]] = {}
    for link in links.sort("bit_error_rate", "track_id", "other_track_id").iter_rows(named=True):
        ends = (link["track_id"], link["other_track_id"])
        if not all(end in paths for end in ends):
            continue
        evidence = {name: link[name] for name in ("overlap_s", "bit_error_rate")}
        for track_id, other, sign in ((*ends, 1.0), (*ends[::-1], -1.0)):
            seen = {"other_path": paths[other][0], "offset_s": sign * link["offset_s"] + 0.0}
            nearest.setdefault(track_id, {**evidence, **seen})
    return nearest


def _fingerprints(table: pl.DataFrame) -> Any:
    from melgraph.ml.recordings.fingerprints import Fingerprints

    return Fingerprints.of([codes.to_numpy() for codes in table["codes"]])


def _link(match: Any, queries: list[str], references: list[str]) -> tuple[Any, ...]:
    """A row of `links.parquet`; the smaller id first, whichever asked."""
    from melgraph.ml.recordings.fingerprints import FRAMES_PER_SECOND

    ids = queries[match.query], references[match.reference]
    offset = match.offset_frames if ids[0] < ids[1] else -match.offset_frames
    return (
        *sorted(ids),
        round(offset / FRAMES_PER_SECOND, 3),
        round(match.overlap_frames / FRAMES_PER_SECOND, 3),
        round(match.bit_error_rate, 5),
    )


@asset(
    deps=[
        AssetDep(name, partition_mapping=AllPartitionMapping())
        for name in (FINGERPRINTS, ingest.TRACKS)
    ],
    group_name="dataset",
    code_version=str(STAGE),
    kinds={"polars"},
)
def duplicates(context: AssetExecutionContext, home: HomeResource) -> MaterializeResult:
    """The same recording, several times in the library: as the same bytes, or re-encoded.

    Found whatever the format, level or polarity, and where one file is a part of the other. Live
    versions, covers and remixes are other recordings. Parquet, one row per file: its `cluster`, the
    file it is most alike and where (this file's second t is the other's second t + `offset_s`),
    and the share of differing fingerprint bits (copies: below 0.15; other music: about 0.45).
    `chained` clusters deserve a look: some two of their tracks were not found alike themselves.
    `links.parquet` holds every pair of tracks. Splits keep a cluster on one side.
    """
    with plain_failures():
        store = home.store()
        spec = duplicates_spec(store, home.catalogue())
    return materialize(context, store, spec, write_duplicates, _show)


def _show(artifact: Artifact) -> Metadata:
    facts = artifact.facts
    shown: Metadata = {
        **({"caution": facts["caution"]} if facts["caution"] else {}),
        "tracks": facts["tracks"],
        "tracks compared": facts["compared"],
        "clusters": facts["clusters"],
        "files with the bytes of another": facts["exact_copies"],
        "tracks near another": facts["near_duplicates"],
        "clusters to look at (chained)": facts["chained"],
    }
    members = read_table(artifact.folder / MEMBERS)
    first = members["cluster"].unique(maintain_order=True).head(CLUSTERS_SHOWN).implode()
    columns = [name for name in MEMBERS_SCHEMA if name not in ("track_id", "duration_s")]
    rows = members.filter(pl.col("cluster").is_in(first)).select(columns)
    if rows.height:
        short = rows.with_columns(pl.col("cluster").str.head(8), pl.col(pl.Float64).round(3))
        shown["first clusters"] = markdown_table(short.to_dicts())
    return shown


def clusters_of(snapshot: Artifact) -> dict[str, str]:
    """The cluster of each track that is in one, of a committed `duplicates`."""
    members = read_table(snapshot.folder / MEMBERS)
    return dict(members.select("track_id", "cluster").iter_rows())
