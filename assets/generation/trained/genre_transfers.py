"""`genre_transfers`: excerpts of one genre moved towards another, by a CycleGAN."""

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any, ClassVar

import numpy as np
from dagster import AssetExecutionContext, MaterializeResult

from melgraph.assets.context import Context
from melgraph.assets.generation.models.generative_model import GenerativeModel
from melgraph.assets.generation.presentation import Presentation, shared_figures
from melgraph.assets.generation.selection import SOURCE_LABELS
from melgraph.assets.generation.sound_files import Generated, finite
from melgraph.assets.generation.sounds import Sounds, plan_sounds, write_sounds
from melgraph.assets.generation.sources import Source
from melgraph.assets.materialize import materialize, stage_asset
from melgraph.assets.resources import HomeResource
from melgraph.assets.stage import Metadata, Stage
from melgraph.assets.stages import GENRE_TRANSFERS
from melgraph.assets.ui import markdown_table, picture
from melgraph.storage.artifacts import Artifact, ArtifactStore, Work
from melgraph.storage.records import Spec

KIND = "cyclegan"
LEAST_LU = 0.1  # a smaller difference in loudness is none
_TITLES = ("original", "what the genre transfer adds (dB)", "new sound")


class GenreTransfers(Sounds):
    """A committed `genre_transfers`."""

    stage: ClassVar[Stage] = GENRE_TRANSFERS


def plan_genre_transfers(context: Context, name: str) -> Spec:
    """The sounds of a recipe, by the current CycleGAN; sources are of the other genre.

    Raises:
        UserError, StorageError: the model is not trained yet, or does not know the genre.
    """
    spec = plan_sounds(GENRE_TRANSFERS, context, name)
    model = GenerativeModel.input_of(context.store, spec)
    towards = model.checked_genre(spec.config["towards"], where=f"recipe {name}: towards")
    others = [genre for genre in model.genres if genre != towards]
    return replace(spec, config={**spec.config, SOURCE_LABELS: others})


def write_genre_transfers(store: ArtifactStore, work: Work) -> None:
    """Write each source as the other genre: FLAC files, spectrograms and figures."""
    network, meta = GenerativeModel.input_of(store, work.spec).load(KIND)
    make = partial(_transfer, network, meta, work.spec.config)
    write_sounds(store, work, make, kind="transfer", title="genre transfer")


def _transfer(
    network: Any,
    meta: Mapping[str, Any],
    config: Mapping[str, Any],
    source: Source,
    guide: Source | None,
) -> Generated:
    """The excerpt of a source, moved towards another genre."""
    from melgraph.ml import plots
    from melgraph.ml.generation.reconstruction.crops import match_loudness
    from melgraph.ml.generation.resynthesis import snr_db
    from melgraph.ml.generation.views import view_of

    source.check_length()
    view = view_of(meta["input"], where=f"generative model {meta['model']}")
    rate, limit = source.sample_rate, config["max_delta_db"]
    mapping = view.mapping  # type: ignore[attr-defined]  # a CycleGAN always sees images
    span = mapping.high_db - mapping.low_db
    before = source.picture(view)
    pixels = np.clip((before - mapping.low_db) / span, 0.0, 1.0)
    change_db = (network.translate(pixels, config["towards"]) - pixels) * span
    edit_db = np.clip(change_db, -limit, limit).astype(np.float32)
    edited = view.apply(source.samples, rate, edit_db, limit_db=limit)
    plain = edited.samples / np.float32(edited.gain)
    matched = match_loudness(plain, source.samples, rate)
    is_matched = config["match_loudness"] and matched.drift_lu is not None
    samples, gain = (matched.samples, matched.gain) if is_matched else (edited.samples, edited.gain)
    after = view.picture(samples / np.float32(gain), rate)
    return Generated(
        samples,
        plots.spectrogram_triptych(before, edit_db, after, view, titles=_TITLES),
        {
            "target": config["towards"],
            "edit_rms_db": finite(float(np.sqrt(np.mean(np.square(edit_db))))),
            "share_at_limit": finite(float(np.mean(np.abs(change_db) > limit))),
            "correlation_with_source": finite(_correlation(pixels, pixels + edit_db / span)),
            "level_drift_lu": finite(matched.drift_lu),
            "loudness_matched": bool(is_matched and matched.missing_lu < LEAST_LU),
            "identity_snr_db": finite(edited.identity_snr_db),
            "snr_to_original_db": finite(snr_db(source.samples, plain)),
            "gain": float(gain),
        },
    )


def _correlation(first: np.ndarray, second: np.ndarray) -> float:
    """Pearson's correlation of two pictures; NaN if one of them is constant."""
    if first.std() == 0 or second.std() == 0:
        return float("nan")
    return float(np.corrcoef(first.ravel(), second.ravel())[0, 1])


def figures(sound: Mapping[str, Any]) -> dict[str, str]:
    """The figures of a genre transfer, as the page of sounds shows them."""
    correlation = sound["correlation_with_source"]
    return {
        "towards": sound["target"],
        "edit": f"{sound['edit_rms_db']:.1f} dB RMS",
        "pixels at the limit": f"{sound['share_at_limit']:.1%}",
        "correlation with the source": "-" if correlation is None else f"{correlation:.2f}",
        "drift of the level": _drift(sound),
        **shared_figures(sound),
    }


def _drift(sound: Mapping[str, Any]) -> str:
    drift = sound["level_drift_lu"]
    if drift is None:
        return "-"
    return f"{drift:+.1f} LU" + (", then matched" if sound["loudness_matched"] else "")


PRESENTATION = Presentation(
    heading="Genre transfers",
    result="Genre transfer",
    about="A CycleGAN learned from recordings of two genres to change the spectrogram of one until "
    "a second network takes it for the other. The change is applied to the recording as a gain of "
    "each part of its spectrogram, with its own phase. A correlation of 1.00 with the source and "
    "an edit of nearly 0 dB mean that the network changes nothing.",
    figures=figures,
)


@stage_asset(GENRE_TRANSFERS)
def genre_transfers(context: AssetExecutionContext, home: HomeResource) -> MaterializeResult[None]:
    """Genre transfers by a CycleGAN (Zhu et al. 2017): held-out excerpts moved to another genre.

    Each partition is a recipe, which names the generative model and the direction. The change of
    the image is enlarged and applied to the full-resolution amplitude, with the original phase, and
    the new sound is made as loud as its source. The folder has FLAC files of the source and the
    result, a PNG file with the spectrograms, and `report.json` with the figures.
    """
    return materialize(context, home, GENRE_TRANSFERS)


def show(artifact: Artifact) -> Metadata:
    """A row and a picture of each sound."""
    sounds = artifact.facts["sounds"]
    rows = [{"track": sound["path"], **figures(sound)} for sound in sounds]
    metadata: Metadata = {"sounds": markdown_table(rows)}
    for sound in sounds:
        metadata[sound["path"]] = picture(artifact.folder / sound["files"]["picture"])
    return metadata
