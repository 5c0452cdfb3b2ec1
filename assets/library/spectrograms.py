"""The reader of `mel_spectrograms`, and the name of the array stores that representations write."""

from functools import cached_property
from typing import Any, ClassVar

from melgraph.assets.readers import Reader
from melgraph.assets.stage import Stage
from melgraph.assets.stages import MEL_SPECTROGRAMS
from melgraph.storage.artifacts import Artifact
from melgraph.storage.spectrogram_store import SpectrogramStore

STORE = "spectrograms.zarr"  # of every representation except `audio_features`


class MelSpectrograms(Reader):
    """A committed `mel_spectrograms`."""

    stage: ClassVar[Stage] = MEL_SPECTROGRAMS

    @cached_property
    def arrays(self) -> SpectrogramStore:
        """The spectrogram of each track, float16 `[frame, mel]`."""
        return SpectrogramStore(self.artifact.folder / STORE)

    @property
    def transform(self) -> Any:
        """The `MelTransform` that computed the spectrograms."""
        return transform_of(self.arrays)

    @property
    def sample_rate(self) -> int:
        """The sample rate of the audio that was transformed, in Hz."""
        return int(self.spec.config["transform"]["sample_rate"])


def transform_of(store: SpectrogramStore, representation: str = MEL_SPECTROGRAMS.name) -> Any:
    """The transform that computed the arrays of a store, from the attributes of the store."""
    from melgraph.ml.representations.registry import from_attributes

    return from_attributes(representation, store.attributes)


def first_tracks_picture(artifact: Artifact, *, count: int = 4) -> Any:
    """The first 10 s of the first tracks, as one picture for the Dagster UI."""
    from melgraph.assets.ui import png
    from melgraph.ml import plots

    store = SpectrogramStore(artifact.folder / STORE)
    transform = transform_of(store)
    excerpts = [
        (track_id[:8], store.track(track_id)[: transform.frames(10.0)])
        for track_id in store.track_ids[:count]
        if len(store.track(track_id))
    ]
    if not excerpts:
        return "no tracks"
    return png(plots.spectrogram_grid(excerpts, transform), "first tracks")
