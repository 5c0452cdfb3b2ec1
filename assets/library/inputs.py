"""What models are given of tracks: one representation of many batches, as one sequence."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from melgraph.assets.library import ingest
from melgraph.ml.specs.model_input import InputSpec
from melgraph.storage.artifacts import Artifact, ArtifactStore
from melgraph.storage.errors import ArtifactMissing
from melgraph.storage.records import Reference
from melgraph.storage.spectrogram_store import SpectrogramStore
from melgraph.storage.tables import read_table

if TYPE_CHECKING:
    from melgraph.ml.inference.track_set import TrackSet
    from melgraph.ml.models import InputShape


class TrackInputs:
    """A representation of some batches, opened together.

    Attributes:
        how: which representation, which channels, in crops of which length.
        transform: what they were all made with.
    """

    def __init__(self, artifacts: Iterable[Artifact], how: InputSpec | None = None) -> None:
        self.how = how or InputSpec()
        opener = _Features if self.how.representation == ingest.FEATURES else _Arrays
        self._batches: dict[str, _Arrays | _Features] = {
            artifact.reference.partition: opener(artifact, self.how) for artifact in artifacts
        }
        first = next(iter(self._batches.values()))
        self.transform: Any = first.transform
        self.bins = first.bins

    @property
    def frames_per_second(self) -> float:
        """Frames a second of audio; 0 for tabular features, which have one frame."""
        from melgraph.ml.representations.registry import frames_per_second

        return frames_per_second(self.how.representation, self.transform)

    @property
    def shape(self) -> "InputShape":
        """The shape of a crop."""
        from melgraph.ml.models import InputShape

        frames = max(1, round(self.how.crop_s * self.frames_per_second))
        return InputShape(len(self.how.channels), self.bins, frames)

    def tracks(self, batches: Sequence[str], track_ids: Sequence[str]) -> list[Any]:
        """Per track an array `[frame, bin]`, `[frame, bin, channel]` or `[sample]`.

        Views of memory maps, but for the tabular features, which are float32 `[1, feature]`.

        Raises:
            ArtifactMissing: a track's batch has nothing of it.
        """
        views = []
        for batch, track_id in zip(batches, track_ids, strict=True):
            opened = self._batches.get(batch)
            view = opened.track(track_id) if opened is not None else None
            if view is None or not len(view):
                kind = self.how.representation
                raise ArtifactMissing(
                    f"there is nothing of track {track_id} in the {kind} of {batch}",
                    where=opened.artifact.folder if opened else batch,
                    remedy=f"materialize {kind} for {batch} again, then a new dataset",
                )
            views.append(view)
        return views

    def track_ids(self, batch: str) -> list[str]:
        """The tracks of a batch of which there is something."""
        opened = self._batches[batch]
        return [name for name in opened.track_ids if len(opened.track(name))]  # type: ignore[arg-type]

    def track_set(self, table: pl.DataFrame, labels: np.ndarray) -> "TrackSet":
        """The tracks of a table with `batch` and `track_id`, with their labels."""
        from melgraph.ml.inference.track_set import TrackSet

        views = self.tracks(table["batch"].to_list(), table["track_id"].to_list())
        tabular = self.how.representation == ingest.FEATURES
        return TrackSet(views, labels, least_std=1e-9 if tabular else 1.0)

    def describe(self) -> dict[str, Any]:
        """What a checkpoint says of its input: enough to make it from an audio file again."""
        return {
            "representation": self.how.representation,
            "channels": list(self.how.channels),
            "crop_s": self.how.crop_s,
            "transform": _attributes_of(self.transform),
        }


class _Arrays:
    """The spectrogram store of a batch."""

    def __init__(self, artifact: Artifact, how: InputSpec) -> None:
        self.artifact, self._arrays = artifact, how.arrays
        self._store = SpectrogramStore(artifact.folder / ingest.STORE)
        self.transform = transform_of(self._store, how.representation)
        frequency = self._store.frequency
        self.bins = len(frequency) if frequency is not None else _index_bins(self.transform)
        self.track_ids = self._store.track_ids

    def track(self, track_id: str) -> Any:
        """Its array, or None where the store has nothing of it."""
        if track_id not in self._store:
            return None
        views = [self._store.track(track_id, name) for name in self._arrays]
        if len(views) == 1:
            return views[0]
        from melgraph.ml.inference.track_set import StackedChannels

        return StackedChannels(views)


class _Features:
    """The feature table of a batch."""

    def __init__(self, artifact: Artifact, how: InputSpec) -> None:
        from melgraph.ml.features.track_features import FeatureOptions

        self.artifact = artifact
        table = read_table(artifact.folder / ingest.FEATURES_TABLE)
        self.transform = FeatureOptions(**artifact.record.spec.config["options"])
        rows = table.drop("track_id").to_numpy().astype(np.float32)
        self.bins = rows.shape[1]
        self.track_ids = table["track_id"].to_list()
        self._rows = {track_id: rows[i : i + 1] for i, track_id in enumerate(self.track_ids)}

    def track(self, track_id: str) -> np.ndarray | None:
        """float32 `[1, feature]`, or None where the table has nothing of it."""
        return self._rows.get(track_id)


def _index_bins(transform: Any) -> int:
    return getattr(transform, "n_mfcc", 1)


def _attributes_of(transform: Any) -> dict[str, Any]:
    from dataclasses import asdict

    return transform.attributes() if hasattr(transform, "attributes") else asdict(transform)


def transform_of(store: SpectrogramStore, representation: str = ingest.MEL) -> Any:
    """The transform a store was made with."""
    from melgraph.ml.representations.registry import from_attributes

    return from_attributes(representation, store.attributes)


def input_references(
    store: ArtifactStore, batches: Iterable[str], representation: str = ingest.MEL
) -> tuple[Reference, ...]:
    """The current representation of these batches.

    Raises:
        ArtifactMissing: one was never materialized.
    """
    found = []
    for batch in sorted(set(batches)):
        reference = store.current_reference(representation, batch)
        if reference is None:
            raise ArtifactMissing(
                f"{representation} has not been materialized for {batch!r}",
                where=f"{store.location}/{representation}",
                remedy=f"materialize it in the UI, or: melgraph run --representation "
                f"{representation}"
                if representation in ingest.ON_DEMAND
                else f"materialize {representation} for {batch!r} first",
            )
        found.append(reference)
    return tuple(found)
