"""Serves the recordings of the library: good tracks of the catalogue, and nothing else.

A library can hold a symbolic link to any file of the machine, and a file can be replaced after it
was ingested. Therefore the path must be that of a good track, and the content must be audio now.
A worker process looks at the content, because a decoder may crash or hang.
"""

import os
import threading
from collections import OrderedDict
from contextlib import ExitStack
from pathlib import Path

from starlette.staticfiles import StaticFiles
from starlette.types import Receive, Scope, Send

from melgraph.assets.service.problems import busy
from melgraph.assets.service.tracks import NamedTracks
from melgraph.ml.workers import IsolatedFunction, NoWorker
from melgraph.storage.home import Home
from melgraph.storage.location import is_bucket

ROUTE = "/library/{path}"

CACHED_RECORDINGS = 32  # temporary files that the server keeps of a library in a bucket
CHECKED_FILES = 10_000  # files whose content the server remembers to be audio or not
CHECK_LIMIT_S = 20.0  # seconds after which a decoder is stopped
CHECKED_SECONDS = 0.1  # of the audio, decoded to see whether a file is audio


class Recordings(StaticFiles):
    """The good tracks of a library, in a folder or in a bucket.

    From a bucket, whole files are fetched, because players request ranges. The most recently played
    files are kept while the server runs.
    """

    def __init__(self, home: Home, tracks: NamedTracks) -> None:
        super().__init__(check_dir=False)
        self.tracks, self.library = tracks, home.open_library()
        self.in_bucket = is_bucket(home.library)
        self.fetched: OrderedDict[str, tuple[Path, ExitStack]] = OrderedDict()
        self.checked: OrderedDict[tuple[object, ...], bool] = OrderedDict()
        self.lock = threading.Lock()
        self.decodes = IsolatedFunction(
            _decodes, workers=1, time_limit_s=CHECK_LIMIT_S, preload=("melgraph.ml.audio",)
        )

    def close(self) -> None:
        """End the worker process, and remove temporary files. The next request needs them anew."""
        self.decodes.close()
        with self.lock:
            while self.fetched:
                _, (_, stack) = self.fetched.popitem()
                stack.close()

    async def check_config(self) -> None:
        """Skip the check that a folder exists."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request. The metrics count it by the template of its address."""
        scope["melgraph_route"] = ROUTE
        await super().__call__(scope, receive, send)

    def lookup_path(self, path: str) -> tuple[str, os.stat_result | None]:
        """The file of a track; empty if it is not served. Runs in a thread."""
        if not self.tracks.is_good(path):
            return "", None
        try:
            file = self._fetch(path) if self.in_bucket else Path(self.library.where(path))
            status = file.stat()
        except OSError:
            return "", None
        return (str(file), status) if self._is_audio(file, status) else ("", None)

    def _is_audio(self, file: Path, status: os.stat_result) -> bool:
        """Whether the first samples of a file can be decoded; remembered until it changes."""
        key = (str(file), status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)
        with self.lock:
            is_audio = self.checked.get(key)
        if is_audio is None:
            try:
                is_audio = self.decodes(file).value is True
            except NoWorker as error:
                raise busy("no process to look at the file could be started") from error
            with self.lock:
                self.checked[key] = is_audio
                if len(self.checked) > CHECKED_FILES:
                    self.checked.popitem(last=False)
        return is_audio

    def _fetch(self, path: str) -> Path:
        with self.lock:
            if path not in self.fetched:
                stack = ExitStack()
                self.fetched[path] = stack.enter_context(self.library.local(path)), stack
                if len(self.fetched) > CACHED_RECORDINGS:
                    _, (_, oldest) = self.fetched.popitem(last=False)
                    oldest.close()
            self.fetched.move_to_end(path)
            return self.fetched[path][0]


def _decodes(file: Path) -> bool:
    from melgraph.ml.audio import BadAudio, decode

    try:
        return len(decode(file, max_seconds=CHECKED_SECONDS).samples) > 0
    except BadAudio:
        return False
