"""The service of a home: queries, pages, artifacts and recordings, read-only, in one app."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version
from typing import Any
from urllib.parse import urlsplit

from fastapi import FastAPI
from starlette.middleware import Middleware

from melgraph.assets.service.access import LOOPBACK_NAMES, AccessChecks
from melgraph.assets.service.endpoints import TAGS, gate_router, plain_router
from melgraph.assets.service.metrics import RequestCounter
from melgraph.assets.service.problems import add_handlers
from melgraph.assets.service.site.pages import page_routes
from melgraph.assets.service.site.recordings import Recordings
from melgraph.assets.service.state import Service, ServiceSettings
from melgraph.assets.settings import pages_url
from melgraph.storage.home import Home

_DESCRIPTION = """\
Similar tracks of a music library, with reasons; its tracks, tags and sound. All answers are
read-only. The pages of the library are at `/`.

Every error has one shape: a code for programs, what happened, where, and what to do next."""


def build_app(
    home: Home, settings: ServiceSettings | None = None, *, service: Service | None = None
) -> FastAPI:
    """The service of a home.

    It answers only requests to a loopback name, to the host of `MELGRAPH_PAGES_URL`, to a name of
    the settings, or to the address at which they arrive. Otherwise a foreign web page could read
    the library, if its own host name pointed to this machine.

    Args:
        home: the home that is served. Nothing is written into it.
        settings: who may ask, and how much; None for the defaults.
        service: what the endpoints work with; None to make it from the home and the settings.
    """
    service = service or Service(home, settings or ServiceSettings())
    settings = service.settings
    hosts = {*LOOPBACK_NAMES, *settings.hosts, urlsplit(pages_url()).hostname or ""} - {""}
    recordings = Recordings(home, service.tracks)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        yield
        service.close()
        recordings.close()

    app = FastAPI(
        title="melgraph",
        summary="Similar tracks of a music library, with reasons.",
        description=_DESCRIPTION,
        version=version("melgraph"),
        license_info={"name": "Apache-2.0", "identifier": "Apache-2.0"},
        openapi_tags=TAGS,
        docs_url=None,  # these pages would load scripts from another host
        redoc_url=None,
        redirect_slashes=False,
        lifespan=lifespan,
        middleware=[
            Middleware(RequestCounter, metrics=service.metrics),
            Middleware(AccessChecks, hosts=hosts, token=settings.token),
        ],
    )
    app.state.service, app.state.recordings = service, recordings
    add_handlers(app, home)
    app.router.routes += [
        *gate_router.routes,
        *plain_router.routes,
        *page_routes(service.store, recordings),
    ]
    if settings.token is not None:
        _describe_token(app)
    return app


def _describe_token(app: FastAPI) -> None:
    """Let the description say that a token is needed."""
    describe = app.openapi

    def described() -> dict[str, Any]:
        document = describe()
        schemes = document.setdefault("components", {}).setdefault("securitySchemes", {})
        schemes["token"] = {"type": "http", "scheme": "bearer"}
        document["security"] = [{"token": []}]
        document["paths"]["/healthz"]["get"]["security"] = []
        return document

    app.openapi = described  # type: ignore[method-assign]
