"""The reader of `audio_fingerprints`: 32 bits per frame of every track of a batch."""

from typing import ClassVar

import polars as pl

from melgraph.assets.readers import Reader
from melgraph.assets.stage import Stage
from melgraph.assets.stages import AUDIO_FINGERPRINTS
from melgraph.storage.tables import read_part, read_table

TABLE = "audio_fingerprints.parquet"
SCHEMA = pl.Schema({"track_id": pl.String(), "codes": pl.List(pl.UInt32())})


class AudioFingerprints(Reader):
    """A committed `audio_fingerprints`."""

    stage: ClassVar[Stage] = AUDIO_FINGERPRINTS

    def table(self) -> pl.DataFrame:
        """One row per good track of the batch, as in `SCHEMA`."""
        return read_table(self.artifact.folder / TABLE)

    def track_ids(self) -> list[str]:
        """The tracks of the batch. The fingerprints are not read."""
        return read_part(self.artifact.folder / TABLE, ["track_id"])["track_id"].to_list()

    @property
    def frames(self) -> int:
        """The number of frames of all tracks together."""
        return int(self.facts["frames"])

    @property
    def caution(self) -> str | None:
        """Why the batch has no fingerprints; None if it has them."""
        caution: str | None = self.facts["unfit"]
        return caution
