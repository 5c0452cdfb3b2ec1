"""What `exploration_reports` reads of a dataset, and the tables it makes of it.

Honesty: all that tells classes apart is made from *heard* tracks, which are those of training and
validation. Of the test split only tracks, artists and file formats are counted.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import polars as pl

from melgraph.assets.dataset.datasets import DATASETS, TABLE
from melgraph.assets.dataset.labels import artist_key
from melgraph.assets.library import ingest
from melgraph.assets.materialize import input_of, inputs_of
from melgraph.storage.artifacts import ArtifactStore
from melgraph.storage.records import Spec
from melgraph.storage.spectrogram_store import SpectrogramStore
from melgraph.storage.tables import read_part, read_table

DUPLICATES, DUPLICATES_TABLE = "duplicates", "duplicates.parquet"
ALL_TRACKS = "all tracks"  # the one class of a dataset without labels
CLUSTERS_TOLD, CLUSTER_PATHS = 20, 5  # of the clusters of duplicates, and of the paths of each
PARTS = ("train", "validation", "test", "no split", "left out")
RECORDING = ("duration_s", "rms_dbfs", "peak_dbfs", "sample_rate_hz", "channels")


def read_collection(store: ArtifactStore, spec: Spec) -> pl.DataFrame:
    """The dataset's tracks: its snapshot's columns, those of the recording, and three more.

    `class` is the label, or `ALL_TRACKS` for all where there are no labels; `part` the split, "no
    split" or "left out"; `heard` whether anything but its existence may be looked at.
    """
    snapshot = read_table(input_of(store, spec, DATASETS).folder / TABLE)
    first = (pl.col("status") == "ok") & pl.col("duplicate_of").is_null()
    columns = ["track_id", "rms_dbfs", "peak_dbfs", "sample_rate_hz", "channels", "codec"]
    recordings = [
        read_part(batch.folder / ingest.TRACKS_TABLE, columns, first).with_columns(
            batch=pl.lit(batch.reference.partition)
        )
        for batch in inputs_of(store, spec, ingest.TRACKS)
    ]
    table = snapshot.join(
        pl.concat(recordings).unique(["track_id", "batch"], keep="first", maintain_order=True),
        on=["track_id", "batch"],
        how="left",
        maintain_order="left",
    )
    return _with_parts(table).sort("track_id")


def _with_parts(table: pl.DataFrame) -> pl.DataFrame:
    unknown = "left out" if table["split"].count() else "no split"
    part = pl.col("split").fill_null(unknown)
    name = pl.col("label") if table["label"].count() else pl.lit(ALL_TRACKS)
    table = table.with_columns(name.alias("class"), part=part)
    heard = pl.col("class").is_not_null() & ~pl.col("part").is_in(["test", "left out"])
    return table.with_columns(heard=heard)


def shown_classes(table: pl.DataFrame, most: int) -> list[str]:
    """The classes pictures show, by name: the largest ones."""
    counts = (
        table["class"].drop_nulls().value_counts().sort("count", "class", descending=[True, False])
    )
    return sorted(counts["class"].head(most).to_list())


def sample(table: pl.DataFrame, most: int) -> pl.DataFrame:
    """At most so many tracks, as many of each class: those with the smallest track ids.

    A track id is a hash of the recording: to sort by it is to shuffle, the same way each time.
    """
    if table.height <= most:
        return table
    each = max(most // table["class"].n_unique(), 1)
    return table.filter(pl.int_range(pl.len()).over("class") < each)


def feature_columns(store: ArtifactStore, spec: Spec) -> list[str]:
    """The tabular features that every batch has."""
    from melgraph.ml.features.track_features import feature_names
    from melgraph.ml.representations.registry import from_attributes

    made = inputs_of(store, spec, ingest.FEATURES)
    options = [from_attributes(ingest.FEATURES, a.record.spec.config["options"]) for a in made]
    names = [feature_names(how) for how in options]
    return [name for name in names[0] if all(name in others for others in names)] if names else []


def read_features(store: ArtifactStore, spec: Spec, tracks: pl.DataFrame) -> pl.DataFrame:
    """The tabular features of some tracks, joined to their rows; tracks without any are left out.

    Batch by batch: only the rows that are wanted are ever in memory.
    """
    names = feature_columns(store, spec)
    schema = {"track_id": pl.String, **dict.fromkeys(names, pl.Float64)}
    parts = [pl.DataFrame(schema=schema)]
    for artifact in inputs_of(store, spec, ingest.FEATURES):
        wanted = tracks.filter(pl.col("batch") == artifact.reference.partition)["track_id"]
        if len(wanted):
            where = pl.col("track_id").is_in(wanted.to_list())
            path = artifact.folder / ingest.FEATURES_TABLE
            parts.append(read_part(path, ["track_id", *names], where))
    features = pl.concat(parts).filter(pl.all_horizontal(pl.col(names).is_finite()))
    return tracks.join(features, on="track_id", how="inner", maintain_order="left")


def spectrograms(
    store: ArtifactStore, spec: Spec, tracks: pl.DataFrame
) -> Iterator[tuple[dict[str, Any], np.ndarray, Any]]:
    """Row, float16 `[frame, mel]` and transform of some tracks, one at a time, batch by batch.

    Batches that were made with another transform than the newest are left out: their values do not
    compare.
    """
    from melgraph.assets.library.inputs import transform_of

    made = inputs_of(store, spec, ingest.MEL)
    for artifact in made:
        if artifact.record.spec.config != made[-1].record.spec.config:
            continue
        rows = tracks.filter(pl.col("batch") == artifact.reference.partition)
        if not rows.height:
            continue
        opened = SpectrogramStore(artifact.folder / ingest.STORE)
        transform = transform_of(opened)
        for row in rows.iter_rows(named=True):
            if row["track_id"] in opened and len(opened.track(row["track_id"])):
                yield row, opened.track(row["track_id"]), transform


def class_table(table: pl.DataFrame) -> pl.DataFrame:
    """One row per class: how many tracks in which part, whose they are, how long and how loud.

    Length and levels are medians over heard tracks.
    """
    rows = []
    for name in sorted(table["class"].drop_nulls().unique().to_list()):
        members = table.filter(pl.col("class") == name)
        heard = members.filter(pl.col("heard"))
        counts = dict(members["part"].value_counts().iter_rows())
        rows.append(
            {
                "class": name,
                "tracks": members.height,
                **{part: counts.get(part, 0) for part in PARTS},
                **_artists(members["artist"].to_list()),
                **{f"heard_{k}": v for k, v in _largest(heard["artist"].to_list()).items()},
                **{key: heard[key].median() for key in ("duration_s", "rms_dbfs", "peak_dbfs")},
            }
        )
    schema = {
        "class": pl.String, "tracks": pl.Int64, **dict.fromkeys(PARTS, pl.Int64),
        "artists": pl.Int64, "artist_known": pl.Int64, "largest_artist": pl.String,
        "largest_artist_share": pl.Float64,
        "heard_largest_artist": pl.String, "heard_largest_artist_share": pl.Float64,
        "duration_s": pl.Float64, "rms_dbfs": pl.Float64,
        "peak_dbfs": pl.Float64,
    }  # fmt: skip
    return pl.DataFrame(rows, schema=schema)


def _artists(spellings: Sequence[str | None]) -> dict[str, Any]:
    """How many artists some tracks are by, of how many tracks that is known, and the largest."""
    known = [artist for artist in map(artist_key, spellings) if artist]
    return {
        "artists": len(set(known)),
        "artist_known": len(known),
        **_largest(spellings),
    }


def _largest(spellings: Sequence[str | None]) -> dict[str, Any]:
    """The artist with most of some tracks, and the share of all these tracks."""
    counts = Counter(artist for artist in map(artist_key, spellings) if artist)
    if not counts:
        return {"largest_artist": None, "largest_artist_share": None}
    largest = min(counts, key=lambda artist: (-counts[artist], artist))
    spelled = min(name for name in spellings if name and artist_key(name) == largest)
    return {
        "largest_artist": spelled,
        "largest_artist_share": counts[largest] / len(spellings),
    }


def feature_table(values: pl.DataFrame, kinds: dict[str, str]) -> pl.DataFrame:
    """One row per quantity: how it is spread, and how much of that lies between the classes.

    Args:
        values: heard tracks, with `class`.
        kinds: column -> "sound" or "recording".
    """
    from melgraph.ml.exploration import eta_squared, eta_squared_by_chance

    rows = []
    for name, kind in kinds.items():
        known = values.filter(pl.col(name).cast(pl.Float64).is_finite())
        column = known[name].cast(pl.Float64)
        eta = eta_squared(column.to_numpy()[:, None], known["class"].to_list())[0]
        chance, chance_95 = eta_squared_by_chance(known.height, known["class"].n_unique())
        spread = {f"q{share:02d}": column.quantile(share / 100) for share in (5, 50, 95)}
        row = {"feature": name, "kind": kind, "tracks": known.height}
        row |= {"eta_squared": eta, "chance": chance, "chance_95": chance_95, **spread}
        rows.append(row)
    schema = {"feature": pl.String, "kind": pl.String, "tracks": pl.Int64} | dict.fromkeys(
        ("eta_squared", "chance", "chance_95", "q05", "q50", "q95"), pl.Float64
    )
    table = pl.DataFrame(rows, schema=schema).fill_nan(None)
    return table.sort("eta_squared", descending=True, nulls_last=True, maintain_order=True)


def format_table(table: pl.DataFrame) -> pl.DataFrame:
    """Tracks by codec, sample rate and channels, and in how many classes each combination is."""
    keys = ["codec", "sample_rate_hz", "channels"]
    counted = table.group_by(keys).agg(
        tracks=pl.len().cast(pl.Int64), classes=pl.col("class").drop_nulls().n_unique()
    )
    return counted.sort("tracks", *keys, descending=[True, False, False, False])


def quarantine_table(store: ArtifactStore, spec: Spec) -> tuple[pl.DataFrame, dict[str, int]]:
    """Files that could not be used, by code; and how many files there are, and copies among them.

    Of the batches of the snapshot, as far as they lie in its collection and are not gone.
    """
    asked = input_of(store, spec, DATASETS).record.spec.config
    columns = ["path", "track_id", "status", "code"]
    files = pl.concat(
        read_part(batch.folder / ingest.TRACKS_TABLE, columns)
        for batch in inputs_of(store, spec, ingest.TRACKS)
    ).unique("path", keep="last", maintain_order=True)
    files = files.filter(
        pl.col("path").str.starts_with(asked["collection"]),
        ~pl.col("path").is_in(list(asked["missing"])),
    )
    good, bad = files.filter(pl.col("status") == "ok"), files.filter(pl.col("status") != "ok")
    codes = bad.group_by("code").agg(files=pl.len().cast(pl.Int64))
    counts = {
        "files": files.height,
        "quarantined": bad.height,
        "same_bytes": good.height - good["track_id"].n_unique(),
    }
    return codes.sort("files", "code", descending=[True, False]), counts


def duplicate_clusters(
    store: ArtifactStore, spec: Spec, table: pl.DataFrame
) -> dict[str, Any] | None:
    """How many recordings the dataset has more than once, and the first of them.

    None where nobody has looked for them.
    """
    found = inputs_of(store, spec, DUPLICATES)
    if not found:
        return None
    members = read_part(found[0].folder / DUPLICATES_TABLE, ["track_id", "cluster"])
    known = members.unique("track_id").join(table.select("track_id", "path"), on="track_id")
    together = known.sort("path").group_by("cluster", maintain_order=True).agg("path")
    clusters = [paths for paths in together["path"].to_list() if len(paths) > 1]
    return {
        "clusters": len(clusters),
        "tracks": sum(map(len, clusters)),
        "first": [paths[:CLUSTER_PATHS] for paths in clusters[:CLUSTERS_TOLD]],
    }
