"""The reader of `recommendations`: the list of each track, and the scales that ordered it."""

from collections.abc import Mapping
from typing import ClassVar

import numpy as np
import polars as pl
from numpy.typing import NDArray

from melgraph.assets.readers import Reader
from melgraph.assets.recommendations.recommendation_index import RecommendationIndex
from melgraph.assets.stage import Stage
from melgraph.assets.stages import RECOMMENDATIONS
from melgraph.ml.similarity.lists import NeighbourLists
from melgraph.storage.tables import read_table

TABLE, SCALES = "recommendations.parquet", "scales.parquet"


class RecommendationLists(Reader):
    """A committed `recommendations`."""

    stage: ClassVar[Stage] = RECOMMENDATIONS

    def table(self) -> pl.DataFrame:
        """A row per track and rank: ids, paths, title, artist, `similarity` and `score`."""
        return read_table(self.artifact.folder / TABLE)

    def scales(self) -> pl.DataFrame:
        """A row per track: `track_id`, `scale` and `horizon`, as in `NeighbourLists`."""
        return read_table(self.artifact.folder / SCALES)

    @property
    def index(self) -> RecommendationIndex:
        """The index in which the lists were searched."""
        return RecommendationIndex.input_of(self.store, self.spec)

    @property
    def tracks_of_scales(self) -> int:
        """How many tracks the library had when all scales were computed."""
        return int(self.facts["tracks_of_scales"])

    @property
    def k(self) -> int:
        """Length of a list."""
        return int(self.spec.config["neighbours"])

    def aligned(self, track_ids: pl.Series, live: NDArray[np.bool_]) -> NeighbourLists:
        """The lists in the order of the rows of an index.

        Tracks that are not in the index any more are in no list; such a list therefore ends early,
        or has a gap, which the update of the lists fills.

        Args:
            track_ids: of each row of the index.
            live: bool `[row]`; of several rows of one track, one is live.
        """
        rows = pl.DataFrame({"track_id": track_ids}).with_row_index("row").filter(pl.Series(live))
        lists = NeighbourLists.empty(len(track_ids), self.k)
        of_tracks = self.scales().join(rows, on="track_id")
        row = of_tracks["row"].to_numpy()
        lists.scales[row] = of_tracks["scale"].to_numpy()
        lists.horizons[row] = of_tracks["horizon"].to_numpy()
        table = self.table().select("track_id", "rank", "recommended_id", "similarity", "score")
        pairs = table.join(rows, on="track_id").join(
            rows.rename({"track_id": "recommended_id", "row": "near"}),
            on="recommended_id",
            how="left",
        )
        place = pairs["row"].to_numpy(), pairs["rank"].to_numpy() - 1
        # A track that has disappeared: its own row stands for it, so that the list counts as
        # broken and is searched again.
        near = pairs["near"].fill_null(pairs["row"]).to_numpy()
        lists.rows[place] = near
        lists.similarities[place] = pairs["similarity"].to_numpy()
        lists.scores[place] = pairs["score"].to_numpy()
        return lists


def list_table(lists: NeighbourLists, track_ids: pl.Series) -> pl.DataFrame:
    """A row per track and rank: `track_id`, `rank`, `recommended_id`, `similarity`, `score`."""
    row, place = np.nonzero(lists.rows >= 0)
    near = lists.rows[row, place]
    return pl.DataFrame(
        {
            "track_id": track_ids.gather(row),
            "rank": pl.Series(place + 1, dtype=pl.Int16),
            "recommended_id": track_ids.gather(near),
            "similarity": lists.similarities[row, place],
            "score": lists.scores[row, place],
        }
    )


def scale_table(lists: NeighbourLists, track_ids: pl.Series) -> pl.DataFrame:
    """A row per track with a scale: `track_id`, `scale` and `horizon`."""
    row = np.flatnonzero(~np.isnan(lists.scales))
    return pl.DataFrame(
        {
            "track_id": track_ids.gather(row),
            "scale": lists.scales[row],
            "horizon": lists.horizons[row],
        }
    )


def recording_numbers(track_ids: pl.Series, clusters: Mapping[str, str]) -> NDArray[np.int64]:
    """int64 `[row]`: equal for all rows of one recording, and for all rows of one track.

    Args:
        track_ids: of each row.
        clusters: track id -> its recording cluster, for tracks of which there are copies.
    """
    names = track_ids.replace_strict(clusters, default=track_ids, return_dtype=pl.String)
    return names.rank("dense").cast(pl.Int64).to_numpy()
