"""Plan and write `tracks` and the representations of a track batch.

All that are written together share one pass over the files (`assets.library.ingest_pass`).
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Protocol

import polars as pl

from melgraph.assets.context import Context
from melgraph.assets.library.features import FEATURES_TABLE
from melgraph.assets.library.ingest_pass import (
    Examination,
    MetadataJob,
    examine_all,
    read_metadata_again,
)
from melgraph.assets.library.spectrograms import STORE
from melgraph.assets.library.tracks import (
    FIRST_OF_ITS_TRACK,
    OLDEST_WITH_THESE_SOUNDS,
    SCHEMA,
    TABLE,
    Tracks,
)
from melgraph.assets.stage import Stage
from melgraph.assets.stages import AUDIO_FEATURES, TRACKS
from melgraph.storage.artifacts import Artifact, ArtifactStore, Work
from melgraph.storage.catalogue import Catalogue
from melgraph.storage.records import Recording, Reference, Spec
from melgraph.storage.tables import write_table

CHANGED = "its sound is no longer that in tracks"  # stored in the facts
SOUNDS_OF = "sounds_of"  # the fact that names the version of `tracks` with the same good tracks


def plan_tracks(context: Context, batch: str) -> Spec:
    """The `tracks` of a batch. The registered paths and sizes determine its version."""
    files = context.catalogue.batch_files(batch)
    return TRACKS.spec(batch, config={"files": [[file.path, file.bytes] for file in files]})


def plan_representation(stage: Stage, context: Context, batch: str) -> Spec:
    """A representation of the current `tracks` of a batch.

    Raises:
        ArtifactMissing: the batch has no `tracks` yet.
        UserError: the home's `representations.toml` cannot be used.
    """
    tracks = context.store.current_reference(TRACKS.name, batch)
    if tracks is None:
        tracks = context.store.need(TRACKS.name, batch).reference
    return representation_spec(stage, context, tracks)


def representation_spec(stage: Stage, context: Context, tracks: Reference) -> Spec:
    """A representation of these `tracks`, with the settings of the home's `representations.toml`.

    The spec contains only the settings of this representation. If another one changes, this one
    does not become stale. Nor does it if these `tracks` have only other file metadata than those
    that it was made from: it then keeps its spec, which names these.

    Raises:
        UserError: the file cannot be used.
    """
    settings = context.representations[stage.name]
    if stage is AUDIO_FEATURES:
        config: dict[str, Any] = {"options": asdict(settings)}
    else:
        config = {"transform": settings.attributes(), "codec": "none"}
    spec = stage.spec(tracks.partition, (tracks,), config)
    current = context.store.current_reference(stage.name, tracks.partition)
    if current in (None, spec.reference):
        return spec
    same_sounds = (replace(spec, inputs=(r,)) for r in _earlier_tracks(context.store, tracks))
    return next((one for one in same_sounds if one.reference == current), spec)


def _earlier_tracks(store: ArtifactStore, tracks: Reference) -> Iterator[Reference]:
    """The earlier versions of `tracks` that list the same good tracks, the newest first."""
    earlier = _completed_by(store, tracks)
    while earlier is not None:
        yield earlier
        earlier = _completed_by(store, earlier)


def _completed_by(store: ArtifactStore, tracks: Reference) -> Reference | None:
    """The version of `tracks` to which these add only file metadata; None if there is none."""
    artifact = store.find(tracks)
    if artifact is None:  # it is planned only
        earlier = _tracks_to_complete(store, tracks)
        return earlier.reference if earlier is not None else None
    version = artifact.facts.get(SOUNDS_OF)
    return replace(tracks, version=version) if version is not None else None


def _tracks_to_complete(store: ArtifactStore, tracks: Reference) -> Artifact | None:
    """The current `tracks` of a batch, if the planned ones add only file metadata to them."""
    current = store.current(TRACKS.name, tracks.partition)
    if current is None or current.record.spec.stage < OLDEST_WITH_THESE_SOUNDS:
        return None
    spec = current.record.spec
    is_older = spec.stage < TRACKS.number
    same_files = replace(spec, stage=TRACKS.number).reference == tracks
    return current if is_older and same_files else None


def write_one(store: ArtifactStore, work: Work) -> None:
    """Write `tracks`, or one representation of existing `tracks`, in a pass of its own."""
    write_batch(store, {work.spec.asset: work})


def write_batch(store: ArtifactStore, works: Mapping[str, Work]) -> None:
    """Write `tracks` and representations of one batch, in one pass over its files.

    A file that cannot be used becomes a quarantined row of `tracks`, with a code and a reason. If
    `tracks` exists already, a file with another sound than `tracks` has recorded is left out of the
    representations, and listed in their facts. Its metadata may be another. If the current `tracks`
    lack nothing but file metadata, these are read again, and nothing is decoded for them.

    Args:
        store: the store that receives the artifacts.
        works: name of the asset -> its work.
    """
    files = None
    if TRACKS.name in works and (
        earlier := _tracks_to_complete(store, works[TRACKS.name].spec.reference)
    ):
        files = _complete_tracks(store, works[TRACKS.name], Tracks(store, earlier))
        works = {name: work for name, work in works.items() if name != TRACKS.name}
    if works:
        files = _batch_files(store, works) if files is None else files
        _write_in_one_pass(store, works, files)


def _write_in_one_pass(
    store: ArtifactStore, works: Mapping[str, Work], files: Sequence["_File"]
) -> None:
    any_work = next(iter(works.values()))
    settings = {
        name: _settings_of(work.spec) for name, work in works.items() if name != TRACKS.name
    }
    writers = [_writer(works[name], settings[name]) for name in settings]
    locations = _present_locations(store, any_work.spec.partition)
    examinations = examine_all(
        store.home.open_library(),
        [(locations.get(file.path, file.path), file.bytes) for file in files],
        settings,
        any_work.folder,
    )
    rows, left_out = _distribute(files, examinations, writers)
    if TRACKS.name in works:
        _finish_tracks(works[TRACKS.name], rows)
    for writer in writers:
        writer.finish(left_out)


@dataclass(frozen=True)
class _File:
    """A file of a batch.

    Attributes:
        path: the path under which it was registered.
        bytes: its size.
        track_id: the track in `tracks`; None if `tracks` is being written in this pass.
    """

    path: str
    bytes: int
    track_id: str | None = None


def _batch_files(store: ArtifactStore, works: Mapping[str, Work]) -> list[_File]:
    """All registered files if `tracks` is being written, else one good file of each track."""
    if TRACKS.name in works:
        return [_File(path, size) for path, size in works[TRACKS.name].spec.config["files"]]
    return _good_files(Tracks.input_of(store, next(iter(works.values())).spec).table())


def _good_files(table: pl.DataFrame) -> list[_File]:
    """One good file of each track in a table of `tracks`."""
    columns = ["path", "bytes", "track_id"]
    return [_File(*row) for row in table.filter(FIRST_OF_ITS_TRACK)[columns].rows()]


def _complete_tracks(store: ArtifactStore, work: Work, earlier: Tracks) -> list[_File]:
    """Write `tracks` from earlier ones, and from the metadata in their files as they are now.

    Returns:
        One good file of each track, for the representations.
    """
    rows = earlier.table().to_dicts()
    library, locations = store.home.open_library(), _present_locations(store, earlier.name)
    good = [
        MetadataJob(library, locations.get(row["path"], row["path"]), row)
        for row in rows
        if row["status"] == "ok"
    ]
    completed = {row["path"]: row for row in read_metadata_again(good)}
    rows = [completed.get(row["path"], row) for row in rows]
    _finish_tracks(work, rows)
    work.facts[SOUNDS_OF] = earlier.reference.version
    return _good_files(pl.DataFrame(rows, schema=SCHEMA))


def _settings_of(spec: Spec) -> Any:
    """The transform or the options that a spec of a representation contains."""
    from melgraph.ml.representations.registry import from_attributes

    key = "options" if spec.asset == AUDIO_FEATURES.name else "transform"
    return from_attributes(spec.asset, spec.config[key])


def _present_locations(store: ArtifactStore, batch: str) -> dict[str, str]:
    """Registered path -> present path, for files that have moved since they were registered."""
    if not store.home.catalogue.is_file():
        return {}
    return Catalogue(store.home.catalogue).batch_places(batch)


def _distribute(
    files: Sequence[_File], examinations: Iterable[Examination], writers: Sequence["_Writer"]
) -> tuple[list[dict[str, Any]], list[str]]:
    """Pass every good track to the writers once.

    Returns:
        The rows of `tracks`, one per file, and a sentence for each file of the existing `tracks`
        that is left out of the representations.
    """
    rows: list[dict[str, Any]] = []
    left_out: list[str] = []
    first_path: dict[str, str] = {}
    for file, examination in zip(files, examinations, strict=True):
        row = examination.row
        row["path"] = file.path  # the registered path, even if the file has moved
        rows.append(row)
        if reason := _reason_to_leave_out(file, row):
            if file.track_id is not None:
                left_out.append(f"{file.path}: {reason}")
            continue
        row["duplicate_of"] = first_path.get(row["track_id"])
        if row["duplicate_of"] is not None:
            continue
        first_path[row["track_id"]] = file.path
        for writer in writers:
            writer.add(row["track_id"], examination)
    return rows, left_out


def _reason_to_leave_out(file: _File, row: Mapping[str, Any]) -> str | None:
    if row["status"] != "ok":
        return str(row["reason"])
    return CHANGED if file.track_id not in (None, row["track_id"]) else None


def _writer(work: Work, settings: Any) -> "_Writer":
    writer = _TableWriter if work.spec.asset == AUDIO_FEATURES.name else _ArrayWriter
    return writer(work, settings)


class _Writer(Protocol):
    """Writes one representation of the good tracks of a batch."""

    def add(self, track_id: str, examination: Examination) -> None:
        """Write the next track."""

    def finish(self, left_out: Sequence[str]) -> None:
        """Complete the files and write the facts, after the last track."""


class _ArrayWriter:
    """Writes arrays into a spectrogram store."""

    def __init__(self, work: Work, transform: Any) -> None:
        from melgraph.ml.representations.registry import KINDS
        from melgraph.storage.spectrogram_store import SpectrogramWriter

        kind = KINDS[work.spec.asset]
        self._work = work
        self._tracks = 0
        self._writer = SpectrogramWriter(
            work.folder / STORE,
            frequency=kind.frequency(transform) if kind.frequency else None,
            bins=kind.bins(transform),
            attributes=transform.attributes(),
            arrays=kind.arrays,
            codec=work.spec.config["codec"],
        )

    def add(self, track_id: str, examination: Examination) -> None:
        """Copy the arrays of the track from the temporary files."""
        self._writer.append(track_id, **examination.arrays(self._work.spec.asset))
        self._tracks += 1

    def finish(self, left_out: Sequence[str]) -> None:
        """Write the remaining rows and the facts."""
        self._writer.close()
        frames = self._writer.frames_written
        self._work.facts.update(tracks=self._tracks, frames=frames, left_out=list(left_out))


class _TableWriter:
    """Writes tabular features into a table."""

    def __init__(self, work: Work, options: Any) -> None:
        self._work, self._options = work, options
        self._rows: list[dict[str, Any]] = []

    def add(self, track_id: str, examination: Examination) -> None:
        """Append the row of the track."""
        assert examination.features is not None
        self._rows.append({"track_id": track_id, **examination.features})

    def finish(self, left_out: Sequence[str]) -> None:
        """Write the table and the facts."""
        from melgraph.ml.features.track_features import feature_names

        names = feature_names(self._options)
        schema = {"track_id": pl.String, **dict.fromkeys(names, pl.Float64)}
        write_table(pl.DataFrame(self._rows, schema=schema), self._work.folder / FEATURES_TABLE)
        self._work.facts.update(
            tracks=len(self._rows), features=len(names), left_out=list(left_out)
        )


def _finish_tracks(work: Work, rows: list[dict[str, Any]]) -> None:
    table = pl.DataFrame(rows, schema=SCHEMA)
    write_table(table, work.folder / TABLE)
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
