"""Errors of the service: one shape for all, the exceptions that lead to them, their description.

Every error says what happened, where, and what to do next, as the errors of the command line do.
Programs get it as JSON. A browser that asked for a page gets a page.
"""

import logging
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict, Field
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Match
from starlette.types import Scope

from melgraph.ml.audio import BadAudio
from melgraph.ml.errors import UserError
from melgraph.storage.errors import StorageError, UnusableKey

if TYPE_CHECKING:
    from melgraph.storage.home import Home

_LOG = logging.getLogger("melgraph.service")
RETRY_AFTER_S = 1  # what a client is asked to wait, if nothing else is known
PAGE_ADDRESSES = ("/pages", "/artifacts", "/library")
# Codes of `BadAudio` that say that the content is no sound that can be decoded.
_NOT_AUDIO = ("undecodable", "no-audio", "bitstream", "encrypted")


class Problem(BaseModel):
    """Why there is no answer: what happened, where, and what to do next."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "code": "unknown-track",
                    "what": "there is no track 'rock/none.flac' in the library",
                    "where": "track",
                    "remedy": "GET /tracks lists the tracks with their ids and paths",
                }
            ]
        }
    )

    code: str = Field(description="short and stable, for programs", examples=["unknown-track"])
    what: str = Field(description="what happened")
    where: str = Field(description="the parameter, header or file that is concerned")
    remedy: str = Field(description="what to do next")


class Refusal(HTTPException):
    """An error with an answer of its own.

    Args:
        status: the HTTP status.
        code: short and stable, in kebab-case; docs/service.md lists all codes.
        what: what happened.
        where: the parameter, header or file that is concerned.
        remedy: what to do next.
        headers: further headers of the answer.
    """

    def __init__(
        self,
        status: int,
        code: str,
        what: str,
        *,
        where: str,
        remedy: str,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(status, what, dict(headers or {}))
        self.problem = Problem(code=code, what=what, where=where, remedy=remedy)


def busy(
    what: str,
    *,
    code: str = "busy",
    where: str = "the service",
    retry_after_s: int = RETRY_AFTER_S,
) -> Refusal:
    """The refusal of a request that may succeed a little later."""
    return Refusal(
        503,
        code,
        what,
        where=where,
        remedy=f"try again after {retry_after_s} s, as the header Retry-After says",
        headers={"Retry-After": str(retry_after_s)},
    )


def refusal_of_audio(error: BadAudio) -> Refusal:
    """The refusal of a query file that cannot be used; its code is that of `BadAudio`."""
    return Refusal(
        415 if error.code in _NOT_AUDIO else 422,
        error.code,
        error.reason,
        where="file",
        remedy="send another file; docs/error-codes.md explains the code",
    )


OF_AUDIO = "those of docs/error-codes.md"
# The codes that each status can have, with what they mean: for the description of the service, and
# for docs/service.md, which a test compares with it.
CODES: dict[int, dict[str, str]] = {
    400: {
        "foreign-host": "the header Host names another machine",
        "invalid-body": "the body is no form with one file",
    },
    401: {"no-token": "the token is missing or wrong"},
    403: {"foreign-origin": "a web page of another origin sent a file"},
    404: {
        "unknown-track": "there is no such track",
        "deleted-track": "the file of the track was removed from the library",
        "not-in-index": "the track is not embedded yet, or is quarantined",
        "no-sound": "the file of the track is not playable any more",
        "unknown-encoder": "no encoder in service has this name",
        "unknown-tag": "the encoder that answers has no such tag",
        "unknown-value": "no track has the genre, or is by the artist",
        "unknown-address": "there is nothing at this address",
        "no-page": "there is no such page",
    },
    405: {"method-not-allowed": "the address does not take this method"},
    408: {"upload-too-slow": "the file did not arrive within the time limit"},
    409: {"unusable-index": "the index is damaged, or was made by another version of melgraph"},
    410: {"retired-encoder": "the encoder is no longer in service"},
    413: {"too-large": "the file is larger than the limit"},
    415: {OF_AUDIO: "the file is not audio that can be decoded"},
    422: {
        "invalid-request": "a parameter is missing, unknown or out of its range",
        OF_AUDIO: "the file is damaged, silent, too short, ...",
    },
    500: {"internal-error": "a fault of the service"},
    503: {
        "busy": "too many queries at once",
        "no-index": "there is no index yet",
        "broken-specs": "a TOML file of the home cannot be used",
        "storage": "a file of the home, or its bucket, cannot be read",
    },
    504: {"took-too-long": "the answer was not ready within the time limit"},
}


def describe_errors(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The errors that an endpoint can answer with, as FastAPI describes them in OpenAPI."""
    descriptions: dict[int | str, dict[str, Any]] = {}
    for status in sorted({*statuses, 400, 401, 500}):
        text = "; ".join(f"{code_text(code)}: {what}" for code, what in CODES[status].items())
        descriptions[status] = {"model": Problem, "description": text}
        if status == 503:
            wait = {"description": "seconds to wait", "schema": {"type": "integer", "minimum": 0}}
            descriptions[status]["headers"] = {"Retry-After": wait}
    return descriptions


def code_text(code: str) -> str:
    """A code as Markdown."""
    return code if code == OF_AUDIO else f"`{code}`"


def wants_page(scope: Scope) -> bool:
    """Whether the sender of a request reads HTML: it asks for a page, or says so."""
    path: str = scope["path"]
    is_page = path == "/" or any(
        path == address or path.startswith(f"{address}/") for address in PAGE_ADDRESSES
    )
    return is_page or "text/html" in Headers(scope=scope).get("accept", "")


def problem_response(
    scope: Scope, status: int, problem: Problem, headers: Mapping[str, str] | None = None
) -> Response:
    """An error as JSON, or as a page."""
    if wants_page(scope):
        return HTMLResponse(_page(problem), status, headers=headers)
    return JSONResponse(problem.model_dump(), status, headers=headers)


def refusal_response(scope: Scope, refusal: Refusal) -> Response:
    """The answer of a refusal."""
    return problem_response(scope, refusal.status_code, refusal.problem, refusal.headers)


def _page(problem: Problem) -> str:
    sentences = [f"{text[:1].upper()}{text[1:]}" for text in (problem.what, problem.remedy)]
    text = " ".join(text if text.endswith((".", "?")) else f"{text}." for text in sentences)
    page: str = _template().render(text=text)
    return page


@cache
def _template() -> Any:
    from jinja2 import Environment, FileSystemLoader

    folder = Path(__file__).parents[1] / "pages" / "templates"
    environment = Environment(loader=FileSystemLoader(folder), autoescape=True)
    return environment.get_template("missing.html")


def add_handlers(app: FastAPI, home: "Home") -> None:
    """Let an app answer every exception in the shape of `Problem`.

    Args:
        app: the service.
        home: its home; absolute paths of the home and of the library are not part of an answer.
    """

    paths = {str(home.root): "HOME", home.library: "LIBRARY"}

    # The handlers are coroutines: Starlette calls plain functions in a thread, and a busy service
    # refuses many requests.
    def without_paths(problem: Problem) -> Problem:
        values = problem.model_dump()
        for path, name in paths.items():
            pattern = re.escape(path) + r"(?=[/\s'\"),;:]|$)"
            values = {key: re.sub(pattern, name, text) for key, text in values.items()}
        return Problem(**values)

    async def on_http(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        if isinstance(error, Refusal):
            problem = without_paths(error.problem)
            return problem_response(request.scope, error.status_code, problem, error.headers)
        headers = dict(error.headers or {})
        if error.status_code == 405 and "GET, HEAD" not in headers.get("Allow", ""):
            headers["Allow"] = _methods_of_address(request)
        problem = _problem_of(request, error)
        return problem_response(request.scope, error.status_code, problem, headers)

    async def on_invalid(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        return problem_response(request.scope, 422, _problem_of_parameters(error))

    async def on_mistake(request: Request, error: Exception) -> Response:
        assert isinstance(error, UserError)
        problem = Problem(
            code="invalid-request", what=error.what, where=error.where, remedy=error.remedy
        )
        return problem_response(request.scope, 422, without_paths(problem))

    async def on_trouble(request: Request, error: Exception) -> Response:
        assert isinstance(error, StorageError)
        _LOG.warning("%s", error)
        problem = Problem(
            code="storage", what=error.what, where=str(error.where), remedy=error.remedy
        )
        headers = {"Retry-After": str(RETRY_AFTER_S)}
        return problem_response(request.scope, 503, without_paths(problem), headers)

    async def on_fault(request: Request, error: Exception) -> Response:
        problem = Problem(
            code="internal-error",
            what="the service failed to answer",
            where=request.url.path,
            remedy="look at the output of the service, and report the error",
        )
        return problem_response(request.scope, 500, problem)

    app.add_exception_handler(HTTPException, on_http)
    app.add_exception_handler(RequestValidationError, on_invalid)
    app.add_exception_handler(UnusableKey, _on_unusable_key)
    app.add_exception_handler(StorageError, on_trouble)
    app.add_exception_handler(UserError, on_mistake)
    app.add_exception_handler(Exception, on_fault)


async def _on_unusable_key(request: Request, error: Exception) -> Response:
    return problem_response(request.scope, 404, _nothing_here(request))


def _nothing_here(request: Request) -> Problem:
    return Problem(
        code="unknown-address",
        what="there is no page or file at this address"
        if wants_page(request.scope)
        else "there is nothing at this address",
        where=request.url.path,
        remedy="/openapi.json describes all addresses, / leads to the pages",
    )


def _methods_of_address(request: Request) -> str:
    """All methods of an address. Starlette names those of the first route only."""
    methods: set[str] = set()
    for route in request.app.routes:
        if route.matches(request.scope)[0] is not Match.NONE:
            methods |= getattr(route, "methods", None) or set()
    return ", ".join(sorted(methods))


def _problem_of(request: Request, error: HTTPException) -> Problem:
    """The problem of an exception that Starlette raised."""
    if error.status_code == 404:
        return _nothing_here(request)
    if error.status_code == 405:
        return Problem(
            code="method-not-allowed",
            what=f"this address does not take {request.method}",
            where=request.url.path,
            remedy="use one of the methods in the header Allow",
        )
    return Problem(
        code="invalid-body" if error.status_code == 400 else "invalid-request",
        what=str(error.detail),
        where="body" if error.status_code == 400 else request.url.path,
        remedy="send a form (multipart/form-data) with one part called `file`",
    )


def _problem_of_parameters(error: RequestValidationError) -> Problem:
    """All parameters that are wrong, in one problem."""
    places = [".".join(str(part) for part in item["loc"][1:]) for item in error.errors()]
    sentences = [
        f"{place or 'the request'}: {item['msg'].removeprefix('Value error, ')}"
        for place, item in zip(places, error.errors(), strict=True)
    ]
    return Problem(
        code="invalid-request",
        what="; ".join(sentences),
        where=", ".join(dict.fromkeys(places)),
        remedy="correct these parameters; /openapi.json describes all of them",
    )
