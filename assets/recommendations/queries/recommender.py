"""The answers to queries, from the index of one encoder."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from melgraph.assets.context import Context
from melgraph.assets.recommendations.agreement import best_first
from melgraph.assets.recommendations.lists import RecommendationLists
from melgraph.assets.recommendations.queries.file_copies import copies_of_file
from melgraph.assets.recommendations.queries.path_rows import path_rows
from melgraph.assets.recommendations.queries.query import (
    Answer,
    Filters,
    Query,
    Recommendation,
    Seed,
)
from melgraph.assets.recommendations.queries.reasons import (
    Reasons,
    TrackSound,
    shared_tags,
    tagging_encoder,
)
from melgraph.assets.recommendations.queries.searched_tracks import COLUMNS, SearchedTracks
from melgraph.assets.recommendations.queries.seed_sounds import SeedSound, SeedSounds
from melgraph.assets.recommendations.queries.shortfalls import path_shortfall, shortfall
from melgraph.assets.recommendations.recommendation_index import RecommendationIndex
from melgraph.assets.stage import Stage, encoder_and_batch
from melgraph.assets.stages import RECOMMENDATION_INDEXES, RECOMMENDATIONS
from melgraph.ml.errors import UserError
from melgraph.ml.similarity.hubness import rescaled, scales
from melgraph.ml.similarity.seeds import UNLIKE_WEIGHT, unlike_scores
from melgraph.ml.similarity.selection import Selection, select
from melgraph.storage.artifacts import Artifact, ArtifactStore
from melgraph.storage.vector_index import VectorIndex

CANDIDATES = 200  # nearest tracks that local scaling, limits and diversity choose from, at least
# A file with this similarity to a track is a copy of it, also if it is too short for fingerprints.
SAME_SOUND = 0.9999
_EXPLAINED_AT_ONCE = 100  # tracks; bounds the memory of a long answer
MOST_COPIES = 50  # nearest tracks that are compared with a file, to find copies of its recording

Mask = NDArray[np.bool_]
Rows = NDArray[np.int64]


@dataclass(frozen=True)
class _Candidates:
    """Rows that an answer may consist of, with their scores; the best first."""

    rows: Rows
    scores: NDArray[np.float64]


class Recommender:
    """Answers queries from the index of one encoder. Many threads may call it at once.

    It answers from the library as it was when the index was opened; `is_current` says whether the
    index is still the current one.

    Attributes:
        encoder: the encoder whose embeddings are in the index.
        index: the index.
    """

    def __init__(self, context: Context, index: RecommendationIndex) -> None:
        self._context, self._recommendation_index = context, index
        self._encoder = index.encoder
        self.encoder, self.index = self._encoder.reference, index.reference
        self._vectors: VectorIndex = index.open()
        dataset = context.specs.encoders[index.name].dataset
        live = index.live(self._vectors)
        self._tracks = SearchedTracks.of(context, self._vectors.track_ids, live, dataset)
        self._lists = _readable(context.store, RECOMMENDATIONS, index.name)
        embeddings = {encoder_and_batch(r.partition)[1]: r for r in index.embeddings()}
        tagger = tagging_encoder(context, self._encoder)
        self._reasons = Reasons(context, embeddings, tagger, self._encoder.crop_s)
        self._probabilities_of_tag: dict[str, pl.Series] = {}
        self._sounds = SeedSounds(context, self._encoder, tagger)

    @classmethod
    def open(cls, context: Context, encoder: str | None = None) -> "Recommender":
        """Open the index of an encoder.

        Args:
            context: of the home.
            encoder: the encoder; None for the one in service whose recommendations agree best with
                the labels.

        Raises:
            UserError: the encoder is not in service, or there is no index.
            StorageError: the index cannot be used.
        """
        from melgraph.ml.specs import choose

        in_service = context.specs.in_service
        if encoder is not None:
            choose(dict.fromkeys(in_service), [encoder], kind="encoder in service", where="encoder")
        names = [encoder] if encoder is not None else in_service
        store = context.store
        indexes = {name: _readable(store, RECOMMENDATION_INDEXES, name) for name in names}
        existing = {name: index for name, index in indexes.items() if index is not None}
        if not existing:
            raise UserError(
                f"there is no index of {encoder or 'any encoder in service'} that this version of "
                "melgraph can read",
                where=f"{store.location}/{RECOMMENDATION_INDEXES.name}",
                remedy="run `melgraph run`, which makes it; then ask again",
            )
        of_lists = {name: _readable(store, RECOMMENDATIONS, name) for name in existing}
        facts = {name: {} if a is None else a.facts for name, a in of_lists.items()}
        best = min(existing, key=lambda name: (*best_first(facts[name]), name))
        return cls(context, RecommendationIndex(store, existing[best]))

    @property
    def tracks(self) -> pl.DataFrame:
        """The tracks of the library that can be recommended: `COLUMNS`."""
        return self._tracks.table.filter(pl.Series(self._tracks.live)).select(COLUMNS)

    @property
    def tag_names(self) -> list[str]:
        """The tags that can be filtered by, and that explain a similarity."""
        return self._reasons.tag_names

    def tag_named(self, name: str) -> str:
        """The tag of a name, see `Reasons.tag_named`."""
        return self._reasons.tag_named(name)

    def is_current(self) -> bool:
        """Whether the index and the recommendations are still the current ones."""
        store = self._context.store
        index = store.current_reference(RECOMMENDATION_INDEXES.name, self.index.partition)
        lists = store.current_reference(RECOMMENDATIONS.name, self.index.partition)
        opened = self._lists.reference if self._lists is not None else None
        return (index, lists) == (self.index, opened)

    def tags_of(self, track: str) -> list[tuple[str, float]]:
        """The tags of a track with their probabilities, the most probable first.

        Args:
            track: a track id or a library path.

        Raises:
            UserError: there is no such track.
        """
        tags = self._reasons.tags(*self._place(self._row(track)))
        return sorted(tags.items(), key=lambda item: (-item[1], item[0]))

    def similar(self, query: Query) -> Answer:
        """The tracks that answer a query.

        Raises:
            UserError: a seed, a genre, an artist or a tag does not exist, a file cannot be used, or
                the index has no track of the library.
        """
        if not self._tracks.live.any():
            raise UserError(
                "the index has no track that is in the library now",
                where=str(self.index),
                remedy="run `melgraph run`, then ask again",
            )
        like = [self._seed(name) for name in query.like]
        unlike = [self._seed(name) for name in query.unlike]
        allowed = self._allowed(query.filters)
        n_allowed, n_live = (int(np.count_nonzero(m)) for m in (allowed, self._tracks.live))
        n_candidates = max(CANDIDATES, 4 * query.k)
        while True:
            candidates = self._candidates(like, unlike, n_candidates, allowed)
            selection = self._select(query, [*like, *unlike], candidates)
            if len(selection.rows) == query.k or n_candidates >= n_allowed:
                break
            n_candidates *= 4
        tracks = self._explained([(like, row) for row in selection.rows.tolist()])
        answer = self._answer(like, tracks)
        return replace(answer, shortfall=shortfall(query, selection, n_allowed, n_live))

    def path(
        self, start: str, goal: str, length: int | None = None, filters: Filters | None = None
    ) -> Answer:
        """Tracks that lead from one track to another, each similar to the one before it.

        Args:
            start: track id, or path below the library.
            goal: the same.
            length: number of tracks between both; None for as many as it takes.
            filters: which tracks may be between both.

        Raises:
            UserError: there is no such track, or the length is out of range.
        """
        ends = [self._row(start), self._row(goal)]
        allowed = self._allowed(filters or Filters()) & self._first_of_recording
        allowed[np.isin(self._tracks.recordings, self._tracks.recordings[ends])] = False
        allowed[ends] = True

        result = path_rows(self._vectors, allowed, ends[0], ends[1], length)
        pairs = zip(result.rows, result.rows[1:], strict=False)
        tracks = [self._recommendation(result.rows[0], 1.0)]
        tracks += self._explained([([self._library_seed(before)], row) for before, row in pairs])
        seeds = [self._library_seed(row) for row in ends]
        reason = path_shortfall(result, tracks)
        return replace(self._answer(seeds, tracks), shortfall=reason)

    # --- from names to rows and vectors

    def _row(self, name: str) -> int:
        row = self._sounds.row(name, self._tracks)
        if row is None:
            raise self._sounds.unknown(name, self._tracks)
        return row

    def _seed(self, name: str) -> SeedSound:
        row = self._sounds.row(name, self._tracks)
        if row is not None:
            return replace(self._library_seed(row), seed=replace(self._named(row), name=name))
        sound = self._sounds.of_file(name, self._tracks)
        return replace(sound, recordings=self._recordings_of_file(Path(name), sound.vector))

    def _recordings_of_file(self, path: Path, vector: NDArray[np.float32]) -> frozenset[int]:
        """The recordings of the library that a file holds, among the nearest tracks."""
        near, similarities = self._vectors.search(vector[None], MOST_COPIES, self._tracks.live)
        candidates: dict[str, list[str]] = {}
        rows = {}
        same = near[similarities >= SAME_SOUND]
        for row in near[near >= 0].tolist():
            track_id, batch = self._place(row)
            candidates.setdefault(batch, []).append(track_id)
            rows[track_id] = row
        copies = copies_of_file(self._context.store, path.expanduser(), candidates)
        same = np.append(same, [rows[track_id] for track_id in copies]).astype(np.int64)
        return frozenset(self._tracks.recordings[same].tolist())

    def _library_seed(self, row: int) -> SeedSound:
        vector = self._vectors.vectors(np.array([row]))[0]
        recordings = frozenset([int(self._tracks.recordings[row])])
        return SeedSound(self._named(row), vector, row, recordings)

    def _named(self, row: int) -> Seed:
        track = self._tracks.table.row(row, named=True)
        names = {name: track[name] for name in ("track_id", "path", "artist", "title")}
        return Seed(name=track["path"], **names)

    # --- candidates

    def _allowed(self, filters: Filters) -> Mask:
        allowed = self._tracks.allowed(filters)
        for name, least in filters.tags.items():
            tag = self.tag_named(name)
            allowed &= (self._probabilities(tag) >= least).fill_null(False).to_numpy()
        return allowed

    def _probabilities(self, tag: str) -> pl.Series:
        """Of a tag, for each row; null where it is not known."""
        if tag not in self._probabilities_of_tag:
            table = self._tracks.table.select("track_id", "batch")
            batches = table["batch"].drop_nulls().unique().sort().to_list()
            probabilities = self._reasons.probabilities(tag, batches)
            joined = table.join(probabilities, on="track_id", how="left", maintain_order="left")
            self._probabilities_of_tag[tag] = joined["probability"]
        return self._probabilities_of_tag[tag]

    @cached_property
    def _first_of_recording(self) -> Mask:
        """The live rows, one for each recording."""
        recordings = pl.Series(self._tracks.recordings).set(pl.Series(~self._tracks.live), -1)
        mask: Mask = self._tracks.live & recordings.is_first_distinct().to_numpy()
        return mask

    @cached_property
    def _scales(self) -> NDArray[np.float32]:
        """float32 `[row]`, the scale of each track; NaN where it has none."""
        if self._lists is None:
            return np.full(len(self._vectors), np.nan, np.float32)
        lists = RecommendationLists(self._context.store, self._lists)
        table = lists.scales().select("track_id", "scale")
        ids = self._tracks.table.select("track_id")
        joined = ids.join(table, on="track_id", how="left", maintain_order="left")
        return joined["scale"].fill_null(float("nan")).to_numpy()

    def _candidates(
        self, like: Sequence[SeedSound], unlike: Sequence[SeedSound], n: int, allowed: Mask
    ) -> _Candidates:
        """The nearest rows to the seeds, scored by local scaling.

        Among the tracks with the same nearest seed, the score is linear in the vector of the track.
        A search for the middle between this seed and the mean of all seeds therefore returns the
        best of these tracks. Tracks that are nearer to `unlike` are left out afterwards, so another
        search leads away from them.
        """
        like_vectors = np.stack([seed.vector for seed in like])
        unlike_vectors = np.stack([seed.vector for seed in unlike]) if unlike else like_vectors[:0]
        directions = (like_vectors.mean(axis=0) + like_vectors) / 2
        if unlike:
            away = UNLIKE_WEIGHT * unlike_vectors.mean(axis=0)
            directions = np.concatenate([directions, directions - away])
        near, _ = self._vectors.search(directions, n, allowed)
        rows = np.unique(near[near >= 0])
        vectors = self._vectors.vectors(rows).astype(np.float64)
        similarities = unlike_scores(like_vectors @ vectors.T, unlike_vectors @ vectors.T)
        in_order = np.sort(similarities)[::-1]
        scale = float(scales(in_order[None])[0]) if len(rows) else float("nan")
        scores = rescaled(similarities, scale, self._scales[rows])
        positive = similarities > 0
        order = np.lexsort((rows, -scores))
        order = order[positive[order]]
        return _Candidates(rows[order], scores[order])

    def _select(
        self, query: Query, seeds: Sequence[SeedSound], candidates: _Candidates
    ) -> Selection:
        own = np.array([seed.row for seed in seeds if seed.row is not None], np.int64)
        songs = None
        if query.one_version:
            songs = self._tracks.songs(np.union1d(candidates.rows, own))
        return select(
            candidates.rows,
            candidates.scores,
            query.k,
            recordings=self._tracks.recordings,
            exclude_recordings=frozenset().union(*(seed.recordings for seed in seeds)),
            songs=songs,
            exclude_songs=set() if songs is None else set(songs[own].tolist()) - {-1},
            artists=self._tracks.artist_numbers if query.per_artist is not None else None,
            per_artist=query.per_artist,
            diversity=query.diversity,
            vectors=self._vectors.vectors(candidates.rows) if query.diversity else None,
        )

    # --- answers

    def _explained(self, pairs: Sequence[tuple[Sequence[SeedSound], int]]) -> list[Recommendation]:
        """Rows as recommendations, with the reasons why they are similar to their nearest seed.

        Args:
            pairs: seeds, and a row that is similar to one of them.
        """
        tracks: list[Recommendation] = []
        for start in range(0, len(pairs), _EXPLAINED_AT_ONCE):
            part = pairs[start : start + _EXPLAINED_AT_ONCE]
            seeds = [seed.row for like, _ in part for seed in like if seed.row is not None]
            sounds = self._sounds_of([*seeds, *(row for _, row in part)])
            tracks += [self._with_reasons(like, row, sounds) for like, row in part]
        return tracks

    def _with_reasons(
        self, like: Sequence[SeedSound], row: int, sounds: Mapping[int, TrackSound]
    ) -> Recommendation:
        vector = self._vectors.vectors(np.array([row]))[0].astype(np.float64)
        similarities = [float(seed.vector.astype(np.float64) @ vector) for seed in like]
        nearest = int(np.argmax(similarities))
        seed, sound = like[nearest], sounds[row]
        of_seed = TrackSound(seed.tags, seed.segments) if seed.row is None else sounds[seed.row]
        return replace(
            self._recommendation(row, similarities[nearest]),
            like=nearest,
            tags=shared_tags(of_seed.tags, sound.tags),
            moments=self._reasons.moments(of_seed.segments, sound.segments),
        )

    def _recommendation(self, row: int, similarity: float) -> Recommendation:
        track = self._tracks.table.row(row, named=True)
        names = {name: track[name] for name in COLUMNS}
        return Recommendation(**names, similarity=round(similarity, 6))

    def _sounds_of(self, rows: Sequence[int]) -> dict[int, TrackSound]:
        """What explains the similarity of the tracks in some rows."""
        places = self._tracks.table.select("track_id", "batch")[list(rows)].rows()
        sounds = self._reasons.sounds(places)
        return {row: sounds[place[0]] for row, place in zip(rows, places, strict=True)}

    def _place(self, row: int) -> tuple[str, str]:
        track_id, batch = self._tracks.table.select("track_id", "batch").row(row)
        return track_id, batch

    def _answer(self, like: Sequence[SeedSound], tracks: list[Recommendation]) -> Answer:
        seeds = [seed.seed for seed in like]
        return Answer(str(self.encoder), str(self.index), seeds, tracks)


def _readable(store: ArtifactStore, stage: Stage, name: str) -> Artifact | None:
    """The current artifact of an encoder; None if there is none, or an older melgraph wrote it."""
    artifact = store.current(stage.name, name)
    return artifact if artifact and artifact.record.spec.stage == stage.number else None
