"""The reader of committed embeddings: the vectors of one track batch by one encoder."""

from collections.abc import Sequence
from typing import ClassVar

import numpy as np
import polars as pl

from melgraph.assets.readers import Reader
from melgraph.assets.stage import Stage, encoder_and_batch
from melgraph.assets.stages import EMBEDDINGS, ENCODERS
from melgraph.ml.embeddings.fusion import TrackVectors
from melgraph.storage.records import Reference
from melgraph.storage.tables import read_part, read_table

TRACK_VECTORS, SEGMENT_VECTORS = "tracks.parquet", "segments.parquet"


class BatchEmbeddings(Reader):
    """A committed `embeddings`: the vectors of one track batch by one encoder."""

    stage: ClassVar[Stage] = EMBEDDINGS

    @property
    def encoder_reference(self) -> Reference:
        """The version of the encoder that computed the vectors."""
        (reference,) = filter(ENCODERS.owns, self.spec.inputs)
        return reference

    @property
    def batch(self) -> str:
        """The track batch."""
        return encoder_and_batch(self.name)[1]

    @property
    def n_tracks(self) -> int:
        """How many tracks have a vector."""
        return int(self.facts["tracks"])

    def track_vectors(self) -> pl.DataFrame:
        """A row per track: `track_id` and `vector` (float32)."""
        return read_table(self.artifact.folder / TRACK_VECTORS)

    def segment_vectors(self) -> pl.DataFrame:
        """A row per segment: `track_id`, `start_s` (seconds) and `vector` (float32)."""
        return read_table(self.artifact.folder / SEGMENT_VECTORS)

    def segments_of(self, track_ids: Sequence[str]) -> pl.DataFrame:
        """The rows of `segment_vectors` of some tracks. Other vectors are not read into memory."""
        path = self.artifact.folder / SEGMENT_VECTORS
        columns = ["track_id", "start_s", "vector"]
        return read_part(path, columns, pl.col("track_id").is_in(list(track_ids)))

    @property
    def n_segments(self) -> int:
        """How many segments have a vector."""
        return int(self.facts["segments"])

    def arrays(self) -> tuple[list[str], TrackVectors]:
        """The track ids, and the vectors of the tracks and of their segments, in their order."""
        tracks, segments = self.track_vectors(), self.segment_vectors()
        counts = segments["track_id"].rle().struct.field("len").to_numpy()
        vectors = TrackVectors(
            vectors=tracks["vector"].to_numpy(),
            segment_vectors=segments["vector"].to_numpy(),
            segment_offsets=np.cumsum([0, *counts], dtype=np.int64),
            segment_starts=segments["start_s"].to_numpy().astype(np.float64),
        )
        return tracks["track_id"].to_list(), vectors
