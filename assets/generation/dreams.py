"""`dreams`: excerpts changed so that a layer of a trained network responds more, as sound."""

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any, ClassVar

from dagster import AssetExecutionContext, MaterializeResult

from melgraph.assets.generation.presentation import Presentation, shared_figures
from melgraph.assets.generation.sounds import (
    Generated,
    Sounds,
    edit_sound,
    plan_sounds,
    view_of,
    write_sounds,
)
from melgraph.assets.generation.sources import Source
from melgraph.assets.materialize import materialize, stage_asset
from melgraph.assets.models.trained_model import TrainedModel
from melgraph.assets.resources import HomeResource
from melgraph.assets.stage import Metadata, Stage
from melgraph.assets.stages import DREAMS
from melgraph.assets.ui import markdown_table, picture
from melgraph.storage.artifacts import Artifact, ArtifactStore, Work

plan_dreams = partial(plan_sounds, DREAMS)
_TITLES = ("original", "what the network adds (dB)", "dreamt, computed from the new sound")


class Dreams(Sounds):
    """A committed `dreams`."""

    stage: ClassVar[Stage] = DREAMS


def write_dreams(store: ArtifactStore, work: Work) -> None:
    """Write a deep dream of each selected track: FLAC files, spectrograms and predictions."""
    model, meta = TrainedModel.input_of(store, work.spec).load()
    make = partial(_dream, model, meta, work)
    write_sounds(store, work, make, kind="dream", title="deep dream")


def _dream(
    model: Any, meta: Mapping[str, Any], work: Work, source: Source, guide: Source | None
) -> Generated:
    """One sound: the excerpt of a source, dreamt over by the network."""
    from melgraph.ml.generation.deep_dream import dream
    from melgraph.ml.specs.methods.dream import DreamConfig

    config = DreamConfig.model_validate(work.spec.config["dream"])
    layer, seed = work.spec.config["layer"], work.spec.seed or 0
    view = view_of(meta)
    picture = source.picture(view)
    guide_picture = None if guide is None else guide.picture(view)
    dreamt = dream(
        view.network(model), picture, layer=layer, guide=guide_picture, config=config, seed=seed
    )
    generated = edit_sound(
        model, meta, source, dreamt.delta_db, limit_db=config.max_delta_db, titles=_TITLES
    )
    activations = {"activation_before": dreamt.before, "activation_after": dreamt.after}
    return replace(generated, facts={**generated.facts, **activations})


def figures(sound: Mapping[str, Any]) -> dict[str, str]:
    """The figures of a dream, as the page of sounds shows them."""
    response = sound["activation_after"] / sound["activation_before"]
    return {"layer response": f"{response:.2f} times as strong", **shared_figures(sound)}


PRESENTATION = Presentation(
    heading="Deep dreams",
    result="Dream",
    about="A deep dream changes the spectrogram of a track so that a layer of a trained network "
    "responds more strongly. The change is then applied to the recording. The layer response says "
    "how much more strongly the layer responds to the dream than to the original. The "
    "signal-to-noise ratio (SNR) compares the dream with the original: the lower it is, the larger "
    "is the change. The SNR without a change shows the error of the conversion to sound alone.",
    figures=figures,
)


@stage_asset(DREAMS)
def dreams(context: AssetExecutionContext, home: HomeResource) -> MaterializeResult[None]:
    """Deep dreams (Mordvintsev et al. 2015): excerpts edited to activate a trained network more.

    Each partition is a recipe. By default the excerpts are of held-out tracks. The edit of the
    log-mel spectrogram, or of the image of the STFT's amplitude, is applied to the full-resolution
    amplitude, with the original phase, sample rate and channels. The folder has FLAC files before
    and after (their file metadata names the record), a PNG file with both spectrograms, and
    `report.json` with the predictions of the same network before and after.
    """
    return materialize(context, home, DREAMS)


def sound_rows(facts: Mapping[str, Any]) -> list[dict[str, object]]:
    """The sounds as rows of a table for people."""
    return [
        {
            "track": sound["path"],
            "predicted before": Sounds.predictions(sound)[0],
            "predicted after": Sounds.predictions(sound)[1],
            "layer response": f"x {sound['activation_after'] / sound['activation_before']:.2f}",
            "SNR to the original (dB)": sound["snr_to_original_db"],
            "SNR without an edit (dB)": sound["identity_snr_db"],
        }
        for sound in facts["sounds"]
    ]


def show(artifact: Artifact) -> Metadata:
    """A row and a picture of each sound."""
    metadata: Metadata = {"sounds": markdown_table(sound_rows(artifact.facts))}
    for sound in artifact.facts["sounds"]:
        metadata[sound["path"]] = picture(artifact.folder / sound["files"]["picture"])
    return metadata
