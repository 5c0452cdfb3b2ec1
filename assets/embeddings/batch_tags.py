"""The reader of `tags`: the tags of the tracks of one batch."""

import re
from collections.abc import Sequence
from typing import ClassVar

import polars as pl

from melgraph.assets.readers import Reader
from melgraph.assets.stage import Stage
from melgraph.assets.stages import TAGS
from melgraph.storage.tables import read_part, read_table

TABLE = "tags.parquet"


class BatchTags(Reader):
    """A committed `tags`: the tags of one track batch by one encoder."""

    stage: ClassVar[Stage] = TAGS

    def table(self) -> pl.DataFrame:
        """`track_id`, and the probability of each tag as a float32 column."""
        return read_table(self.artifact.folder / TABLE)

    def of_tracks(self, track_ids: Sequence[str]) -> pl.DataFrame:
        """The rows of some tracks."""
        return read_part(
            self.artifact.folder / TABLE, [pl.all()], pl.col("track_id").is_in(list(track_ids))
        )

    def of_tag(self, tag: str) -> pl.DataFrame:
        """`track_id` and the probability of one tag; only `track_id` if there is no such tag."""
        columns = pl.col("track_id", f"^{re.escape(tag)}$")
        return read_part(self.artifact.folder / TABLE, [columns])
