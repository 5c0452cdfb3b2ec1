"""`datasets`: named, immutable snapshots of which tracks, with which labels, in which split."""

import json
from dataclasses import replace

import polars as pl
from dagster import (
    AllPartitionMapping,
    AssetCheckResult,
    AssetDep,
    AssetExecutionContext,
    MaterializeResult,
    asset,
    asset_check,
)

from melgraph.assets.dataset import one_recording as recordings
from melgraph.assets.dataset.labels import (
    LEARNED_AS,
    annotations,
    artist_key,
    candidates,
    collection_facts,
    no_part,
    question,
    why_unusable,
    with_labels,
)
from melgraph.assets.dataset.splits import take_sides
from melgraph.assets.library import ingest
from melgraph.assets.library.duplicates import DUPLICATES
from melgraph.assets.library.live import STATE, library_state, state_of
from melgraph.assets.materialize import (
    Metadata,
    current_references,
    inputs_of,
    markdown_table,
    materialize,
    plain_failures,
)
from melgraph.assets.partitions import dataset_names
from melgraph.assets.resources import HomeResource
from melgraph.ml.errors import UserError
from melgraph.storage.artifacts import Artifact, ArtifactStore, Work
from melgraph.storage.catalogue import Catalogue
from melgraph.storage.records import Reference, Spec
from melgraph.storage.tables import read_table, write_table

STAGE = 2
DATASETS = "datasets"
TABLE = "tracks.parquet"


def dataset_spec(store: ArtifactStore, catalogue: Catalogue, name: str) -> Spec:
    """The snapshot of a dataset as the library, and the lists of its collection, are now.

    Where nothing it depends on has changed since the last snapshot, this is that snapshot's spec.
    Otherwise the last snapshot is its parent, whose split assignments stay; a published split has
    no parent, as its lists decide alone.
    """
    tracks = tuple(current_references(store, ingest.TRACKS))
    config = question(store.home, name) | library_state(catalogue)
    inputs = (*tracks, *recordings.duplicates_reference(store))
    fresh = Spec(DATASETS, name, STAGE, inputs, config, config["seed"])
    last = store.current(DATASETS, name)
    if last is None or config["split"] == "official" or not _same_question(last.record.spec, fresh):
        return fresh
    before = last.record.spec
    of_library = {reference for reference in before.inputs if reference.asset != DATASETS}
    same_lists = before.config["metadata"] == config["metadata"]
    same_state = state_of(before.config) == state_of(config)
    if of_library == set(inputs) and same_lists and same_state:
        return before
    return replace(fresh, inputs=(*inputs, last.reference))


def _same_question(before: Spec, now: Spec) -> bool:
    """Whether only the library, or the lists that grow with it, differ: then split assignments are
    kept, else they start anew.
    """
    grows = (*STATE, "metadata")
    asked = [{k: v for k, v in spec.config.items() if k not in grows} for spec in (before, now)]
    return before.stage == now.stage and asked[0] == asked[1]


def _of_tracks(spec: Spec) -> set[Reference]:
    return {reference for reference in spec.inputs if reference.asset == ingest.TRACKS}


def write_dataset(store: ArtifactStore, work: Work) -> None:
    """Write the snapshot: one row per track, with label, group, split or the reason it has none."""
    from melgraph.ml.recordings.components import components, edges_from_keys, name_edges
    from melgraph.ml.splits.assignment import leakage

    config = work.spec.config
    table, others = _candidates(store, work.spec)
    found = annotations(store.home, work.spec.partition, config, table, others)
    table = with_labels(table, found.rows)
    paths = table["path"].to_list()
    told = table.select(pl.coalesce("artist_id", "artist"))["artist_id"].to_list()
    artists = [artist_key(name) for name in told]
    joined = [row.group if row else None for row in found.rows]
    known = recordings.known_clusters(store, work.spec)
    clusters = [known.get(track_id) for track_id in table["track_id"]]
    table = table.with_columns(duplicate_cluster=pl.Series(clusters, dtype=pl.String))
    keys = (artists, joined, clusters)
    edges = [*(edge for each in keys for edge in edges_from_keys(each)), *name_edges(paths)]
    groups = components(table.height, edges)
    parent = {}
    for snapshot in inputs_of(store, work.spec, DATASETS):
        before = read_table(snapshot.folder / TABLE)
        parent = dict(before.select("track_id", "split").iter_rows())
    sides = take_sides(table, groups, no_part(found.rows), config, parent)
    if config["split"] != "official":  # which stays as it was published
        recordings.leave_out_repeats(table, sides.splits, sides.reasons, parent)
    splits, unusable = sides.splits, sides.unusable or why_unusable(table, sides.splits, config)
    labels = [own if side else tuple(listed) for own, side, listed in
              zip(sides.labels, splits, table["labels"].to_list(), strict=True)]  # fmt: skip
    single = [one[0] if one and not config["multi_label"] else None for one in labels]
    table = table.select(
        pl.exclude("labels", "code"),
        label=pl.Series(single, dtype=pl.String),
        labels=pl.Series([list(one) for one in labels], dtype=pl.List(pl.String)),
        group=pl.Series(groups, dtype=pl.Int64),
        split=pl.Series(splits, dtype=pl.String),
        left_out=pl.Series(sides.reasons, dtype=pl.String),
    )
    write_table(table, work.folder / TABLE)
    used = table.filter(pl.col("split").is_not_null())
    counts = used.explode("labels").group_by(label="labels", split="split").len()
    work.facts.update(
        tracks=table.height,
        labelled=int((table["labels"].list.len() > 0).sum()),
        used=used.height,
        groups=used["group"].n_unique(),
        artist_known=sum(artists[row] is not None for row, side in enumerate(splits) if side),
        classes=sorted(used["labels"].explode().unique().to_list()),
        counts=counts.sort("label", "split").to_dicts(),
        left_out=recordings.counted_reasons(sides.reasons),
        batches_not_searched=recordings.batches_not_searched(store, work.spec),
        leaks=len(leakage(splits, groups)),
        policy=config["split"],
        unusable=unusable,
        snapshot_of=[reference.partition for reference in sorted(_of_tracks(work.spec))],
        collection=collection_facts(config, found, sides),
    )
    (work.folder / "spec.json").write_text(json.dumps(dict(config), indent=1, sort_keys=True))


def _candidates(store: ArtifactStore, spec: Spec) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Good tracks of the snapshot's batches, each once, where first seen; and the other files."""
    batches = inputs_of(store, spec, ingest.TRACKS)
    if not batches:
        raise UserError(
            "there are no tracks to make a dataset of",
            where=f"{spec.asset}/{spec.partition}",
            remedy="materialize `tracks` for at least one track batch first",
        )
    good, others = candidates(batches, spec.config)
    inside = pl.col("path").str.starts_with(spec.config["collection"])
    columns = ("track_id", "path", "artist", "album", "title", "genre", "code", "duration_s")
    return good.filter(inside).select(*columns, "batch"), others.filter(inside)


@asset(
    partitions_def=dataset_names,
    deps=[AssetDep(ingest.TRACKS, partition_mapping=AllPartitionMapping()), DUPLICATES],
    group_name="dataset",
    code_version=str(STAGE),
    kinds={"polars"},
)
def datasets(context: AssetExecutionContext, home: HomeResource) -> MaterializeResult:
    """A named, immutable snapshot: which tracks, with which labels, in which split.

    Labels come of the collection's adaptor: folders, tags, a table, or the lists of a published
    collection. Splits go by connected components of "same artist", "same recording" and "one name
    extends the other": no component is on two sides; in validation and test a recording counts
    once. Tracks keep their side in later snapshots. A published split stays as it is, less what
    would leak into its test. Parquet, one row per track, with the reason for each that is left out.
    """
    with plain_failures():
        store = home.store()
        spec = dataset_spec(store, home.catalogue(), context.partition_key)
    return materialize(context, store, spec, write_dataset, _show)


def _show(artifact: Artifact) -> Metadata:
    facts = artifact.facts
    table: dict[str, dict[str, object]] = {}
    for cell in facts["counts"]:
        table.setdefault(cell["label"], {"class": cell["label"]})[cell["split"]] = cell["len"]
    rows = [
        {"class": c, **{part: row.get(part, 0) for part in ("train", "validation", "test")}}
        for c, row in table.items()
    ]
    shown: Metadata = {name: facts[name] for name in ("tracks", "used", "groups", "policy")}
    told = {k: v for k, v in facts["collection"].items() if k not in ("findings", "listed")}
    shown |= {name.replace("_", " "): value for name, value in told.items()}
    if facts["collection"]["findings"]:
        shown["findings"] = markdown_table(
            [{"finding": f} for f in facts["collection"]["findings"]]
        )
    shown["split"] = markdown_table(rows)
    if facts["left_out"]:
        reasons = [{"reason": r, "tracks": n} for r, n in facts["left_out"].items()]
        shown["left out"] = markdown_table(reasons)
    if facts["artist_known"] < facts["used"]:
        shown["caution"] = artist_caution(facts)
    if facts["batches_not_searched"]:
        shown["track batches not searched for duplicates"] = facts["batches_not_searched"]
    if facts["unusable"]:
        shown["cannot be learned from"] = facts["unusable"]
    return shown


def artist_caution(facts: Metadata) -> str:
    """What a split cannot promise where artists are not known."""
    unknown = facts["used"] - facts["artist_known"]
    return (
        f"the artist of {unknown} of {facts['used']} tracks is not known: "
        "tracks of one artist may be on both sides of the split"
    )


@asset_check(asset=datasets, blocking=True, description="No group or recording is on two sides.")
def no_leakage(home: HomeResource) -> AssetCheckResult:
    """Recount, from the tables themselves, what is found in more than one split.

    Groups as the snapshot has them, and recordings as the `duplicates` it was made with have them.
    """
    store = home.store()
    leaks, repeated = dict[str, int](), dict[str, int]()
    for name in store.partitions(DATASETS):
        snapshot = store.need(DATASETS, name)
        if snapshot.record.spec.config["split"] == "leaky":
            continue  # made to measure the gap
        table = read_table(snapshot.folder / TABLE).filter(pl.col("split").is_not_null())
        sides = table.group_by("group").agg(pl.col("split").n_unique())
        leaks[name] = sides.filter(pl.col("split") > 1).height
        clusters = recordings.known_clusters(store, snapshot.record.spec)
        repeated[name] = recordings.recordings_on_two_sides(table, clusters)
    return AssetCheckResult(
        passed=not any(leaks.values()) and not any(repeated.values()),
        metadata={"leaking groups": leaks, "leaking recordings": repeated},
    )


_CHECK = "`melgraph validate` says what its collection lacks; docs/collections.md, what it needs"
_OUTDATED = "the snapshot is of an earlier melgraph: make a new one (melgraph run --refresh)"
_REMEDIES = {
    labels: "put recordings into one folder per genre and name its level (--label-level N), "
    "or ask for less: min_tracks_per_class in specs/datasets"
    for labels in ("folder", "none")
}


def usable_dataset(store: ArtifactStore, name: str) -> Artifact:
    """The current snapshot of a dataset, if a classifier can be learned from it.

    Raises:
        UserError: it cannot; the message says why.
    """
    snapshot = store.need(DATASETS, name)
    if snapshot.facts["unusable"]:
        config = snapshot.record.spec.config
        outdated = config["multi_label"] and LEARNED_AS not in config
        raise UserError(
            f"the dataset {name!r} cannot be learned from: {snapshot.facts['unusable']}",
            where=str(snapshot.folder),
            remedy=_OUTDATED if outdated else _REMEDIES.get(config["labels"], _CHECK),
        )
    return snapshot
