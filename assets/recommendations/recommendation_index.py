"""The reader of `recommendation_indexes`: the index segments, and the live rows."""

from typing import Any, ClassVar

import numpy as np

from melgraph.assets.embeddings.encoder import Encoder
from melgraph.assets.readers import Reader
from melgraph.assets.stage import Stage
from melgraph.assets.stages import EMBEDDINGS, INDEX_SEGMENTS, RECOMMENDATION_INDEXES
from melgraph.storage.artifacts import Artifact
from melgraph.storage.records import Reference
from melgraph.storage.vector_index import VectorIndex

MANIFEST, HIDDEN = "manifest.json", "hidden.npy"


class RecommendationIndex(Reader):
    """A committed `recommendation_indexes`."""

    stage: ClassVar[Stage] = RECOMMENDATION_INDEXES

    def open(self) -> VectorIndex:
        """The index, opened for searching."""
        return VectorIndex([segment.folder for segment in self.segments()])

    @property
    def encoder(self) -> Encoder:
        """The version of the encoder that computed all vectors of the index."""
        return Encoder.input_of(self.store, self.spec)

    def segments(self) -> list[Artifact]:
        """The index segments, in the order of their track batches."""
        references = sorted(filter(INDEX_SEGMENTS.owns, self.spec.inputs))
        return [self.store.get(reference) for reference in references]

    def embeddings(self) -> set[Reference]:
        """The embeddings of all track batches in the index."""
        inputs = (reference for s in self.segments() for reference in s.record.spec.inputs)
        return {reference for reference in inputs if EMBEDDINGS.owns(reference)}

    def live(self, index: VectorIndex) -> np.ndarray[Any, np.dtype[np.bool_]]:
        """bool `[row]`: whether a row of the opened index is a track of the library.

        Rows of tracks without a file are not, and neither are repeated rows of a track.
        """
        mask = np.ones(len(index), bool)
        mask[np.load(self.artifact.folder / HIDDEN, allow_pickle=False)] = False
        return mask

    @property
    def n_tracks(self) -> int:
        """How many tracks of the library are in the index."""
        return int(self.facts["tracks"])
