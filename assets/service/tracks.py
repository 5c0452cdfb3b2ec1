"""The tracks that a request names: by id, or by path below the library.

The catalogue is asked each time, so that a track that a scan has not found any more is not served.
"""

import re

import polars as pl

from melgraph.assets.library.tracks import GOOD, Tracks
from melgraph.assets.service.problems import Refusal
from melgraph.assets.service.schema import TRACK_ID
from melgraph.assets.stages import TRACKS
from melgraph.storage.artifacts import ArtifactStore
from melgraph.storage.catalogue import Catalogue, PathState

_ID = re.compile(TRACK_ID)
_REMEDY = "GET /tracks lists the tracks with their ids and paths"


class NamedTracks:
    """Looks up tracks in the catalogue. Writes nothing, and creates no catalogue."""

    def __init__(self, store: ArtifactStore) -> None:
        self._store = store
        self._catalogue = Catalogue(store.home.catalogue)

    def track_id(self, name: str, where: str) -> str:
        """The id of a track that the library has now.

        Args:
            name: an id, or a path below the library.
            where: the parameter, for the error message.

        Raises:
            Refusal: there is no such track, or its file was removed (404).
        """
        if _ID.fullmatch(name):
            self.path_of(name, where)
            return name
        if not self._catalogue.path.is_file():
            raise _unknown(name, where)
        state = self._catalogue.live_file(name)
        if state is None:
            if name in self._catalogue.missing_paths():
                raise _deleted(name, where)
            raise _unknown(name, where)
        if state.track_id is None:
            raise not_in_index(name, where)
        return state.track_id

    def path_of(self, track_id: str, where: str) -> str:
        """The path at which a track is now.

        Raises:
            Refusal: there is no such track, or its file was removed (404).
        """
        if not self._catalogue.path.is_file():
            raise _unknown(track_id, where)
        paths = self._catalogue.locations(track_id)
        for path in paths:
            state = self._catalogue.live_file(path)
            if state is not None and state.track_id == track_id:
                return path
        if paths:
            raise _deleted(track_id, where, last_path=paths[0])
        raise _unknown(track_id, where)

    def is_good(self, path: str) -> bool:
        """Whether a path of the library holds a track that was ingested without a problem."""
        if not self._catalogue.path.is_file():  # opening it would create an empty one
            return False
        state: PathState | None = self._catalogue.live_file(path)
        if state is None:
            return False
        tracks = self._store.current(TRACKS.name, state.batch)
        if tracks is None:  # registered, but not ingested yet
            return False
        of_file = GOOD & (pl.col("path") == state.origin)
        return Tracks(self._store, tracks).part(["path"], of_file).height > 0


def not_in_index(name: str, where: str) -> Refusal:
    """The refusal of a track of the library that the index does not hold."""
    return Refusal(
        404,
        "not-in-index",
        f"the track {name!r} is not in the index: it is not embedded yet, or is quarantined",
        where=where,
        remedy="run `melgraph run` to embed new tracks; GET /tracks lists those in the index",
    )


def _unknown(name: str, where: str) -> Refusal:
    return Refusal(
        404,
        "unknown-track",
        f"there is no track {name!r} in the library",
        where=where,
        remedy=_REMEDY,
    )


def _deleted(name: str, where: str, last_path: str | None = None) -> Refusal:
    place = "" if last_path is None else f"; it was last at {last_path!r}"
    return Refusal(
        404,
        "deleted-track",
        f"the file of the track {name!r} was removed from the library{place}",
        where=where,
        remedy=_REMEDY,
    )
