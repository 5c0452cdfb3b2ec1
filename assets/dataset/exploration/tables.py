"""The tables of `exploration_reports`, computed from a snapshot.

To keep the test split untouched, only training and validation tracks, or the tracks of a dataset
without a split, are used for anything that compares classes. The column `heard` marks them. From
the test split, only tracks, artists and file formats are counted.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import polars as pl

from melgraph.assets.dataset.snapshot import Snapshot
from melgraph.assets.library.features import AudioFeatures
from melgraph.assets.library.recording_clusters import RecordingClusters
from melgraph.assets.library.spectrograms import MelSpectrograms
from melgraph.assets.library.tracks import FIRST_OF_ITS_TRACK, Tracks
from melgraph.ml.recordings.artists import artist_key
from melgraph.storage.artifacts import ArtifactStore
from melgraph.storage.records import Spec

ALL_TRACKS = "all tracks"  # the one class of a dataset without labels
MOST_CLUSTERS, MOST_PATHS = 20, 5  # of duplicates, and the paths of each, that are stored
PARTS = ("train", "validation", "test", "no split", "left out")
RECORDING = ("duration_s", "rms_dbfs", "peak_dbfs", "sample_rate_hz", "channels")


def read_collection(store: ArtifactStore, spec: Spec) -> pl.DataFrame:
    """The tracks of the dataset, sorted by id, with all columns of the snapshot and these:

    - level, sample rate, channels, codec and tracks of a cue sheet, from `tracks`;
    - `class`: the label, or `ALL_TRACKS` if the dataset has no labels;
    - `part`: the split, "no split" or "left out";
    - `heard`: whether more than the existence of the track may be used (see the module).
    """
    snapshot = Snapshot.input_of(store, spec).table()
    columns = ["track_id", "rms_dbfs", "peak_dbfs", "sample_rate_hz", "channels", "codec"]
    columns.append("cue_tracks")
    recordings = [
        batch.part(columns, FIRST_OF_ITS_TRACK).with_columns(batch=pl.lit(batch.name))
        for batch in Tracks.inputs_of(store, spec)
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


def largest_classes(table: pl.DataFrame, most: int) -> list[str]:
    """The names of the largest classes, sorted. The pictures show only these."""
    counts = (
        table["class"].drop_nulls().value_counts().sort("count", "class", descending=[True, False])
    )
    return sorted(counts["class"].head(most).to_list())


def sample(table: pl.DataFrame, most: int) -> pl.DataFrame:
    """At most `most` tracks, equally many per class: those with the smallest track ids.

    A track id is a hash of the file, so this is a random sample that stays the same.
    """
    if table.height <= most:
        return table
    each = max(most // table["class"].n_unique(), 1)
    return table.filter(pl.int_range(pl.len()).over("class") < each)


def feature_columns(store: ArtifactStore, spec: Spec) -> list[str]:
    """The names of the tabular features that all batches have."""
    names = [batch.names for batch in AudioFeatures.inputs_of(store, spec)]
    return [name for name in names[0] if all(name in others for others in names)] if names else []


def read_features(store: ArtifactStore, spec: Spec, tracks: pl.DataFrame) -> pl.DataFrame:
    """The rows of some tracks with their tabular features. Tracks without features are dropped.

    The batches are read one by one, and only the rows of these tracks.
    """
    names = feature_columns(store, spec)
    schema = {"track_id": pl.String, **dict.fromkeys(names, pl.Float64)}
    parts = [pl.DataFrame(schema=schema)]
    for batch in AudioFeatures.inputs_of(store, spec):
        track_ids = tracks.filter(pl.col("batch") == batch.name)["track_id"]
        if len(track_ids):
            where = pl.col("track_id").is_in(track_ids.to_list())
            parts.append(batch.part(["track_id", *names], where))
    features = pl.concat(parts).filter(pl.all_horizontal(pl.col(names).is_finite()))
    return tracks.join(features, on="track_id", how="inner", maintain_order="left")


def spectrograms(
    store: ArtifactStore, spec: Spec, tracks: pl.DataFrame
) -> Iterator[tuple[dict[str, Any], np.ndarray, Any]]:
    """Row, mel spectrogram float16 `[frame, mel]` and transform of each of some tracks.

    Batches that were computed with another transform than the newest batch are skipped, because
    their values cannot be compared.
    """
    batches = MelSpectrograms.inputs_of(store, spec)
    for batch in batches:
        if batch.spec.config != batches[-1].spec.config:
            continue
        rows = tracks.filter(pl.col("batch") == batch.name)
        if not rows.height:
            continue
        arrays, transform = batch.arrays, batch.transform
        for row in rows.iter_rows(named=True):
            if row["track_id"] in arrays and len(arrays.track(row["track_id"])):
                yield row, arrays.track(row["track_id"]), transform


def class_table(table: pl.DataFrame) -> pl.DataFrame:
    """One row per class: its tracks in each part, its artists, and its duration and levels.

    Duration and levels are medians over the tracks with `heard`.
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
    """The number of artists, the number of tracks with a known artist, and the largest artist."""
    artists = [artist for artist in map(artist_key, spellings) if artist]
    return {
        "artists": len(set(artists)),
        "artist_known": len(artists),
        **_largest(spellings),
    }


def _largest(spellings: Sequence[str | None]) -> dict[str, Any]:
    """The artist with the most tracks, and the share of these among all tracks."""
    counts = Counter(artist for artist in map(artist_key, spellings) if artist)
    if not counts:
        return {"largest_artist": None, "largest_artist_share": None}
    largest = min(counts, key=lambda artist: (-counts[artist], artist))
    spelling = min(name for name in spellings if name and artist_key(name) == largest)
    return {
        "largest_artist": spelling,
        "largest_artist_share": counts[largest] / len(spellings),
    }


def feature_table(values: pl.DataFrame, kinds: dict[str, str]) -> pl.DataFrame:
    """One row per quantity: quantiles, and the share of its variance between the classes (η²).

    Args:
        values: the tracks that may be used, with their `class`.
        kinds: column -> "sound" or "recording".
    """
    from melgraph.ml.exploration import eta_squared, eta_squared_by_chance

    rows = []
    for name, kind in kinds.items():
        finite = values.filter(pl.col(name).cast(pl.Float64).is_finite())
        column = finite[name].cast(pl.Float64)
        eta = eta_squared(column.to_numpy()[:, None], finite["class"].to_list())[0]
        chance, chance_95 = eta_squared_by_chance(finite.height, finite["class"].n_unique())
        spread = {f"q{share:02d}": column.quantile(share / 100) for share in (5, 50, 95)}
        row = {"feature": name, "kind": kind, "tracks": finite.height}
        row |= {"eta_squared": eta, "chance": chance, "chance_95": chance_95, **spread}
        rows.append(row)
    schema = {"feature": pl.String, "kind": pl.String, "tracks": pl.Int64} | dict.fromkeys(
        ("eta_squared", "chance", "chance_95", "q05", "q50", "q95"), pl.Float64
    )
    table = pl.DataFrame(rows, schema=schema).fill_nan(None)
    return table.sort("eta_squared", descending=True, nulls_last=True, maintain_order=True)


def format_table(table: pl.DataFrame) -> pl.DataFrame:
    """The number of tracks and classes for each combination of codec, sample rate and channels."""
    keys = ["codec", "sample_rate_hz", "channels"]
    counted = table.group_by(keys).agg(
        tracks=pl.len().cast(pl.Int64), classes=pl.col("class").drop_nulls().n_unique()
    )
    return counted.sort("tracks", *keys, descending=[True, False, False, False])


def quarantine_table(store: ArtifactStore, spec: Spec) -> tuple[pl.DataFrame, dict[str, int]]:
    """The number of quarantined files by code; and the numbers of all files and equal copies.

    Only files in the collection of the dataset are counted, and only if they are not missing.
    """
    snapshot = Snapshot.input_of(store, spec)
    columns = ["path", "track_id", "status", "code"]
    files = pl.concat(batch.part(columns) for batch in Tracks.inputs_of(store, spec)).unique(
        "path", keep="last", maintain_order=True
    )
    files = files.filter(
        pl.col("path").str.starts_with(snapshot.collection),
        ~pl.col("path").is_in(snapshot.missing_paths),
    )
    is_good = pl.col("status") == "ok"
    good, quarantined = files.filter(is_good), files.filter(~is_good)
    codes = quarantined.group_by("code").agg(files=pl.len().cast(pl.Int64))
    counts = {
        "files": files.height,
        "quarantined": quarantined.height,
        "same_sound": good.height - good["track_id"].n_unique(),
    }
    return codes.sort("files", "code", descending=[True, False]), counts


def duplicate_clusters(
    store: ArtifactStore, spec: Spec, table: pl.DataFrame
) -> dict[str, Any] | None:
    """The number of recordings that the dataset has several times, and the first of them.

    None if duplicates were not searched for.
    """
    duplicates = RecordingClusters.inputs_of(store, spec)
    if not duplicates:
        return None
    members = pl.DataFrame(
        list(duplicates[0].clusters().items()),
        schema={"track_id": pl.String, "cluster": pl.String},
        orient="row",
    )
    members = members.join(table.select("track_id", "path"), on="track_id")
    paths_by_cluster = members.sort("path").group_by("cluster", maintain_order=True).agg("path")
    clusters = [paths for paths in paths_by_cluster["path"].to_list() if len(paths) > 1]
    return {
        "clusters": len(clusters),
        "tracks": sum(map(len, clusters)),
        "first": [paths[:MOST_PATHS] for paths in clusters[:MOST_CLUSTERS]],
    }
