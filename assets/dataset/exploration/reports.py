"""`exploration_reports`: what is in this collection?"""

import polars as pl
from dagster import (
    AllPartitionMapping,
    AssetDep,
    AssetExecutionContext,
    MaterializeResult,
    asset,
)

from melgraph.assets.dataset.datasets import DATASETS
from melgraph.assets.dataset.exploration import pictures as pictures
from melgraph.assets.dataset.exploration import tables as tables
from melgraph.assets.dataset.exploration.cautions import cautions
from melgraph.assets.library import ingest
from melgraph.assets.materialize import (
    Metadata,
    inputs_of,
    markdown_table,
    materialize,
    page_link,
    picture,
    plain_failures,
)
from melgraph.assets.models.trained_models import write_json
from melgraph.assets.partitions import dataset_names
from melgraph.assets.resources import HomeResource
from melgraph.storage.artifacts import Artifact, ArtifactStore, Work
from melgraph.storage.records import Spec
from melgraph.storage.tables import read_table, write_table

STAGE = 1
EXPLORATION_REPORTS = "exploration_reports"
FACTS = "figures.json"
CLASSES, FEATURES = "classes.parquet", "features.parquet"
FORMATS, QUARANTINE = "formats.parquet", "quarantine.parquet"
MOST_FORMATS = 20  # combinations that are told
CONFIG = {
    "most_tracks": 20_000,  # of which features are looked at
    "spectra_per_class": 200,  # tracks in a class's mean spectrum
    "classes_shown": 24,
    "features_shown": 6,
    "most_alike": 0.8,  # |rank correlation| of two shown features
    "excerpt_s": 30.0,
}


def exploration_spec(store: ArtifactStore, name: str) -> Spec:
    """The report on the current snapshot of a dataset: on its batches, not on newer ones."""
    snapshot = store.need(DATASETS, name)
    known = snapshot.record.spec.inputs
    tracks = [reference for reference in known if reference.asset == ingest.TRACKS]
    made = [
        store.need(asset, reference.partition).reference
        for reference in tracks
        for asset in (ingest.MEL, ingest.FEATURES)
    ]
    duplicates = [reference for reference in known if reference.asset == tables.DUPLICATES]
    inputs = (snapshot.reference, *tracks, *made, *duplicates)
    return Spec(EXPLORATION_REPORTS, name, STAGE, inputs, CONFIG)


def write_exploration_report(store: ArtifactStore, work: Work) -> None:
    """Count, measure and draw a dataset; see the asset."""
    config = work.spec.config
    collection = tables.read_collection(store, work.spec)
    shown = tables.shown_classes(collection, config["classes_shown"])
    classes = tables.class_table(collection)
    heard = collection.filter(pl.col("heard"))
    sampled = tables.sample(heard, config["most_tracks"])
    measured = tables.read_features(store, work.spec, sampled)
    codes, counts = tables.quarantine_table(store, work.spec)
    write_table(classes, work.folder / CLASSES)
    write_table(tables.format_table(collection), work.folder / FORMATS)
    write_table(codes, work.folder / QUARANTINE)
    kinds = dict.fromkeys(tables.feature_columns(store, work.spec), "sound")
    kinds |= dict.fromkeys(tables.RECORDING, "recording")
    features = tables.feature_table(measured, kinds)
    write_table(features, work.folder / FEATURES)
    clusters = tables.duplicate_clusters(store, work.spec, collection)
    work.facts.update(
        counts,
        tracks=collection.height,
        labelled=collection["label"].count(),
        split=bool(collection["split"].count()),
        classes=classes["class"].to_list(),
        classes_shown=shown,
        heard=heard.height,
        measured=measured.height,
        duplicate_clusters=clusters,
        cautions=cautions(
            collection, classes, features, sample_rate=_sample_rate(store, work.spec)
        ),
        pictures={},
    )
    pictures.draw_balance(work, classes, shown)
    pictures.draw_recordings(work, heard, shown)
    pictures.draw_features(work, measured, features, shown)
    pictures.draw_spectra(store, work, sampled, shown)
    pictures.draw_examples(store, work, measured, features, shown)
    write_json(work.folder / FACTS, work.facts)


def _sample_rate(store: ArtifactStore, spec: Spec) -> int:
    """Of the spectrograms, Hz."""
    spectrograms = inputs_of(store, spec, ingest.MEL)
    return min(made.record.spec.config["transform"]["sample_rate"] for made in spectrograms)


@asset(
    partitions_def=dataset_names,
    deps=[
        AssetDep(DATASETS),
        *(
            AssetDep(name, partition_mapping=AllPartitionMapping())
            for name in (ingest.TRACKS, ingest.MEL, ingest.FEATURES)
        ),
    ],
    group_name="dataset",
    code_version=str(STAGE),
    kinds={"polars"},
)
def exploration_reports(context: AssetExecutionContext, home: HomeResource) -> MaterializeResult:
    """What is in a dataset: class balance, lengths, levels, formats, artists, features, examples.

    Pictures and tables for people, with an example of each class to listen to. Descriptive: all
    that tells classes apart is made from training and validation tracks; of the test split only
    tracks, artists and formats are counted.
    """
    with plain_failures():
        store = home.store()
        spec = exploration_spec(store, context.partition_key)
    return materialize(context, store, spec, write_exploration_report, _show)


def artist_rows(artifact: Artifact) -> list[dict[str, object]]:
    """Artists per class, for people."""
    return [
        {
            "class": row["class"],
            "tracks": row["tracks"],
            "artists": row["artists"] if row["artist_known"] else "not known",
            "largest artist": row["largest_artist"] or "-",
            "share of all": _share(row["largest_artist_share"]),
            "share to learn from": _share(row["heard_largest_artist_share"]),
        }
        for row in read_table(artifact.folder / CLASSES).iter_rows(named=True)
    ]


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.0%}"


def feature_rows(artifact: Artifact) -> list[dict[str, object]]:
    """All features, the one that tells the classes apart best first, for people."""

    def spell(value: float | None, digits: int) -> str:
        return "-" if value is None else f"{value:,.{digits}g}"

    return [
        {
            "feature": row["feature"],
            "of the": row["kind"],
            "η²": "-" if row["eta_squared"] is None else f"{row['eta_squared']:.2f}",
            "by chance": "-" if row["chance"] is None else f"{row['chance']:.2f}",
            "5 %": spell(row["q05"], 3),
            "median": spell(row["q50"], 3),
            "95 %": spell(row["q95"], 3),
        }
        for row in read_table(artifact.folder / FEATURES).iter_rows(named=True)
    ]


def format_rows(artifact: Artifact) -> list[dict[str, object]]:
    """What the recordings are stored as, for people."""
    rows = read_table(artifact.folder / FORMATS).head(MOST_FORMATS).iter_rows(named=True)
    return [
        {
            "codec": row["codec"] or "-",
            "sample rate": f"{row['sample_rate_hz']:,} Hz" if row["sample_rate_hz"] else "-",
            "channels": row["channels"] or "-",
            "tracks": f"{row['tracks']:,}",
            "classes": row["classes"] if artifact.facts["labelled"] else "-",
        }
        for row in rows
    ]


def code_rows(artifact: Artifact) -> list[dict[str, object]]:
    """Why files were quarantined, for people."""
    rows = read_table(artifact.folder / QUARANTINE).iter_rows(named=True)
    return [{"code": row["code"], "files": row["files"]} for row in rows]


def _show(artifact: Artifact) -> Metadata:
    facts = artifact.facts
    shown: Metadata = {name: facts[name] for name in ("tracks", "heard", "quarantined")}
    shown["classes"] = len(facts["classes"]) if facts["labelled"] else "no labels"
    if facts["cautions"]:
        shown["caution"] = "\n\n".join(facts["cautions"])
    for name, file in (
        ("class balance", pictures.BALANCE_PICTURE),
        ("examples", pictures.EXAMPLES_PICTURE),
        ("correlations", pictures.CORRELATIONS_PICTURE),
    ):
        if (artifact.folder / file).is_file():
            shown[name] = picture(artifact.folder / file)
    shown["artists"] = markdown_table(artist_rows(artifact)[:50])
    shown["features"] = markdown_table(feature_rows(artifact)[:12])
    shown["formats"] = markdown_table(format_rows(artifact))
    if facts["quarantined"]:
        shown["quarantine"] = markdown_table(code_rows(artifact))
    shown["open"] = page_link("exploration.html")
    return shown
