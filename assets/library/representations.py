"""`tracks`, `mel_spectrograms`, `audio_features`: one decode pass over a track batch."""

from collections.abc import Iterator

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

from melgraph.assets.library import ingest
from melgraph.assets.materialize import (
    Metadata,
    markdown_table,
    note_threads,
    plain_failures,
    result,
)
from melgraph.assets.partitions import track_batches
from melgraph.assets.resources import HomeResource
from melgraph.storage.artifacts import Artifact, Production
from melgraph.storage.tables import read_table

QUARANTINE_WARN_SHARE = 0.05


def _spec(name: str, description: str) -> AssetSpec:
    is_table = name in (ingest.TRACKS, ingest.FEATURES)
    return AssetSpec(
        name,
        description=description,
        group_name="ingest" if name == ingest.TRACKS else "representations",
        deps=[] if name == ingest.TRACKS else [ingest.TRACKS],
        partitions_def=track_batches,
        code_version=str(ingest.STAGES[name]),
        kinds={"polars" if is_table else "zarr"},
    )


@multi_asset(
    can_subset=True,
    specs=[
        _spec(
            ingest.TRACKS,
            "Parquet, one row per file of the batch: identity (SHA-256), location, tags, duration "
            "(s), rate (Hz), channels, codec, levels (dBFS), and a status: `ok`, or `quarantined` "
            "with a code and a reason. Bad audio never stops a batch.",
        ),
        _spec(
            ingest.MEL,
            "Zarr v3 store, float16 `[frame, mel]`: all good tracks of the batch along time, with "
            "`offsets`, `track_id` and `frequency` (Hz). 128 HTK mel bands at 22.05 kHz, hop 512 "
            "(23 ms), dB of power, never below -100 dB. Opens in plain zarr and xarray.",
        ),
        _spec(
            ingest.FEATURES,
            "Parquet, one row per good track: mean and variance of chroma, rms, spectral centroid, "
            "bandwidth, rolloff (Hz), zero-crossing rate and MFCC 1-20, as librosa computes them.",
        ),
        _spec(
            ingest.STFT,
            "On demand: 21 MB a minute. Zarr v3 store, float16 `[frame, bin]` twice: amplitude in "
            "dB (`values`) and `phase` in radians, at 44.1 kHz, 2048 samples a window, hop 512. "
            "Inverts to sound; 512 x 512 images are derived on read.",
        ),
        _spec(
            ingest.MFCC,
            "On demand. Zarr v3 store, float16 `[frame, coefficient]`: the first 20 cepstral "
            "coefficients of the log-mel spectrogram.",
        ),
        _spec(
            ingest.WAVEFORMS,
            "On demand: 2 MB a minute. Zarr v3 store, int16 `[sample]`: mono at 16 kHz, what the "
            "pretrained taggers listen to.",
        ),
    ],
)
def ingest_batch(context: AssetExecutionContext, home: HomeResource) -> Iterator[MaterializeResult]:
    """One decode of every file of a track batch feeds all that is selected."""
    asked = context.op_execution_context.selected_output_names
    with plain_failures():
        store, catalogue, batch = home.store(), home.catalogue(), context.partition_key
        if ingest.TRACKS in asked:
            tracks = ingest.tracks_spec(batch, catalogue.batch_files(batch))
            selected = [tracks]
        else:
            tracks, selected = store.need(ingest.TRACKS, batch).record.spec, []
        names = [name for name in (*ingest.DEFAULT, *ingest.ON_DEMAND) if name in asked]
        selected += ingest.representation_specs(store, tracks.reference, names)
        with Production(store, selected) as production:
            if production.missing:
                ingest.write_batch(store, production.missing)
            for work in production.missing.values():
                work.run["dagster"] = context.run_id
                note_threads(work)
    for spec in selected:
        artifact = production.artifacts[spec.asset]
        if spec.asset == ingest.TRACKS:
            found = artifact.record.recordings
            catalogue.identify(batch, {r.path: r.track_id for r in found if r.track_id})
        yield result(artifact, made=spec.asset in production.missing, show=_show)


def _show(artifact: Artifact) -> Metadata:
    if artifact.reference.asset == ingest.TRACKS:
        return _show_tracks(artifact)
    if artifact.reference.asset == ingest.FEATURES:
        facts = artifact.facts
        return {"tracks": facts["tracks"], "features": facts["features"], **_left_out(artifact)}
    return _show_store(artifact)


def _show_tracks(artifact: Artifact) -> Metadata:
    facts = artifact.facts
    table = read_table(artifact.folder / ingest.TRACKS_TABLE)
    bad = table.filter(pl.col("status") != "ok").select("path", "code", "reason")
    shown: Metadata = {
        name: facts[name] for name in ("files", "ok", "quarantined", "duplicates", "hours")
    }
    shown["first rows"] = markdown_table(
        table.select("path", "artist", "title", "duration_s", "codec", "status").head(8).to_dicts()
    )
    if bad.height:
        shown["quarantine"] = markdown_table(bad.head(50).to_dicts())
    return shown


def _show_store(artifact: Artifact) -> Metadata:
    shown: Metadata = {
        "tracks": artifact.facts["tracks"],
        "frames": artifact.facts["frames"],
        "size (MB)": round(sum(size for _, size in artifact.record.files.values()) / 1e6, 1),
        "made with": markdown_table(
            [{"key": k, "value": v} for k, v in artifact.record.spec.config["transform"].items()]
        ),
        **_left_out(artifact),
    }
    if artifact.reference.asset == ingest.MEL:
        from melgraph.assets.library.pictures import first_spectrograms

        shown["first tracks"] = first_spectrograms(artifact.folder / ingest.STORE)
    return shown


def _left_out(artifact: Artifact) -> Metadata:
    left_out = artifact.facts["left_out"]
    return {"left out": "\n".join(left_out)} if left_out else {}


@asset_check(asset=ingest.TRACKS, description="Warns when too many files are quarantined.")
def quarantine_rate(home: HomeResource) -> AssetCheckResult:
    """Over all batches: the share of files that could not be used, and why."""
    store = home.store()
    facts = [store.need(ingest.TRACKS, name).facts for name in store.partitions(ingest.TRACKS)]
    files = sum(batch["files"] for batch in facts)
    bad = sum(batch["quarantined"] for batch in facts)
    codes: dict[str, int] = {}
    for batch in facts:
        for code, count in batch["codes"].items():
            codes[code] = codes.get(code, 0) + count
    share = bad / files if files else 0.0
    return AssetCheckResult(
        passed=share <= QUARANTINE_WARN_SHARE,
        severity=AssetCheckSeverity.WARN,
        metadata={"files": files, "quarantined": bad, "share": share, "codes": codes},
    )
