"""Playlists as files that players read, and how many tracks fill a given time."""

import math
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TypeGuard
from urllib.parse import quote

from melgraph.ml.errors import UserError

_UNKNOWN_DURATION = -1  # of the format


@dataclass(frozen=True)
class PlaylistEntry:
    """One track of a playlist.

    Attributes:
        path: path of its file, absolute or relative to the playlist; or its URL.
        duration_s: seconds; None if it is not known.
        artist, title: as people read them; None if they are not known.
    """

    path: str
    duration_s: float | None = None
    artist: str | None = None
    title: str | None = None


def m3u8(entries: Sequence[PlaylistEntry]) -> str:
    r"""An extended M3U playlist, to be written in UTF-8 with the suffix `.m3u8`.

    >>> print(m3u8([PlaylistEntry("Queen/Innuendo.flac", 391.4, "Queen", "Innuendo")]), end="")
    #EXTM3U
    #EXTINF:391,Queen - Innuendo
    Queen/Innuendo.flac

    The form is that of VLC (`modules/demux/playlist/m3u.c`) and foobar2000. Each path is a line of
    its own. A path that begins with `#` or a blank gets `./` before it. A path that ends with a
    blank, or contains a line break or bytes that are no text, is written as a URL. Line breaks in a
    title become blanks. Without a title, the name of the file is used.

    Args:
        entries: the tracks, in their order.

    Returns:
        The text, with `\n` after each line.

    Raises:
        UserError: a path is empty.
    """
    lines = ["#EXTM3U"]
    for entry in entries:
        lines += [f"#EXTINF:{_seconds(entry.duration_s)},{_name(entry)}", _location(entry.path)]
    return "\n".join(lines) + "\n"


def fill_duration(durations_s: Sequence[float | None], target_s: float) -> int:
    """How many of the first tracks make a playlist of about this length.

    The total duration of these tracks is the nearest to the target; of two equally near totals, it
    is the longer one. The number is at least 1 if there is a track. A track of unknown duration
    counts with the mean duration of the others.

    >>> fill_duration([200, 180, 240], 400)
    2

    Args:
        durations_s: seconds, of each track in the order of the ranking.
        target_s: seconds, > 0.

    Raises:
        UserError: the target is not a positive number, or no length is known.
    """
    if not (math.isfinite(target_s) and target_s > 0):
        raise UserError(
            f"a playlist of {target_s} seconds",
            where="the length of the playlist",
            remedy="give a positive number of seconds",
        )
    if not durations_s:
        return 0
    known_s = [one for one in durations_s if _is_known(one)]
    if not known_s:
        raise UserError(
            f"the lengths of all {len(durations_s)} tracks are unknown",
            where="the length of the playlist",
            remedy="ask for a number of tracks instead",
        )
    mean = math.fsum(known_s) / len(known_s)
    total, best, nearest = 0.0, 1, math.inf
    for count, duration in enumerate(durations_s, start=1):
        total += duration if _is_known(duration) else mean
        if abs(total - target_s) <= nearest:
            best, nearest = count, abs(total - target_s)
        elif total > target_s:
            break
    return best


def _is_known(duration_s: float | None) -> TypeGuard[float]:
    return duration_s is not None and math.isfinite(duration_s) and duration_s >= 0


def _seconds(duration_s: float | None) -> int:
    return round(duration_s) if _is_known(duration_s) else _UNKNOWN_DURATION


def _name(entry: PlaylistEntry) -> str:
    """`Artist - Title`. Players separate them at the first ` - `, so the artist has none."""
    file = PurePosixPath(entry.path)
    artist = _line(entry.artist or "").replace(" - ", " – ")
    title = next(filter(None, map(_line, (entry.title or "", file.stem, file.name))), "?")
    return f"{artist} - {title}" if artist else title


def _line(text: str) -> str:
    """The text in one line, with characters that UTF-8 can express."""
    text = text.encode("utf-8", "replace").decode("utf-8")
    return " ".join("".join(" " if _breaks(one) else one for one in text).split())


def _breaks(character: str) -> bool:
    """Whether a character is no part of a line of text."""
    return unicodedata.category(character) in {"Cc", "Zl", "Zp"}


def _location(path: str) -> str:
    if not path:
        raise UserError(
            "a track without a path", where="the playlist", remedy="leave out tracks without a file"
        )
    is_text = all(unicodedata.category(one) != "Cs" and not _breaks(one) for one in path)
    if is_text and path == path.rstrip():  # players ignore blanks at the end of a line
        return f"./{path}" if path[0] == "#" or path[0].isspace() else path
    location = quote(path.encode("utf-8", "surrogateescape"))
    return f"file://{location}" if path.startswith("/") else location
