"""Reading the log-mel spectrograms of many batches as one sequence of tracks."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from assets import ingest
from storage.artifacts import Artifact, ArtifactStore
from storage.errors import ArtifactMissing
from storage.records import Reference
from storage.spectrogram_store import SpectrogramStore


class Spectrograms:
    """The `mel_spectrograms` of some batches, opened together.

    Attributes:
        transform: the transform they were all made with.
    """

    def __init__(self, artifacts: Iterable[Artifact]) -> None:
        self._stores = {
            artifact.reference.partition: SpectrogramStore(artifact.folder / ingest.STORE)
            for artifact in artifacts
        }
        first = next(iter(self._stores.values()))
        self.transform = transform_of(first)

    def tracks(self, batches: Sequence[str], track_ids: Sequence[str]) -> list[np.ndarray]:
        """float16 `[frame, mel]` of each track, as views of memory maps.

        Raises:
            ArtifactMissing: a track's batch has no spectrogram of it.
        """
        views = []
        for batch, track_id in zip(batches, track_ids, strict=True):
            store = self._stores.get(batch)
            if store is None or track_id not in store:
                raise ArtifactMissing(
                    f"track {track_id} has no mel spectrogram in {batch}",
                    where=store.folder if store else batch,
                    remedy=f"materialize mel_spectrograms for {batch} again, then a new dataset",
                )
            views.append(store.track(track_id))
        return views


def transform_of(store: SpectrogramStore) -> Any:
    """The MelTransform a store was made with."""
    from ml.representations import MEL, from_attributes

    return from_attributes(MEL, store.attributes)


def mel_references(store: ArtifactStore, batches: Iterable[str]) -> tuple[Reference, ...]:
    """The current `mel_spectrograms` of these batches.

    Raises:
        ArtifactMissing: one was never materialized.
    """
    return tuple(store.need(ingest.MEL, batch).reference for batch in sorted(set(batches)))
