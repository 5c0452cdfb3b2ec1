"""Why a track is recommended: tags that the seed has too, and the seconds that sound alike."""

import difflib
import threading
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from melgraph.assets.context import Context
from melgraph.assets.embeddings.batch_embeddings import BatchEmbeddings
from melgraph.assets.embeddings.batch_tags import BatchTags
from melgraph.assets.embeddings.encoder import Encoder
from melgraph.assets.recommendations.queries.query import Moment, SharedTag
from melgraph.assets.recommendations.queries.sounds import FileVectors
from melgraph.assets.stage import TRACK_BATCH
from melgraph.assets.stages import ENCODERS, TAGS
from melgraph.ml.errors import UserError
from melgraph.ml.similarity.moments import closest_moments
from melgraph.ml.specs.model_input import EMBEDDING
from melgraph.storage.records import Reference, partition_name

MOST_TAGS = 3
LEAST_PROBABILITY = 0.1  # of a tag, for both tracks
_MOST_BYTES = 128_000_000  # of the sounds that are kept in memory
_BYTES_OF_A_TRACK, _BYTES_OF_A_TAG = 500, 50  # about

Tags = Mapping[str, float]


@dataclass(frozen=True)
class TrackSound:
    """What explains the similarity of a track.

    Attributes:
        tags: the probability of each tag; empty without tags.
        segments: its segment vectors; None if it has none.
    """

    tags: Tags
    segments: FileVectors | None

    @property
    def n_bytes(self) -> int:
        """About how much memory it needs."""
        of_segments = 0 if self.segments is None else self.segments.segments.nbytes
        return _BYTES_OF_A_TRACK + _BYTES_OF_A_TAG * len(self.tags) + of_segments


class _RecentSounds:
    """The sounds of the most recently used tracks, for many threads.

    Args:
        size: how many bytes they may need.
    """

    def __init__(self, size: int) -> None:
        self._sounds: OrderedDict[str, TrackSound] = OrderedDict()
        self._size, self._n_bytes, self._lock = size, 0, threading.Lock()

    def find(self, track_ids: Iterable[str]) -> dict[str, TrackSound]:
        """The sounds of those tracks that have one here."""
        with self._lock:
            sounds = {i: self._sounds[i] for i in track_ids if i in self._sounds}
            for track_id in sounds:
                self._sounds.move_to_end(track_id)
            return sounds

    def add(self, sounds: Mapping[str, TrackSound]) -> None:
        """Hold these sounds, instead of those that were not used for the longest time."""
        with self._lock:
            for track_id, sound in sounds.items():
                before = self._sounds.pop(track_id, None)
                self._n_bytes += sound.n_bytes - (0 if before is None else before.n_bytes)
                self._sounds[track_id] = sound
            while self._n_bytes > self._size:
                self._n_bytes -= self._sounds.popitem(last=False)[1].n_bytes


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


class Reasons:
    """Reads the segments and the tags of tracks, when an answer needs them.

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
        self._sounds = _RecentSounds(_MOST_BYTES)

    @property
    def tag_names(self) -> list[str]:
        """The tags, sorted by name."""
        return sorted(self.tagger.classes) if self.tagger is not None else []

    def tag_named(self, name: str) -> str:
        """The tag of a name. The part of a tag after its category is enough, if it is unique.

        Raises:
            UserError: there is no such tag, or there are several.
        """
        tags = self.tag_names
        matches = [tag for tag in tags if name in (tag, tag.rpartition("---")[2])]
        exact = [tag for tag in matches if tag == name]
        if len(exact or matches) == 1:
            return (exact or matches)[0]
        near = matches or difflib.get_close_matches(name, tags) or tags
        raise UserError(
            f"{len(matches)} tags are called {name!r}" if matches else f"no tag is called {name!r}",
            where=f"the tags of {self.tagger.name}" if self.tagger else "the tags",
            remedy=f"use one of: {', '.join(near)}"
            if tags
            else "put an encoder with tags into service, for example a published tagger",
        )

    def sounds(self, places: Sequence[tuple[str, str]]) -> dict[str, TrackSound]:
        """What explains the similarity of some tracks.

        Only the rows of these tracks are read, because a batch can be larger than the memory.

        Args:
            places: the id and the track batch of each track.

        Returns:
            The sound of each track, by its id.
        """
        sounds = self._sounds.find(track_id for track_id, _ in places)
        missing: dict[str, list[str]] = {}
        for track_id, batch in dict.fromkeys(places):
            if track_id not in sounds:
                missing.setdefault(batch, []).append(track_id)
        for batch, ids in missing.items():
            tags, segments = self._tags_of(batch, ids), self._segments_of(batch, ids)
            of_batch = {i: TrackSound(tags.get(i, {}), segments.get(i)) for i in ids}
            self._sounds.add(of_batch)
            sounds |= of_batch
        return sounds

    def tags(self, track_id: str, batch: str) -> Tags:
        """The probability of each tag of a track; empty without tags."""
        return self._tags_of(batch, [track_id]).get(track_id, {})

    def probabilities(self, tag: str, batches: Sequence[str]) -> pl.DataFrame:
        """The probability of a tag for the tracks of several batches.

        Returns:
            `track_id`, once each, and `probability`.
        """
        tables = [pl.DataFrame(schema={"track_id": pl.String, tag: pl.Float32})]
        tags = filter(None, map(self._batch_tags, batches))
        tables += [table for one in tags if tag in (table := one.of_tag(tag)).columns]
        return pl.concat(tables).unique("track_id", keep="first").rename({tag: "probability"})

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

    def _batch_tags(self, batch: str) -> BatchTags | None:
        """The tags of a batch, if the tagger of these reasons predicted them."""
        if self.tagger is None:
            return None
        partition = partition_name({"encoder": self.tagger.name, TRACK_BATCH: batch})
        artifact = self._store.current(TAGS.name, partition)
        if artifact is None or self.tagger.reference not in artifact.record.spec.inputs:
            return None
        return BatchTags(self._store, artifact)

    def _tags_of(self, batch: str, ids: Sequence[str]) -> dict[str, Tags]:
        tags = self._batch_tags(batch)
        if tags is None:
            return {}
        rows = tags.of_tracks(ids).iter_rows(named=True)
        return {row.pop("track_id"): row for row in rows}

    def _segments_of(self, batch: str, ids: Sequence[str]) -> dict[str, FileVectors]:
        reference = self._embeddings.get(batch)
        if reference is None:
            return {}
        table = BatchEmbeddings.at(self._store, reference).segments_of(ids)
        segments = {}
        for (track_id,), rows in table.group_by("track_id"):
            vectors, starts_s = rows["vector"].to_numpy(), rows["start_s"].to_numpy()
            mean = vectors.mean(axis=0)
            segments[str(track_id)] = FileVectors(mean, vectors, starts_s.astype(np.float64))
        return segments


def shared_tags(seed: Tags, track: Tags) -> tuple[SharedTag, ...]:
    """The tags that are probable for both tracks, the most probable first."""
    both = [(min(seed[tag], track[tag]), tag) for tag in seed.keys() & track.keys()]
    both = sorted((pair for pair in both if pair[0] >= LEAST_PROBABILITY), reverse=True)
    return tuple(
        SharedTag(tag, round(seed[tag], 4), round(track[tag], 4)) for _, tag in both[:MOST_TAGS]
    )
