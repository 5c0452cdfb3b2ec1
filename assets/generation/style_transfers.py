"""`style_transfers`: excerpts with the style of other songs, as sound."""

from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from dagster import AssetExecutionContext, MaterializeResult

from melgraph.assets.context import Context
from melgraph.assets.generation.presentation import Presentation, shared_figures
from melgraph.assets.generation.sound_files import Generated, finite
from melgraph.assets.generation.sounds import Sounds, plan_sounds, view_of, write_sounds
from melgraph.assets.generation.sources import Source
from melgraph.assets.materialize import materialize, stage_asset
from melgraph.assets.models.trained_model import TrainedModel, device
from melgraph.assets.models.vectors.model_inputs import TAGGERS
from melgraph.assets.models.vectors.published_weights import (
    load_published,
    published_weights,
    weight_licences,
)
from melgraph.assets.resources import HomeResource
from melgraph.assets.settings import weights_folder
from melgraph.assets.stage import Metadata, Stage
from melgraph.assets.stages import STYLE_TRANSFERS
from melgraph.assets.ui import markdown_table, picture, progress_bar
from melgraph.ml.errors import UserError
from melgraph.storage.artifacts import Artifact, ArtifactStore, Work
from melgraph.storage.files import file_sha256
from melgraph.storage.home import Home
from melgraph.storage.records import Spec

if TYPE_CHECKING:
    from melgraph.ml.generation.style.features import FeatureNetwork
    from melgraph.ml.generation.style_transfer import StyleComparison, StyleTransfer
    from melgraph.ml.specs.methods.style_transfer import StyleTransferConfig

VGG = "vgg"  # key of a config: the file of weights of VGG-16 or VGG-19
TAGGER = "mn04-audioset"
_TITLES = ("original", "what the transfer adds (dB)", "new sound")


class StyleTransfers(Sounds):
    """A committed `style_transfers`."""

    stage: ClassVar[Stage] = STYLE_TRANSFERS


def plan_style_transfers(context: Context, name: str) -> Spec:
    """The sounds of a recipe, by the weights of its network that are here now.

    Raises:
        UserError, StorageError: the weights are missing, cut short or of another network; or the
            model or the dataset does not exist yet.
    """
    spec = plan_sounds(STYLE_TRANSFERS, context, name)
    features = spec.config["style"]["features"]
    if features == "mn04":
        weights: dict[str, Any] = {TAGGERS: {TAGGER: published_weights(context, TAGGER)}}
    elif features.startswith(VGG):
        weights = {VGG: _vgg_weights(context.home, features)}
    else:
        weights = {}
    return replace(spec, config={**spec.config, **weights})


def write_style_transfers(store: ArtifactStore, work: Work) -> None:
    """Write a style transfer of each selected track: FLAC files, spectrograms and distances."""
    from melgraph.ml.specs.methods.style_transfer import StyleTransferConfig

    config = StyleTransferConfig.model_validate(work.spec.config["style"])
    network = _network(store, work.spec, config)
    work.licences += _licences(work.spec.config)

    def make(source: Source, guide: Source | None) -> Generated:
        return _transfer(network, config, work.spec.seed or 0, source, guide)

    write_sounds(store, work, make, kind="style", title="style transfer")


def _vgg_weights(home: Home, features: str) -> dict[str, str]:
    """The file of a VGG, as a part of a config."""
    from melgraph.ml.weights.feature_weights import locate_vgg

    path, known = locate_vgg(features, weights_folder(home))
    return {"of": features, "file": known.file, "sha256": file_sha256(path)}


def _licences(config: Mapping[str, Any]) -> list[dict[str, str]]:
    """The licences of the published weights that a config names."""
    from melgraph.ml.weights.feature_weights import known_file
    from melgraph.ml.weights.licences import licence_entry

    licences = weight_licences(config)
    if vgg := config.get(VGG):
        licence = known_file(vgg["of"], vgg["file"]).licence
        stated = None if licence is None else asdict(licence)
        licences.append(licence_entry(vgg["of"], vgg["sha256"], stated))
    return licences


def _network(store: ArtifactStore, spec: Spec, config: "StyleTransferConfig") -> "FeatureNetwork":
    """The network that a recipe names, with the weights that its spec names."""
    from melgraph.ml.generation.style import features
    from melgraph.ml.weights.feature_weights import known_file, load_vgg
    from melgraph.ml.weights.files import published_file

    if config.features == "experiment":
        model, meta = TrainedModel.input_of(store, spec).load()
        name = f"experiment {meta['experiment']}"
        return features.experiment_features(model, view_of(meta), name=name)
    if config.features == "random_1d":
        return features.random_features(
            filters=config.filters, width=config.width, seed=spec.seed or 0
        )
    if config.features == "mn04":
        tagger, _meta = load_published(store.home, spec.config[TAGGERS][TAGGER], TAGGER)
        return features.tagger_features(tagger.to(device()), name=TAGGER)
    vgg = spec.config[VGG]
    known = known_file(vgg["of"], vgg["file"])
    path = published_file(known.url, vgg["file"], vgg["sha256"], weights_folder(store.home))
    model = load_vgg(vgg["of"], path, known).to(device())
    return features.vgg_features(model, image=config.image)


def _transfer(
    network: "FeatureNetwork",
    config: "StyleTransferConfig",
    seed: int,
    source: Source,
    guide: Source | None,
) -> Generated:
    """One sound: the excerpt of a source with the style of a guide."""
    from melgraph.ml.generation.style_transfer import StyleComparison, transfer_style

    if guide is None:
        raise UserError(
            "a style transfer needs a guide song",
            where=str(source.track["path"]),
            remedy="set guide or guide_label, or leave guide_of_another_label at true",
        )
    for song in (source, guide):
        _check_excerpt(song)
    view = network.view
    comparison = StyleComparison(network, source.picture(view), guide.picture(view), config)
    with progress_bar(config.steps, "steps", str(source.track["path"])) as bar:
        transfer = transfer_style(
            comparison, seed=seed, progress=lambda done, _all: bar.update(done - bar.n)
        )
    return _as_sound(comparison, transfer, source, guide)


def _as_sound(
    comparison: "StyleComparison", transfer: "StyleTransfer", source: Source, guide: Source
) -> Generated:
    """The picture applied to the excerpt, and how far the new sound is from source and guide."""
    from melgraph.ml import plots
    from melgraph.ml.audio import within_full_scale
    from melgraph.ml.generation.resynthesis import snr_db
    from melgraph.ml.generation.style.phase import renew_phase

    view, rate = comparison.network.view, source.sample_rate
    edited = view.apply(source.samples, rate, transfer.delta_db, limit_db=transfer.limit_db)
    samples, gain = edited.samples, edited.gain
    if comparison.config.has_new_phase:
        samples, renewed_gain = within_full_scale(renew_phase(samples, rate))
        gain *= renewed_gain
    unscaled = samples / np.float32(gain)
    before, after = source.picture(view), view.picture(unscaled, rate)
    in_sound = comparison.ratios(after)
    return Generated(
        samples,
        plots.spectrogram_triptych(before, transfer.delta_db, after, view, titles=_TITLES),
        {
            "target": guide.label,
            "content_ratio": in_sound.content,
            "style_ratio": in_sound.style,
            "rhythm_distance": in_sound.rhythm if comparison.config.rhythm else None,
            "content_ratio_of_picture": transfer.ratios.content,
            "style_ratio_of_picture": transfer.ratios.style,
            "edit_rms_db": finite(float(np.sqrt(np.mean(np.square(transfer.delta_db))))),
            "phase": "new" if comparison.config.has_new_phase else "original",
            "identity_snr_db": finite(edited.identity_snr_db),
            "snr_to_original_db": finite(snr_db(source.samples, unscaled)),
            "gain": float(gain),
        },
    )


def _check_excerpt(song: Source) -> None:
    """Raises an error for an excerpt that is too short or silent."""
    song.check_length()
    if not np.abs(song.samples).max() > 0.0:
        raise UserError(
            "the excerpt is silent",
            where=str(song.track["path"]),
            remedy="choose another part with start_s or guide_start_s, or another recording",
        )


def figures(sound: Mapping[str, Any]) -> dict[str, str]:
    """The figures of a style transfer, as the page of sounds shows them."""
    return {
        "distance from the content": f"{sound['content_ratio']:.0%} of the guide's",
        "distance from the style": f"{sound['style_ratio']:.0%} of the original's",
        **shared_figures(sound),
    }


PRESENTATION = Presentation(
    heading="Style transfers",
    result="Style transfer",
    about="A style transfer changes the spectrogram of a track until the activations of a network "
    "are still those of the track (its content), but are correlated as those of another track, the "
    "guide (its style). The distance from the content is 0 % for the original and 100 % for the "
    "guide; the distance from the style is 0 % for the guide and 100 % for the original. Both are "
    "measured on the new sound.",
    figures=figures,
)


@stage_asset(STYLE_TRANSFERS)
def style_transfers(context: AssetExecutionContext, home: HomeResource) -> MaterializeResult[None]:
    """Style transfers (Gatys et al. 2016): excerpts with the style of a guide song.

    Each partition is a recipe. By default the excerpts are of held-out tracks, and the guide of
    each is a held-out track of another label. The edit of the spectrogram is applied to the
    full-resolution amplitude, with the original or a new phase. The folder has FLAC files of the
    source, the guide and the result, a PNG file with the spectrograms, and `report.json` with the
    distances from content and style.
    """
    return materialize(context, home, STYLE_TRANSFERS)


def sound_rows(facts: Mapping[str, Any]) -> list[dict[str, object]]:
    """The sounds as rows of a table for people."""
    return [
        {"track": sound["path"], "guide": sound["guide"]["path"], **figures(sound)}
        for sound in facts["sounds"]
    ]


def show(artifact: Artifact) -> Metadata:
    """A row and a picture of each sound."""
    metadata: Metadata = {"sounds": markdown_table(sound_rows(artifact.facts))}
    for sound in artifact.facts["sounds"]:
        metadata[sound["path"]] = picture(artifact.folder / sound["files"]["picture"])
    return metadata
