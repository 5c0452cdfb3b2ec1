"""`compositions`: new music of a genre, made from noise by a rectified flow."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import numpy as np
from dagster import AssetExecutionContext, MaterializeResult

from melgraph.assets.context import Context
from melgraph.assets.generation.models.generative_model import GenerativeModel, genre_of
from melgraph.assets.generation.models.memorisation import TrainingCrops
from melgraph.assets.generation.presentation import Presentation
from melgraph.assets.generation.selection import SOURCE_LABELS
from melgraph.assets.generation.sound_files import COMPOSITION, Generated, finite
from melgraph.assets.generation.sounds import Sounds, plan_sounds, write_sounds
from melgraph.assets.generation.sources import Source
from melgraph.assets.materialize import materialize, stage_asset
from melgraph.assets.models.trained_model import device
from melgraph.assets.resources import HomeResource
from melgraph.assets.settings import use_numba_cache
from melgraph.assets.stage import Metadata, Stage
from melgraph.assets.stages import COMPOSITIONS
from melgraph.assets.ui import markdown_table, picture
from melgraph.storage.artifacts import Artifact, ArtifactStore, Work
from melgraph.storage.records import Spec

KIND = "rectified_flow"


class Compositions(Sounds):
    """A committed `compositions`."""

    stage: ClassVar[Stage] = COMPOSITIONS


def plan_compositions(context: Context, name: str) -> Spec:
    """The sounds of a recipe, by the current rectified flow.

    Each composition has a held-out recording of its genre beside it, for comparison.

    Raises:
        UserError, StorageError: the model is not trained yet, or does not know the genre.
    """
    spec = plan_sounds(COMPOSITIONS, context, name)
    model = GenerativeModel.input_of(context.store, spec)
    genre = spec.config["genre"]
    if genre is not None:
        model.checked_genre(genre, where=f"recipe {name}: genre")
    return replace(
        spec, config={**spec.config, SOURCE_LABELS: model.genres if genre is None else [genre]}
    )


def write_compositions(store: ArtifactStore, work: Work) -> None:
    """Write the compositions, each with a real recording of its genre beside it."""
    use_numba_cache(store.home)
    model = GenerativeModel.input_of(store, work.spec)
    network, meta = model.load(KIND)
    training = TrainingCrops(model, network)
    composer = _Composer(network, meta, training, work.spec.config, work.spec.seed or 0)
    write_sounds(store, work, composer.compose, kind="composition", title="composition")


@dataclass
class _Composer:
    """Makes one composition after the other; each has noise of its own.

    Attributes:
        network: the rectified flow.
        meta: the description in its checkpoint.
        training: the crops that it learned from.
        config: of the recipe.
        seed: of the recipe.
        numbers: how many compositions of each genre there are so far.
    """

    network: Any
    meta: Mapping[str, Any]
    training: TrainingCrops
    config: Mapping[str, Any]
    seed: int
    numbers: dict[str, int] = field(default_factory=dict)

    def compose(self, real: Source, guide: Source | None) -> Generated:
        """A composition of the genre of a real recording, as long as its excerpt."""
        from melgraph.ml.generation.reconstruction.crops import (
            as_recorded,
            match_loudness,
            sound_of_values,
        )
        from melgraph.ml.generation.views import MelView
        from melgraph.ml.generative.flow.sampling import compose
        from melgraph.ml.plots.generative import sample_sheet
        from melgraph.ml.representations.registry import from_attributes

        real.check_length()
        genre = genre_of(self.config, self.network.genres, real)
        number = self.numbers[genre] = self.numbers.get(genre, 0) + 1
        transform = from_attributes(
            self.meta["input"]["representation"], self.meta["input"]["transform"]
        )
        frames = 1 + int(real.seconds * transform.sample_rate) // transform.hop
        values = compose(
            self.network,
            genre,
            frames,
            steps=self.config["steps"],
            guidance=self.config["guidance"],
            seed=self._seed_of(genre, number),
            device=device(),
        )
        sound = sound_of_values(
            values, transform, iterations=self.config["iterations"], seed=self.seed
        )
        composition = as_recorded(
            sound,
            transform.sample_rate,
            like_rate=real.sample_rate,
            length=len(real.samples),
            channels=real.samples.shape[1],
        )
        before = real.picture(MelView(transform))
        sheet = sample_sheet(
            [values, before],
            [f"composition, {genre}", f"a real recording of {genre}"],
            unit="dB",
            ylabel="mel band",
            frames_per_second=transform.frames_per_second,
        )
        matched = match_loudness(composition, real.samples, real.sample_rate)
        nearest, path = self.training.nearest_of_sound(values)
        of_real, _ = self.training.nearest_of_sound(before)
        facts = {
            "target": genre,
            "guidance": self.config["guidance"],
            "nearest_training_crop": {"distance": finite(nearest), "path": path},
            "nearest_of_real": finite(of_real),
        }
        return Generated(matched.samples, sheet, facts, composition=f"{genre} {number}")

    def _seed_of(self, genre: str, number: int) -> int:
        """The seed of a composition: other seeds of a recipe give other noise in each."""
        parts = [self.seed, list(self.network.genres).index(genre), number]
        return int(np.random.SeedSequence(parts).generate_state(1)[0])


def figures(sound: Mapping[str, Any]) -> dict[str, str]:
    """The figures of a composition, as the page of sounds shows them."""
    nearest = sound["nearest_training_crop"]
    return {
        "genre": sound["target"],
        "guidance": f"{sound['guidance']:g}",
        "distance to the nearest training crop": f"{nearest['distance']:.2f} deviations",
        "that of the real recording": f"{sound['nearest_of_real']:.2f} deviations",
        "nearest training recording": nearest["path"],
    }


PRESENTATION = Presentation(
    heading="Compositions",
    result="Composition",
    about="A rectified flow learned from recordings of several genres to turn noise into "
    "log-mel spectrograms of a genre. A composition follows from the network and from noise alone. "
    "The recording beside it is a held-out one of the same genre: it had no part in it. A "
    "composition that is much nearer to a training crop than the real recording is would be a "
    "copy; the distance is in standard deviations of a band, and ignores the level.",
    figures=figures,
)


@stage_asset(COMPOSITIONS)
def compositions(context: AssetExecutionContext, home: HomeResource) -> MaterializeResult[None]:
    """New music of a genre: noise that a rectified flow turns into log-mel spectrograms, as sound.

    Each partition is a recipe, which names the generative model. The folder has a FLAC file of each
    composition, one of a held-out recording of the genre for comparison, a PNG file with both
    spectrograms, and `report.json`.
    """
    return materialize(context, home, COMPOSITIONS)


def show(artifact: Artifact) -> Metadata:
    """A row and a picture of each composition."""
    sounds = artifact.facts["sounds"]
    rows = [
        {"composition": sound[COMPOSITION], "beside it": sound["path"], **figures(sound)}
        for sound in sounds
    ]
    metadata: Metadata = {"sounds": markdown_table(rows)}
    for sound in sounds:
        metadata[sound[COMPOSITION]] = picture(artifact.folder / sound["files"]["picture"])
    return metadata
