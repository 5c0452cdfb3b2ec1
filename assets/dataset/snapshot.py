"""The reader of `datasets`: the tracks, classes and splits of a snapshot."""

from typing import Any, ClassVar

import polars as pl

from melgraph.assets.readers import Reader
from melgraph.assets.stage import Stage
from melgraph.assets.stages import DATASETS, DUPLICATES, TRACKS
from melgraph.storage.records import Reference
from melgraph.storage.tables import read_part, read_table

TABLE = "tracks.parquet"
LEARNED_AS = "learned_as"  # a key in the configuration of snapshots with several labels per track


class Snapshot(Reader):
    """A committed `datasets`."""

    stage: ClassVar[Stage] = DATASETS

    def table(self) -> pl.DataFrame:
        """One row per candidate track: label, group and split, or the reason it has no split."""
        return read_table(self.artifact.folder / TABLE)

    def used(self) -> pl.DataFrame:
        """The rows of the tracks that are in a split."""
        return self.table().filter(pl.col("split").is_not_null())

    def part(self, split: str) -> pl.DataFrame:
        """The rows of one split."""
        return self.table().filter(pl.col("split") == split)

    def track_ids(self, split: str) -> list[str]:
        """The tracks of one split. No other column is read."""
        path = self.artifact.folder / TABLE
        return read_part(path, ["track_id"], pl.col("split") == split)["track_id"].to_list()

    def splits(self) -> dict[str, str | None]:
        """Track id -> its split; None for a track that is left out."""
        return dict(self.table().select("track_id", "split").iter_rows())

    @property
    def classes(self) -> list[str]:
        """The classes of the tracks in a split, sorted."""
        classes: list[str] = self.facts["classes"]
        return classes

    @property
    def collection(self) -> str:
        """The path prefix of the dataset's tracks; empty for the whole library."""
        collection: str = self.spec.config["collection"]
        return collection

    @property
    def label_source(self) -> str:
        """The origin of the labels: `folder`, `tag`, `table`, `none` or a published collection."""
        source: str = self.spec.config["labels"]
        return source

    @property
    def multi_label(self) -> bool:
        """Whether a track may have several labels."""
        return bool(self.spec.config.get("multi_label"))

    @property
    def is_outdated(self) -> bool:
        """Whether it was written before models could learn several labels per track."""
        return self.multi_label and LEARNED_AS not in self.spec.config

    @property
    def policy(self) -> str:
        """The split policy."""
        policy: str = self.spec.config["split"]
        return policy

    @property
    def unusable(self) -> str | None:
        """Why no model can be trained on it; None if one can."""
        reason: str | None = self.facts["unusable"]
        return reason

    @property
    def batches(self) -> list[str]:
        """The track batches of the snapshot."""
        batches: list[str] = self.facts["snapshot_of"]
        return batches

    @property
    def missing_paths(self) -> list[str]:
        """The registered paths that had no file when the snapshot was planned."""
        return list(self.spec.config["missing"])

    @property
    def tracks_references(self) -> list[Reference]:
        """The `tracks` among its inputs."""
        return [reference for reference in self.spec.inputs if TRACKS.owns(reference)]

    @property
    def duplicates_references(self) -> list[Reference]:
        """The `duplicates` among its inputs: one, or none if duplicates were not searched for."""
        return [reference for reference in self.spec.inputs if DUPLICATES.owns(reference)]

    @property
    def caution(self) -> str | None:
        """A caution about the split if the artists of some tracks are not known."""
        return artist_caution(self.facts)


def artist_caution(facts: Any) -> str | None:
    """A caution if the artists of some tracks are not known; None if all are.

    Evaluations store the sentence in their facts.
    """
    unknown = facts["used"] - facts["artist_known"]
    if unknown <= 0:
        return None
    return (
        f"the artist of {unknown} of {facts['used']} tracks is not known: "
        "tracks of one artist may be on both sides of the split"
    )
