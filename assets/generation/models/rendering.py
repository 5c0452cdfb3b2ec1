"""The samples of a generative model, and the real crops beside them, as sound."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from melgraph.assets.generation.models.generative_model import VALIDATED, GenerativeModel
from melgraph.assets.generation.models.generative_models import genre_tracks, spec_of
from melgraph.assets.generation.models.sheets import crop_of
from melgraph.assets.library.inputs import TrackInputs
from melgraph.assets.materialize import inputs_of
from melgraph.assets.stages import REPRESENTATIONS
from melgraph.ml.specs.model_input import AMPLITUDE, PHASE, InputSpec

if TYPE_CHECKING:
    from melgraph.ml.generative.base import GenreTracks


@dataclass(frozen=True)
class SampleRenderer:
    """Turns what a generative model made during its training into sound.

    Attributes:
        model: the generative model.
    """

    model: GenerativeModel

    def of_epoch(self, epoch: int) -> Iterator[tuple[np.ndarray, int]]:
        """The samples of an epoch, from 1: float32 `[sample]` and the rate in Hz of each."""
        samples = self._samples
        for number, values in enumerate(samples["values"][epoch - 1]):
            track, start = int(samples["tracks"][number]), int(samples["starts"][number])
            yield self._render(values.astype(np.float32), track, start)

    def originals(self) -> Iterator[tuple[np.ndarray, int]]:
        """Real crops, rendered in the same way: those that samples were made from.

        For samples from noise, they are crops of validation recordings of the same genre.
        """
        frames = self._samples["values"].shape[2]
        for track, start in self._crops:
            yield self._render(crop_of(self._tracks, track, start, frames), track, start)

    @property
    def edits_recordings(self) -> bool:
        """Whether samples are recordings of another genre that were edited."""
        return self.model.kind == "cyclegan"

    @property
    def genres(self) -> list[str]:
        """The genre that each sample is meant to be of."""
        return [self.model.genres[number] for number in self._samples["genres"]]

    @property
    def genres_of_originals(self) -> list[str]:
        """The genre of each original: what a CycleGAN moves is of the other genre."""
        return [self._validation["genre"][track] for track, _ in self._crops]

    @cached_property
    def _crops(self) -> list[tuple[int, int]]:
        """The validation recording and the first frame of each original."""
        samples = self._samples
        pairs = zip(samples["tracks"].tolist(), samples["starts"].tolist(), strict=True)
        crops = []
        counts: dict[int, int] = {}
        for (track, start), genre in zip(pairs, samples["genres"].tolist(), strict=True):
            if track >= 0:
                crops.append((track, start))
                continue
            own = self._tracks.of_genre(genre).tolist()
            round_, number = divmod(counts.get(genre, 0), len(own))
            counts[genre] = counts.get(genre, 0) + 1
            free = max(0, len(self._tracks.arrays[own[number]]) - samples["values"].shape[2])
            # the middle of each recording first, then other places
            crops.append((own[number], int(free * (0.5, 0.2, 0.8, 0.35, 0.65)[round_ % 5])))
        return crops

    @property
    def songs(self) -> list[str]:
        """What each sample was made from: the id of a recording; of noise, a name of its own."""
        ids = self._validation["track_id"].to_list()
        return [
            f"noise {number}" if track < 0 else ids[track]
            for number, track in enumerate(self._samples["tracks"].tolist())
        ]

    @property
    def songs_of_originals(self) -> list[str]:
        """The id of the recording of each original."""
        ids = self._validation["track_id"].to_list()
        return [ids[track] for track, _ in self._crops]

    def _render(self, values: np.ndarray, track: int, start: int) -> tuple[np.ndarray, int]:
        from melgraph.ml.generation.reconstruction.crops import sound_of_image, sound_of_values

        transform = self._inputs.transform
        if not self.edits_recordings:
            return sound_of_values(values, transform), transform.sample_rate
        from melgraph.ml.representations.images import ImageMapping

        described = spec_of(self.model.spec)
        per_column = described.crop_s * transform.frames_per_second / described.image
        stored = self._spectra[track]
        first, last = round(start * per_column), round((start + len(values)) * per_column)
        crop = np.asarray(stored[first : min(last, len(stored))])
        mapping = ImageMapping(described.image)
        sound = sound_of_image(crop[:, :, 0], crop[:, :, 1], values, mapping, transform)
        return sound, transform.sample_rate

    @cached_property
    def _tracks(self) -> "GenreTracks":
        return genre_tracks(self._inputs, self._validation, self.model.genres)

    @cached_property
    def _samples(self) -> Any:
        return self.model.samples()

    @cached_property
    def _validation(self) -> pl.DataFrame:
        return self.model.recordings.filter(pl.col("part") == VALIDATED)

    @cached_property
    def _inputs(self) -> TrackInputs:
        return self._opened(spec_of(self.model.spec).input)

    @cached_property
    def _spectra(self) -> list[Any]:
        """Amplitude and phase of the validation recordings, as stored."""
        how = InputSpec(representation=self._inputs.how.representation, channels=(AMPLITUDE, PHASE))
        table = self._validation
        return self._opened(how).tracks(table["batch"].to_list(), table["track_id"].to_list())

    def _opened(self, how: InputSpec) -> TrackInputs:
        stage = REPRESENTATIONS[how.representation]
        return TrackInputs(inputs_of(self.model.store, self.model.spec, stage), how)
