"""The addresses that a browser asks for: the pages, and the files that they link to.

Paths are those of the home, so that the relative links of the pages work. Nothing else of the home
(databases, catalogue, locks) and of the library is served.
"""

import mimetypes

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Mount, Route

from melgraph.assets.service.problems import Refusal
from melgraph.assets.service.site.artifacts import ShownArtifacts
from melgraph.assets.service.site.recordings import Recordings
from melgraph.assets.stage import ONE
from melgraph.assets.stages import PAGES
from melgraph.storage.artifacts import ArtifactStore

# Types that Python or the system may not know. A browser plays a file only if its type is audio.
_AUDIO_TYPES = {
    ".flac": "audio/flac",
    ".m4a": "audio/mp4",
    ".m4b": "audio/mp4",
    ".m4r": "audio/mp4",
    ".m4v": "audio/mp4",
    ".mka": "audio/x-matroska",
    ".mkv": "audio/x-matroska",
    ".mov": "audio/mp4",
    ".mp4": "audio/mp4",
    ".oga": "audio/ogg",
    ".ogg": "audio/ogg",
    ".opus": "audio/ogg",
    ".spx": "audio/ogg",
    ".3g2": "audio/3gpp2",
    ".3gp": "audio/3gpp",
    ".weba": "audio/webm",
    ".webm": "audio/webm",
    ".wv": "audio/x-wavpack",
}
ROUTE = "/pages/{name}.html"
_MAKE_PAGES = (
    "run the command “melgraph run”, or materialize the asset “pages” in the Dagster UI; then "
    "reload this page"
)


def page_routes(store: ArtifactStore, recordings: Recordings) -> list[BaseRoute]:
    """The routes of the pages.

    Args:
        store: the artifacts of the home.
        recordings: the tracks of its library.
    """
    for suffix, media_type in _AUDIO_TYPES.items():
        mimetypes.add_type(media_type, suffix)

    def open_page(request: Request) -> Response:
        name = request.path_params.get("name", "index")
        request.scope["melgraph_route"] = ROUTE
        current = store.current(PAGES.name, ONE)
        if current is None:
            raise _no_page("there are no pages yet", request, remedy=_MAKE_PAGES)
        if f"{name}.html" not in current.record.files:
            raise _no_page(
                f"there is no page called {name!r}",
                request,
                remedy="the overview (/) links to all pages",
            )
        return RedirectResponse(
            f"/artifacts/{current.reference}/{name}.html", headers={"Cache-Control": "no-store"}
        )

    return [
        Route("/", open_page),
        Route("/pages/", open_page),
        Route("/pages/{name}.html", open_page),
        Mount("/artifacts", ShownArtifacts(store)),
        Mount("/library", recordings),
    ]


def _no_page(what: str, request: Request, *, remedy: str) -> HTTPException:
    return Refusal(404, "no-page", what, where=request.url.path, remedy=remedy)
