"""The indexes that queries are answered from: each is opened once, and replaced by a newer one.

Every request looks whether its index is still the current one, which reads a few small files. If it
is not, one thread opens the new index. The other requests are answered from the old one until then.
"""

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import polars as pl

from melgraph.assets.context import Context
from melgraph.assets.library.live import library_state
from melgraph.assets.recommendations.queries import Recommender
from melgraph.assets.service.problems import Refusal, busy
from melgraph.assets.stages import RECOMMENDATION_INDEXES
from melgraph.ml.errors import UserError
from melgraph.storage.artifacts import ArtifactStore
from melgraph.storage.errors import StorageError

_LOG = logging.getLogger("melgraph.service")
BUCKET_LOOK_S = 5.0  # a look at a bucket is a request: one in so many seconds is enough
Opener = Callable[[Context, str | None], Recommender]
NO_INDEX_S = 10  # after which a client may look whether there is an index
RETRY_S = 10.0  # after a new index could not be opened
_Stamp = tuple[tuple[str, int, int], ...]


@dataclass(frozen=True)
class OpenedIndex:
    """An opened index, and the state of the home at that time.

    Attributes:
        recommender: answers the queries.
        context: the context with which it was opened.
        library: changes of the library that the catalogue knew.
    """

    recommender: Recommender
    context: Context
    library: dict[str, Any]

    @cached_property
    def tracks(self) -> pl.DataFrame:
        """The tracks that can be recommended, sorted by path."""
        return self.recommender.tracks.sort("path")

    @cached_property
    def _ids(self) -> pl.Series:
        return self.recommender.tracks["track_id"].sort()

    @property
    def n_tracks(self) -> int:
        """The number of tracks that can be recommended."""
        return len(self._ids)

    def holds(self, track_id: str) -> bool:
        """Whether a track is in the index."""
        row = self._ids.search_sorted(track_id)
        return row < len(self._ids) and self._ids[row] == track_id


@dataclass
class _Slot:
    """The index of one encoder, and the lock of the thread that opens it.

    Attributes:
        index: None before the first query.
        last_look_s: when it was last seen to be the current one.
        catalogue: size and time of the catalogue then.
        retry_at_s: when to try again, after a new index could not be opened.
        opening: held by the thread that opens an index.
    """

    index: OpenedIndex | None = None
    last_look_s: float = 0.0
    catalogue: _Stamp = ()
    retry_at_s: float = 0.0
    opening: threading.Lock = field(default_factory=threading.Lock)


class Indexes:
    """The current index of each encoder in service. All methods can be called by many threads.

    Args:
        store: the artifacts of the home.
        opener: opens the index of an encoder, or of the encoder to use by default (None).
    """

    def __init__(self, store: ArtifactStore, opener: Opener = Recommender.open) -> None:
        self._store, self._opener = store, opener
        self._look_s = 0.0 if store.bucket is None else BUCKET_LOOK_S
        self._slots: dict[str | None, _Slot] = {}
        self._lock = threading.Lock()
        self._context: Context | None = None
        self._stamp: _Stamp = ()

    def open_indexes(self) -> list[OpenedIndex]:
        """The indexes that are open now, each once."""
        with self._lock:
            indexes = [slot.index for slot in self._slots.values() if slot.index is not None]
        return list({str(index.recommender.index): index for index in indexes}.values())

    def exist(self) -> bool:
        """Whether there is an index to answer from."""
        try:
            return bool(self.open_indexes()) or self._has_index(None, self._context_now())
        except Refusal:
            return False

    def current(self, encoder: str | None = None) -> OpenedIndex:
        """The current index of an encoder.

        Args:
            encoder: its name; None for the encoder that answers by default.

        Raises:
            Refusal: there is no such encoder (404), it is retired (410), or it has no index (503).
        """
        context = self._context_now()
        if encoder is not None and encoder not in context.specs.in_service:
            with self._lock:
                self._slots.pop(encoder, None)  # its memory is free again
            raise self._refusal_of_encoder(encoder, context)
        with self._lock:
            slot = self._slots.setdefault(encoder, _Slot())
        index = slot.index
        if index is not None and self._is_current(slot, index, context):
            return index
        if index is not None and time.monotonic() < slot.retry_at_s:
            return index
        # The first request has to wait; later ones use the old index while one thread opens.
        if not slot.opening.acquire(blocking=index is None):
            assert index is not None
            return index
        try:
            return self._replace(slot, encoder, context)
        finally:
            slot.opening.release()

    def _is_current(self, slot: _Slot, index: OpenedIndex, context: Context) -> bool:
        if index.context is not context:
            return False
        now_s = time.monotonic()
        if now_s - slot.last_look_s < self._look_s:
            return True
        stamp = _stamp_of(self._store.home.catalogue)
        if stamp != slot.catalogue and library_state(context.catalogue) != index.library:
            return False  # a scan has recorded that files were moved, deleted or retagged
        if not index.recommender.is_current():
            return False
        slot.last_look_s, slot.catalogue = now_s, stamp
        return True

    def _replace(self, slot: _Slot, encoder: str | None, context: Context) -> OpenedIndex:
        old = slot.index
        if old is not None and self._is_current(slot, old, context):  # another thread was faster
            return old
        stamp = _stamp_of(self._store.home.catalogue)
        try:
            library = library_state(context.catalogue) if stamp else {}
            new = self._opener(context, encoder)
        except (UserError, StorageError, ValueError) as error:
            if not self._has_index(encoder, context):
                slot.index = None
                raise _no_index(encoder) from error
            if old is None:
                raise _unusable(error) from error
            _LOG.warning("the new index cannot be opened, the old one answers: %s", error)
            slot.retry_at_s = time.monotonic() + RETRY_S
            return old
        if old is not None:
            _LOG.info("index %s replaces %s", new.index, old.recommender.index)
        slot.index = self._once(OpenedIndex(new, context, library))
        slot.last_look_s, slot.catalogue = time.monotonic(), stamp
        return slot.index

    def _once(self, new: OpenedIndex) -> OpenedIndex:
        """The same index of another slot: the default encoder can be asked for by its name, too."""
        for other in self.open_indexes():
            same_library = other.context is new.context and other.library == new.library
            if same_library and other.recommender.index == new.recommender.index:
                return other
        return new

    def _has_index(self, encoder: str | None, context: Context) -> bool:
        names = context.specs.in_service if encoder is None else [encoder]
        asset = RECOMMENDATION_INDEXES.name
        return any(self._store.current_reference(asset, name) is not None for name in names)

    def _refusal_of_encoder(self, encoder: str, context: Context) -> Refusal:
        others = ", ".join(context.specs.in_service) or "none"
        if encoder in self._store.partitions(RECOMMENDATION_INDEXES.name):
            return Refusal(
                410,
                "retired-encoder",
                f"the encoder {encoder!r} is no longer in service",
                where="encoder",
                remedy=f"use an encoder in service: {others}",
            )
        return Refusal(
            404,
            "unknown-encoder",
            f"there is no encoder {encoder!r} in service",
            where="encoder",
            remedy=f"use an encoder in service: {others}",
        )

    def _context_now(self) -> Context:
        """The context of the home; its TOML files are read again if an encoder's file changed."""
        stamp = self._stamp_of_encoders()
        with self._lock:
            if self._context is None:
                try:
                    self._context = Context.open(self._store.home)
                except UserError as error:
                    raise Refusal(
                        503, "broken-specs", error.what, where=error.where, remedy=error.remedy
                    ) from error
            elif stamp != self._stamp:
                try:
                    self._context = Context.open(self._store.home)
                except UserError as error:
                    _LOG.warning("the TOML files as they were are used: %s", error)
            self._stamp = stamp
            return self._context

    def _stamp_of_encoders(self) -> _Stamp:
        specs = self._store.home.specs
        return _stamp_of(specs / "encoders.toml", *sorted((specs / "encoders").glob("*.toml")))


def _stamp_of(*paths: Path) -> _Stamp:
    """Name, time and size of each file that exists. It differs if one of them was written."""
    stamp = []
    for path in paths:
        try:
            status = path.stat()
        except OSError:
            continue
        stamp.append((path.name, status.st_mtime_ns, status.st_size))
    return tuple(stamp)


def _unusable(error: UserError | StorageError | ValueError) -> Refusal:
    """The refusal of a query whose index cannot be opened."""
    if isinstance(error, ValueError):
        what, where = f"the index cannot be read ({error})", "the index"
        remedy = "run `melgraph run --refresh`, which makes it anew"
    else:
        what, where, remedy = error.what, str(error.where), error.remedy
    return Refusal(409, "unusable-index", what, where=where, remedy=remedy)


def _no_index(encoder: str | None) -> Refusal:
    of_encoder = "" if encoder is None else f" of the encoder {encoder!r}"
    return busy(
        f"there is no index{of_encoder} yet; `melgraph run` makes it",
        code="no-index",
        where="the home",
        retry_after_s=NO_INDEX_S,
    )
