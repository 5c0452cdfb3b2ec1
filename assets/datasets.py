"""`datasets`: named, immutable snapshots of which tracks, with which labels, in which split."""

import json
from dataclasses import replace
from typing import Any

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

from assets import ingest
from assets.materialize import (
    Metadata,
    current_references,
    inputs_of,
    markdown_table,
    materialize,
    plain_failures,
)
from assets.partitions import SPECS, dataset_names
from assets.resources import HomeResource
from ml.errors import UserError
from storage.artifacts import Artifact, ArtifactStore, Work
from storage.catalogue import Catalogue
from storage.records import Reference, Spec
from storage.tables import read_table, write_table

STAGE = 1
DATASETS = "datasets"
TABLE = "tracks.parquet"
_NOBODY = {"", "unknown", "unknown artist", "various", "various artists", "va", "n/a", "none"}


def dataset_spec(store: ArtifactStore, catalogue: Catalogue, name: str) -> Spec:
    """The snapshot of a dataset as the library is now.

    Where nothing it depends on has changed since the last snapshot, this is that snapshot's spec.
    Otherwise the last snapshot is its parent, whose split assignments stay.
    """
    tracks = tuple(current_references(store, ingest.TRACKS))
    config = SPECS.datasets[name].model_dump()
    config["label_level"] = config["label_level"] or store.home.label_level
    config["missing"] = catalogue.missing_paths()
    fresh = Spec(DATASETS, name, STAGE, tracks, config, config["seed"])
    last = store.current(DATASETS, name)
    if last is None or not _same_question(last.record.spec, fresh):
        return fresh
    before = last.record.spec
    if _of_tracks(before) == set(tracks) and before.config["missing"] == config["missing"]:
        return before
    return replace(fresh, inputs=(*tracks, last.reference))


def _same_question(before: Spec, now: Spec) -> bool:
    """Whether only the library differs: then split assignments are kept, else they start anew."""
    asked = [{k: v for k, v in spec.config.items() if k != "missing"} for spec in (before, now)]
    return before.stage == now.stage and asked[0] == asked[1]


def _of_tracks(spec: Spec) -> set[Reference]:
    return {reference for reference in spec.inputs if reference.asset == ingest.TRACKS}


def write_dataset(store: ArtifactStore, work: Work) -> None:
    """Write the snapshot: one row per track, with label, group, split or the reason it has none."""
    from ml.components import components, edges_from_keys, name_edges
    from ml.splits import leakage

    config = work.spec.config
    table = _candidates(store, work.spec)
    table = table.with_columns(label=_labels(table, config))
    paths = table["path"].to_list()
    artists = [_artist(name) for name in table["artist"].to_list()]
    groups = components(table.height, [*edges_from_keys(artists), *name_edges(paths)])
    parent = {}
    for snapshot in inputs_of(store, work.spec, DATASETS):
        before = read_table(snapshot.folder / TABLE)
        parent = dict(before.select("track_id", "split").iter_rows())
    splits, reasons, unusable = _split(table, groups, config, parent)
    table = table.with_columns(
        group=pl.Series(groups, dtype=pl.Int64),
        split=pl.Series(splits, dtype=pl.String),
        left_out=pl.Series(reasons, dtype=pl.String),
    )
    write_table(table, work.folder / TABLE)
    used = table.filter(pl.col("split").is_not_null())
    counts = used.group_by("label", "split").len().sort("label", "split")
    work.facts.update(
        tracks=table.height,
        labelled=table["label"].count(),
        used=used.height,
        groups=used["group"].n_unique(),
        artist_known=sum(artists[row] is not None for row, side in enumerate(splits) if side),
        classes=sorted(used["label"].unique().to_list()),
        counts=counts.to_dicts(),
        left_out=dict(table["left_out"].drop_nulls().value_counts().sort("left_out").iter_rows()),
        leaks=len(leakage(splits, groups)),
        policy=config["split"],
        unusable=unusable,
        snapshot_of=[reference.partition for reference in sorted(_of_tracks(work.spec))],
    )
    (work.folder / "spec.json").write_text(json.dumps(dict(config), indent=1, sort_keys=True))


def _candidates(store: ArtifactStore, spec: Spec) -> pl.DataFrame:
    """Good tracks of the snapshot's batches, each once, where it was first seen."""
    batches = inputs_of(store, spec, ingest.TRACKS)
    if not batches:
        raise UserError(
            "there are no tracks to make a dataset of",
            where=f"{spec.asset}/{spec.partition}",
            remedy="materialize `tracks` for at least one track batch first",
        )
    table = ingest.live_tracks(batches, spec.config["missing"])
    table = table.filter(pl.col("path").str.starts_with(spec.config["collection"]))
    return table.select("track_id", "path", "artist", "title", "genre", "duration_s", "batch")


def _labels(table: pl.DataFrame, config: Any) -> pl.Series:
    if config["labels"] == "tag":
        values: list[str | None] = table["genre"].to_list()
    elif config["labels"] == "none" or config["label_level"] is None:
        values = [None] * table.height
    else:
        values = [folder_label(path, config["label_level"]) for path in table["path"].to_list()]
    return pl.Series(values, dtype=pl.String)


def folder_label(path: str, level: int | None) -> str | None:
    """The name of the folder at `level` (1 = directly below the library), if the path has one."""
    folders = path.split("/")[:-1]
    return folders[level - 1] if level is not None and len(folders) >= level else None


def _artist(name: str | None) -> str | None:
    spelled = " ".join((name or "").casefold().split())
    return None if spelled in _NOBODY else spelled


def _split(
    table: pl.DataFrame, groups: Any, config: Any, parent: dict[str, str | None]
) -> tuple[list[str | None], list[str | None], str | None]:
    """Splits and reasons per row, and why the snapshot cannot be learned from, if it cannot."""
    from ml.splits import grouped_split, min_groups_per_class, random_split

    splits: list[str | None] = [None] * table.height
    reasons: list[str | None] = [None] * table.height
    sizes = dict(table["label"].drop_nulls().value_counts().iter_rows())
    for row, label in enumerate(table["label"].to_list()):
        if label is None:
            reasons[row] = "no label"
        elif sizes[label] < config["min_tracks_per_class"]:
            reasons[row] = (
                f"class {label!r} has {sizes[label]} tracks, "
                f"{config['min_tracks_per_class']} are needed"
            )
    rows = [row for row, reason in enumerate(reasons) if reason is None]
    if not rows:
        return splits, reasons, _why_no_labels(table, config)
    labels = [table["label"][row] for row in rows]
    try:
        too_few = min_groups_per_class(labels, groups[rows], minimum=config["min_groups_per_class"])
    except UserError as error:
        for row in rows:
            reasons[row] = "fewer than two classes can be split"
        return splits, reasons, error.what
    for row, reason in zip(rows, too_few, strict=True):
        reasons[row] = reason
    rows = [row for row in rows if reasons[row] is None]
    policy = random_split if config["split"] == "leaky" else grouped_split
    answer = policy(
        [table["label"][row] for row in rows],
        groups[rows],
        track_ids=[table["track_id"][row] for row in rows],
        fractions={part: config[part] for part in ("train", "validation", "test")},
        seed=config["seed"],
        parent=parent,
    )
    for row, split, reason in zip(rows, answer.splits, answer.reasons, strict=True):
        splits[row], reasons[row] = split, reason
    return splits, reasons, None


def _why_no_labels(table: pl.DataFrame, config: Any) -> str:
    if table["label"].count():
        return f"no class has {config['min_tracks_per_class']} tracks or more"
    if config["labels"] == "tag":
        return "no track has a genre tag"
    if config["labels"] == "none" or config["label_level"] is None:
        return "the library has no labels (label level: none)"
    return f"no track lies {config['label_level']} folder level(s) below the library"


@asset(
    partitions_def=dataset_names,
    deps=[AssetDep(ingest.TRACKS, partition_mapping=AllPartitionMapping())],
    group_name="dataset",
    code_version=str(STAGE),
    kinds={"polars"},
)
def datasets(context: AssetExecutionContext, home: HomeResource) -> MaterializeResult:
    """A named, immutable snapshot: which tracks, with which labels, in which split.

    Splits go by connected components of "same artist", "same bytes" and "one name extends the
    other": no component is on two sides. Tracks keep their side in later snapshots. Parquet, one
    row per track, with the reason for each that is left out.
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
    shown["split"] = markdown_table(rows)
    if facts["left_out"]:
        reasons = [{"reason": r, "tracks": n} for r, n in facts["left_out"].items()]
        shown["left out"] = markdown_table(reasons)
    if facts["artist_known"] < facts["used"]:
        shown["caution"] = artist_caution(facts)
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


@asset_check(asset=datasets, blocking=True, description="No component is on two sides of a split.")
def no_leakage(home: HomeResource) -> AssetCheckResult:
    """Recount, from the tables themselves, the groups found in more than one split."""
    store = home.store()
    leaks: dict[str, int] = {}
    for name in store.partitions(DATASETS):
        snapshot = store.need(DATASETS, name)
        if snapshot.record.spec.config["split"] == "leaky":
            continue  # made to measure the gap
        table = read_table(snapshot.folder / TABLE).filter(pl.col("split").is_not_null())
        sides = table.group_by("group").agg(pl.col("split").n_unique())
        leaks[name] = sides.filter(pl.col("split") > 1).height
    return AssetCheckResult(passed=not any(leaks.values()), metadata={"leaking groups": leaks})


def usable_dataset(store: ArtifactStore, name: str) -> Artifact:
    """The current snapshot of a dataset, if a classifier can be learned from it.

    Raises:
        UserError: it cannot; the message says why.
    """
    snapshot = store.need(DATASETS, name)
    if snapshot.facts["unusable"]:
        raise UserError(
            f"the dataset {name!r} cannot be learned from: {snapshot.facts['unusable']}",
            where=str(snapshot.folder),
            remedy="put recordings into one folder per genre and name its level (--label-level N), "
            "or ask for less: min_tracks_per_class in specs/datasets",
        )
    return snapshot
