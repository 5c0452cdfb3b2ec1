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

from assets import ingest
from assets.materialize import Metadata, markdown_table, note_threads, plain_failures, result
from assets.partitions import track_batches
from assets.resources import HomeResource
from storage.artifacts import Artifact, Production
from storage.tables import read_table

QUARANTINE_WARN_SHARE = 0.05


def _spec(name: str, description: str, *, group: str, deps: tuple[str, ...] = ()) -> AssetSpec:
    return AssetSpec(
        name,
        description=description,
        group_name=group,
        deps=list(deps),
        partitions_def=track_batches,
        code_version=str(ingest.STAGES[name]),
        kinds={"zarr"} if name == ingest.MEL else {"polars"},
    )


@multi_asset(
    can_subset=True,
    specs=[
        _spec(
            ingest.TRACKS,
            "Parquet, one row per file of the batch: identity (SHA-256), location, tags, duration "
            "(s), rate (Hz), channels, codec, levels (dBFS), and a status: `ok`, or `quarantined` "
            "with a code and a reason. Bad audio never stops a batch.",
            group="ingest",
        ),
        _spec(
            ingest.MEL,
            "Zarr v3 store, float16 `[frame, mel]`: all good tracks of the batch along time, with "
            "`offsets`, `track_id` and `frequency` (Hz). 128 HTK mel bands at 22.05 kHz, hop 512 "
            "(23 ms), dB of power, never below -100 dB. Opens in plain zarr and xarray.",
            group="representations",
            deps=(ingest.TRACKS,),
        ),
        _spec(
            ingest.FEATURES,
            "Parquet, one row per good track: mean and variance of chroma, rms, spectral centroid, "
            "bandwidth, rolloff (Hz), zero-crossing rate and MFCC 1-20, as librosa computes them.",
            group="representations",
            deps=(ingest.TRACKS,),
        ),
    ],
)
def ingest_batch(context: AssetExecutionContext, home: HomeResource) -> Iterator[MaterializeResult]:
    """One decode of every file of a track batch feeds all that is selected."""
    with plain_failures():
        store, catalogue, batch = home.store(), home.catalogue(), context.partition_key
        tracks = ingest.tracks_spec(batch, catalogue.batch_files(batch))
        if ingest.TRACKS not in context.op_execution_context.selected_output_names:
            tracks = store.need(ingest.TRACKS, batch).record.spec
        specs = (tracks, ingest.mel_spec(tracks.reference), ingest.features_spec(tracks.reference))
        selected = [
            s for s in specs if s.asset in context.op_execution_context.selected_output_names
        ]
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
    if artifact.reference.asset == ingest.MEL:
        return _show_mel(artifact)
    facts = artifact.facts
    return {"tracks": facts["tracks"], "features": facts["features"], **_left_out(artifact)}


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


def _show_mel(artifact: Artifact) -> Metadata:
    from assets.pictures import first_spectrograms

    return {
        "tracks": artifact.facts["tracks"],
        "frames": artifact.facts["frames"],
        "size (MB)": round(sum(size for _, size in artifact.record.files.values()) / 1e6, 1),
        "first tracks": first_spectrograms(artifact.folder / ingest.STORE),
        **_left_out(artifact),
    }


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
