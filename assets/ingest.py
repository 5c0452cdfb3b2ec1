"""One pass over the files of a track batch: identify, decode once, feed every representation."""

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import polars as pl

from assets.progress import progress_bar
from storage.artifacts import ArtifactStore, Work, file_sha256
from storage.catalogue import LibraryFile
from storage.records import Recording, Reference, Spec
from storage.tables import read_table, write_table

TRACKS, MEL, FEATURES = "tracks", "mel_spectrograms", "audio_features"
STAGES = {TRACKS: 1, MEL: 1, FEATURES: 1}
TRACKS_TABLE, FEATURES_TABLE, STORE = (
    "tracks.parquet",
    "audio_features.parquet",
    "spectrograms.zarr",
)
WORKERS = 2
AHEAD = 8  # files examined ahead of the one being written: bounds the memory

TRACKS_SCHEMA = {
    "path": pl.String,
    "bytes": pl.Int64,
    "sha256": pl.String,
    "track_id": pl.String,
    "status": pl.String,
    "code": pl.String,
    "reason": pl.String,
    "duplicate_of": pl.String,
    "duration_s": pl.Float64,
    "sample_rate_hz": pl.Int32,
    "channels": pl.Int16,
    "codec": pl.String,
    "peak_dbfs": pl.Float64,
    "rms_dbfs": pl.Float64,
    "warning": pl.String,
    "artist": pl.String,
    "album": pl.String,
    "title": pl.String,
    "genre": pl.String,
}


def tracks_spec(batch: str, files: list[LibraryFile]) -> Spec:
    """The `tracks` of a batch: decided by the paths and sizes that were registered."""
    config = {"files": [[file.path, file.bytes] for file in files]}
    return Spec(TRACKS, batch, STAGES[TRACKS], config=config)


def mel_spec(tracks: Reference) -> Spec:
    """The `mel_spectrograms` of a batch, by the default transform."""
    from ml.spectral import MelTransform

    config = {"transform": MelTransform().attributes(), "codec": "none"}
    return Spec(MEL, tracks.partition, STAGES[MEL], (tracks,), config)


def features_spec(tracks: Reference) -> Spec:
    """The `audio_features` of a batch."""
    return Spec(FEATURES, tracks.partition, STAGES[FEATURES], (tracks,))


@dataclass
class Examined:
    """One file after its one decode: its row of `tracks`, and what was computed from it."""

    row: dict[str, Any]
    analysis: Any = None  # ml.analysis.Analysis, or None where the file is quarantined


def write_batch(store: ArtifactStore, works: Mapping[str, Work]) -> None:
    """Write those of tracks, mel_spectrograms and audio_features that `works` asks for.

    Bad audio becomes a quarantined row with a code and a reason. A file whose bytes are no longer
    those `tracks` recorded is left out of the representations, and counted in their facts.
    """
    from ml.spectral import mel_frequencies

    expected = None if TRACKS in works else _expected_hashes(store, works)
    paths = expected if expected is not None else _registered_paths(works[TRACKS])
    transform = _transform(works)
    writer = None
    if MEL in works:
        from storage.spectrogram_store import SpectrogramWriter

        writer = SpectrogramWriter(
            works[MEL].folder / STORE,
            frequency=mel_frequencies(transform),
            attributes=transform.attributes(),
            codec=works[MEL].spec.config["codec"],
        )
    rows: list[dict[str, Any]] = []
    feature_rows: list[dict[str, Any]] = []
    left_out: list[str] = []
    first_path: dict[str, str] = {}
    for item in _examine_all(store.home.library, paths, transform, MEL in works, FEATURES in works):
        row = item.row
        rows.append(row)
        if row["status"] != "ok":
            left_out += [] if expected is None else [f"{row['path']}: {row['reason']}"]
            continue
        if expected is not None and row["sha256"] != expected[row["path"]]:
            left_out.append(f"{row['path']}: its bytes are no longer those in tracks")
            continue
        row["duplicate_of"] = first_path.get(row["track_id"])
        if row["duplicate_of"] is not None:
            continue
        first_path[row["track_id"]] = row["path"]
        if writer is not None:
            writer.append(row["track_id"], item.analysis.log_mel)
        if FEATURES in works:
            feature_rows.append({"track_id": row["track_id"], **item.analysis.features})
    if TRACKS in works:
        _finish_tracks(works[TRACKS], rows)
    if writer is not None:
        writer.close()
        frames = writer.frames_written
        works[MEL].facts.update(tracks=len(first_path), frames=frames, left_out=left_out)
    if FEATURES in works:
        from ml.features import feature_names

        schema = {"track_id": pl.String, **dict.fromkeys(feature_names(), pl.Float64)}
        table = pl.DataFrame(feature_rows, schema=schema)
        write_table(table, works[FEATURES].folder / FEATURES_TABLE)
        works[FEATURES].facts.update(
            tracks=table.height, features=table.width - 1, left_out=left_out
        )


def _registered_paths(work: Work) -> dict[str, None]:
    return {path: None for path, _ in work.spec.config["files"]}


def _expected_hashes(store: ArtifactStore, works: Mapping[str, Work]) -> dict[str, str]:
    reference = next(iter(works.values())).spec.inputs[0]
    table = read_table(store.get(reference).folder / TRACKS_TABLE)
    good = table.filter(pl.col("status") == "ok", pl.col("duplicate_of").is_null())
    return dict(good.select("path", "sha256").iter_rows())


def _transform(works: Mapping[str, Work]) -> Any:
    from ml.analysis import transform_from
    from ml.spectral import MelTransform

    return transform_from(works[MEL].spec.config["transform"]) if MEL in works else MelTransform()


def _examine_all(
    library: Path, paths: Mapping[str, Any], transform: Any, want_mel: bool, want_features: bool
) -> Iterator[Examined]:
    """Examine files in parallel, in order, never more than `AHEAD` of them in memory."""
    remaining = iter(paths)
    with ThreadPoolExecutor(WORKERS) as pool, progress_bar(len(paths), "files") as bar:
        window = [
            pool.submit(_examine, library, path, transform, want_mel, want_features)
            for path in islice(remaining, AHEAD)
        ]
        while window:
            item = window.pop(0).result()
            for path in islice(remaining, 1):
                window.append(
                    pool.submit(_examine, library, path, transform, want_mel, want_features)
                )
            bar.update()
            yield item


def _examine(
    library: Path, relative: str, transform: Any, want_mel: bool, want_features: bool
) -> Examined:
    from ml.analysis import analyse
    from ml.audio import BadAudio, read_tags

    path = library / relative
    row: dict[str, Any] = dict.fromkeys(TRACKS_SCHEMA)
    row.update(path=relative, status="quarantined")
    try:
        row["bytes"] = path.stat().st_size
        row["sha256"] = file_sha256(path)
        row["track_id"] = row["sha256"][:32]
        analysis = analyse(
            path, transform=transform, want_log_mel=want_mel, want_features=want_features
        )
        row.update(status="ok", **analysis.info, **read_tags(path))
        return Examined(row, analysis)
    except BadAudio as bad:
        row.update(code=bad.code, reason=bad.reason)
    except FileNotFoundError:
        row.update(code="vanished", reason="the file was registered and is no longer there")
    except OSError as error:
        row.update(code="unreadable", reason=f"the file cannot be read: {error.strerror or error}")
    return Examined(row)


def _finish_tracks(work: Work, rows: list[dict[str, Any]]) -> None:
    table = pl.DataFrame(rows, schema=TRACKS_SCHEMA)
    write_table(table, work.folder / TRACKS_TABLE)
    good = table.filter(pl.col("status") == "ok")
    codes = table.filter(pl.col("status") != "ok")["code"].value_counts().sort("code")
    work.facts.update(
        files=table.height,
        ok=good.height,
        quarantined=table.height - good.height,
        duplicates=good["duplicate_of"].count(),
        warnings=good["warning"].count(),
        hours=round(float(good["duration_s"].sum() or 0.0) / 3600, 4),
        codes=dict(codes.iter_rows()),
    )
    work.recordings += [
        Recording(row["track_id"], row["sha256"], row["path"])
        for row in table.iter_rows(named=True)
    ]


def write_tracks(store: ArtifactStore, work: Work) -> None:
    """`tracks` alone."""
    write_batch(store, {TRACKS: work})


def write_mel_spectrograms(store: ArtifactStore, work: Work) -> None:
    """`mel_spectrograms` alone, of tracks that are there."""
    write_batch(store, {MEL: work})


def write_audio_features(store: ArtifactStore, work: Work) -> None:
    """`audio_features` alone, of tracks that are there."""
    write_batch(store, {FEATURES: work})
