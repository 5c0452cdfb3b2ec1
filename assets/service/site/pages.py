"""Serves the pages, the artifacts and the tracks of a home, read-only, on loopback.

Paths are those of the home, so that the relative links of the pages work. Nothing else of the home
(databases, catalogue, locks) and of the library is served.
"""

import mimetypes
import os
from pathlib import Path
from urllib.parse import urlsplit

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from melgraph.assets.service.site.recordings import Recordings
from melgraph.assets.stage import ONE
from melgraph.assets.stages import PAGES
from melgraph.storage.artifacts import ArtifactStore
from melgraph.storage.errors import StorageError, UnusableKey
from melgraph.storage.home import Home
from melgraph.storage.records import RECORD_NAME, Reference

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


class Folder(StaticFiles):
    """A folder that may not exist yet. Until then, it serves nothing."""

    async def check_config(self) -> None:
        """Skip the check that the folder exists."""


class FetchedArtifacts(Folder):
    """Artifacts in a bucket. Each is fetched into the cache of the home on its first request."""

    def __init__(self, store: ArtifactStore) -> None:
        super().__init__(directory=store.root, check_dir=False)
        self.store = store

    def lookup_path(self, path: str) -> tuple[str, os.stat_result | None]:
        """The cached file at a path; empty if it is not served. Runs in a thread."""
        asset, partition, version, *parts = [*path.split("/"), "", "", ""]
        name = "/".join(part for part in parts if part)
        if not name or not asset or asset.startswith("."):
            return "", None
        artifact = self.store.find(Reference(asset, partition, version))
        if artifact is None or name not in (*artifact.record.files, RECORD_NAME):
            return "", None
        file = artifact.folder / name
        return str(file), file.stat()


def build_app(home: Home) -> Starlette:
    """The server of a home's pages.

    It answers only requests to a loopback name or to the host of `MELGRAPH_PAGES_URL`. Otherwise a
    foreign web page could read the library, if its own host name pointed to this machine.
    """
    from melgraph.assets.settings import pages_url

    for suffix, media_type in _AUDIO_TYPES.items():
        mimetypes.add_type(media_type, suffix)
    store = ArtifactStore(home)

    def open_page(request: Request) -> Response:
        name = request.path_params.get("name", "index")
        current = store.current(PAGES.name, ONE)
        if current is None:
            raise HTTPException(404, _NO_PAGES)
        if f"{name}.html" not in current.record.files:
            raise HTTPException(
                404, f"There is no page called {name!r}. The overview links to all pages."
            )
        return RedirectResponse(
            f"/artifacts/{current.reference}/{name}.html", headers={"Cache-Control": "no-store"}
        )

    artifacts: Folder = Folder(directory=home.artifacts, check_dir=False)
    if store.bucket is not None:
        artifacts = FetchedArtifacts(store)
    hosts = {"127.0.0.1", "localhost", "[::1]", "::1", urlsplit(pages_url()).hostname or ""}
    return Starlette(
        routes=[
            Route("/", open_page),
            Route("/pages/", open_page),
            Route("/pages/{name}.html", open_page),
            Mount("/artifacts", artifacts),
            Mount("/library", Recordings(store)),
        ],
        middleware=[Middleware(TrustedHostMiddleware, allowed_hosts=sorted(hosts))],
        exception_handlers={404: _not_found, UnusableKey: _not_found, StorageError: _no_answer},
    )


_NO_PAGES = (
    "There are no pages yet. Run the command “melgraph run”, or materialize the asset “pages” in "
    "the Dagster UI. Then reload this page."
)


def _not_found(request: Request, error: Exception) -> Response:
    detail = getattr(error, "detail", "")
    return _error_page(
        "There is no page or file at this address." if detail in ("", "Not Found") else detail, 404
    )


def _no_answer(request: Request, error: Exception) -> Response:
    return _error_page(str(error), 503)


def _error_page(text: str, status: int) -> Response:
    from jinja2 import Environment, FileSystemLoader

    templates = FileSystemLoader(Path(__file__).parents[2] / "pages" / "templates")
    template = Environment(loader=templates, autoescape=True).get_template("missing.html")
    return HTMLResponse(template.render(text=text), status_code=status)
