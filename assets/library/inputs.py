"""The input of models: one representation of the tracks of many batches."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from melgraph.assets.library.features import FEATURES_TABLE, options_of
from melgraph.assets.library.spectrograms import STORE, transform_of
from melgraph.assets.stages import AUDIO_FEATURES, MEL_SPECTROGRAMS, ON_DEMAND, REPRESENTATIONS
from melgraph.ml.specs.model_input import InputSpec
from melgraph.storage.artifacts import Artifact, ArtifactStore
from melgraph.storage.errors import ArtifactMissing
from melgraph.storage.records import Reference
from melgraph.storage.spectrogram_store import SpectrogramStore
from melgraph.storage.tables import read_table

LEAST_STD_OF_PIXELS = 0.01  # of the range of a pixel, 0 to 1

if TYPE_CHECKING:
    from melgraph.ml.inference.track_set import TrackSet
    from melgraph.ml.models import InputShape


class TrackInputs:
    """One representation of the tracks of several batches.

    Attributes:
        how: the representation, the channels and the length of crops.
        transform: the transform or the options that computed the representation.
        bins: the number of bins, or of tabular features.
    """

    def __init__(self, artifacts: Iterable[Artifact], how: InputSpec | None = None) -> None:
        self.how = how or InputSpec()
        batch_type = _Features if self.how.representation == AUDIO_FEATURES.name else _Arrays
        self._batches: dict[str, _Arrays | _Features] = {
            artifact.reference.partition: batch_type(artifact, self.how) for artifact in artifacts
        }
        first = next(iter(self._batches.values()))
        self.transform: Any = first.transform
        self.bins = first.bins

    @property
    def frames_per_second(self) -> float:
        """Frames, or columns of images, per second; 0 for tabular features, which have one."""
        from melgraph.ml.representations.registry import frames_per_second

        if self.how.image is not None:
            return self.how.image / self.how.crop_s
        return frames_per_second(self.how.representation, self.transform)

    @property
    def shape(self) -> "InputShape":
        """The shape of a crop."""
        from melgraph.ml.inference.model_input import crop_shape

        return crop_shape(self.how, self.transform, self.bins)

    def tracks(self, batches: Sequence[str], track_ids: Sequence[str]) -> list[Any]:
        """For each track an array `[frame, bin]`, `[frame, bin, channel]` or `[sample]`.

        The arrays are views of memory maps. Tabular features are float32 `[1, feature]`.

        Args:
            batches: the track batch of each track.
            track_ids: the id of each track.

        Raises:
            ArtifactMissing: the representation of a batch does not contain the track.
        """
        views = []
        for batch, track_id in zip(batches, track_ids, strict=True):
            content = self._batches.get(batch)
            view = content.track(track_id) if content is not None else None
            if view is None or not len(view):
                kind = self.how.representation
                raise ArtifactMissing(  # the spec of a study contains this sentence
                    f"there is nothing of track {track_id} in the {kind} of {batch}",
                    where=content.artifact.folder if content else batch,
                    remedy=f"materialize {kind} for {batch} again, then the dataset",
                )
            views.append(view)
        return views

    def track_ids(self, batch: str) -> list[str]:
        """The tracks of a batch that are not empty."""
        content = self._batches[batch]
        return [name for name in content.track_ids if len(content.track(name))]  # type: ignore[arg-type]

    def track_set(self, table: pl.DataFrame, labels: np.ndarray) -> "TrackSet":
        """The tracks of a table with the columns `batch` and `track_id`, with their labels."""
        from melgraph.ml.inference.track_set import TrackSet

        views = self.tracks(table["batch"].to_list(), table["track_id"].to_list())
        groups = table["group"].to_numpy() if "group" in table.columns else None
        return TrackSet(views, labels, self._least_std, groups)

    @property
    def _least_std(self) -> float:
        """See `melgraph.ml.models.base.bin_statistics`; in the unit of the values."""
        if self.how.representation == AUDIO_FEATURES.name:
            return 1e-9
        return 1.0 if self.how.image is None else LEAST_STD_OF_PIXELS

    def describe(self) -> dict[str, Any]:
        """The description in a checkpoint, by which an audio file becomes an input of the model."""
        return {**self.how.description(), "transform": _attributes_of(self.transform)}


class _Arrays:
    """The arrays of a batch."""

    def __init__(self, artifact: Artifact, how: InputSpec) -> None:
        self.artifact, self._how = artifact, how
        self._store = SpectrogramStore(artifact.folder / STORE)
        self.transform = transform_of(self._store, how.representation)
        frequency = self._store.frequency
        self.bins = len(frequency) if frequency is not None else _index_bins(self.transform)
        self.track_ids = self._store.track_ids

    def track(self, track_id: str) -> Any:
        """The array of a track; None if the store does not contain the track."""
        if track_id not in self._store:
            return None
        from melgraph.ml.inference.model_input import track_input

        arrays = {name: self._store.track(track_id, name) for name in self._how.arrays}
        return track_input(arrays, self._how, self.transform)


class _Features:
    """The tabular features of a batch."""

    def __init__(self, artifact: Artifact, how: InputSpec) -> None:
        self.artifact = artifact
        table = read_table(artifact.folder / FEATURES_TABLE)
        self.transform = options_of(artifact.record.spec)
        table = table.select("track_id", *_columns(table, how))
        rows = table.drop("track_id").to_numpy().astype(np.float32)
        self.bins = rows.shape[1]
        self.track_ids = table["track_id"].to_list()
        self._rows = {track_id: rows[i : i + 1] for i, track_id in enumerate(self.track_ids)}

    def track(self, track_id: str) -> np.ndarray | None:
        """float32 `[1, feature]`; None if the table does not contain the track."""
        return self._rows.get(track_id)


def _columns(table: pl.DataFrame, how: InputSpec) -> list[str]:
    names = [name for name in table.columns if name != "track_id"]
    return [names[number] for number in how.select(names)]


def _index_bins(transform: Any) -> int:
    return getattr(transform, "n_mfcc", 1)


def _attributes_of(transform: Any) -> dict[str, Any]:
    from dataclasses import asdict

    return transform.attributes() if hasattr(transform, "attributes") else asdict(transform)


def input_references(
    store: ArtifactStore, batches: Iterable[str], representation: str = MEL_SPECTROGRAMS.name
) -> tuple[Reference, ...]:
    """The current version of a representation for each of these batches, sorted by batch.

    Raises:
        ArtifactMissing: the representation was never materialized for one of them.
    """
    references = []
    for batch in sorted(set(batches)):
        reference = store.current_reference(representation, batch)
        if reference is None:
            raise ArtifactMissing(
                f"{representation} has not been materialized for {batch!r}",
                where=f"{store.location}/{representation}",
                remedy=f"materialize it in the UI, or: melgraph run --representation "
                f"{representation}"
                if REPRESENTATIONS[representation] in ON_DEMAND
                else f"materialize {representation} for {batch!r} first",
            )
        references.append(reference)
    return tuple(references)
