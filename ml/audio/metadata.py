"""Read the metadata inside an audio file: artist, title, album and genre."""

from pathlib import Path
from typing import Any

import av
import mutagen

# Our field -> keys to try in order: mutagen's easy names, ID3 frames (WAV, AIFF), ASF, APE.
_KEYS = {
    "artist": ("artist", "TPE1", "Author", "albumartist", "album_artist", "TPE2", "Album Artist"),
    "title": ("title", "TIT2", "Title"),
    "album": ("album", "TALB", "WM/AlbumTitle"),
    "genre": ("genre", "TCON", "WM/Genre"),
}
_MATROSKA = b"\x1a\x45\xdf\xa3"  # first bytes of webm and mka, which mutagen does not read


def read_file_metadata(path: Path) -> dict[str, str | None]:
    """Artist, title, album and genre: the first value of each, None if there is none.

    The artist of the album stands in for a missing artist. Metadata is optional, so unreadable
    metadata counts as none and no error is raised.
    """
    try:
        values = _all_values(path)
    except Exception:  # mutagen documents MutagenError only, but malformed files raise others too
        values = {}
    return {name: _first_value(values, keys) for name, keys in _KEYS.items()}


def _all_values(path: Path) -> Any:
    """Key -> one value or a list of values. Keys ignore letter case for Matroska files only."""
    if not path.is_file():  # opening a pipe could block for ever
        return {}
    with path.open("rb") as file:
        is_matroska = file.read(4) == _MATROSKA
        file.seek(0)
        if not is_matroska:
            return mutagen.File(path, easy=True) or {}
        options = {"format_whitelist": "matroska,webm"}
        with av.open(file, metadata_errors="replace", options=options) as container:
            streams = container.streams.audio[:1]
            values = {**(streams[0].metadata if streams else {}), **container.metadata}
            return {name.lower(): value for name, value in values.items()}


def _first_value(values: Any, keys: tuple[str, ...]) -> str | None:
    for key in keys:
        try:
            value = values[key]
            first = str(value if isinstance(value, str) else value[0]).strip("\0 \t\r\n")
        except Exception:  # as above; mutagen's easy mappings also raise for keys they do not know
            continue
        if first:
            return first
    return None
