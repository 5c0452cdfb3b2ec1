"""What a file says about itself."""

from pathlib import Path
from typing import Any

import av
import mutagen

_TAGS = {  # our name -> names to look for: mutagen's easy ones; ID3 frames (WAV, AIFF); ASF; APE
    "artist": ("artist", "TPE1", "Author", "albumartist", "album_artist", "TPE2", "Album Artist"),
    "title": ("title", "TIT2", "Title"),
    "album": ("album", "TALB", "WM/AlbumTitle"),
    "genre": ("genre", "TCON", "WM/Genre"),
}
_MATROSKA = b"\x1a\x45\xdf\xa3"  # webm and mka, which mutagen does not read


def read_tags(path: Path) -> dict[str, str | None]:
    """artist, title, album and genre: the first value of each, None where there is none.

    Where no artist is given, it is the artist of the album. Tags are a courtesy of the file: broken
    ones count as none, and nothing is ever raised.
    """
    try:
        tags = _all_tags(path)
    except Exception:  # mutagen promises MutagenError; hostile files have found others
        tags = {}
    return {name: _first_value(tags, keys) for name, keys in _TAGS.items()}


def _all_tags(path: Path) -> Any:
    """A mapping, from a name in any case where FFmpeg reads it, to one value or a list of them."""
    if not path.is_file():  # opening a pipe would wait for ever
        return {}
    with path.open("rb") as file:
        is_matroska = file.read(4) == _MATROSKA
        file.seek(0)
        if not is_matroska:
            return mutagen.File(path, easy=True) or {}
        options = {"format_whitelist": "matroska,webm"}
        with av.open(file, metadata_errors="replace", options=options) as container:
            streams = container.streams.audio[:1]
            found = {**(streams[0].metadata if streams else {}), **container.metadata}
            return {name.lower(): value for name, value in found.items()}


def _first_value(tags: Any, keys: tuple[str, ...]) -> str | None:
    for key in keys:
        try:
            value = tags[key]
            first = str(value if isinstance(value, str) else value[0]).strip("\0 \t\r\n")
        except Exception:  # as above, and mutagen's easy mappings refuse what they do not know
            continue
        if first:
            return first
    return None
