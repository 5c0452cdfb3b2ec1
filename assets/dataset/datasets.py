"""`datasets`: named, immutable snapshots of tracks, their labels and their splits."""

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import polars as pl
from dagster import AssetCheckResult, AssetExecutionContext, MaterializeResult, asset_check

from melgraph.assets.context import Context
from melgraph.assets.dataset import one_recording
from melgraph.assets.dataset.groups import GROUPING, group_rows, grouping_facts
from melgraph.assets.dataset.labels import (
    add_labels,
    annotations,
    candidates,
    collection_facts,
    dataset_config,
    exclusion_reasons,
    why_unusable,
)
from melgraph.assets.dataset.retagged import copies_with_other_metadata, read_parent
from melgraph.assets.dataset.snapshot import TABLE, Snapshot, artist_caution
from melgraph.assets.dataset.splits import (
    SPLIT_ANEW,
    SPLIT_ANEW_SENTENCE,
    SplitAssignment,
    assign_splits,
)
from melgraph.assets.library.live import STATE, library_state, state_of
from melgraph.assets.library.tracks import METADATA, Tracks
from melgraph.assets.materialize import (
    current_references,
    materialize,
    stage_asset,
)
from melgraph.assets.resources import HomeResource
from melgraph.assets.stage import Metadata
from melgraph.assets.stages import DATASETS, TRACKS
from melgraph.assets.ui import markdown_table
from melgraph.ml.errors import UserError
from melgraph.storage.artifacts import Artifact, ArtifactStore, Work
from melgraph.storage.records import Spec
from melgraph.storage.tables import write_table


def plan_dataset(context: Context, name: str) -> Spec:
    """The spec of a snapshot of the library and the lists of the collection as they are now.

    If nothing has changed since the last snapshot, this is the spec of the last snapshot. Otherwise
    the last snapshot is the parent: its tracks stay in their splits. A snapshot with a published
    split has no parent, because only the lists determine the split.
    """
    store = context.store
    tracks = tuple(current_references(store, TRACKS))
    config = dataset_config(context, name) | library_state(context.catalogue)
    inputs = (*tracks, *one_recording.duplicates_reference(store))
    spec = DATASETS.spec(name, inputs, config, config["seed"])
    last = store.current(DATASETS.name, name)
    if last is None or config["split"] == "official":
        return spec
    before = last.record.spec
    if not _keeps_splits(before, spec):
        return _split_anew(before, spec)
    inputs_before = {reference for reference in before.inputs if not DATASETS.owns(reference)}
    same_lists = before.config["metadata"] == config["metadata"]
    same_state = state_of(before.config) == state_of(config)
    if inputs_before == set(inputs) and same_lists and same_state:
        return before
    return replace(spec, inputs=(*inputs, last.reference))


def _keeps_splits(before: Spec, now: Spec) -> bool:
    """Whether tracks stay in the splits of the snapshot before.

    This is so if only the library and the lists, which grow with it, have changed.
    """
    return before.stage == now.stage and _choices(before) == _choices(now)


def _split_anew(before: Spec, now: Spec) -> Spec:
    """The spec of a snapshot without a parent. It says so, unless the user chose another split."""
    rules = "grouping_rules"
    others = [{k: v for k, v in _choices(spec).items() if k != rules} for spec in (before, now)]
    if others[0] != others[1]:
        return now
    return replace(now, config={**now.config, SPLIT_ANEW: "other grouping rules"})


def _choices(spec: Spec) -> dict[str, Any]:
    """What decides the split, apart from the library and the lists."""
    changing = (*STATE, "metadata", SPLIT_ANEW)
    return {key: value for key, value in spec.config.items() if key not in changing}


def write_dataset(store: ArtifactStore, work: Work) -> None:
    """Write one row per track: its labels, its group, and its split or why it has none."""
    config = work.spec.config
    table, other_files = _candidates(store, work.spec)
    copies = copies_with_other_metadata(table, other_files)
    collection = annotations(store.home, work.spec.partition, config, table, other_files)
    clusters = one_recording.input_clusters(store, work.spec)
    table = add_labels(table, collection.rows).with_columns(
        duplicate_cluster=pl.Series(map(clusters.get, table["track_id"]), dtype=pl.String)
    )
    parents = Snapshot.inputs_of(store, work.spec)
    grouping = group_rows(table, collection.rows, config, parents)
    groups = grouping.groups
    parent = read_parent(parents, table, collection.rows)
    excluded = exclusion_reasons(table, collection.rows, parent)
    assignment = assign_splits(table, groups, excluded, config, parent)
    splits, reasons = assignment.splits, assignment.reasons
    if config["split"] != "official":  # a published split stays unchanged
        one_recording.leave_out_repeats(table, splits, reasons, parent.splits)
    unusable = assignment.unusable or why_unusable(table, splits, config)
    table = _snapshot_table(table, grouping, assignment, multi_label=config["multi_label"])
    write_table(table, work.folder / TABLE)
    work.facts.update(
        **_counts(table),
        **grouping_facts(grouping, splits),
        left_out=one_recording.count_reasons(reasons),
        copies_with_other_metadata=copies,
        split_anew=config.get(SPLIT_ANEW),
        batches_not_searched=one_recording.batches_not_searched(store, work.spec),
        leaks=_count_leaks(splits, groups),
        policy=config["split"],
        unusable=unusable,
        snapshot_of=sorted(r.partition for r in work.spec.inputs if TRACKS.owns(r)),
        collection=collection_facts(config, collection, assignment),
    )
    (work.folder / "spec.json").write_text(json.dumps(dict(config), indent=1, sort_keys=True))


def _snapshot_table(
    table: pl.DataFrame, grouping: Any, assignment: SplitAssignment, *, multi_label: bool
) -> pl.DataFrame:
    """The rows as they are stored. A track without a split keeps the labels of the collection.

    They have no year: it decides nothing, and another column would mean another stage integer, with
    which all datasets are split anew.
    """
    labels = [
        usable if split else tuple(original)
        for usable, split, original in zip(
            assignment.labels, assignment.splits, table["labels"].to_list(), strict=True
        )
    ]
    single = [one[0] if one and not multi_label else None for one in labels]
    return table.select(
        pl.exclude("labels", "code", "year"),
        label=pl.Series(single, dtype=pl.String),
        labels=pl.Series([list(one) for one in labels], dtype=pl.List(pl.String)),
        group=pl.Series(grouping.groups, dtype=pl.Int64),
        grouped_by=pl.Series(grouping.evidence, dtype=pl.List(pl.String)),
        split=pl.Series(assignment.splits, dtype=pl.String),
        left_out=pl.Series(assignment.reasons, dtype=pl.String),
    )


def _counts(table: pl.DataFrame) -> Metadata:
    """The numbers of tracks, groups and classes, and of tracks per class and split."""
    used = table.filter(pl.col("split").is_not_null())
    counts = used.explode("labels").group_by(label="labels", split="split").len()
    return {
        "tracks": table.height,
        "labelled": int((table["labels"].list.len() > 0).sum()),
        "used": used.height,
        "groups": used["group"].n_unique(),
        "classes": sorted(used["labels"].explode().unique().to_list()),
        "counts": counts.sort("label", "split").to_dicts(),
    }


def _count_leaks(splits: Sequence[str | None], groups: Any) -> int:
    from melgraph.ml.splits.assignment import leakage

    return len(leakage(splits, groups))


def _candidates(store: ArtifactStore, spec: Spec) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The good tracks of the collection, each once under its first path; and the other files."""
    batches = Tracks.inputs_of(store, spec)
    if not batches:
        raise UserError(
            "the library has no tracks, so there is nothing to make a dataset from",
            where=f"{spec.asset}/{spec.partition}",
            remedy="materialize `tracks` for at least one track batch, or: melgraph run",
        )
    good, others = candidates(batches, spec.config)
    inside = pl.col("path").str.starts_with(spec.config["collection"])
    columns = ("track_id", "path", *METADATA, "code", "duration_s")
    return good.filter(inside).select(*columns, "batch"), others.filter(inside)


@stage_asset(DATASETS)
def datasets(context: AssetExecutionContext, home: HomeResource) -> MaterializeResult[None]:
    """A named, immutable snapshot of tracks with their labels and splits.

    `tracks.parquet` has one row per track, with its split or the reason it is left out. Labels come
    from folders, file metadata, a table, or the lists of a published collection. Tracks of one
    artist or one recording always stay in the same split, however the artist is spelled; the column
    `grouped_by` says what connects a track to others. Where the artist is not known, the names of
    files and folders are used. In validation and test, each recording counts once. Tracks stay in
    their split in later snapshots, also if their file metadata changes; a track that it connects to
    another split is left out. A published split is used unchanged, except that tracks which would
    leak into its test part are left out.
    """
    return materialize(context, home, DATASETS)


def show(artifact: Artifact) -> Metadata:
    """The split by class, the findings about the collection, and why tracks are left out."""
    facts = artifact.facts
    table: dict[str, dict[str, object]] = {}
    for cell in facts["counts"]:
        table.setdefault(cell["label"], {"class": cell["label"]})[cell["split"]] = cell["len"]
    rows = [
        {"class": c, **{part: row.get(part, 0) for part in ("train", "validation", "test")}}
        for c, row in table.items()
    ]
    metadata: Metadata = {name: facts[name] for name in ("tracks", "used", "groups", "policy")}
    collection = dict(facts["collection"])
    findings, _ = collection.pop("findings"), collection.pop("listed", None)
    metadata |= {name.replace("_", " "): value for name, value in collection.items()}
    if findings:
        metadata["findings"] = markdown_table([{"finding": finding} for finding in findings])
    metadata["split"] = markdown_table(rows)
    if facts["left_out"]:
        reasons = [{"reason": r, "tracks": n} for r, n in facts["left_out"].items()]
        metadata["left out"] = markdown_table(reasons)
    metadata["share of the largest group"] = facts[GROUPING]["largest_share"]
    if evidence := facts[GROUPING]["evidence"]:
        metadata["grouped by"] = markdown_table(
            [{"evidence": name, "tracks": n} for name, n in evidence.items()]
        )
    if caution := artist_caution(facts):
        metadata["caution"] = caution
    if facts["split_anew"]:
        metadata["split anew"] = SPLIT_ANEW_SENTENCE
    if facts["batches_not_searched"]:
        metadata["track batches not searched for duplicates"] = facts["batches_not_searched"]
    if facts["unusable"]:
        metadata["no model can be trained because"] = facts["unusable"]
    return metadata


@asset_check(
    asset=datasets,
    blocking=True,
    description="No group and no recording is in more than one split.",
)
def no_leakage(home: HomeResource) -> AssetCheckResult:
    """Count the groups and recordings that have tracks in more than one split.

    Groups are those of the snapshot. Recordings are those of the `duplicates` among its inputs.
    """
    store = home.store()
    groups, recordings = dict[str, int](), dict[str, int]()
    for snapshot in Snapshot.all_current(store):
        if snapshot.policy == "leaky":
            continue  # this policy leaks on purpose, to measure the effect
        used = snapshot.used()
        splits = used.group_by("group").agg(pl.col("split").n_unique())
        groups[snapshot.name] = splits.filter(pl.col("split") > 1).height
        clusters = one_recording.input_clusters(store, snapshot.spec)
        recordings[snapshot.name] = one_recording.count_leaking_recordings(used, clusters)
    return AssetCheckResult(
        passed=not any(groups.values()) and not any(recordings.values()),
        metadata={"leaking groups": groups, "leaking recordings": recordings},
    )


_CHECK = "run `melgraph validate` to see what is missing; docs/collections.md lists what it needs"
_OUTDATED = "an earlier melgraph wrote the snapshot; make a new one: melgraph run --refresh"
_REMEDIES = {
    source: "put the files into one folder per genre and set its level (--label-level N), "
    "or lower min_tracks_per_class in specs/datasets"
    for source in ("folder", "none")
}


def usable_snapshot(store: ArtifactStore, name: str) -> Snapshot:
    """The current snapshot of a dataset, if a model can be trained on it.

    Raises:
        UserError: no model can be trained on it; the message says why.
    """
    snapshot = Snapshot.current(store, name)
    if snapshot.unusable:
        remedy = _REMEDIES.get(snapshot.label_source, _CHECK)
        raise UserError(  # the spec of a study contains the first sentence
            f"the dataset {name!r} cannot be learned from: {snapshot.unusable}",
            where=str(snapshot.artifact.folder),
            remedy=_OUTDATED if snapshot.is_outdated else remedy,
        )
    return snapshot
