"""The questions and answers of the service, as its description (OpenAPI) shows them."""

from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from melgraph.ml.similarity.paths import MOST_BETWEEN

TRACK_ID = "[0-9a-f]{32}"
MOST_NEIGHBOURS = 1000
MOST_SEEDS = 100
MOST_TRACKS = 1000  # of one page of /tracks
_MOST_YEAR, _MOST_DURATION_S = 9999, 1_000_000.0
_AN_ID = "4f1c2b7a9d3e5f60718293a4b5c6d7e8"
_TRACK = {
    "id": _AN_ID,
    "path": "rock/Kestrel - Harbour.flac",
    "artist": "Kestrel",
    "album": "Low Tide",
    "title": "Harbour",
    "genre": "rock",
    "year": 1999,
    "duration_s": 213.4,
}


def _plain_bool(value: Any) -> Any:
    """Only `true` and `false`: pydantic would also take `on`, `y` and `1`."""
    if isinstance(value, str):
        if value not in ("true", "false"):
            raise ValueError("must be true or false")
        return value == "true"
    return value


Flag = Annotated[bool, BeforeValidator(_plain_bool)]
Name = Annotated[str, Field(min_length=1, max_length=4096)]


def _examples(*examples: dict[str, Any]) -> ConfigDict:
    return ConfigDict(json_schema_extra={"examples": list(examples)})


# -- questions -------------------------------------------------------------------------------------


class EncoderChoice(BaseModel):
    """Which encoder answers."""

    model_config = ConfigDict(extra="forbid")

    encoder: str | None = Field(
        None,
        max_length=200,
        description="name of an encoder in service; absent: the one that answers by default",
    )


class TrackFilters(EncoderChoice):
    """Which tracks may be in an answer. The filters are the same for each kind of question."""

    genre: list[Name] = Field([], max_length=100, description="only these genres")
    artist: list[Name] = Field([], max_length=100, description="only these artists")
    year_from: int | None = Field(None, ge=0, le=_MOST_YEAR, description="first year of release")
    year_to: int | None = Field(None, ge=0, le=_MOST_YEAR, description="last year of release")
    duration_from_s: float | None = Field(
        None, ge=0, le=_MOST_DURATION_S, description="least duration, seconds"
    )
    duration_to_s: float | None = Field(
        None, ge=0, le=_MOST_DURATION_S, description="largest duration, seconds"
    )
    tag: list[Name] = Field(
        [],
        max_length=100,
        description="only tracks with these tags: `NAME`, or `NAME:PROBABILITY` for the least "
        "probability from 0 to 1 (0.5 where it is absent); GET /tags lists the names",
    )


class SimilarOptions(TrackFilters):
    """How similar tracks are chosen."""

    unlike: list[Name] = Field(
        [],
        max_length=MOST_SEEDS,
        description="tracks that the answer should not be like: ids, or paths below the library",
    )
    k: int = Field(10, ge=1, le=MOST_NEIGHBOURS, description="number of tracks in the answer")
    per_artist: int | None = Field(
        None, ge=1, le=MOST_NEIGHBOURS, description="at most so many tracks of one artist"
    )
    one_version: Flag = Field(
        False, description="only one version (studio, live, best of) of each song"
    )
    diversity: float = Field(
        0.0,
        ge=0,
        le=1,
        description="0: the most similar tracks; towards 1: tracks that differ from one another",
    )


class SimilarQuestion(SimilarOptions):
    """Tracks like one or several tracks of the library."""

    track: list[Name] = Field(
        ...,
        min_length=1,
        max_length=MOST_SEEDS,
        description="tracks that the answer is like: ids, or paths below the library",
    )


class SimilarToFile(SimilarOptions):
    """Tracks like a file that is sent, and like tracks of the library."""

    track: list[Name] = Field(
        [],
        max_length=MOST_SEEDS,
        description="further tracks that the answer is like: ids, or paths below the library",
    )


class PathQuestion(TrackFilters):
    """A path from one track to another. The filters hold for the tracks between both."""

    start: Name = Field(..., description="the first track: its id, or its path below the library")
    goal: Name = Field(..., description="the last track: its id, or its path below the library")
    length: int | None = Field(
        None,
        ge=0,
        le=MOST_BETWEEN,
        description="number of tracks between both; absent: as many as the neighbours need",
    )


class TracksQuestion(EncoderChoice):
    """A page of the list of tracks."""

    search: str | None = Field(
        None,
        max_length=200,
        description="part of the path, the artist, the album or the title; case does not matter",
    )
    path: str | None = Field(
        None, max_length=4096, description="exactly this path below the library"
    )
    offset: int = Field(0, ge=0, le=1_000_000_000, description="tracks to leave out")
    limit: int = Field(100, ge=1, le=MOST_TRACKS, description="most tracks of the answer")


# -- answers ---------------------------------------------------------------------------------------


class Track(BaseModel):
    """A track of the library."""

    model_config = _examples(_TRACK)

    id: str = Field(
        pattern=f"^{TRACK_ID}$",
        description="identifies the sound: 32 hexadecimal digits. It stays the same if the file "
        "is moved or retagged",
    )
    path: str = Field(description="relative to the library")
    artist: str | None = None
    album: str | None = None
    title: str | None = None
    genre: str | None = None
    year: int | None = Field(None, description="of release")
    duration_s: float | None = Field(None, description="duration in seconds")


class SharedTag(BaseModel):
    """A tag that the encoder predicts for what was asked about and for the recommended track."""

    tag: str
    seed: float = Field(description="probability for what was asked about, 0 to 1")
    track: float = Field(description="probability for the recommended track, 0 to 1")


class Moment(BaseModel):
    """Two segments that sound alike."""

    seed_start_s: float = Field(description="begin in what was asked about, seconds")
    track_start_s: float = Field(description="begin in the recommended track, seconds")
    similarity: float = Field(description="cosine similarity of the two segments, -1 to 1")


class SimilarTrack(Track):
    """A track of an answer, and why it is there."""

    similarity: float = Field(
        description="cosine similarity to the nearest of `like`, -1 to 1; on a path, to the track "
        "before"
    )
    like: int = Field(0, description="which of `like` is the nearest, from 0; 0 on a path")
    tags: list[SharedTag] = Field([], description="tags that both have; the strongest first")
    moments: list[Moment] = Field([], description="segments of both that sound alike")


class Seed(BaseModel):
    """What was asked about: a track of the library, or a file that was sent."""

    id: str | None = Field(description="id of a track of the library; null for a file")
    name: str = Field(description="path below the library, or the name of the file")
    artist: str | None = None
    title: str | None = None


class SimilarTracks(BaseModel):
    """The answer: tracks, the best first, and where it comes from."""

    model_config = _examples(
        {
            "encoder": "encoders/mn04-audioset/0f1e2d3c4b5a69788796a5b4c3d2e1f0",
            "index": "recommendation_indexes/mn04-audioset/00112233445566778899aabbccddeeff",
            "like": [
                {"id": _AN_ID, "name": _TRACK["path"], "artist": "Kestrel", "title": "Harbour"}
            ],
            "tracks": [
                _TRACK
                | {
                    "id": "e8d7c6b5a4938271605f4e3d2c1b0a9f",
                    "path": "rock/Mira Vale - Glass.flac",
                    "artist": "Mira Vale",
                    "title": "Glass",
                    "similarity": 0.914,
                    "like": 0,
                    "tags": [{"tag": "Rock music", "seed": 0.71, "track": 0.64}],
                    "moments": [{"seed_start_s": 30.0, "track_start_s": 12.0, "similarity": 0.95}],
                }
            ],
            "shortfall": None,
            "cautions": [],
        }
    )

    encoder: str = Field(description="version of the encoder, as `melgraph audit` takes it")
    index: str = Field(description="version of the index, as `melgraph audit` takes it")
    like: list[Seed] = Field(description="what was asked about")
    tracks: list[SimilarTrack]
    shortfall: str | None = Field(
        description="why there are fewer tracks than were asked for; null if there are not"
    )
    cautions: list[str] = Field(
        [], description="what to know about the answer, such as that a file was used in part"
    )


class TrackList(BaseModel):
    """A page of the list of tracks."""

    total: int = Field(description="number of all tracks that fit the question")
    offset: int = Field(description="tracks before this page")
    tracks: list[Track]


class TagList(BaseModel):
    """The tags that explain similarities and that can be filtered by."""

    encoder: str = Field(
        description="version of the encoder that answers. Another encoder in service predicts the "
        "tags if this one predicts none"
    )
    tags: list[str] = Field(description="their names; empty if no encoder predicts tags")


class TagProbability(BaseModel):
    """A tag and its probability."""

    tag: str
    probability: float = Field(description="0 to 1")


class TrackTags(BaseModel):
    """The tags of one track."""

    encoder: str = Field(description="version of the encoder")
    track: Track
    tags: list[TagProbability] = Field(description="the most probable first")


class Health(BaseModel):
    """Whether the service is alive, and whether it can answer queries."""

    model_config = _examples({"status": "ok", "version": "0.1.0", "has_index": True})

    status: str = Field(description="`ok`: the service is alive")
    version: str = Field(description="of melgraph")
    has_index: bool = Field(description="whether there is an index to answer queries from")
