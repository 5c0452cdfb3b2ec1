"""`audio_fingerprints`: 32 bits per frame of every track of a batch, for finding duplicates."""

import numpy as np
import polars as pl
from dagster import AssetExecutionContext, MaterializeResult

from melgraph.assets.context import Context
from melgraph.assets.library.inputs import input_references
from melgraph.assets.library.recording_clusters import FINGERPRINTS, FINGERPRINTS_SCHEMA
from melgraph.assets.library.spectrograms import MelSpectrograms
from melgraph.assets.materialize import (
    materialize,
    stage_asset,
)
from melgraph.assets.resources import HomeResource
from melgraph.assets.stage import Metadata
from melgraph.assets.stages import AUDIO_FINGERPRINTS
from melgraph.storage.artifacts import Artifact, ArtifactStore, Work
from melgraph.storage.records import Spec
from melgraph.storage.tables import write_table

UNFIT = (  # stored in the facts
    "mel_spectrograms are made with other settings than the shipped ones, for which fingerprints "
    "are defined: none are made, and only exact duplicates are found"
)


def plan_fingerprints(context: Context, batch: str) -> Spec:
    """The fingerprints of a batch, computed from its mel spectrograms."""
    (mel,) = input_references(context.store, [batch])
    return AUDIO_FINGERPRINTS.spec(batch, (mel,))


def write_fingerprints(store: ArtifactStore, work: Work) -> None:
    """Write one row per track: its codes, 43.07 per second of audio."""
    from melgraph.ml.recordings.fingerprints import FRAMES_PER_SECOND, SILENT, fingerprint
    from melgraph.ml.recordings.matching import MIN_OVERLAP_S
    from melgraph.ml.spectral import MelTransform

    mel = MelSpectrograms.input_of(store, work.spec)
    spectrograms = mel.arrays
    unfit = None if mel.transform == MelTransform() else UNFIT
    codes = [
        np.zeros(0, np.uint32) if unfit else fingerprint(spectrograms.track(track_id))
        for track_id in spectrograms.track_ids
    ]
    rows = list(zip(spectrograms.track_ids, codes, strict=True))
    write_table(
        pl.DataFrame(rows, schema=FINGERPRINTS_SCHEMA, orient="row"), work.folder / FINGERPRINTS
    )
    informative_frames = [int((track != SILENT).sum()) for track in codes]
    work.facts.update(
        tracks=len(codes),
        frames=sum(map(len, codes)),
        telling_frames=sum(informative_frames),
        frames_per_second=round(FRAMES_PER_SECOND, 4),
        unfit=unfit,
        too_little=sum(frames < MIN_OVERLAP_S * FRAMES_PER_SECOND for frames in informative_frames),
    )


@stage_asset(AUDIO_FINGERPRINTS)
def audio_fingerprints(
    context: AssetExecutionContext, home: HomeResource
) -> MaterializeResult[None]:
    """The acoustic fingerprint of each track of a batch: 32 bits per frame.

    The fingerprint stays nearly the same if a recording is stored in another format, at another
    level or with inverted polarity. Parquet, one row per track: `codes` uint32, 43.07 per second
    of audio. A code of 0 marks a frame without information, such as silence or a steady tone. The
    method follows Haitsma & Kalker (ISMIR 2002). It uses the mel spectrograms, so no file is
    decoded again. The asset `duplicates` compares the fingerprints.
    """
    return materialize(context, home, AUDIO_FINGERPRINTS)


def show(artifact: Artifact) -> Metadata:
    """How many tracks and frames of the batch can be compared."""
    facts = artifact.facts
    share = facts["telling_frames"] / facts["frames"] if facts["frames"] else 0.0
    caution = {"caution": facts["unfit"]} if facts["unfit"] else {}
    return {
        **caution,
        "tracks": facts["tracks"],
        "frames": facts["frames"],
        "share of frames with information": round(share, 3),
        "tracks too short or too quiet to compare": facts["too_little"],
    }
