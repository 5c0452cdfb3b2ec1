"""The tracks of an opened index: their metadata by row, and the rows that filters allow."""

import difflib
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import polars as pl
from numpy.typing import NDArray

from melgraph.assets.context import Context
from melgraph.assets.dataset import one_recording
from melgraph.assets.dataset.snapshot import Snapshot
from melgraph.assets.library.live import library_state, live_tracks
from melgraph.assets.library.recording_clusters import RecordingClusters
from melgraph.assets.library.tracks import Tracks
from melgraph.assets.recommendations.lists import recording_numbers
from melgraph.assets.recommendations.queries.query import Filters, UnknownValue
from melgraph.assets.stages import DATASETS
from melgraph.ml.similarity.versions import song_of

COLUMNS = ("track_id", "path", "artist", "album", "title", "genre", "year", "duration_s")
_MORE = ("artists", "genres", "batch")
_SHOWN = 8  # values that an error message lists

Mask = NDArray[np.bool_]
Rows = NDArray[np.int64]


@dataclass
class SearchedTracks:
    """The tracks of an index, by row.

    Attributes:
        table: a row per row of the index: `COLUMNS`, `artists`, `genres`, `label` and `batch`. Null
            where the row is no track of the library.
        live: bool `[row]`, whether a row is a track of the library.
        recordings: int64 `[row]`, equal for rows of one recording.
    """

    table: pl.DataFrame
    live: Mask
    recordings: Rows
    _songs: dict[str, int] = field(default_factory=dict)

    @classmethod
    def of(
        cls, context: Context, track_ids: list[str], live: Mask, dataset: str
    ) -> "SearchedTracks":
        """The tracks of an index as the library is now.

        Args:
            context: of the home.
            track_ids: of each row of the index.
            live: bool `[row]`, see `RecommendationIndex.live`.
            dataset: whose labels stand for genres of tracks without one.
        """
        store = context.store
        tracks = live_tracks(Tracks.all_current(store), library_state(context.catalogue))
        labels = pl.DataFrame(schema={"track_id": pl.String, "label": pl.String})
        if store.current_reference(DATASETS.name, dataset) is not None:
            labels = Snapshot.current(store, dataset).table().select("track_id", "label")
        tracks = tracks.select(*COLUMNS, *_MORE).join(labels, on="track_id", how="left")
        ids = pl.Series("track_id", track_ids, dtype=pl.String)
        table = ids.to_frame().join(tracks, on="track_id", how="left", maintain_order="left")
        live = live & table["path"].is_not_null().to_numpy()
        table = table.with_columns(genre=pl.coalesce("genre", "label"))
        clusters: dict[str, str] = {}
        for reference in one_recording.duplicates_reference(store):
            clusters = RecordingClusters.at(store, reference).clusters()
        return cls(table, live, recording_numbers(ids, clusters))

    @cached_property
    def row_of_id(self) -> dict[str, int]:
        """Track id -> its live row."""
        rows = np.flatnonzero(self.live)
        return dict(zip(self.table["track_id"].gather(rows), rows.tolist(), strict=True))

    @cached_property
    def row_of_path(self) -> dict[str, int]:
        """Library path -> its live row."""
        rows = np.flatnonzero(self.live)
        return dict(zip(self.table["path"].gather(rows), rows.tolist(), strict=True))

    @cached_property
    def artist_numbers(self) -> Rows:
        """int64 `[row]`, equal for rows by one artist; -1 where it is not known."""
        numbers = self.table["artist"].str.to_lowercase().rank("dense").cast(pl.Int64)
        return numbers.fill_null(-1).to_numpy()

    def songs(self, rows: Rows) -> Rows:
        """int64 `[row]`, equal for versions of one song; -1 where unknown, and outside `rows`."""
        numbers = np.full(len(self.table), -1, np.int64)
        names = self.table.select("artist", "title")[rows]
        for row, (artist, title) in zip(rows.tolist(), names.iter_rows(), strict=True):
            song = song_of(artist, title)
            if song is not None:
                numbers[row] = self._songs.setdefault(song, len(self._songs))
        return numbers

    def allowed(self, filters: Filters) -> Mask:
        """bool `[row]`: the live rows that pass all filters but those by tag.

        Raises:
            UnknownValue: no track has a genre or is by an artist that a filter names.
        """
        conditions: list[pl.Expr] = []
        if filters.genres:
            conditions.append(self._has("genre", filters.genres, "genre", "genres", "label"))
        if filters.artists:
            conditions.append(self._has("artist", filters.artists, "artist", "artists"))
        for column, low, high in (
            ("year", filters.year_from, filters.year_to),
            ("duration_s", filters.duration_from_s, filters.duration_to_s),
        ):
            if low is not None:
                conditions.append(pl.col(column) >= low)
            if high is not None:
                conditions.append(pl.col(column) <= high)
        if not conditions:
            return self.live.copy()
        passing = self.table.select(pl.all_horizontal(conditions).fill_null(False)).to_series()
        mask: Mask = self.live & passing.to_numpy()
        return mask

    def _has(self, kind: str, names: Iterable[str], column: str, *more: str) -> pl.Expr:
        """Whether one of the columns has one of the names. Each name has to exist."""
        folded = [name.strip().lower() for name in names]
        values = self._values(column, *more)
        for name in folded:
            if name not in values:
                near = difflib.get_close_matches(name, values, n=_SHOWN) or sorted(values)[:_SHOWN]
                raise UnknownValue(
                    f"no track of the library has the {kind} {name!r}",
                    where=f"the filter by {kind}",
                    remedy=f"choose another one, for example: {', '.join(near)}"
                    if near
                    else f"leave the filter out: no track has any {kind}",
                )
        tests = []
        for name in (column, *more):
            if self.table.schema[name] == pl.List(pl.String):
                folded_values = pl.col(name).list.eval(pl.element().str.to_lowercase())
                tests += [folded_values.list.contains(value) for value in folded]
            else:
                tests.append(pl.col(name).str.to_lowercase().is_in(folded))
        return pl.any_horizontal([test.fill_null(False) for test in tests])

    def _values(self, *columns: str) -> set[str]:
        """The values of some columns, in lower case."""
        rows = self.table.filter(pl.Series(self.live))
        series = (rows[name] for name in columns)
        flat = (s.explode() if s.dtype == pl.List(pl.String) else s for s in series)
        return {value.lower() for values in flat for value in values.drop_nulls().unique()}
