"""The reader of `tags`: the tags of the tracks of one batch."""

from typing import ClassVar

import polars as pl

from melgraph.assets.readers import Reader
from melgraph.assets.stage import Stage
from melgraph.assets.stages import TAGS
from melgraph.storage.tables import read_table

TABLE = "tags.parquet"


class BatchTags(Reader):
    """A committed `tags`: the tags of one track batch by one encoder."""

    stage: ClassVar[Stage] = TAGS

    def table(self) -> pl.DataFrame:
        """`track_id`, and the probability of each tag as a float32 column."""
        return read_table(self.artifact.folder / TABLE)
