"""The addresses of the service for programs: what OpenAPI describes."""

from collections.abc import Callable
from importlib.metadata import version
from typing import Annotated

from fastapi import APIRouter, Path, Query, UploadFile
from fastapi.responses import PlainTextResponse
from fastapi.routing import APIRoute
from pydantic import BaseModel
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from melgraph.assets.service import answers, schema
from melgraph.assets.service.gate import GatedRoute
from melgraph.assets.service.metrics import CONTENT_TYPE
from melgraph.assets.service.problems import Refusal, describe_errors
from melgraph.assets.service.state import Service

QUERIES, LIBRARY, OPERATION = "queries", "library", "operation"
TAGS = [
    {"name": QUERIES, "description": "Similar tracks, and why they are similar."},
    {"name": LIBRARY, "description": "The tracks of the library, their tags and their sound."},
    {"name": OPERATION, "description": "For those who run the service."},
]
TrackId = Annotated[
    str,
    Path(
        pattern=f"^{schema.TRACK_ID}$",
        description="id of a track: 32 hexadecimal digits. GET /tracks?path=PATH finds the id of "
        "a path",
    ),
]


def _operation_id(route: APIRoute) -> str:
    return route.name


gate_router = APIRouter(route_class=GatedRoute, generate_unique_id_function=_operation_id)
plain_router = APIRouter(generate_unique_id_function=_operation_id)
_OF_QUERIES = (404, 409, 410, 422, 503, 504)


def _service(request: Request) -> Service:
    service: Service = request.app.state.service
    return service


async def _compute(request: Request, function: Callable[[Service], BaseModel]) -> Response:
    """What a function answers, computed and written as JSON in a thread behind the gate."""
    service = _service(request)
    json = await request.state.place.run(lambda: function(service).model_dump_json())
    return Response(json, media_type="application/json")


@gate_router.get(
    "/similar",
    tags=[QUERIES],
    response_model=schema.SimilarTracks,
    responses=describe_errors(*_OF_QUERIES),
)
async def similar_tracks(
    request: Request, question: Annotated[schema.SimilarQuestion, Query()]
) -> Response:
    """Tracks like one or several tracks of the library, the best first, with reasons.

    The order can differ from that of `similarity`: tracks that are near to very many others come
    later. An answer has `k` tracks, or says in `shortfall` why there are fewer. The tracks that
    were asked about, and copies of their recordings, are never part of it.
    """
    return await _compute(
        request, lambda service: answers.similar(service, question, question.track)
    )


@gate_router.post(
    "/similar",
    tags=[QUERIES],
    response_model=schema.SimilarTracks,
    responses=describe_errors(403, 408, 413, 415, *_OF_QUERIES),
)
async def similar_to_file(
    request: Request,
    file: UploadFile,
    question: Annotated[schema.SimilarToFile, Query()],
) -> Response:
    """Tracks like an audio file that is sent, the best first, with reasons.

    The file is not stored. Of a long file, the first minutes are used, and `cautions` says so. A
    file that cannot be used is refused with its code of docs/error-codes.md.
    """

    def answer(service: Service) -> schema.SimilarTracks:
        with service.uploads.decode(file.file) as upload:
            name = file.filename or "the file"
            return answers.similar(service, question, question.track, upload, name)

    return await _compute(request, answer)


@gate_router.get(
    "/path",
    tags=[QUERIES],
    response_model=schema.SimilarTracks,
    responses=describe_errors(*_OF_QUERIES),
)
async def path_between_tracks(
    request: Request, question: Annotated[schema.PathQuestion, Query()]
) -> Response:
    """Tracks that lead from one track to another, each similar to the one before it."""
    return await _compute(request, lambda service: answers.path(service, question))


@gate_router.get(
    "/tracks",
    tags=[LIBRARY],
    response_model=schema.TrackList,
    responses=describe_errors(*_OF_QUERIES),
)
async def list_tracks(
    request: Request, question: Annotated[schema.TracksQuestion, Query()]
) -> Response:
    """The tracks that can be asked about, sorted by path."""
    return await _compute(request, lambda service: answers.tracks(service, question))


@gate_router.get(
    "/tags",
    tags=[LIBRARY],
    response_model=schema.TagList,
    responses=describe_errors(*_OF_QUERIES),
)
async def list_tags(
    request: Request, question: Annotated[schema.EncoderChoice, Query()]
) -> Response:
    """The names of the tags that explain similarities and that can be filtered by."""
    return await _compute(request, lambda service: answers.tags(service, question))


@gate_router.get(
    "/tags/{track}",
    tags=[LIBRARY],
    response_model=schema.TrackTags,
    responses=describe_errors(*_OF_QUERIES),
)
async def tags_of_track(
    request: Request, track: TrackId, question: Annotated[schema.EncoderChoice, Query()]
) -> Response:
    """The tags of one track, the most probable first."""
    return await _compute(request, lambda service: answers.tags_of(service, track, question))


_ANY = "application/octet-stream"  # a sound whose type the suffix of its name does not tell
_BINARY = {"schema": {"type": "string", "format": "binary"}}
_SOUND = {"audio/*": _BINARY, _ANY: _BINARY}


@plain_router.get(
    "/audio/{track}",
    tags=[LIBRARY],
    response_class=Response,
    responses={
        200: {"content": _SOUND, "description": "the file, as it is in the library"},
        206: {"content": _SOUND, "description": "the part that `Range` asks for"},
        416: {"description": "the file has no such part"},
        **describe_errors(404, 422),
    },
)
async def audio_of_track(request: Request, track: TrackId) -> Response:
    """The sound of a good track. `Range` asks for a part of it, so that players can seek."""
    service = _service(request)
    path = await run_in_threadpool(service.tracks.path_of, track, "track")
    try:
        response: Response = await request.app.state.recordings.get_response(path, request.scope)
    except HTTPException as error:
        if error.status_code != 404:
            raise
        raise Refusal(
            404,
            "no-sound",
            f"the file {path!r} is quarantined, or does not hold the sound of this track any more",
            where="track",
            remedy="run `melgraph run`, which looks at the library again",
        ) from None
    if not response.headers["content-type"].startswith("audio/"):
        response.headers["content-type"] = _ANY
    return response


plain_router.add_api_route(
    "/audio/{track}", audio_of_track, methods=["HEAD"], include_in_schema=False
)


@plain_router.get("/healthz", tags=[OPERATION], responses=describe_errors())
async def health(request: Request) -> schema.Health:
    """Whether the service is alive. Needs no token, and says nothing about the library."""
    has_index = await run_in_threadpool(_service(request).indexes.exist)
    return schema.Health(status="ok", version=version("melgraph"), has_index=has_index)


@plain_router.get(
    "/metrics",
    tags=[OPERATION],
    response_class=PlainTextResponse,
    responses=describe_errors(),
)
async def metrics(request: Request) -> Response:
    """Counts and durations of requests, size and age of the indexes, for Prometheus."""
    text = await run_in_threadpool(_service(request).metrics.text)
    return Response(text, media_type=CONTENT_TYPE)
