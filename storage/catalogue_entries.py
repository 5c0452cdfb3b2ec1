"""What the catalogue says about a path of the library, and how a file of it can change."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from melgraph.storage.catalogue_state import Event


@dataclass(frozen=True, order=True)
class LibraryFile:
    """A file of the library, as a listing describes it.

    Attributes:
        path: relative to the library, with `/`.
        bytes: its size.
        mtime_ns: its modification time.
    """

    path: str
    bytes: int
    mtime_ns: int


class PathState(NamedTuple):
    """The current state of one path in the catalogue.

    Attributes:
        path: relative to the library.
        bytes: size of the file at this path, or of the last file there.
        mtime_ns: modification time of that file.
        state: `here`, `missing`, or `moved` (the file is at another path now).
        batch: the batch whose `tracks` table describes the file.
        origin: the path of the file in that table.
        track_id: the track; None until the batch is ingested.
        sha256: of the file; None until the batch is ingested.
        metadata: the file metadata as JSON if it was retagged since it was ingested, else None.
    """

    path: str
    bytes: int
    mtime_ns: int
    state: str
    batch: str
    origin: str
    track_id: str | None
    sha256: str | None = None
    metadata: str | None = None


@dataclass(frozen=True, order=True)
class Move:
    """A renamed file: the same sound at another path.

    Attributes:
        file: the file as it is now.
        source: the state of the path where it was.
    """

    file: LibraryFile
    source: PathState

    def event(self, at: str) -> Event:
        """The event of this time. A file that was retagged before keeps its new metadata."""
        file, source = self.file, self.source
        return Event(
            at,
            "moved",
            file.path,
            file.bytes,
            file.mtime_ns,
            source.batch,
            source.track_id,
            source.path,
            source.origin,
            source.sha256,
            source.metadata,
        )


@dataclass(frozen=True)
class Retag:
    """A file whose metadata has changed: the same sound, other bytes.

    Attributes:
        file: the file as it is now.
        track_id: its track.
        sha256: of the file as it is now.
        metadata: column of `tracks` -> value, of all file metadata.
    """

    file: LibraryFile
    track_id: str
    sha256: str
    metadata: Mapping[str, Any]

    def event(self, at: str) -> Event:
        """The event of this time."""
        return Event(
            at,
            "retagged",
            self.file.path,
            self.file.bytes,
            self.file.mtime_ns,
            track_id=self.track_id,
            sha256=self.sha256,
            metadata=json.dumps(self.metadata, sort_keys=True, ensure_ascii=False),
        )
