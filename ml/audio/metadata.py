"""Read the metadata inside an audio file: artists, title, album, genres and year."""

import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import av
import mutagen
from mutagen.apev2 import APEv2, APEv2File
from mutagen.asf import ASF
from mutagen.easyid3 import EasyID3
from mutagen.easymp4 import EasyMP4
from mutagen.flac import FLAC
from mutagen.mp3 import EasyMP3
from mutagen.ogg import OggFileType

from melgraph.ml.audio.ffmpeg import CONTAINERS

FIELDS = ("artist", "title", "album", "genre")
# Our field -> keys to try in order: mutagen's easy names, ID3 frames, ASF, APE, FFmpeg (AIFF).
_KEYS = {
    "artist": ("artist", "TPE1", "Author", "author"),
    "album_artist": ("albumartist", "album_artist", "TPE2", "Album Artist"),
    "title": ("title", "TIT2", "Title"),
    "album": ("album", "TALB", "WM/AlbumTitle"),
    "genre": ("genre", "TCON", "WM/Genre"),
}
# Keys of the date of a release or of a recording, then keys of the first release of older music.
# mutagen reads TYER and TDAT of ID3v2.3 as TDRC, and TORY as TDOR. APEv2 writes `Year`.
_DATE_KEYS = ("date", "TDRC", "year", "WM/Year", "date_released", "date_recorded")
_ORIGINAL_DATE_KEYS = (
    "originaldate",
    "originalyear",
    "TDOR",
    "WM/OriginalReleaseYear",
    "WM/OriginalReleaseTime",
)
# Four digits that are no part of a longer number, except of a date such as 19870412.
_YEAR = re.compile(r"(?<!\d)\d{4}(?=(?:(?:0\d|1[0-2])[0-3]\d)?(?!\d))")
FIRST_YEAR, LAST_YEAR = 1000, 2999  # another number of four digits is no year
_MATROSKA = b"\x1a\x45\xdf\xa3"  # first bytes of webm and mka, which mutagen does not read
# mutagen reads everything that these can hold. Of WAV and AIFF it reads an ID3 chunk only.
_READ_BY_MUTAGEN = (FLAC, OggFileType, EasyMP4, ASF, APEv2File, EasyMP3)
_Layer = Any  # a mapping: key -> one value or a list of values


def read_file_metadata(path: Path) -> dict[str, Any]:
    """Artist, title, album, genre and year of a file, and all of its artists and genres.

    A field of Vorbis comments, ID3v2.4, MP4 or APEv2 may have several values. `artist` and `genre`
    are the first value, `artists` and `genres` are lists of all values in order, each once. The
    artist of the album stands in for a missing artist. A file can hold tags of several kinds, for
    example ID3v2, APEv2 and ID3v1 in an mp3: each field is taken from the most trusted kind that
    has it. The year is the first one in a date of the file; the date of the original release is
    used only if no other date has a year. Metadata is optional, so unreadable metadata counts as
    none and no error is raised.

    Returns:
        `artist`, `title`, `album`, `genre`: the first value, None if there is none; `artists`,
        `genres`: lists of text, empty if there is none; `year`: an integer, None if there is none.
    """
    layers = list(_layers(path))
    texts = {field: _texts(layers, keys) for field, keys in _KEYS.items()}
    texts["artist"] = texts["artist"] or texts["album_artist"]
    first = {field: next(iter(texts[field]), None) for field in FIELDS}
    years = (_first_year(layers, keys) for keys in (_DATE_KEYS, _ORIGINAL_DATE_KEYS))
    return {
        **first,
        "artists": texts["artist"],
        "genres": texts["genre"],
        "year": next((year for year in years if year is not None), None),
    }


def year_of(text: str) -> int | None:
    """The first year in a date: `1987`, `1987-04-12`, `12.04.1987`, `19870412`, `c. 1987`.

    Returns:
        From `FIRST_YEAR` to `LAST_YEAR`; None if the text names no such year, as `0000` or `87`.
    """
    years = map(int, _YEAR.findall(text))  # digits of any script
    return next((year for year in years if FIRST_YEAR <= year <= LAST_YEAR), None)


def _layers(path: Path) -> Iterator[_Layer]:
    """The tags of every kind that the file holds, the most trusted first."""
    if not path.is_file():  # opening a pipe could block for ever
        return
    known = _attempt(lambda: _by_mutagen(path))
    for read in _readers(path, known):
        if layer := _attempt(read):
            yield layer


def _attempt(read: Callable[[], _Layer]) -> _Layer:
    # mutagen documents MutagenError only, but malformed files raise others too.
    try:
        return read()
    except Exception:
        return None


def _readers(path: Path, known: Any) -> tuple[Callable[[], _Layer], ...]:
    """What reads the tags of a file that mutagen knows as `known`."""
    if isinstance(known, EasyMP3):  # an ID3v1 value is cut at 30 letters, so it comes last
        return (
            lambda: _loaded(EasyID3, path, load_v1=False),
            lambda: _loaded(APEv2, path),
            lambda: _loaded(EasyID3, path),
        )
    if isinstance(known, _READ_BY_MUTAGEN):
        return (lambda: known,)
    return (lambda: known or {}), lambda: _by_ffmpeg(path)


def _by_mutagen(path: Path) -> Any:
    with path.open("rb") as file:
        is_matroska = file.read(len(_MATROSKA)) == _MATROSKA
    return None if is_matroska else mutagen.File(path, easy=True)


def _loaded(kind: Callable[[], Any], path: Path, **options: bool) -> _Layer:
    tags = kind()
    tags.load(path, **options)
    return tags


def _by_ffmpeg(path: Path) -> _Layer:
    options = {"format_whitelist": CONTAINERS}
    with (
        path.open("rb") as file,
        av.open(file, metadata_errors="surrogateescape", options=options) as container,
    ):
        streams = container.streams.audio[:1]
        values = {**(streams[0].metadata if streams else {}), **container.metadata}
    return {name.lower(): _decoded(value) for name, value in values.items()}


def _decoded(value: str) -> str:
    """A value that was not UTF-8, as Windows programs write it."""
    data = value.encode(errors="surrogateescape")
    try:
        return data.decode()
    except UnicodeDecodeError:
        return data.decode("cp1252", errors="replace")


def _texts(layers: Sequence[_Layer], keys: tuple[str, ...]) -> list[str]:
    """All values of the first of some keys in the first layer that has a value."""
    texts = (_texts_of(layer, key) for layer in layers for key in keys)
    return next((values for values in texts if values), [])


def _first_year(layers: Sequence[_Layer], keys: tuple[str, ...]) -> int | None:
    """The year of the first value, of these keys in these layers, that has one."""
    texts = (text for layer in layers for key in keys for text in _texts_of(layer, key))
    return next((year for text in texts if (year := year_of(text)) is not None), None)


def _texts_of(layer: _Layer, key: str) -> list[str]:
    """All values of a key: not empty, each once, in order."""
    try:
        value: Any = layer[key]
        parts = [value] if isinstance(value, str) else list(getattr(value, "text", value))
        texts = [str(part).strip("\0 \t\r\n") for part in parts]
    except Exception:  # as above; mutagen's easy mappings also raise for keys they do not know
        return []
    return list(dict.fromkeys(text for text in texts if text))
