"""The readers of `audio_fingerprints` and of `duplicates`: which files contain one recording."""

from typing import ClassVar

import polars as pl

from melgraph.assets.readers import Reader
from melgraph.assets.stage import Stage
from melgraph.assets.stages import AUDIO_FINGERPRINTS, DUPLICATES, TRACKS
from melgraph.storage.records import Reference
from melgraph.storage.tables import read_part, read_table

FINGERPRINTS = "audio_fingerprints.parquet"
FINGERPRINTS_SCHEMA = pl.Schema({"track_id": pl.String(), "codes": pl.List(pl.UInt32())})
MEMBERS, LINKS = "duplicates.parquet", "links.parquet"

LINKS_SCHEMA = {
    "track_id": pl.String,
    "other_track_id": pl.String,
    "offset_s": pl.Float64,
    "overlap_s": pl.Float64,
    "bit_error_rate": pl.Float64,
}
MEMBERS_SCHEMA = {
    "cluster": pl.String,
    "path": pl.String,
    "track_id": pl.String,
    "kind": pl.String,
    "other_path": pl.String,
    "offset_s": pl.Float64,
    "overlap_s": pl.Float64,
    "bit_error_rate": pl.Float64,
    "chained": pl.Boolean,
    "duration_s": pl.Float64,
}


class AudioFingerprints(Reader):
    """A committed `audio_fingerprints`."""

    stage: ClassVar[Stage] = AUDIO_FINGERPRINTS

    def table(self) -> pl.DataFrame:
        """One row per good track of the batch, as in `FINGERPRINTS_SCHEMA`."""
        return read_table(self.artifact.folder / FINGERPRINTS)

    def track_ids(self) -> list[str]:
        """The tracks of the batch. The fingerprints are not read."""
        return read_part(self.artifact.folder / FINGERPRINTS, ["track_id"])["track_id"].to_list()

    @property
    def frames(self) -> int:
        """The number of frames of all tracks together."""
        return int(self.facts["frames"])

    @property
    def caution(self) -> str | None:
        """Why the batch has no fingerprints; None if it has them."""
        caution: str | None = self.facts["unfit"]
        return caution


class RecordingClusters(Reader):
    """A committed `duplicates`. A recording cluster is a set of tracks of one recording."""

    stage: ClassVar[Stage] = DUPLICATES

    def members(self) -> pl.DataFrame:
        """One row per file of a cluster, as in `MEMBERS_SCHEMA`."""
        return read_table(self.artifact.folder / MEMBERS)

    def links(self) -> pl.DataFrame:
        """One row per pair of similar tracks, as in `LINKS_SCHEMA`."""
        return read_table(self.artifact.folder / LINKS)

    def clusters(self) -> dict[str, str]:
        """Track id -> its cluster, for all tracks that are in a cluster."""
        path = self.artifact.folder / MEMBERS
        return dict(read_part(path, ["track_id", "cluster"]).iter_rows())

    @property
    def compared_fingerprints(self) -> set[Reference]:
        """The `audio_fingerprints` that were compared."""
        return {reference for reference in self.spec.inputs if AUDIO_FINGERPRINTS.owns(reference)}

    @property
    def searched_tracks(self) -> set[Reference]:
        """The `tracks` among which duplicates were searched for."""
        return {reference for reference in self.spec.inputs if TRACKS.owns(reference)}
