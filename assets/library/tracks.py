"""The reader of `tracks`: one row for each file of a batch."""

from typing import Any, ClassVar

import polars as pl

from melgraph.assets.readers import Reader
from melgraph.assets.stage import Stage
from melgraph.assets.stages import TRACKS
from melgraph.storage.tables import read_part, read_table

TABLE = "tracks.parquet"
SCHEMA: dict[str, Any] = {
    "path": pl.String,
    "bytes": pl.Int64,
    "sha256": pl.String,
    "track_id": pl.String,
    "identified_by": pl.String,  # the method that computed the track id
    "status": pl.String,
    "code": pl.String,
    "reason": pl.String,
    "duplicate_of": pl.String,
    "duration_s": pl.Float64,
    "sample_rate_hz": pl.Int32,
    "channels": pl.Int16,
    "codec": pl.String,
    "container": pl.String,
    "peak_dbfs": pl.Float64,
    "rms_dbfs": pl.Float64,
    "warning": pl.String,
    "artist": pl.String,
    "album": pl.String,
    "title": pl.String,
    "genre": pl.String,
    "artists": pl.List(pl.String),  # all values of the field; `artist` is the first of them
    "genres": pl.List(pl.String),
    "year": pl.Int32,  # null if the file names none
    "cue_tracks": pl.Int32,  # tracks in a cue sheet of the file, at least 2; null without a sheet
}
METADATA = ("artist", "artists", "album", "title", "genre", "genres", "year")  # file metadata
# Tables of this stage integer and of later ones list the same good tracks of the same files. Later
# tables have more file metadata.
OLDEST_WITH_THESE_SOUNDS = 5
GOOD = pl.col("status") == "ok"
FIRST_OF_ITS_TRACK = GOOD & pl.col("duplicate_of").is_null()


class Tracks(Reader):
    """A committed `tracks`."""

    stage: ClassVar[Stage] = TRACKS

    def table(self) -> pl.DataFrame:
        """One row per file, as in `SCHEMA`. Older tables may lack a column."""
        return read_table(self.artifact.folder / TABLE)

    def part(self, columns: list[str], where: pl.Expr | None = None) -> pl.DataFrame:
        """Some columns of some rows. Nothing else is read from disk."""
        return read_part(self.artifact.folder / TABLE, columns, where)

    @property
    def files(self) -> int:
        """The number of files in the batch."""
        return int(self.facts["files"])

    @property
    def good(self) -> int:
        """The number of files that can be used."""
        return int(self.facts["ok"])

    @property
    def quarantined(self) -> int:
        """The number of files that cannot be used."""
        return int(self.facts["quarantined"])

    @property
    def duplicates(self) -> int:
        """The number of good files with the sound of an earlier file of the batch."""
        return int(self.facts["duplicates"])

    @property
    def hours(self) -> float:
        """The total duration of the good files, in hours."""
        return float(self.facts["hours"])

    @property
    def codes(self) -> dict[str, int]:
        """Error code -> the number of files that are quarantined with it."""
        codes: dict[str, int] = self.facts["codes"]
        return codes
