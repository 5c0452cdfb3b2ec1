"""The samples of a generative model, and the real crops beside them, as sound."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import polars as pl

from melgraph.assets.generation.models.generative_model import VALIDATED, GenerativeModel
from melgraph.assets.generation.models.generative_models import spec_of
from melgraph.assets.library.inputs import TrackInputs
from melgraph.assets.materialize import inputs_of
from melgraph.assets.stages import REPRESENTATIONS
from melgraph.ml.specs.model_input import AMPLITUDE, PHASE, InputSpec


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
        """The real crops that samples were made from, rendered in the same way.

        Of samples from noise, there are as many crops of the validation recordings instead.
        """
        frames = self._samples["values"].shape[2]
        is_from_noise = (self._samples["tracks"] < 0).any()
        starts = (
            np.zeros_like(self._samples["starts"]) if is_from_noise else self._samples["starts"]
        )
        for track, start in zip(self._original_tracks, starts.tolist(), strict=True):
            yield self._render(self._crop(track, start, frames), track, start)

    @property
    def genres(self) -> list[str]:
        """The genre that each sample is meant to be of."""
        return [self.model.genres[number] for number in self._samples["genres"]]

    @property
    def genres_of_originals(self) -> list[str]:
        """The genre of each original: what a CycleGAN moves is of the other genre."""
        if self.model.kind == "cyclegan":
            first, second = self.model.genres
            return [second if genre == first else first for genre in self.genres]
        if (self._samples["tracks"] >= 0).all():
            return self.genres
        return [self._validation["genre"][track] for track in self._original_tracks]

    @property
    def _original_tracks(self) -> list[int]:
        """The validation recording of each original."""
        tracks = self._samples["tracks"]
        if (tracks < 0).any():
            tracks = np.linspace(0, len(self._validation) - 1, len(tracks)).astype(np.int64)
        numbers: list[int] = tracks.tolist()
        return numbers

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
        return [ids[track] for track in self._original_tracks]

    def _render(self, values: np.ndarray, track: int, start: int) -> tuple[np.ndarray, int]:
        from melgraph.ml.generation.reconstruction.crops import sound_of_image, sound_of_values

        transform = self._inputs.transform
        if self.model.kind != "cyclegan":
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

    def _crop(self, track: int, start: int, frames: int) -> np.ndarray:
        from melgraph.assets.generation.models.generative_models import genre_tracks
        from melgraph.assets.generation.models.sheets import crop_of

        tracks = genre_tracks(self._inputs, self._validation, self.model.genres)
        return crop_of(tracks, track, start, frames)

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
