"""The recordings that the report is about, and what is known about each of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from melgraph.assets.dataset import one_recording
from melgraph.assets.dataset.snapshot import Snapshot
from melgraph.assets.library.live import live_tracks
from melgraph.assets.library.tracks import Tracks
from melgraph.assets.recommendations.agreement import TEST_SPLIT
from melgraph.assets.recommendations.lists import RecommendationLists, recording_numbers

if TYPE_CHECKING:
    from melgraph.ml.similarity.quality import Relevance

Rows = NDArray[np.int64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Question:
    """What counts as a right answer: a recording with the same label, artist or album.

    Attributes:
        name: `label`, `artist` or `album`.
        relevance: the right answers among the recordings.
    """

    name: str
    relevance: "Relevance"


@dataclass(frozen=True)
class Recordings:
    """The recordings that all compared encoders recommend. Of copies, one track stands for all.

    Attributes:
        table: a row per recording: `track_id`, `path`, `batch`, `labels`, `artists` and `albums`
            (keys of their names), `split` and `group`. Recordings of one group are by one artist,
            as far as the dataset knows; without a dataset, by the first artist in the metadata.
        row_of: track id -> the row of its recording, also for copies.
        snapshot: the dataset of the labels; None if there is none.
    """

    table: pl.DataFrame
    row_of: dict[str, int]
    snapshot: Snapshot | None

    @classmethod
    def of(
        cls, all_lists: Sequence[RecommendationLists], snapshot: Snapshot | None
    ) -> "Recordings":
        """The recordings of the tracks that several encoders have in common.

        The track of a recording is one that is in a split of the dataset, and the longest of these.

        Args:
            all_lists: the recommendations; the library is that of the first one.
            snapshot: the dataset of the labels.
        """
        first = all_lists[0]
        tracks = live_tracks(Tracks.inputs_of(first.store, first.spec), first.spec.config)
        ids = tracks.select("track_id")
        for lists in all_lists:
            ids = ids.join(lists.scales().select("track_id"), on="track_id", how="semi")
        tracks = tracks.join(ids, on="track_id", how="semi")
        of_dataset = pl.DataFrame(schema=_OF_DATASET)
        if snapshot is not None:
            of_dataset = snapshot.table().select(*_OF_DATASET)
        clusters = one_recording.input_clusters(first.store, first.spec)
        tracks = (
            tracks.select("track_id", "path", "batch", "duration_s", "artists", "album")
            .join(of_dataset, on="track_id", how="left")
            .with_columns(recording=recording_numbers(tracks["track_id"], clusters))
            .sort(pl.col("split").is_null(), -pl.col("duration_s"), "track_id")
        )
        table = tracks.unique("recording", keep="first").sort("path")
        row_of_recording = dict(zip(table["recording"], range(table.height), strict=True))
        row_of = {
            track_id: row_of_recording[recording]
            for track_id, recording in tracks.select("track_id", "recording").iter_rows()
        }
        return cls(_with_keys(table), row_of, snapshot)

    def __len__(self) -> int:
        return self.table.height

    @property
    def n_copies(self) -> int:
        """How many tracks are left out, because another one stands for their recording."""
        return len(self.row_of) - len(self)

    @cached_property
    def groups(self) -> Rows:
        """int64 `[recording]`."""
        return self.table["group"].to_numpy()

    @cached_property
    def held_out(self) -> Mask:
        """bool `[recording]`: whether it is in the test split of the dataset."""
        return (self.table["split"] == TEST_SPLIT).fill_null(False).to_numpy()

    @cached_property
    def questions(self) -> list[Question]:
        """The questions that at least one recording has a right answer to."""
        from melgraph.ml.similarity.quality import Relevance

        rows = np.arange(len(self))
        all_questions = (
            # Recordings of one artist are similar for more reasons than their label.
            Question("label", Relevance(self.table["labels"].to_list(), self.groups)),
            Question("artist", Relevance(self.table["artists"].to_list(), rows)),
            Question("album", Relevance(self.table["albums"].to_list(), rows)),
        )
        return [one for one in all_questions if one.relevance.totals(rows)[1].any()]

    def candidates(self) -> Rows:
        """int64: the rows that have a right answer to a question."""
        rows = np.arange(len(self))
        has_answer = np.zeros(len(self), bool)
        for question in self.questions:
            has_answer |= question.relevance.totals(rows)[1] > 0
        return np.flatnonzero(has_answer)

    def draw(self, candidates: Rows, most: int, seed: int) -> Rows:
        """At most `most` of some rows, drawn by seed. Those of the test split are drawn first.

        Args:
            candidates: int64, the rows to draw from.
            most: the largest number of rows.
            seed: of the drawing.
        """
        drawn = np.random.default_rng(seed).permutation(candidates)
        order = np.argsort(~self.held_out[drawn], kind="stable")
        return np.sort(drawn[order][:most])


_OF_DATASET: dict[str, Any] = {
    "track_id": pl.String,
    "labels": pl.List(pl.String),
    "split": pl.String,
    "group": pl.Int64,
}


def _with_keys(table: pl.DataFrame) -> pl.DataFrame:
    """The columns of `Recordings.table`. Placeholders such as "Unknown Artist" are no names."""
    from melgraph.ml.recordings.placeholders import ALBUMS, ARTISTS
    from melgraph.ml.recordings.spelling import spelling_key

    artists, albums, groups = [], [], []
    columns = table.select("track_id", "artists", "album", "group").iter_rows()
    for track_id, names, title, group in columns:
        keys = dict.fromkeys(map(spelling_key, names or ()))
        keys_of_track = [key for key in keys if key and key not in ARTISTS]
        album = spelling_key(title or "")
        artists.append(keys_of_track)
        # Many albums have the same title: the artist tells them apart.
        albums.append(
            [f"{keys_of_track[0]}/{album}"]
            if keys_of_track and album and album not in ALBUMS
            else []
        )
        by_metadata = f"artist {keys_of_track[0]}" if keys_of_track else f"track {track_id}"
        groups.append(by_metadata if group is None else f"group {group}")
    names_of = pl.List(pl.String)
    return table.select(
        "track_id",
        "path",
        "batch",
        pl.col("labels").fill_null(pl.lit([], dtype=names_of)),
        "split",
        pl.Series("artists", artists, dtype=names_of),
        pl.Series("albums", albums, dtype=names_of),
        pl.Series("group", groups, dtype=pl.String).rank("dense").cast(pl.Int64),
    )
