"""Queries for similar tracks, and their answers."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from melgraph.ml.errors import UserError

MOST_TRACKS = 10_000  # of one answer
DEFAULT_PROBABILITY = 0.5  # of a tag that a filter names without one


class UnknownValue(UserError):
    """A filter names a genre or an artist that no track of the library has."""


@dataclass(frozen=True)
class Filters:
    """Which tracks may be in an answer. A filter that is empty or None allows all tracks.

    Attributes:
        genres: a track has one of these genres, in its file metadata or as its label. Case does not
            matter.
        artists: a track is by one of these artists. Case does not matter.
        year_from: the first year. Tracks without a year are left out if a year is given.
        year_to: the last year.
        duration_from_s: the smallest duration in seconds.
        duration_to_s: the largest duration in seconds.
        tags: predicted tag -> its least probability. A track needs all of these tags.
    """

    genres: tuple[str, ...] = ()
    artists: tuple[str, ...] = ()
    year_from: int | None = None
    year_to: int | None = None
    duration_from_s: float | None = None
    duration_to_s: float | None = None
    tags: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Raise a UserError if a value is out of its range."""
        problems = [
            f"{name} from {low} to {high}"
            for name, low, high in (
                ("years", self.year_from, self.year_to),
                ("durations", self.duration_from_s, self.duration_to_s),
            )
            if _is_no_range(low, high)
        ]
        problems += [
            f"a probability of {least} for the tag {tag!r}; it must be from 0 to 1"
            for tag, least in self.tags.items()
            if not 0 <= least <= 1
        ]
        if problems:
            raise UserError("; ".join(problems), where="the filters", remedy="correct these values")


def tag_filters(texts: Sequence[str]) -> dict[str, float]:
    """The least probability of each tag, from `NAME` or `NAME:PROBABILITY`.

    A name may contain a colon. What stands behind the last one is a probability if it is a number.
    Of several probabilities for one tag, the largest holds.

    Raises:
        UserError: a probability is not from 0 to 1, or a name is empty.

    >>> tag_filters(["piano:0.3", "mood: happy"])
    {'piano': 0.3, 'mood: happy': 0.5}
    """
    pairs = [_tag_filter(text) for text in texts]
    return {name: max(least for other, least in pairs if other == name) for name, _ in pairs}


def _tag_filter(text: str) -> tuple[str, float]:
    name, colon, number = text.rpartition(":")
    try:
        least = float(number) if colon else DEFAULT_PROBABILITY
    except ValueError:
        name, least = text, DEFAULT_PROBABILITY
    name = name if colon else text
    if not name.strip() or not 0 <= least <= 1:  # NaN neither
        raise UserError(
            f"the tag filter {text!r}",
            where="the filter by tag",
            remedy="write NAME or NAME:PROBABILITY, such as piano:0.3, with a probability from 0 "
            "to 1",
        )
    return name, least


def _is_no_range(low: float | None, high: float | None) -> bool:
    """Whether an end is no number, or the first end is above the last one."""
    ends = [end for end in (low, high) if end is not None]
    return not all(map(math.isfinite, ends)) or ends != sorted(ends)


@dataclass(frozen=True)
class Query:
    """A question for similar tracks.

    Attributes:
        like: the seeds, at least one: track ids, library paths or paths of audio files.
        unlike: tracks or files that the answer should not sound like, in the same form.
        k: number of tracks.
        filters: which tracks may be in the answer.
        per_artist: the largest number of tracks by one artist; None for no limit.
        one_version: whether the answer has at most one version (studio, live, remix) of each song,
            and no version of the songs in `like`.
        diversity: from 0 (the most similar tracks) to 1 (tracks that differ from each other).

    Raises:
        UserError: a value is out of its range.
    """

    like: tuple[str, ...]
    unlike: tuple[str, ...] = ()
    k: int = 10
    filters: Filters = field(default_factory=Filters)
    per_artist: int | None = None
    one_version: bool = False
    diversity: float = 0.0

    def __post_init__(self) -> None:
        problems = []
        if not self.like:
            problems.append("no track to compare with")
        if not 1 <= self.k <= MOST_TRACKS:
            problems.append(f"{self.k} tracks; the number must be from 1 to {MOST_TRACKS:,}")
        if self.per_artist is not None and self.per_artist < 1:
            problems.append(f"{self.per_artist} tracks per artist; the number must be 1 or more")
        if not 0 <= self.diversity <= 1:
            problems.append(f"a diversity of {self.diversity}; it must be from 0 to 1")
        if problems:
            raise UserError("; ".join(problems), where="the query", remedy="correct these values")


@dataclass(frozen=True)
class Seed:
    """A track or an audio file that a query names.

    Attributes:
        name: as the query spells it.
        track_id: of the track in the library; None for a file outside the library.
        path: of the track below the library, or of the file.
        artist: from its file metadata.
        title: from its file metadata.
        caution: what limits the answer for this file, for example that it is short; else None.
    """

    name: str
    track_id: str | None
    path: str
    artist: str | None = None
    title: str | None = None
    caution: str | None = None


@dataclass(frozen=True)
class SharedTag:
    """A tag that is predicted for a seed and for a track, with both probabilities."""

    tag: str
    seed: float
    track: float


@dataclass(frozen=True)
class Moment:
    """Two segments that sound alike: where each of them starts, in seconds."""

    seed_start_s: float
    track_start_s: float
    similarity: float


@dataclass(frozen=True)
class Recommendation:
    """One track of an answer, and why it is in it.

    Attributes:
        track_id: of the track.
        path: below the library.
        artist: of the file metadata.
        album: of the file metadata.
        title: of the file metadata.
        genre: of the file metadata, or the label of the track.
        year: of the file metadata.
        duration_s: in seconds.
        similarity: cosine similarity to the nearest seed; on a path, to the track before.
        like: number of this seed in `Answer.like`; on a path 0.
        tags: the tags that seed and track share, the most probable first.
        moments: the segments of seed and track that sound most alike.
    """

    track_id: str
    path: str
    artist: str | None
    album: str | None
    title: str | None
    genre: str | None
    year: int | None
    duration_s: float | None
    similarity: float
    like: int = 0
    tags: tuple[SharedTag, ...] = ()
    moments: tuple[Moment, ...] = ()


@dataclass(frozen=True)
class Answer:
    """The answer to a query.

    Attributes:
        encoder: reference of the encoder whose embeddings were compared.
        index: reference of the index that was searched; `melgraph audit` lists its inputs.
        like: the seeds; on a path, start and goal.
        tracks: the best track first; on a path, from start to goal.
        shortfall: why there are fewer tracks than the query asks for, or how a path differs from
            the requested one; None if neither is the case.
    """

    encoder: str
    index: str
    like: list[Seed]
    tracks: list[Recommendation]
    shortfall: str | None = None
