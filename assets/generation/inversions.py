"""`inversions`: excerpts reduced to a spectrogram without phase, and turned back into sound."""

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from dagster import AssetExecutionContext, MaterializeResult

from melgraph.assets.generation.presentation import Presentation
from melgraph.assets.generation.sound_files import Generated, finite
from melgraph.assets.generation.sounds import Sounds, plan_sounds, write_sounds
from melgraph.assets.generation.sources import Source
from melgraph.assets.materialize import materialize, stage_asset
from melgraph.assets.resources import HomeResource
from melgraph.assets.settings import use_numba_cache
from melgraph.assets.stage import Metadata, Stage
from melgraph.assets.stages import INVERSIONS
from melgraph.assets.ui import markdown_table, picture
from melgraph.storage.artifacts import Artifact, ArtifactStore, Work

if TYPE_CHECKING:
    from melgraph.ml.specs.methods.inversion import InversionConfig

plan_inversions = partial(plan_sounds, INVERSIONS)
_TITLES = ("original", "what the inversion changes (dB)", "computed from the new sound")


class Inversions(Sounds):
    """A committed `inversions`."""

    stage: ClassVar[Stage] = INVERSIONS


def write_inversions(store: ArtifactStore, work: Work) -> None:
    """Write the inversion of each excerpt: FLAC files, spectrograms and figures."""
    use_numba_cache(store.home)
    from melgraph.ml.specs.methods.inversion import InversionConfig

    config = InversionConfig.model_validate(work.spec.config["inversion"])
    make = partial(_invert, config, work.spec.seed or 0)
    write_sounds(store, work, make, kind="inversion", title="inversion")


def _invert(
    config: "InversionConfig", seed: int, source: Source, guide: Source | None
) -> Generated:
    """One sound: the excerpt of a source, from what its representation holds."""
    from melgraph.ml import plots
    from melgraph.ml.generation.reconstruction.excerpts import invert_excerpt
    from melgraph.ml.generation.views import MelView
    from melgraph.ml.spectral import MelTransform

    source.check_length()
    inverted = invert_excerpt(source.samples, source.sample_rate, config, seed=seed)
    view = MelView(MelTransform())
    before = source.picture(view)
    after = view.picture(inverted.samples / inverted.gain, source.sample_rate)
    return Generated(
        inverted.samples,
        plots.spectrogram_triptych(before, after - before, after, view, titles=_TITLES),
        {
            "spectral_convergence_db": finite(inverted.spectral_convergence_db),
            "log_spectral_distance_db": finite(inverted.log_spectral_distance_db),
            "si_sdr_db": finite(inverted.si_sdr_db),
            "gain": float(inverted.gain),
        },
    )


def figures(sound: Mapping[str, Any]) -> dict[str, str]:
    """The figures of an inversion, as the page of sounds shows them."""
    names = {
        "spectral_convergence_db": "spectral convergence",
        "log_spectral_distance_db": "log-spectral distance",
        "si_sdr_db": "SI-SDR",
    }
    return {
        name: "no difference" if sound[key] is None else f"{sound[key]:.2f} dB"
        for key, name in names.items()
    }


PRESENTATION = Presentation(
    heading="Inversions",
    result="Inversion",
    about="An inversion keeps nothing of a track but a spectrogram without phase, and turns it "
    "back into sound. What you hear is what the spectrogram holds, and what the estimated phase "
    "adds. Spectral convergence is the error of the spectrogram of the new sound, relative to the "
    "original: the lower, the better. The log-spectral distance is the mean difference of the "
    "levels. SI-SDR compares samples, so an estimated phase makes it low, even where no difference "
    "can be heard.",
    figures=figures,
)


@stage_asset(INVERSIONS)
def inversions(context: AssetExecutionContext, home: HomeResource) -> MaterializeResult[None]:
    """Sound from spectrograms without phase (Prusa et al. 2017; Perraudin et al. 2013).

    Each partition is a recipe. It names what remains of an excerpt: the amplitude of its STFT, its
    log-mel spectrogram, or its MFCC. The phase is estimated by phase gradient heap integration and
    improved by fast Griffin-Lim. The folder has FLAC files before and after (their file metadata
    names the record), a PNG file with both spectrograms, and `report.json` with spectral
    convergence, log-spectral distance and SI-SDR. docs/results/inversion.md compares the method
    with others.
    """
    return materialize(context, home, INVERSIONS)


def show(artifact: Artifact) -> Metadata:
    """A row and a picture of each sound."""
    sounds = artifact.facts["sounds"]
    rows: list[dict[str, object]] = [{"track": sound["path"], **figures(sound)} for sound in sounds]
    metadata: Metadata = {"sounds": markdown_table(rows)}
    for sound in sounds:
        metadata[sound["path"]] = picture(artifact.folder / sound["files"]["picture"])
    return metadata
