"""`tracks` and all representations: one asset per artifact, one decoding pass per track batch."""

from collections.abc import Collection, Iterator
from functools import partial

import polars as pl
from dagster import (
    AssetCheckResult,
    AssetCheckSeverity,
    AssetExecutionContext,
    AssetSpec,
    MaterializeResult,
    asset_check,
    multi_asset,
)

from melgraph.assets.context import Context
from melgraph.assets.library.ingest import (
    plan_representation,
    plan_tracks,
    representation_spec,
    write_batch,
    write_one,
)
from melgraph.assets.library.spectrograms import first_tracks_picture
from melgraph.assets.library.tracks import TABLE, Tracks
from melgraph.assets.materialize import describe, note_threads, plain_failures
from melgraph.assets.partitions import partition_of
from melgraph.assets.resources import HomeResource
from melgraph.assets.stage import Metadata, Stage
from melgraph.assets.stages import (
    AUDIO_FEATURES,
    MEL_SPECTROGRAMS,
    MFCC,
    REPRESENTATIONS,
    STAGES,
    STFT_SPECTROGRAMS,
    TRACKS,
    WAVEFORMS,
    WAVEFORMS_32K,
)
from melgraph.assets.ui import markdown_table
from melgraph.storage.artifacts import Artifact, Production
from melgraph.storage.records import Spec
from melgraph.storage.tables import read_table

QUARANTINE_WARN_SHARE = 0.05


# The plan and write functions that the table of stages names.
plan_mel_spectrograms = partial(plan_representation, MEL_SPECTROGRAMS)
plan_audio_features = partial(plan_representation, AUDIO_FEATURES)
plan_stft_spectrograms = partial(plan_representation, STFT_SPECTROGRAMS)
plan_mfcc = partial(plan_representation, MFCC)
plan_waveforms = partial(plan_representation, WAVEFORMS)
plan_waveforms_32k = partial(plan_representation, WAVEFORMS_32K)
write_tracks = write_mel_spectrograms = write_audio_features = write_one
write_stft_spectrograms = write_mfcc = write_waveforms = write_waveforms_32k = write_one


def _spec(stage: Stage, description: str) -> AssetSpec:
    return AssetSpec(stage.name, description=description, **stage.options())


@multi_asset(
    can_subset=True,
    specs=[
        _spec(
            TRACKS,
            "`tracks.parquet`, one row per file of the batch: track id (a digest of the sound, "
            "whatever the metadata), SHA-256 of the file, path, file metadata, duration (s), "
            "sample rate (Hz), channels, codec and levels (dBFS). The status is "
            "`ok`, or `quarantined` with a code and a reason. A file that cannot be used does not "
            "stop the batch.",
        ),
        _spec(
            MEL_SPECTROGRAMS,
            "Zarr v3 store, float16 `[frame, mel]`: the good tracks of the batch, one after the "
            "other along time, with `offsets`, `track_id` and `frequency` (Hz). By default 128 HTK "
            "mel bands at 22.05 kHz, hop 512 (23 ms), power in dB, at least -100 dB. zarr and "
            "xarray can open the store.",
        ),
        _spec(
            AUDIO_FEATURES,
            "`audio_features.parquet`, one row per good track: mean and variance of chroma, RMS, "
            "spectral centroid, bandwidth and rolloff (Hz), zero-crossing rate and MFCC 1-20, as "
            "librosa computes them.",
        ),
        _spec(
            STFT_SPECTROGRAMS,
            "Computed on request; 21 MB per minute of audio. Zarr v3 store with two float16 arrays "
            "`[frame, bin]`: amplitude in dB (`values`) and `phase` in radians, at 44.1 kHz, with "
            "windows of 2048 samples and hop 512. It can be inverted to sound. "
            "Images of 512 x 512 values can be derived from it.",
        ),
        _spec(
            MFCC,
            "Computed on request. Zarr v3 store, float16 `[frame, coefficient]`: the first 20 "
            "cepstral coefficients of the log-mel spectrogram.",
        ),
        _spec(
            WAVEFORMS,
            "Computed on request; 2 MB per minute of audio. Zarr v3 store, int16 `[sample]`: mono "
            "at 16 kHz, the input of the published music taggers.",
        ),
        _spec(
            WAVEFORMS_32K,
            "Computed on request; 4 MB per minute of audio. Zarr v3 store, int16 `[sample]`: mono "
            "at 32 kHz, the input of the tagger of AudioSet.",
        ),
    ],
)
def ingest_batch(
    context: AssetExecutionContext, home: HomeResource
) -> Iterator[MaterializeResult[None]]:
    """Decode every file of a track batch once, and write all selected artifacts."""
    selected = context.op_execution_context.selected_output_names
    with plain_failures():
        home_context, batch = home.context(), partition_of(context)
        specs = _selected_specs(home_context, batch, selected)
        with Production(home_context.store, specs) as production:
            if production.missing:
                write_batch(home_context.store, production.missing)
            for work in production.missing.values():
                work.run["dagster"] = context.run_id
                note_threads(work)
    for spec in specs:
        artifact = production.artifacts[spec.asset]
        if spec.asset == TRACKS.name:
            home_context.catalogue.identify(batch, artifact.record.recordings)
        yield describe(artifact, STAGES[spec.asset], is_new=spec.asset in production.missing)


def _selected_specs(context: Context, batch: str, selected: Collection[str]) -> list[Spec]:
    """The specs of the selected assets.

    Representations belong to the `tracks` of this run if these are selected, else to the current
    ones.
    """
    if TRACKS.name in selected:
        tracks = plan_tracks(context, batch)
        specs = [tracks]
    else:
        tracks, specs = context.store.need(TRACKS.name, batch).record.spec, []
    return specs + [
        representation_spec(stage, context, tracks.reference)
        for stage in REPRESENTATIONS.values()
        if stage.name in selected
    ]


def show(artifact: Artifact) -> Metadata:
    """The content of the batch: files and quarantine, features, or arrays."""
    if TRACKS.owns(artifact.reference):
        return _show_tracks(artifact)
    if AUDIO_FEATURES.owns(artifact.reference):
        facts = artifact.facts
        return {"tracks": facts["tracks"], "features": facts["features"], **_left_out(artifact)}
    return _show_arrays(artifact)


def _show_tracks(artifact: Artifact) -> Metadata:
    facts = artifact.facts
    table = read_table(artifact.folder / TABLE)
    quarantined = table.filter(pl.col("status") != "ok").select("path", "code", "reason")
    metadata: Metadata = {
        name: facts[name] for name in ("files", "ok", "quarantined", "duplicates", "hours")
    }
    metadata["first rows"] = markdown_table(
        table.select("path", "artist", "title", "duration_s", "codec", "status").head(8).to_dicts()
    )
    if quarantined.height:
        metadata["quarantine"] = markdown_table(quarantined.head(50).to_dicts())
    return metadata


def _show_arrays(artifact: Artifact) -> Metadata:
    metadata: Metadata = {
        "tracks": artifact.facts["tracks"],
        "frames": artifact.facts["frames"],
        "size (MB)": round(sum(size for _, size in artifact.record.files.values()) / 1e6, 1),
        "settings": markdown_table(
            [
                {"setting": k, "value": v}
                for k, v in artifact.record.spec.config["transform"].items()
            ]
        ),
        **_left_out(artifact),
    }
    if MEL_SPECTROGRAMS.owns(artifact.reference):
        metadata["first tracks"] = first_tracks_picture(artifact)
    return metadata


def _left_out(artifact: Artifact) -> Metadata:
    left_out = artifact.facts["left_out"]
    return {"left out": "\n".join(left_out)} if left_out else {}


@asset_check(asset=TRACKS.name, description="Warns if too many files are quarantined.")
def quarantine_rate(home: HomeResource) -> AssetCheckResult:
    """The share of quarantined files over all batches, and the number of files for each code."""
    store = home.store()
    batches = Tracks.all_current(store)
    files = sum(batch.files for batch in batches)
    quarantined = sum(batch.quarantined for batch in batches)
    codes: dict[str, int] = {}
    for batch in batches:
        for code, count in batch.codes.items():
            codes[code] = codes.get(code, 0) + count
    share = quarantined / files if files else 0.0
    return AssetCheckResult(
        passed=share <= QUARANTINE_WARN_SHARE,
        severity=AssetCheckSeverity.WARN,
        metadata={"files": files, "quarantined": quarantined, "share": share, "codes": codes},
    )
