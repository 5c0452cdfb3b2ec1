"""The reader of `audio_features`: one row of numbers for each track."""

from typing import TYPE_CHECKING, ClassVar

import polars as pl

from melgraph.assets.readers import Reader
from melgraph.assets.stage import Stage
from melgraph.assets.stages import AUDIO_FEATURES
from melgraph.storage.records import Spec
from melgraph.storage.tables import read_part, read_table

if TYPE_CHECKING:
    from melgraph.ml.features.track_features import FeatureOptions

FEATURES_TABLE = "audio_features.parquet"


class AudioFeatures(Reader):
    """A committed `audio_features`."""

    stage: ClassVar[Stage] = AUDIO_FEATURES

    def table(self) -> pl.DataFrame:
        """One row per good track: `track_id`, and a Float64 column for each feature."""
        return read_table(self.artifact.folder / FEATURES_TABLE)

    def part(self, columns: list[str], where: pl.Expr | None = None) -> pl.DataFrame:
        """Some columns of some rows. Nothing else is read from disk."""
        return read_part(self.artifact.folder / FEATURES_TABLE, columns, where)

    @property
    def options(self) -> "FeatureOptions":
        """The optional features, and the window over which some are estimated."""
        return options_of(self.spec)

    @property
    def names(self) -> list[str]:
        """The names of the features, in the order of the columns."""
        from melgraph.ml.features.track_features import feature_names

        return feature_names(self.options)


def options_of(spec: Spec) -> "FeatureOptions":
    """The options in a spec of `audio_features`."""
    from melgraph.ml.features.track_features import FeatureOptions

    return FeatureOptions(**spec.config["options"])
