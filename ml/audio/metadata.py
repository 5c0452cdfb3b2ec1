"""Read the metadata inside an audio file: artists, title, album and genres."""

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


def read_file_metadata(path: Path) -> dict[str, Any]:
    """Artist, title, album and genre of a file, and all of its artists and genres.

    A field of Vorbis comments, ID3v2.4, MP4 or APEv2 may have several values. `artist` and `genre`
    are the first value, `artists` and `genres` are lists of all values in order, each once. The
    artist of the album stands in for a missing artist. Metadata is optional, so unreadable metadata
    counts as none and no error is raised.

    Returns:
        `artist`, `title`, `album`, `genre`: the first value, None if there is none; `artists`,
        `genres`: lists of text, empty if there is none.
    """
    try:
        values = _all_values(path)
    except Exception:  # mutagen documents MutagenError only, but malformed files raise others too
        values = {}
    texts = {name: _texts(values, keys) for name, keys in _KEYS.items()}
    first = {name: next(iter(of_field), None) for name, of_field in texts.items()}
    return {**first, "artists": texts["artist"], "genres": texts["genre"]}


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


def _texts(values: Any, keys: tuple[str, ...]) -> list[str]:
    """All values of the first of some keys that has a value: not empty, each once, in order."""
    for key in keys:
        try:
            value = values[key]
            parts = [value] if isinstance(value, str) else list(getattr(value, "text", value))
            texts = [str(part).strip("\0 \t\r\n") for part in parts]
        except Exception:  # as above; mutagen's easy mappings also raise for keys they do not know
            continue
        if any(texts):
            return list(dict.fromkeys(text for text in texts if text))
    return []
