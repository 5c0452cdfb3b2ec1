"""The answers of the service: from the parameters of a request, by the queries, to its answer.

Names become ids of tracks before a query sees them. A query accepts paths of audio files, so a name
that a client sent must never reach it.
"""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import polars as pl

from melgraph.assets.recommendations.queries import (
    Answer,
    Filters,
    Query,
    Recommendation,
    Recommender,
    Seed,
    UnknownValue,
    tag_filters,
)
from melgraph.assets.service import schema
from melgraph.assets.service.indexes import OpenedIndex
from melgraph.assets.service.problems import Refusal, refusal_of_audio
from melgraph.assets.service.state import Service
from melgraph.assets.service.tracks import not_in_index
from melgraph.assets.service.uploads import DecodedUpload
from melgraph.ml.audio import BadAudio
from melgraph.ml.errors import UserError

_COLUMNS = ("track_id", "path", "artist", "album", "title", "genre", "year", "duration_s")
_SEARCHED = ("path", "artist", "album", "title")


def similar(
    service: Service,
    question: schema.SimilarOptions,
    names: list[str],
    upload: DecodedUpload | None = None,
    file_name: str = "",
) -> schema.SimilarTracks:
    """Tracks like some tracks of the library and like a query file.

    Args:
        service: the service.
        question: how to choose the tracks.
        names: ids or paths of tracks of the library.
        upload: the query file, if there is one.
        file_name: its name, as the client sent it.

    Raises:
        Refusal: a parameter names something that does not exist.
    """
    index = service.indexes.current(question.encoder)
    recommender = index.recommender
    like = _ids(service, index, names, "track")
    if upload is not None:
        is_track = upload.track_id is not None and index.holds(upload.track_id)
        like.append(str(upload.track_id if is_track else upload.path))
    if not index.n_tracks:  # only a file can be asked about
        return _nothing(recommender, question.k, file_name)
    query = Query(
        like=tuple(like),
        unlike=tuple(_ids(service, index, question.unlike, "unlike")),
        k=question.k,
        filters=_filters(recommender, question),
        per_artist=question.per_artist,
        one_version=question.one_version,
        diversity=question.diversity,
    )
    try:
        answer = recommender.similar(query)
    except UserError as error:
        raise _refusal(error) from error
    cautions = [upload.caution] if upload is not None and upload.caution else []
    return _answer(answer, cautions, file_name)


def _nothing(recommender: Recommender, k: int, file_name: str) -> schema.SimilarTracks:
    """The answer if the index holds no track of the library."""
    return schema.SimilarTracks(
        encoder=str(recommender.encoder),
        index=str(recommender.index),
        like=[schema.Seed(id=None, name=file_name)],
        tracks=[],
        shortfall=f"0 of {k:,} tracks: no track of the library is in this index",
    )


def _refusal(error: UserError) -> Refusal:
    """The refusal of a query: of its file, or of a genre or an artist that no track has.

    Raises:
        UserError: it is another one.
    """
    if isinstance(error.__context__, BadAudio):
        return refusal_of_audio(error.__context__)
    if isinstance(error, UnknownValue):
        return Refusal(404, "unknown-value", error.what, where=error.where, remedy=error.remedy)
    raise error


def path(service: Service, question: schema.PathQuestion) -> schema.SimilarTracks:
    """Tracks that lead from one track to another, each similar to the one before.

    Raises:
        Refusal: a parameter names something that does not exist, or start and goal are one track.
    """
    index = service.indexes.current(question.encoder)
    (start,) = _ids(service, index, [question.start], "start")
    (goal,) = _ids(service, index, [question.goal], "goal")
    filters = _filters(index.recommender, question)
    try:
        answer = index.recommender.path(start, goal, question.length, filters)
    except UserError as error:
        raise _refusal(error) from error
    return _answer(answer)


def tracks(service: Service, question: schema.TracksQuestion) -> schema.TrackList:
    """A page of the tracks in the index, sorted by path."""
    table = service.indexes.current(question.encoder).tracks
    if question.path is not None:
        table = table.filter(pl.col("path") == question.path)
    if question.search is not None:
        needle = question.search.lower()
        columns = [
            pl.col(name).str.to_lowercase().str.contains(needle, literal=True).fill_null(False)
            for name in _SEARCHED
        ]
        table = table.filter(pl.any_horizontal(columns))
    page = table.slice(question.offset, question.limit)
    return schema.TrackList(
        total=table.height,
        offset=question.offset,
        tracks=[schema.Track(**_track(row)) for row in page.iter_rows(named=True)],
    )


def tags(service: Service, question: schema.EncoderChoice) -> schema.TagList:
    """The tags that an encoder predicts."""
    recommender = service.indexes.current(question.encoder).recommender
    return schema.TagList(encoder=str(recommender.encoder), tags=recommender.tag_names)


def tags_of(service: Service, track_id: str, question: schema.EncoderChoice) -> schema.TrackTags:
    """The tags of one track, the most probable first."""
    index = service.indexes.current(question.encoder)
    recommender = index.recommender
    (track_id,) = _ids(service, index, [track_id], "track")
    row = index.tracks.row(by_predicate=pl.col("track_id") == track_id, named=True)
    probabilities = [
        schema.TagProbability(tag=tag, probability=probability)
        for tag, probability in recommender.tags_of(track_id)
    ]
    return schema.TrackTags(
        encoder=str(recommender.encoder), track=schema.Track(**_track(row)), tags=probabilities
    )


def _ids(service: Service, index: OpenedIndex, names: list[str], where: str) -> list[str]:
    """The ids of tracks that the library has now and the index holds."""
    ids = [service.tracks.track_id(name, where) for name in names]
    for name, track_id in zip(names, ids, strict=True):
        if not index.holds(track_id):
            raise not_in_index(name, where)
    return ids


def _filters(recommender: Recommender, question: schema.TrackFilters) -> Filters:
    probabilities = tag_filters(question.tag)
    for tag in probabilities:
        if tag not in recommender.tag_names:
            raise Refusal(
                404,
                "unknown-tag",
                f"the encoder {recommender.encoder.partition!r} predicts no tag {tag!r}",
                where="tag",
                remedy="GET /tags lists the tags; another encoder may predict it",
            )
    return Filters(
        genres=tuple(question.genre),
        artists=tuple(question.artist),
        year_from=question.year_from,
        year_to=question.year_to,
        duration_from_s=question.duration_from_s,
        duration_to_s=question.duration_to_s,
        tags=probabilities,
    )


def _answer(
    answer: Answer, cautions: list[str] | None = None, file_name: str = ""
) -> schema.SimilarTracks:
    of_seeds = [seed.caution for seed in answer.like if seed.caution]
    return schema.SimilarTracks(
        encoder=answer.encoder,
        index=answer.index,
        like=[_seed(seed, file_name) for seed in answer.like],
        tracks=[_similar_track(track) for track in answer.tracks],
        shortfall=answer.shortfall,
        cautions=[*(cautions or []), *of_seeds],
    )


def _seed(seed: Seed, file_name: str) -> schema.Seed:
    """A seed. The path of a file of the service itself is never part of an answer."""
    name = file_name if seed.track_id is None else seed.path
    return schema.Seed(id=seed.track_id, name=name, artist=seed.artist, title=seed.title)


def _similar_track(track: Recommendation) -> schema.SimilarTrack:
    return schema.SimilarTrack(
        **_track(vars(track)),
        similarity=track.similarity,
        like=track.like,
        tags=[schema.SharedTag(**asdict(tag)) for tag in track.tags],
        moments=[schema.Moment(**asdict(moment)) for moment in track.moments],
    )


def _track(row: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of `schema.Track`, from those of the queries."""
    values = {name: row[name] for name in _COLUMNS if name != "track_id"}
    return {"id": row["track_id"], **values}
