"""`dreams`: excerpts changed so that a layer of a trained network responds more, as sound."""

import logging
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from dagster import AssetExecutionContext, MaterializeResult

from melgraph.assets.generation.presentation import Presentation, shared_figures
from melgraph.assets.generation.sound_files import Generated
from melgraph.assets.generation.sounds import (
    Sounds,
    edit_sound,
    plan_sounds,
    report_edit,
    view_of,
    write_sounds,
)
from melgraph.assets.generation.sources import Source
from melgraph.assets.materialize import materialize, stage_asset
from melgraph.assets.models.trained_model import TrainedModel
from melgraph.assets.resources import HomeResource
from melgraph.assets.stage import Metadata, Stage
from melgraph.assets.stages import DREAMS
from melgraph.assets.ui import markdown_table, picture, progress_bar
from melgraph.storage.artifacts import Artifact, ArtifactStore, Work

if TYPE_CHECKING:
    from melgraph.ml.generation.deep_dream import Dream
    from melgraph.ml.generation.waveform_dream import WaveformDream, WaveformView
    from melgraph.ml.specs.methods.dream import DreamConfig

logger = logging.getLogger(__name__)
plan_dreams = partial(plan_sounds, DREAMS)
_ORIGINAL, _DREAMT = "original", "dreamt, computed from the new sound"
_EDITS = {
    "amplitude": "what the network adds (dB)",
    "phase": "by how much the network turns the phase in each frame (radians)",
}
_SILENT = 1e-5  # peak of a silent excerpt, of full scale


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
    """One sound: the excerpt of a source, changed by a deep dream of the network."""
    from melgraph.ml.generation.objectives import class_number
    from melgraph.ml.generation.views import waveform_view_of
    from melgraph.ml.specs.methods.dream import DreamConfig

    config = DreamConfig.model_validate(work.spec.config["dream"])
    source.check_length()
    if config.class_label is not None:
        number = class_number(config.class_label, meta["classes"])
        config = config.model_copy(update={"class_index": number})
    more: dict[str, str] = {}
    if float(np.abs(source.samples).max(initial=0.0)) < _SILENT:
        more["note"] = "the excerpt is silent, so that there is nothing to change"
        logger.warning("%s: %s", source.track["path"], more["note"])
        config = config.model_copy(update={"steps": 0})
    settings: dict[str, Any] = {
        "layer": work.spec.config["layer"],
        "config": config,
        "seed": work.spec.seed or 0,
    }
    view = waveform_view_of(meta["input"])
    with progress_bar(0, "steps", source.track["path"]) as bar:

        def progress(finished: int, steps: int) -> None:
            bar.total = steps
            bar.update(finished - bar.n)

        settings["progress"] = progress
        if view is None:
            generated = _dream_picture(model, meta, source, guide, settings)
        else:
            generated = _dream_waveform(view, model, meta, source, guide, settings)
    if (target := _target(config, meta, guide)) is not None:
        more["target"] = target
    return replace(generated, facts={**generated.facts, **more})


def _dream_picture(
    model: Any,
    meta: Mapping[str, Any],
    source: Source,
    guide: Source | None,
    settings: Mapping[str, Any],
) -> Generated:
    """A dream of a network that sees a spectrogram, or images of it."""
    from melgraph.ml.generation.deep_dream import dream

    view = view_of(meta, with_phase=True)
    guide_picture = None if guide is None else guide.picture(view)
    dreamt = dream(
        view.network(model),
        source.picture(view),
        guide=guide_picture,
        channels=view.channels,
        **settings,
    )
    titles = (_ORIGINAL, *(_EDITS[channel] for channel in view.channels), _DREAMT)
    limit_db = settings["config"].max_delta_db
    generated = edit_sound(model, meta, source, dreamt.edit, limit_db=limit_db, titles=titles)
    sizes = [[octave.mels, octave.frames] for octave in dreamt.octaves]
    facts = {**generated.facts, **_activations(dreamt), "octaves": sizes}
    if "phase" in view.channels:
        turns = dreamt.edit[:, :, view.channels.index("phase")]
        facts["phase_turn_rms_rad"] = round(float(np.sqrt(np.mean(np.square(turns)))), 4)
    return replace(generated, facts=facts)


def _dream_waveform(
    view: "WaveformView",
    model: Any,
    meta: Mapping[str, Any],
    source: Source,
    guide: Source | None,
    settings: Mapping[str, Any],
) -> Generated:
    """A dream of a network that takes the samples."""
    from melgraph.ml import plots
    from melgraph.ml.generation.views import MelView
    from melgraph.ml.generation.waveform_dream import dream_waveform
    from melgraph.ml.representations.waveforms import quantise
    from melgraph.ml.spectral import MelTransform

    rate, shown = source.sample_rate, MelView(MelTransform())
    waveform = view.waveform(source.samples, rate)
    song = None if guide is None else view.waveform(guide.samples, guide.sample_rate)
    dreamt = dream_waveform(model, waveform, view.sample_rate, guide=song, **settings)
    edited = view.apply(source.samples, rate, dreamt.edit)
    before, after = (shown.picture(samples, rate) for samples in (source.samples, edited.samples))
    titles = (_ORIGINAL, "change of the spectrogram (dB)", _DREAMT)
    png = plots.spectrogram_triptych(before, after - before, after, shown, titles=titles)
    new_waveform = view.waveform(edited.samples, rate)
    inputs = (quantise(waveform)[0], quantise(new_waveform)[0])
    generated = report_edit(model, meta, source, edited, inputs, png)
    rates = [octave.sample_rate for octave in dreamt.octaves]
    return replace(generated, facts={**generated.facts, **_activations(dreamt), "octaves": rates})


def _activations(dreamt: "Dream | WaveformDream") -> dict[str, float]:
    """The objective before and after, as a sound's facts name it."""
    return {"activation_before": dreamt.before, "activation_after": dreamt.after}


def _target(config: "DreamConfig", meta: Mapping[str, Any], guide: Source | None) -> str | None:
    """The label that a dream moves a song towards; None if it raises a layer."""
    if config.objective == "class" and config.class_index is not None:
        classes: list[str] = meta["classes"]
        return classes[config.class_index] if config.class_index < len(classes) else None
    return None if guide is None else guide.label


def figures(sound: Mapping[str, Any]) -> dict[str, str]:
    """The figures of a dream, as the page of sounds shows them."""
    figures = {"layer response": _response(sound), **shared_figures(sound)}
    if "target" in sound:
        figures["moved towards"] = str(sound["target"])
    if "note" in sound:
        figures["note"] = str(sound["note"])
    if "phase_turn_rms_rad" in sound:
        figures["change of the phase"] = f"{sound['phase_turn_rms_rad']:.2f} rad RMS"
    return figures


def _response(sound: Mapping[str, Any]) -> str:
    """How much the objective rose, for people: a factor, or the change of what may be below 0."""
    before, after = sound["activation_before"], sound["activation_after"]
    if sound.get("target") is not None or before <= 0.0:
        return f"{after - before:+.2f}"
    return f"{after / before:.2f} times as strong"


PRESENTATION = Presentation(
    heading="Deep dreams",
    result="Dream",
    about="A deep dream changes the spectrogram or the waveform of a track so that a layer of a "
    "trained network responds more strongly, or responds as it does to a guide song, or so that a "
    "class becomes more probable. The change is then applied to the recording. The response says "
    "how much more strongly the network responds to the dream than to the original. The "
    "signal-to-noise ratio (SNR) compares the dream with the original: the lower it is, the larger "
    "is the change. The SNR without a change shows the error of the conversion to sound alone.",
    figures=figures,
)


@stage_asset(DREAMS)
def dreams(context: AssetExecutionContext, home: HomeResource) -> MaterializeResult[None]:
    """Deep dreams (Mordvintsev et al. 2015): excerpts edited to activate a trained network more.

    Each partition is a recipe. By default the excerpts are of held-out tracks. The edit of the
    log-mel spectrogram, or of the images of the STFT, is applied to the full-resolution amplitude
    and phase, at the original sample rate and in each channel; what is not edited stays. A network
    on the waveform edits the samples. The folder has FLAC files before
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
            "layer response": _response(sound),
            "SNR to the original (dB)": sound["snr_to_original_db"],
            "SNR without an edit (dB)": sound["identity_snr_db"],
        }
        for sound in facts["sounds"]
    ]


def show(artifact: Artifact) -> Metadata:
    """A row and a picture of each sound."""
    metadata: Metadata = {
        "sounds": markdown_table(sound_rows(artifact.facts)),
    }
    for sound in artifact.facts["sounds"]:
        metadata[sound["path"]] = picture(artifact.folder / sound["files"]["picture"])
    return metadata
