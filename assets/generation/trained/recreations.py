"""`recreations`: the MFCC of excerpts, recreated by the network of a genre, as sound."""

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any, ClassVar

import numpy as np
from dagster import AssetExecutionContext, MaterializeResult

from melgraph.assets.context import Context
from melgraph.assets.generation.models.generative_model import GenerativeModel, genre_of
from melgraph.assets.generation.presentation import Presentation
from melgraph.assets.generation.selection import SOURCE_LABELS
from melgraph.assets.generation.sound_files import Generated, finite
from melgraph.assets.generation.sounds import Sounds, plan_sounds, write_sounds
from melgraph.assets.generation.sources import Source
from melgraph.assets.materialize import materialize, stage_asset
from melgraph.assets.resources import HomeResource
from melgraph.assets.settings import use_numba_cache
from melgraph.assets.stage import Metadata, Stage
from melgraph.assets.stages import RECREATIONS
from melgraph.assets.ui import markdown_table, picture
from melgraph.storage.artifacts import Artifact, ArtifactStore, Work
from melgraph.storage.records import Spec

KIND = "recreation"


class Recreations(Sounds):
    """A committed `recreations`."""

    stage: ClassVar[Stage] = RECREATIONS


def plan_recreations(context: Context, name: str) -> Spec:
    """The sounds of a recipe, by the current networks; sources are of their genres.

    Raises:
        UserError, StorageError: the model is not trained yet, or does not know the genre.
    """
    spec = plan_sounds(RECREATIONS, context, name)
    model = GenerativeModel.input_of(context.store, spec)
    genre = spec.config["genre"]
    if genre is not None:
        model.checked_genre(genre, where=f"recipe {name}: genre")
    return replace(spec, config={**spec.config, SOURCE_LABELS: model.genres})


def write_recreations(store: ArtifactStore, work: Work) -> None:
    """Write the recreation of each source: FLAC files, MFCC pictures and figures."""
    use_numba_cache(store.home)
    network, meta = GenerativeModel.input_of(store, work.spec).load(KIND)
    make = partial(_recreate, network, meta, work.spec.config, work.spec.seed or 0)
    write_sounds(store, work, make, kind="recreation", title="recreation")


def _recreate(
    network: Any,
    meta: Mapping[str, Any],
    config: Mapping[str, Any],
    seed: int,
    source: Source,
    guide: Source | None,
) -> Generated:
    """The excerpt of a source, from the MFCC that the network of a genre recreates."""
    from melgraph.ml.audio import resample, to_mono
    from melgraph.ml.generation.reconstruction.crops import (
        as_recorded,
        match_loudness,
        sound_of_values,
    )
    from melgraph.ml.generative.recreation.classification import classify
    from melgraph.ml.plots.generative import mfcc_pair
    from melgraph.ml.representations.registry import from_attributes
    from melgraph.ml.spectral import log_mel, mfcc_from_log_mel, stft

    source.check_length()
    genre = genre_of(config, network.genres, source)
    transform = from_attributes(meta["input"]["representation"], meta["input"]["transform"])
    mono = resample(to_mono(source.samples), source.sample_rate, transform.sample_rate)
    spectrum = stft(mono, n_fft=transform.n_fft, hop=transform.hop)
    true = mfcc_from_log_mel(log_mel(spectrum, transform.mel), transform).astype(np.float32)
    synthetic = network.recreate(true, genre)
    sound = sound_of_values(synthetic, transform, iterations=config["iterations"], seed=seed)
    recreated = as_recorded(
        sound,
        transform.sample_rate,
        like_rate=source.sample_rate,
        length=len(source.samples),
        channels=source.samples.shape[1],
    )
    matched = match_loudness(recreated, source.samples, source.sample_rate)
    error = float(network.errors(true)[list(network.genres).index(genre)])
    own = {
        when: classify(network, values).genre if len(network.genres) > 1 else None
        for when, values in (("before", true), ("after", synthetic))
    }
    frame_rate = transform.sample_rate / transform.hop
    return Generated(
        matched.samples,
        mfcc_pair(true, synthetic, frames_per_second=frame_rate, title=str(source.track["path"])),
        {
            "target": genre,
            "mfcc_error": finite(error),
            "level_drift_lu": finite(matched.drift_lu),
            "own_network_before": own["before"],
            "own_network_after": own["after"],
        },
    )


def figures(sound: Mapping[str, Any]) -> dict[str, str]:
    """The figures of a recreation, as the page of sounds shows them."""
    return {
        "network of": sound["target"],
        "error of the MFCC": f"{sound['mfcc_error']:.2f} of their variance",
        "smallest error, original": sound["own_network_before"] or "-",
        "smallest error, recreation": sound["own_network_after"] or "-",
    }


PRESENTATION = Presentation(
    heading="Recreations",
    result="Recreation",
    about="One network per genre learned to recreate the MFCC of its songs from few numbers. What "
    "you hear is the recreated MFCC with an estimated phase. 20 MFCC contain little of a song: "
    "compare with the inversion of the true MFCC. The genre with the smallest error is the one "
    "whose network recreates a sound best.",
    figures=figures,
)


@stage_asset(RECREATIONS)
def recreations(context: AssetExecutionContext, home: HomeResource) -> MaterializeResult[None]:
    """Excerpts whose MFCC the network of a genre has recreated, turned back into sound.

    Each partition is a recipe, which names the generative model. Held-out excerpts are recreated by
    the network of their genre, or of the genre that the recipe names. The folder has FLAC files of
    the source and the result, the true beside the synthetic MFCC as a PNG file, and `report.json`
    with the errors and the genres that the networks themselves assign.
    """
    return materialize(context, home, RECREATIONS)


def show(artifact: Artifact) -> Metadata:
    """A row and a picture of each sound."""
    sounds = artifact.facts["sounds"]
    rows = [{"track": sound["path"], **figures(sound)} for sound in sounds]
    metadata: Metadata = {"sounds": markdown_table(rows)}
    for sound in sounds:
        metadata[sound["path"]] = picture(artifact.folder / sound["files"]["picture"])
    return metadata
