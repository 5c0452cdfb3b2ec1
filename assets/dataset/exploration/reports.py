"""`exploration_reports`: tables and pictures that describe a dataset before any training."""

import polars as pl
from dagster import AssetExecutionContext, MaterializeResult

from melgraph.assets.context import Context
from melgraph.assets.dataset.exploration import pictures, tables
from melgraph.assets.dataset.exploration.cautions import cautions
from melgraph.assets.dataset.snapshot import Snapshot
from melgraph.assets.library.features import AudioFeatures
from melgraph.assets.library.spectrograms import MelSpectrograms
from melgraph.assets.materialize import (
    materialize,
    stage_asset,
)
from melgraph.assets.resources import HomeResource
from melgraph.assets.stage import Metadata
from melgraph.assets.stages import EXPLORATION_REPORTS
from melgraph.assets.ui import markdown_table, page_link, picture
from melgraph.storage.artifacts import Artifact, ArtifactStore, Work
from melgraph.storage.files import write_json
from melgraph.storage.records import Spec
from melgraph.storage.tables import read_table, write_table

FACTS = "figures.json"
CLASSES, FEATURES = "classes.parquet", "features.parquet"
FORMATS, QUARANTINE = "formats.parquet", "quarantine.parquet"
MOST_FORMATS = 20  # of the combinations that are displayed
CONFIG = {
    "most_tracks": 20_000,  # whose features are used
    "spectra_per_class": 200,  # tracks for the mean spectrum of a class
    "classes_shown": 24,
    "features_shown": 6,
    "most_alike": 0.8,  # largest |rank correlation| of two features in the pictures
    "excerpt_s": 30.0,
}


def plan_exploration_report(context: Context, name: str) -> Spec:
    """The report on the current snapshot of a dataset. Newer track batches are not included."""
    store = context.store
    snapshot = Snapshot.current(store, name)
    tracks, duplicates = snapshot.tracks_references, snapshot.duplicates_references
    representations = [
        reader.current(store, reference.partition).reference
        for reference in tracks
        for reader in (MelSpectrograms, AudioFeatures)
    ]
    inputs = (snapshot.reference, *tracks, *representations, *duplicates)
    return EXPLORATION_REPORTS.spec(name, inputs, CONFIG)


def write_exploration_report(store: ArtifactStore, work: Work) -> None:
    """Write the tables, the pictures and the facts of the report."""
    config = work.spec.config
    collection = tables.read_collection(store, work.spec)
    class_names = tables.largest_classes(collection, config["classes_shown"])
    classes = tables.class_table(collection)
    usable = collection.filter(pl.col("heard"))  # without the test split
    sampled = tables.sample(usable, config["most_tracks"])
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
        classes_shown=class_names,
        heard=usable.height,
        measured=measured.height,
        duplicate_clusters=clusters,
        cautions=cautions(
            collection,
            classes,
            features,
            Snapshot.input_of(store, work.spec).facts,
            sample_rate=_sample_rate(store, work.spec),
        ),
        pictures={},
    )
    pictures.draw_balance(work, classes, class_names)
    pictures.draw_recordings(work, usable, class_names)
    pictures.draw_features(work, measured, features, class_names)
    pictures.draw_spectra(store, work, sampled, class_names)
    pictures.draw_examples(store, work, measured, features, class_names)
    write_json(work.folder / FACTS, work.facts)


def _sample_rate(store: ArtifactStore, spec: Spec) -> int:
    """The lowest sample rate of the spectrograms, in Hz."""
    return min(batch.sample_rate for batch in MelSpectrograms.inputs_of(store, spec))


@stage_asset(EXPLORATION_REPORTS)
def exploration_reports(
    context: AssetExecutionContext, home: HomeResource
) -> MaterializeResult[None]:
    """A description of a dataset before training, as Parquet tables and PNG pictures.

    It covers class balance, durations, levels, file formats, artists, features and mean spectra,
    and has an example of each class to listen to. Everything that compares classes uses only
    training and validation tracks. From the test split, only tracks, artists and formats are
    counted.
    """
    return materialize(context, home, EXPLORATION_REPORTS)


def artist_rows(artifact: Artifact) -> list[dict[str, object]]:
    """The table of artists per class, formatted for display."""
    return [
        {
            "class": row["class"],
            "tracks": row["tracks"],
            "artists": row["artists"] if row["artist_known"] else "unknown",
            "largest artist": row["largest_artist"] or "-",
            "share of all tracks": _share(row["largest_artist_share"]),
            "share in training and validation": _share(row["heard_largest_artist_share"]),
        }
        for row in read_table(artifact.folder / CLASSES).iter_rows(named=True)
    ]


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.0%}"


def feature_rows(artifact: Artifact) -> list[dict[str, object]]:
    """The table of features, formatted for display. The largest η² comes first."""

    def format_number(value: float | None, digits: int) -> str:
        return "-" if value is None else f"{value:,.{digits}g}"

    return [
        {
            "feature": row["feature"],
            "kind": row["kind"],
            "η²": "-" if row["eta_squared"] is None else f"{row['eta_squared']:.2f}",
            "by chance": "-" if row["chance"] is None else f"{row['chance']:.2f}",
            "5 %": format_number(row["q05"], 3),
            "median": format_number(row["q50"], 3),
            "95 %": format_number(row["q95"], 3),
        }
        for row in read_table(artifact.folder / FEATURES).iter_rows(named=True)
    ]


def format_rows(artifact: Artifact) -> list[dict[str, object]]:
    """The table of file formats, formatted for display."""
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
    """The number of quarantined files for each code."""
    rows = read_table(artifact.folder / QUARANTINE).iter_rows(named=True)
    return [{"code": row["code"], "files": row["files"]} for row in rows]


def show(artifact: Artifact) -> Metadata:
    """The counts, the cautions, and the most important pictures and tables."""
    facts = artifact.facts
    metadata: Metadata = {
        "tracks": facts["tracks"],
        "tracks used to compare classes": facts["heard"],
        "quarantined files": facts["quarantined"],
    }
    metadata["classes"] = len(facts["classes"]) if facts["labelled"] else "no labels"
    if facts["cautions"]:
        metadata["caution"] = "\n\n".join(facts["cautions"])
    for name, file in (
        ("class balance", pictures.BALANCE_PICTURE),
        ("examples", pictures.EXAMPLES_PICTURE),
        ("correlations", pictures.CORRELATIONS_PICTURE),
    ):
        if (artifact.folder / file).is_file():
            metadata[name] = picture(artifact.folder / file)
    metadata["artists"] = markdown_table(artist_rows(artifact)[:50])
    metadata["features"] = markdown_table(feature_rows(artifact)[:12])
    metadata["formats"] = markdown_table(format_rows(artifact))
    if facts["quarantined"]:
        metadata["quarantine"] = markdown_table(code_rows(artifact))
    metadata["open"] = page_link("exploration.html")
    return metadata
