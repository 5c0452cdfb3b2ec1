"""Serves the files of artifacts that people may see, and no other file of the home.

Served are the pages and what they show: the inputs of the current pages, and the current versions
of the same kinds of assets. An artifact is served as it was committed: only the files that its
record names, and none that a symbolic link leads out of its folder.
"""

import os
import threading
import time
from collections import OrderedDict

from starlette.staticfiles import StaticFiles
from starlette.types import Receive, Scope, Send

from melgraph.assets.service.indexes import BUCKET_LOOK_S
from melgraph.assets.stage import ONE
from melgraph.assets.stages import PAGES, SHOWN_STAGES
from melgraph.storage.artifacts import Artifact, ArtifactStore
from melgraph.storage.records import Reference

ROUTE = "/artifacts/{path}"
CACHED_RECORDS = 256  # artifacts whose record the server keeps


class ShownArtifacts(StaticFiles):
    """The files of artifacts that people may see, in the home or in a bucket.

    An artifact in a bucket is fetched into the cache of the home on its first request.
    """

    def __init__(self, store: ArtifactStore) -> None:
        super().__init__(directory=store.root, check_dir=False)
        self.store = store
        self._artifacts: OrderedDict[Reference, Artifact] = OrderedDict()
        self._shown: tuple[Reference | None, frozenset[Reference]] = (None, frozenset())
        self._current: dict[tuple[str, str], tuple[float, Reference | None]] = {}
        self._lock = threading.Lock()

    async def check_config(self) -> None:
        """Skip the check that the folder exists: there may be no artifact yet."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request. The metrics count it by the template of its address."""
        scope["melgraph_route"] = ROUTE
        await super().__call__(scope, receive, send)

    def lookup_path(self, path: str) -> tuple[str, os.stat_result | None]:
        """The file at a path; empty if it is not served. Runs in a thread."""
        asset, partition, version, *parts = [*path.split("/"), "", "", ""]
        name = "/".join(part for part in parts if part)
        if not name or (asset != PAGES.name and asset not in SHOWN_STAGES):
            return "", None
        reference = Reference(asset, partition, version)
        if asset != PAGES.name and not self._is_shown(reference):
            return "", None
        artifact = self._artifact(reference)
        if artifact is None or name not in artifact.record.files:
            return "", None
        folder = artifact.folder  # fetched, if it is in a bucket
        file = folder / name
        try:
            is_inside = file.resolve(strict=True).is_relative_to(folder.resolve())
            return (str(file), file.stat()) if is_inside else ("", None)
        except (OSError, RuntimeError):  # removed by hand; links in a circle
            return "", None

    def _is_shown(self, reference: Reference) -> bool:
        if reference in self._inputs_of_pages():
            return True
        return self._current_reference(reference.asset, reference.partition) == reference

    def _inputs_of_pages(self) -> frozenset[Reference]:
        pages = self._current_reference(PAGES.name, ONE)
        if pages is None:
            return frozenset()
        shown_pages, inputs = self._shown
        if shown_pages != pages:
            artifact = self._artifact(pages)
            inputs = frozenset(artifact.record.spec.inputs if artifact is not None else ())
            self._shown = pages, inputs
        return inputs

    def _current_reference(self, asset: str, partition: str) -> Reference | None:
        """The current version. That of a bucket is asked for again after some seconds."""
        if self.store.bucket is None:
            return self.store.current_reference(asset, partition)
        key, now_s = (asset, partition), time.monotonic()
        last_look_s, reference = self._current.get(key, (float("-inf"), None))
        if now_s - last_look_s > BUCKET_LOOK_S:
            reference = self.store.current_reference(asset, partition)
            if len(self._current) > CACHED_RECORDS:
                self._current.clear()
            self._current[key] = now_s, reference
        return reference

    def _artifact(self, reference: Reference) -> Artifact | None:
        """The committed artifact. A record never changes, so the last ones are kept."""
        with self._lock:
            if reference in self._artifacts:
                self._artifacts.move_to_end(reference)
                return self._artifacts[reference]
        artifact = self.store.find(reference)
        if artifact is not None:
            with self._lock:
                self._artifacts[reference] = artifact
                if len(self._artifacts) > CACHED_RECORDS:
                    self._artifacts.popitem(last=False)
        return artifact
