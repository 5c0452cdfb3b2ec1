"""`audio_fingerprints`: 32 bits a frame of every track of a batch, for finding duplicates."""

import numpy as np
import polars as pl
from dagster import AssetExecutionContext, MaterializeResult, asset

from melgraph.assets.library import ingest
from melgraph.assets.library.inputs import transform_of
from melgraph.assets.materialize import Metadata, input_of, materialize, plain_failures
from melgraph.assets.partitions import track_batches
from melgraph.assets.resources import HomeResource
from melgraph.storage.artifacts import Artifact, ArtifactStore, Work
from melgraph.storage.records import Reference, Spec
from melgraph.storage.spectrogram_store import SpectrogramStore
from melgraph.storage.tables import write_table

STAGE = 1
FINGERPRINTS = "audio_fingerprints"
TABLE = "audio_fingerprints.parquet"
UNFIT = (
    "mel_spectrograms are made with other settings than the shipped ones, for which fingerprints "
    "are defined: none are made, and only exact duplicates are found"
)
SCHEMA = pl.Schema({"track_id": pl.String(), "codes": pl.List(pl.UInt32())})


def fingerprint_spec(mel: Reference) -> Spec:
    """The fingerprints of a batch, from its spectrograms."""
    return Spec(FINGERPRINTS, mel.partition, STAGE, (mel,))


def write_fingerprints(store: ArtifactStore, work: Work) -> None:
    """Write a row per track: its codes, 43.07 a second."""
    from melgraph.ml.recordings.fingerprints import FRAMES_PER_SECOND, SILENT, fingerprint
    from melgraph.ml.recordings.matching import MIN_OVERLAP_S
    from melgraph.ml.spectral import MelTransform

    mel = input_of(store, work.spec, ingest.MEL)
    spectrograms = SpectrogramStore(mel.folder / ingest.STORE)
    unfit = None if transform_of(spectrograms) == MelTransform() else UNFIT
    codes = [
        np.zeros(0, np.uint32) if unfit else fingerprint(spectrograms.track(track_id))
        for track_id in spectrograms.track_ids
    ]
    rows = list(zip(spectrograms.track_ids, codes, strict=True))
    write_table(pl.DataFrame(rows, schema=SCHEMA, orient="row"), work.folder / TABLE)
    telling = [int((track != SILENT).sum()) for track in codes]
    work.facts.update(
        tracks=len(codes),
        frames=sum(map(len, codes)),
        telling_frames=sum(telling),
        frames_per_second=round(FRAMES_PER_SECOND, 4),
        unfit=unfit,
        too_little=sum(frames < MIN_OVERLAP_S * FRAMES_PER_SECOND for frames in telling),
    )


@asset(
    partitions_def=track_batches,
    deps=[ingest.MEL],
    group_name="representations",
    code_version=str(STAGE),
    kinds={"polars"},
)
def audio_fingerprints(context: AssetExecutionContext, home: HomeResource) -> MaterializeResult:
    """What a recording sounds like in 32 bits a frame, whatever its format, level or polarity.

    Parquet, one row per track: `codes` uint32, 43.07 a second; 0 where a frame says nothing
    (silence, a steady tone). After Haitsma & Kalker (ISMIR 2002). Made from the spectrograms,
    without decoding; `duplicates` compares them.
    """
    with plain_failures():
        store = home.store()
        spec = fingerprint_spec(store.need(ingest.MEL, context.partition_key).reference)
    return materialize(context, store, spec, write_fingerprints, _show)


def _show(artifact: Artifact) -> Metadata:
    facts = artifact.facts
    share = facts["telling_frames"] / facts["frames"] if facts["frames"] else 0.0
    caution = {"caution": facts["unfit"]} if facts["unfit"] else {}
    return {
        **caution,
        "tracks": facts["tracks"],
        "frames": facts["frames"],
        "share of frames that say something": round(share, 3),
        "tracks too short or too quiet to compare": facts["too_little"],
    }
