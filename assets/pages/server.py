"""Serves the pages, the artifacts and the recordings of a home, read-only, on loopback.

The tree is that of the home, so the relative links of the pages hold; of everything else in the
home (databases, catalogue, locks) nothing is served.
"""

import mimetypes
import os
import threading
from collections import OrderedDict
from contextlib import ExitStack
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

from melgraph.storage.artifacts import ArtifactStore
from melgraph.storage.errors import BucketTrouble, UnusableKey
from melgraph.storage.home import Home
from melgraph.storage.library import Library
from melgraph.storage.location import is_bucket
from melgraph.storage.records import RECORD_NAME, Reference

RECORDINGS_KEPT = 32  # of a library in a bucket, in temporary files while the server runs
PAGES, EVERYTHING = "pages", "all"
# Where Python, or the system, does not know them: a browser plays only what it is told is audio.
_AUDIO_TYPES = {
    ".flac": "audio/flac",
    ".m4a": "audio/mp4",
    ".m4b": "audio/mp4",
    ".mka": "audio/x-matroska",
    ".oga": "audio/ogg",
    ".ogg": "audio/ogg",
    ".opus": "audio/ogg",
    ".webm": "audio/webm",
    ".wv": "audio/x-wavpack",
}


class Folder(StaticFiles):
    """A folder that may not be there yet: then nothing is found in it."""

    async def check_config(self) -> None:
        """Nothing to check."""


class Recordings(Folder):
    """The library: audio files only, as the catalogue lists them.

    Like the catalogue, it follows symbolic links to files, not to folders, and knows nothing that
    is hidden or is not audio.
    """

    def lookup_path(self, path: str) -> tuple[str, os.stat_result | None]:
        """The file a path means, or nothing."""
        from melgraph.ml.audio import AUDIO_SUFFIXES

        parts = Path(path).parts
        hidden = any(part.startswith(".") for part in parts)
        if hidden or not parts or Path(path).suffix.lower() not in AUDIO_SUFFIXES:
            return "", None
        root = os.path.realpath(str(self.directory))
        folder = os.path.join(root, *parts[:-1])  # noqa: PTH118 - as starlette speaks of paths
        if os.path.realpath(folder) != folder:
            return "", None
        full_path = os.path.join(folder, parts[-1])  # noqa: PTH118
        try:
            return full_path, os.stat(full_path)  # noqa: PTH116
        except OSError:
            return "", None


class FetchedArtifacts(Folder):
    """Artifacts of a bucket: fetched into the home's cache when they are first asked for."""

    def __init__(self, store: ArtifactStore) -> None:
        super().__init__(directory=store.root, check_dir=False)
        self.store = store

    def lookup_path(self, path: str) -> tuple[str, os.stat_result | None]:
        """The cached file a path means, or nothing. Runs in a thread."""
        asset, partition, version, *parts = [*path.split("/"), "", "", ""]
        name = "/".join(part for part in parts if part)
        if not name or not asset or asset.startswith("."):
            return "", None
        artifact = self.store.find(Reference(asset, partition, version))
        if artifact is None or name not in (*artifact.record.files, RECORD_NAME):
            return "", None
        file = artifact.folder / name
        return str(file), file.stat()


class FetchedRecordings(Folder):
    """The library in a bucket: the recordings played last, each fetched whole for its ranges."""

    def __init__(self, library: Library) -> None:
        super().__init__(check_dir=False)
        self.library = library
        self.fetched: OrderedDict[str, tuple[Path, ExitStack]] = OrderedDict()
        self.lock = threading.Lock()

    def lookup_path(self, path: str) -> tuple[str, os.stat_result | None]:
        """The fetched file a path means, or nothing. Runs in a thread."""
        from melgraph.ml.audio import AUDIO_SUFFIXES

        hidden = any(part.startswith(".") or not part for part in path.split("/"))
        if hidden or Path(path).suffix.lower() not in AUDIO_SUFFIXES:
            return "", None
        with self.lock:
            try:
                file = self._fetch(path)
            except OSError:
                return "", None
            return str(file), file.stat()

    def _fetch(self, path: str) -> Path:
        if path not in self.fetched:
            stack = ExitStack()
            self.fetched[path] = stack.enter_context(self.library.local(path)), stack
            if len(self.fetched) > RECORDINGS_KEPT:
                _, (_, oldest) = self.fetched.popitem(last=False)
                oldest.close()
        self.fetched.move_to_end(path)
        return self.fetched[path][0]


def build_app(home: Home) -> Starlette:
    """The server of a home's pages.

    Only requests addressed to a loopback name (or to the host of `MELGRAPH_PAGES_URL`) are
    answered: a web page of elsewhere cannot read the library by pointing its own name here.
    """
    from melgraph.assets.settings import pages_url

    for suffix, media_type in _AUDIO_TYPES.items():
        mimetypes.add_type(media_type, suffix)
    store = ArtifactStore(home)

    def open_page(request: Request) -> Response:
        name = request.path_params.get("name", "index")
        current = store.current(PAGES, EVERYTHING)
        if current is None:
            raise HTTPException(404, _NO_PAGES)
        if f"{name}.html" not in current.record.files:
            raise HTTPException(404, f"There is no page called {name!r}.")
        return RedirectResponse(
            f"/artifacts/{current.reference}/{name}.html", headers={"Cache-Control": "no-store"}
        )

    artifacts: Folder = Folder(directory=home.artifacts, check_dir=False)
    if store.bucket is not None:
        artifacts = FetchedArtifacts(store)
    recordings: Folder = Recordings(directory=home.library, check_dir=False)
    if is_bucket(home.library):
        recordings = FetchedRecordings(home.open_library())
    hosts = {"127.0.0.1", "localhost", "[::1]", "::1", urlsplit(pages_url()).hostname or ""}
    return Starlette(
        routes=[
            Route("/", open_page),
            Route("/pages/", open_page),
            Route("/pages/{name}.html", open_page),
            Mount("/artifacts", artifacts),
            Mount("/library", recordings),
        ],
        middleware=[Middleware(TrustedHostMiddleware, allowed_hosts=sorted(hosts))],
        exception_handlers={404: _not_found, UnusableKey: _not_found, BucketTrouble: _no_answer},
    )


_NO_PAGES = (
    "There are no pages yet. Make them with `melgraph run`, or materialize the asset `pages` in "
    "the Dagster UI; then reload."
)


def _not_found(request: Request, error: Exception) -> Response:
    detail = getattr(error, "detail", "")
    return _say("Nothing is served here." if detail in ("", "Not Found") else detail, 404)


def _no_answer(request: Request, error: Exception) -> Response:
    return _say(str(error), 503)


def _say(text: str, status: int) -> Response:
    from jinja2 import Environment, FileSystemLoader

    templates = FileSystemLoader(Path(__file__).parent / "templates")
    template = Environment(loader=templates, autoescape=True).get_template("missing.html")
    return HTMLResponse(template.render(text=text), status_code=status)
