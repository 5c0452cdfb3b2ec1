"""`tracks` and the representations of a track batch: their specs, and how they are written.

One pass over the files (`assets.library.ingest_pass`) feeds all that are made together.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any, Protocol

import polars as pl

from melgraph.assets.library.ingest_pass import Examined, examine_all
from melgraph.storage.artifacts import ArtifactStore, Work
from melgraph.storage.catalogue import Catalogue, LibraryFile
from melgraph.storage.records import Recording, Reference, Spec
from melgraph.storage.tables import read_table, write_table

TRACKS, MEL, FEATURES = "tracks", "mel_spectrograms", "audio_features"
STFT, WAVEFORMS, MFCC = "stft_spectrograms", "waveforms", "mfcc"
DEFAULT = (MEL, FEATURES)  # made of every batch
ON_DEMAND = (STFT, MFCC, WAVEFORMS)  # made when asked for
STAGES = {TRACKS: 2, MEL: 2, FEATURES: 2, STFT: 1, WAVEFORMS: 1, MFCC: 1}
TRACKS_TABLE, FEATURES_TABLE, STORE = (
    "tracks.parquet",
    "audio_features.parquet",
    "spectrograms.zarr",
)

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
    "container": pl.String,
    "peak_dbfs": pl.Float64,
    "rms_dbfs": pl.Float64,
    "warning": pl.String,
    "artist": pl.String,
    "album": pl.String,
    "title": pl.String,
    "genre": pl.String,
}


def tracks_spec(batch: str, files: Sequence[LibraryFile]) -> Spec:
    """The `tracks` of a batch: decided by the paths and sizes that were registered."""
    config = {"files": [[file.path, file.bytes] for file in files]}
    return Spec(TRACKS, batch, STAGES[TRACKS], config=config)


def representation_specs(
    store: ArtifactStore, tracks: Reference, names: Sequence[str] = DEFAULT
) -> list[Spec]:
    """Representations of a batch, as the home's `representations.toml` wants them now.

    Each names its own transform alone: a changed one makes nothing else stale.

    Raises:
        UserError: the file cannot be used.
    """
    return representation_maker(store, names)(tracks)


def representation_maker(
    store: ArtifactStore, names: Sequence[str] = DEFAULT
) -> Callable[[Reference], list[Spec]]:
    """`representation_specs` of many batches: the file is read once.

    Raises:
        UserError: the file cannot be used.
    """
    from melgraph.ml.representations.registry import load_representations

    made_with = load_representations(store.home.specs / "representations.toml")
    configs: dict[str, dict[str, Any]] = {}
    for name in names:
        how = made_with[name]
        if name == FEATURES:
            configs[name] = {"options": asdict(how)}
        else:
            configs[name] = {"transform": how.attributes(), "codec": "none"}

    def make(tracks: Reference) -> list[Spec]:
        return [
            Spec(name, tracks.partition, STAGES[name], (tracks,), dict(config))
            for name, config in configs.items()
        ]

    return make


def write_batch(store: ArtifactStore, works: Mapping[str, Work]) -> None:
    """Write those of `tracks` and the representations that `works` asks for.

    Bad audio becomes a quarantined row with a code and a reason. A file whose bytes are no longer
    those `tracks` recorded is left out of the representations, and counted in their facts.
    """
    from melgraph.ml.representations.registry import from_attributes

    known = None if TRACKS in works else _known(store, next(iter(works.values())).spec)
    if known is None:
        files, expected = works[TRACKS].spec.config["files"], None
    else:
        files = known.select("path", "bytes").rows()
        expected = dict(known.select("path", "sha256").iter_rows())
    wanted = {
        name: from_attributes(name, _made_with(work.spec))
        for name, work in works.items()
        if name != TRACKS
    }
    outputs: list[_Output] = [
        _Tables(works[name], wanted[name])
        if name == FEATURES
        else _Store(works[name], wanted[name])
        for name in wanted
    ]
    rows: list[dict[str, Any]] = []
    left_out: list[str] = []
    first_path: dict[str, str] = {}
    scratch = next(iter(works.values())).folder
    places = _places(store, next(iter(works.values())).spec.partition)
    now = [(places.get(path, path), size) for path, size in files]
    examined = examine_all(store.home.open_library(), now, wanted, scratch)
    for (path, _), item in zip(files, examined, strict=True):
        row = item.row
        row["path"] = path  # as it was registered, wherever the file is now
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
        for output in outputs:
            output.add(row["track_id"], item)
    if TRACKS in works:
        _finish_tracks(works[TRACKS], rows)
    for output in outputs:
        output.finish(tracks=len(first_path), left_out=left_out)


def _places(store: ArtifactStore, batch: str) -> dict[str, str]:
    """Where the files of a batch are now: what is made again must not lose those that moved."""
    if not store.home.catalogue.is_file():
        return {}
    return Catalogue(store.home.catalogue).batch_places(batch)


def _made_with(spec: Spec) -> Mapping[str, Any]:
    return spec.config["options" if spec.asset == FEATURES else "transform"]


def _known(store: ArtifactStore, spec: Spec) -> pl.DataFrame:
    """The good tracks that a representation is made of, each once."""
    table = read_table(store.get(spec.inputs[0]).folder / TRACKS_TABLE)
    return table.filter(pl.col("status") == "ok", pl.col("duplicate_of").is_null())


class _Output(Protocol):
    """Where the good tracks of a batch go."""

    def add(self, track_id: str, item: Examined) -> None:
        """Take the next track."""

    def finish(self, *, tracks: int, left_out: Sequence[str]) -> None:
        """All tracks are there."""


class _Store:
    """Arrays, in a spectrogram store."""

    def __init__(self, work: Work, transform: Any) -> None:
        from melgraph.ml.representations.registry import KINDS
        from melgraph.storage.spectrogram_store import SpectrogramWriter

        kind = KINDS[work.spec.asset]
        self._work = work
        self._writer = SpectrogramWriter(
            work.folder / STORE,
            frequency=kind.frequency(transform) if kind.frequency else None,
            bins=kind.bins(transform),
            attributes=transform.attributes(),
            arrays=kind.arrays,
            codec=work.spec.config["codec"],
        )

    def add(self, track_id: str, item: Examined) -> None:
        """Copy the track's arrays from where they were kept aside."""
        self._writer.append(track_id, **item.arrays(self._work.spec.asset))

    def finish(self, *, tracks: int, left_out: Sequence[str]) -> None:
        """Write what is left, and the summary."""
        self._writer.close()
        frames = self._writer.frames_written
        self._work.facts.update(tracks=tracks, frames=frames, left_out=list(left_out))


class _Tables:
    """Features, in a table."""

    def __init__(self, work: Work, options: Any) -> None:
        self._work, self._options = work, options
        self._rows: list[dict[str, Any]] = []

    def add(self, track_id: str, item: Examined) -> None:
        """Take the next track's row."""
        assert item.features is not None
        self._rows.append({"track_id": track_id, **item.features})

    def finish(self, *, tracks: int, left_out: Sequence[str]) -> None:
        """Write the table and the summary."""
        from melgraph.ml.features.track_features import feature_names

        names = feature_names(self._options)
        schema = {"track_id": pl.String, **dict.fromkeys(names, pl.Float64)}
        write_table(pl.DataFrame(self._rows, schema=schema), self._work.folder / FEATURES_TABLE)
        self._work.facts.update(tracks=tracks, features=len(names), left_out=list(left_out))


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


def write_one(store: ArtifactStore, work: Work) -> None:
    """One of these artifacts alone; a representation, of tracks that are there."""
    write_batch(store, {work.spec.asset: work})
