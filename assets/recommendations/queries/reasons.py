"""Why a track is recommended: tags that the seed has too, and the seconds that sound alike."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import polars as pl
from numpy.typing import NDArray

from melgraph.assets.context import Context
from melgraph.assets.embeddings.batch_embeddings import BatchEmbeddings
from melgraph.assets.embeddings.batch_tags import BatchTags
from melgraph.assets.embeddings.encoder import Encoder
from melgraph.assets.recommendations.queries.query import Moment, SharedTag
from melgraph.assets.recommendations.queries.sounds import FileVectors
from melgraph.assets.stage import TRACK_BATCH
from melgraph.assets.stages import ENCODERS, TAGS
from melgraph.ml.similarity.moments import closest_moments
from melgraph.ml.specs.model_input import EMBEDDING
from melgraph.storage.records import Reference, partition_name

MOST_TAGS = 3
LEAST_PROBABILITY = 0.1  # of a tag, for both tracks
_BATCHES = 16  # track batches whose segments and tags are kept in memory

Value = TypeVar("Value")
Tags = Mapping[str, float]


class _Recent:
    """The most recently used values, for many threads."""

    def __init__(self, size: int) -> None:
        self._values: OrderedDict[Hashable, Any] = OrderedDict()
        self._size, self._lock = size, threading.Lock()

    def get(self, key: Hashable, make: Callable[[], Value]) -> Value:
        """The value of a key. `make` is called if it is missing, perhaps by two threads at once."""
        with self._lock:
            if key in self._values:
                self._values.move_to_end(key)
                value: Value = self._values[key]
                return value
        value = make()
        with self._lock:
            self._values[key] = value
            if len(self._values) > self._size:
                self._values.popitem(last=False)
        return value


def tagging_encoder(context: Context, encoder: Encoder) -> Encoder | None:
    """The encoder whose tags explain the similarity by an encoder.

    It is the encoder itself, or a part of it if it is a fusion, or the first one in service that
    predicts tags. None if no encoder does.
    """
    store = context.store
    frozen = set(store.partitions(ENCODERS.name))
    others = (Encoder.current(store, n) for n in context.specs.in_service if n in frozen)
    with_tags = {name.partition("+")[0] for name in store.partitions(TAGS.name)}
    for candidate in (encoder, *encoder.parts, *others):
        if candidate.classes and candidate.layer == EMBEDDING and candidate.name in with_tags:
            return candidate
    return None


@dataclass(frozen=True)
class _BatchSegments:
    """The segments of a track batch: vectors, starts in seconds, and the rows of each track."""

    vectors: NDArray[np.float32]
    starts_s: NDArray[np.float64]
    rows: dict[str, slice]


class Reasons:
    """Reads segments and tags batch by batch, when an answer needs them.

    Args:
        context: of the home.
        embeddings: track batch -> the embeddings that the index was made from.
        tagger: the encoder whose tags are used; None for no tags.
        segment_s: length of a segment in seconds; 0 if it is not known.
    """

    def __init__(
        self,
        context: Context,
        embeddings: dict[str, Reference],
        tagger: Encoder | None,
        segment_s: float,
    ) -> None:
        self._store, self._embeddings = context.store, embeddings
        self.tagger, self._segment_s = tagger, segment_s
        self._segments, self._tags = _Recent(_BATCHES), _Recent(_BATCHES)

    @property
    def tag_names(self) -> list[str]:
        """The tags, sorted by name."""
        return sorted(self.tagger.classes) if self.tagger is not None else []

    def tags(self, track_id: str, batch: str) -> Tags:
        """The probability of each tag of a track; empty without tags."""
        rows, names, scores = self._tags.get(batch, lambda: self._tags_of(batch))
        if track_id not in rows:
            return {}
        return dict(zip(names, scores[rows[track_id]].tolist(), strict=True))

    def tag_table(self, batches: list[str]) -> pl.DataFrame:
        """`track_id` and a column per tag, of several batches."""
        tables = [pl.DataFrame(schema={"track_id": pl.String})]
        tables += [table for batch in batches if (table := self._tag_table(batch)) is not None]
        return pl.concat(tables, how="diagonal_relaxed").unique("track_id", keep="first")

    def segments(self, track_id: str, batch: str) -> FileVectors | None:
        """The segment vectors of a track; None if it has none."""
        of_batch = self._segments.get(batch, lambda: self._segments_of(batch))
        rows = of_batch.rows.get(track_id)
        if rows is None:
            return None
        vectors = of_batch.vectors[rows]
        return FileVectors(vectors.mean(axis=0), vectors, of_batch.starts_s[rows])

    def moments(self, seed: FileVectors | None, track: FileVectors | None) -> tuple[Moment, ...]:
        """The segments that sound most alike; none if both have a single segment."""
        if seed is None or track is None or max(len(seed.segments), len(track.segments)) < 2:
            return ()
        moments = closest_moments(
            seed.segments,
            seed.starts_s,
            track.segments,
            track.starts_s,
            n=1,
            segment_s=self._segment_s,
        )
        return tuple(Moment(m.query_start_s, m.track_start_s, m.similarity) for m in moments)

    def _tag_table(self, batch: str) -> pl.DataFrame | None:
        if self.tagger is None:
            return None
        partition = partition_name({"encoder": self.tagger.name, TRACK_BATCH: batch})
        artifact = self._store.current(TAGS.name, partition)
        if artifact is None or self.tagger.reference not in artifact.record.spec.inputs:
            return None
        return BatchTags(self._store, artifact).table()

    def _tags_of(self, batch: str) -> tuple[dict[str, int], list[str], NDArray[np.float32]]:
        table = self._tag_table(batch)
        if table is None:
            return {}, [], np.zeros((0, 0), np.float32)
        rows = {track_id: row for row, track_id in enumerate(table["track_id"])}
        scores = table.drop("track_id")
        return rows, scores.columns, scores.to_numpy()

    def _segments_of(self, batch: str) -> _BatchSegments:
        reference = self._embeddings.get(batch)
        if reference is None:
            return _BatchSegments(np.zeros((0, 1), np.float32), np.zeros(0), {})
        ids, vectors = BatchEmbeddings.at(self._store, reference).arrays()
        ends = vectors.segment_offsets.tolist()
        rows = {track_id: slice(ends[i], ends[i + 1]) for i, track_id in enumerate(ids)}
        return _BatchSegments(vectors.segment_vectors, vectors.segment_starts, rows)


def shared_tags(seed: Tags, track: Tags) -> tuple[SharedTag, ...]:
    """The tags that are probable for both tracks, the most probable first."""
    both = [(min(seed[tag], track[tag]), tag) for tag in seed.keys() & track.keys()]
    both = sorted((pair for pair in both if pair[0] >= LEAST_PROBABILITY), reverse=True)
    return tuple(
        SharedTag(tag, round(seed[tag], 4), round(track[tag], 4)) for _, tag in both[:MOST_TAGS]
    )
