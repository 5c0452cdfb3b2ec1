"""Cue sheets: a file with one, in it or beside it, is usually a whole album.

A cue sheet is a small text that says where the tracks of a file begin. melgraph takes the file as
one track; the number of listed tracks makes a caution possible.
"""

import codecs
import re
from functools import lru_cache
from pathlib import Path
from typing import Any

import mutagen

LEAD_OUT = 170  # the number that FLAC gives to the end of the last track
MOST_BYTES = 1 << 20  # a larger file is no cue sheet
_FILE = re.compile(r'\s*FILE\s+(?:"([^"]*)"|(\S+))', re.IGNORECASE)
_TRACK = re.compile(r"\s*TRACK\s+\d+\s+AUDIO\b", re.IGNORECASE)
_KEYS = ("cuesheet", "Cuesheet", "TXXX:CUESHEET", "TXXX:cuesheet", "TXXX:Cuesheet")
_STARTS = (b"fLaC", b"OggS", b"wvpk", b"ID3", b"MAC ", b"TTA1")  # files that can hold a cue sheet


def cue_tracks(path: Path) -> int | None:
    """The number of tracks that a cue sheet lists for an audio file, in it or in its folder.

    A sheet beside the file counts if it names the file, with any suffix, or if it has the name of
    the file. Unreadable sheets count as none, and no error is raised.

    Returns:
        The number of tracks, at least 2; None if there is no sheet, or the file is one track of it.
    """
    n = max(_embedded(path), _beside(path))
    return n if n > 1 else None


def tracks_by_file(sheet: str) -> dict[str, int]:
    """Name of each file in the text of a cue sheet -> the number of its tracks.

    >>> tracks_by_file('FILE "a.wav" WAVE\\n  TRACK 01 AUDIO\\n  TRACK 02 AUDIO')
    {'a.wav': 2}
    """
    counts: dict[str, int] = {}
    name = ""
    for line in sheet.splitlines():
        if match := _FILE.match(line):
            name = match[1] or match[2] or ""
            counts.setdefault(name, 0)
        elif _TRACK.match(line):
            counts[name] = counts.get(name, 0) + 1
    return counts


def _beside(path: Path) -> int:
    stem = path.stem.casefold()
    n = 0
    for sheet in _sheets_in(path.parent):
        counts = _counts(sheet)
        named = [n for name, n in counts.items() if _stem(name) == stem]
        if not named and len(counts) == 1 and _names_file(sheet, path):
            named = list(counts.values())
        n = max(n, *named) if named else n
    return n


def _names_file(sheet: Path, path: Path) -> bool:
    """Whether a sheet is called as the file: `a.cue` or `a.flac.cue` beside `a.flac`."""
    return sheet.stem.casefold() in (path.stem.casefold(), path.name.casefold())


def _stem(name: str) -> str:
    file = re.split(r"[/\\]", name)[-1]
    return (file.rpartition(".")[0] or file).casefold()


@lru_cache(maxsize=4)
def _sheets_in(folder: Path) -> tuple[Path, ...]:
    """The cue sheets of a folder. They are listed once, not once for each of its audio files."""
    try:
        return tuple(sorted(p for p in folder.iterdir() if p.suffix.casefold() == ".cue"))
    except OSError:
        return ()


@lru_cache(maxsize=64)
def _counts(sheet: Path) -> dict[str, int]:
    try:
        if not sheet.is_file() or sheet.stat().st_size > MOST_BYTES:
            return {}
        content = sheet.read_bytes()
    except OSError:
        return {}
    if content[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
        return tracks_by_file(content.decode("utf-16", errors="replace"))
    try:
        return tracks_by_file(content.decode("utf-8-sig"))
    except UnicodeDecodeError:
        return tracks_by_file(content.decode("cp1252", errors="replace"))


def _embedded(path: Path) -> int:
    try:
        with path.open("rb") as file:
            if not file.read(4).startswith(_STARTS):
                return 0
        known: Any = mutagen.File(path)
        block: Any = getattr(known, "cuesheet", None)  # of FLAC
        listed = [track.track_number for track in block.tracks] if block else []
        counts: list[int] = [sum(number < LEAD_OUT for number in listed)]
        counts += [_in_tag(known, key) for key in _KEYS]
        return max(counts)
    except Exception:  # mutagen documents MutagenError only, but malformed files raise others too
        return 0


def _in_tag(known: Any, key: str) -> int:
    try:
        value = known[key]
    except (KeyError, ValueError, TypeError):
        return 0
    parts = [value] if isinstance(value, str) else list(getattr(value, "text", value))
    return max((sum(tracks_by_file(str(part)).values()) for part in parts), default=0)
