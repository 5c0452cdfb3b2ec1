"""The spaces that the report compares, those of encoders and of baselines, and their lists."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from melgraph.assets.embeddings.encoder import Encoder
from melgraph.assets.library.features import AudioFeatures
from melgraph.assets.models.seen_tracks import seen_rows, training_snapshots
from melgraph.assets.recommendations.lists import RecommendationLists
from melgraph.assets.recommendations.report.recordings import Mask, Recordings, Rows
from melgraph.storage.artifacts import ArtifactStore
from melgraph.storage.records import Spec
from melgraph.storage.vector_index import VectorIndex

BASELINES = ("audio_features", "mel_statistics")  # kinds of encoders that others are compared with
FEATURES = "tabular features"  # the baseline without an encoder in service
PLAIN_LISTS_UP_TO = 200_000  # recordings; in more of them, the lists by cosine would take minutes
_AT_ONCE = 1024  # queries of one search
_MOST_NEAR = 400  # tracks that one search returns; enough unless dozens of them are copies


@dataclass(frozen=True)
class Space:
    """Vectors of all recordings, and how recommendations order them.

    Attributes:
        name: of the encoder, or `FEATURES`.
        title: what the vectors are.
        is_baseline: whether the vectors need no network.
        vectors: float32 `[recording, dimension]`, of length 1.
        scales: float32 `[recording]`, those of local scaling; None if no encoder is in service.
        unseen: bool `[recording]`: whether no model behind the encoder was trained with a recording
            of the same group.
    """

    name: str
    title: str
    is_baseline: bool
    vectors: NDArray[np.float32]
    scales: NDArray[np.float32] | None
    unseen: Mask

    @property
    def trained_here(self) -> bool:
        """Whether the training of the encoder has seen recordings of this library."""
        return not bool(self.unseen.all())


@dataclass(frozen=True)
class NearLists:
    """The top-k lists of all recordings.

    Attributes:
        by_cosine: int64 `[recording, k]`, rows of recordings; -1 at the end of a short list. None
            if the library is too large.
        in_service: the lists that are recommended, in the same form.
    """

    by_cosine: Rows | None
    in_service: Rows


def is_baseline(lists: RecommendationLists) -> bool:
    """Whether the encoder of these recommendations is a baseline."""
    return lists.index.encoder.kind in BASELINES


def space_in_service(lists: RecommendationLists, recordings: Recordings) -> Space:
    """The space of an encoder in service."""
    encoder = lists.index.encoder
    index, rows = _rows_in_index(lists, recordings)
    ids = recordings.table.select("track_id")
    scales = ids.join(lists.scales(), on="track_id", how="left", maintain_order="left")["scale"]
    return Space(
        encoder.name,
        encoder.facts["title"],
        is_baseline(lists),
        index.vectors(rows),
        scales.to_numpy(),
        _unseen(encoder, recordings),
    )


def near_lists(lists: RecommendationLists, recordings: Recordings) -> NearLists:
    """The lists of an encoder in service, and those that the cosine alone would give."""
    n, k = len(recordings), lists.k
    table = lists.table().select("track_id", "rank", "recommended_id")
    rows = recordings.table.select("track_id").with_row_index("row")
    pairs = table.join(rows, on="track_id")
    near = pairs["recommended_id"].replace_strict(
        recordings.row_of, default=-1, return_dtype=pl.Int64
    )
    in_service = np.full((n, k), -1, np.int64)
    in_service[pairs["row"].to_numpy(), pairs["rank"].to_numpy() - 1] = near.to_numpy()
    return NearLists(_lists_by_cosine(lists, recordings), in_service)


def _lists_by_cosine(lists: RecommendationLists, recordings: Recordings) -> Rows | None:
    """The nearest recordings by cosine, each by its nearest copy, as recommendations have them."""
    n, k = len(recordings), lists.k
    if n > PLAIN_LISTS_UP_TO:
        return None
    index, rows = _rows_in_index(lists, recordings)
    ids = pl.Series(index.track_ids, dtype=pl.String)
    of_row = ids.replace_strict(recordings.row_of, default=-1, return_dtype=pl.Int64).to_numpy()
    allowed = (of_row >= 0) & lists.index.live(index)
    recording_of = np.append(of_row, -1)  # of row -1 too, which stands for no row
    copies = int(np.bincount(of_row[allowed]).max(initial=0))  # of the recording with most tracks
    n_near = min((k + 1) * copies, _MOST_NEAR, int(allowed.sum()))
    by_cosine = np.full((n, k), -1, np.int64)
    for start in range(0, n, _AT_ONCE):
        part = slice(start, start + _AT_ONCE)
        near, similarities = index.search(index.vectors(rows[part]), n_near, allowed)
        near = np.where(similarities > 0, recording_of[near], -1)  # others are not recommended
        by_cosine[part] = _first_of_others(near, np.arange(n)[part], k)
    return by_cosine


def _first_of_others(near: Rows, queries: Rows, k: int) -> Rows:
    """The first k recordings of each row that are not the query, each once.

    Args:
        near: int64 `[query, m]`, recordings, nearest first; -1 for none.
        queries: int64 `[query]`.
        k: number of recordings.

    Returns:
        int64 `[query, k]`; -1 at the end of a short row.
    """
    query, place = np.nonzero((near >= 0) & (near != queries[:, None]))
    pairs = pl.DataFrame({"query": query, "recording": near[query, place]})
    pairs = pairs.unique(["query", "recording"], keep="first", maintain_order=True)
    pairs = pairs.with_columns(place=pl.int_range(pl.len()).over("query"))
    pairs = pairs.filter(pl.col("place") < k)
    first = np.full((len(queries), k), -1, np.int64)
    first[pairs["query"].to_numpy(), pairs["place"].to_numpy()] = pairs["recording"].to_numpy()
    return first


def _rows_in_index(lists: RecommendationLists, recordings: Recordings) -> tuple[VectorIndex, Rows]:
    """The opened index of an encoder, and the row of each recording in it."""
    recommendation_index = lists.index
    index = recommendation_index.open()
    ids = pl.DataFrame({"track_id": index.track_ids}).with_row_index("row")
    ids = ids.filter(pl.Series(recommendation_index.live(index)))
    rows = recordings.table.select("track_id").join(
        ids, on="track_id", how="left", maintain_order="left"
    )
    return index, rows["row"].cast(pl.Int64).to_numpy()


def _unseen(encoder: Encoder, recordings: Recordings) -> Mask:
    """Which recordings the models behind an encoder have not seen, by group."""
    store, snapshot = encoder.store, recordings.snapshot
    unseen = np.ones(len(recordings), bool)
    if not training_snapshots(store, [encoder.reference]):
        return unseen
    if snapshot is None:  # nothing says which recordings are of the groups of the training
        return ~unseen
    table = snapshot.table()
    seen = seen_rows(store, [encoder.reference], snapshot, table, own_split=False)
    marks = table.select("track_id").with_columns(unseen=pl.Series(~seen))
    joined = recordings.table.join(marks, on="track_id", how="left", maintain_order="left")
    unseen_rows: Mask = joined["unseen"].fill_null(False).to_numpy()
    return unseen_rows


def feature_space(store: ArtifactStore, spec: Spec, recordings: Recordings) -> Space | None:
    """The space of the tabular features, standardised over the recordings of the library.

    Returns:
        None if `audio_features` are no inputs of the spec, or lack a recording.
    """
    from melgraph.ml.similarity.neighbours import normalise

    tables = [one.table() for one in AudioFeatures.inputs_of(store, spec)]
    if not tables or len({tuple(table.columns) for table in tables}) > 1:
        return None
    features = pl.concat(tables).unique("track_id", keep="first")
    ids = recordings.table.select("track_id")
    features = ids.join(features, on="track_id", how="left", maintain_order="left")
    values = features.drop("track_id").to_numpy().astype(np.float64)
    if not np.isfinite(values).all():
        return None
    deviation = values.std(axis=0)
    values = (values - values.mean(axis=0)) / np.where(deviation > 1e-9, deviation, 1.0)
    title = "Tabular features, standardised over the library"
    everything = np.ones(len(recordings), bool)
    return Space(FEATURES, title, True, normalise(values), None, everything)


def has_features(all_lists: Sequence[RecommendationLists]) -> bool:
    """Whether the vectors of an encoder in service are the tabular features."""
    return any(lists.index.encoder.kind == BASELINES[0] for lists in all_lists)


def spaces_of(
    store: ArtifactStore,
    spec: Spec,
    all_lists: Sequence[RecommendationLists],
    recordings: Recordings,
) -> Iterator[tuple[Space, NearLists | None]]:
    """The spaces with their lists, one at a time, because all of them would fill the memory.

    If no encoder in service has the tabular features as its vectors, these are a space without
    lists.
    """
    for lists in all_lists:
        yield space_in_service(lists, recordings), near_lists(lists, recordings)
    if not has_features(all_lists):
        space = feature_space(store, spec, recordings)
        if space is not None:
            yield space, None
