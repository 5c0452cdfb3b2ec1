"""The identity of a track: its sound, whatever the metadata in its file.

A track id is the first 16 bytes of a digest, hexadecimal. The column `identified_by` of `tracks`
names what the digest covers.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from melgraph.storage.library import Library

_START_S, _MIN_RATE = 120.0, 50_000  # seconds and bytes per second
PRELOAD = ("melgraph.ml.audio.payload", "melgraph.assets.library.identity")
FILE_METHOD = "file-sha256"  # for a file that cannot be demuxed
_DIGITS = 32


class Identity(NamedTuple):
    """What a file is.

    Attributes:
        track_id: 32 hexadecimal digits.
        identified_by: the method: `FILE_METHOD`, or that of `ml.audio.payload`.
    """

    track_id: str
    identified_by: str


def identity_of(path: Path, sha256: str) -> Identity:
    """The identity of a local file with this SHA-256.

    Call it in a process that may end: it opens the file with FFmpeg.

    Raises:
        OSError: the file cannot be read.
    """
    from melgraph.ml.audio.payload import PAYLOAD_METHOD, payload_digest

    digest = payload_digest(path)
    if digest is None:
        return identity_of_bytes(sha256)
    return Identity(digest[:_DIGITS], PAYLOAD_METHOD)


def identity_of_bytes(sha256: str) -> Identity:
    """The identity of a file with this SHA-256 that cannot be demuxed."""
    return Identity(sha256[:_DIGITS], FILE_METHOD)


@dataclass(frozen=True)
class LibraryPath:
    """A file of a library.

    Attributes:
        library: the library.
        path: of the file, relative to the library.
        bytes: the size of the file.
    """

    library: Library
    path: str
    bytes: int


def reading_limit_s(n_bytes: int) -> float:
    """The seconds after which the reading of a file of this size counts as hung."""
    return _START_S + n_bytes / _MIN_RATE


def read_sound(place: LibraryPath) -> tuple[str, dict[str, Any]] | None:
    """Track id and metadata of a file; None if it cannot be read. Runs in a worker."""
    from melgraph.ml.audio import read_file_metadata
    from melgraph.storage.files import file_sha256

    try:
        with place.library.local(place.path) as path:
            return identity_of(path, file_sha256(path)).track_id, read_file_metadata(path)
    except OSError:
        return None
