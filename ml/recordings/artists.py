"""Artists from file metadata: which names a field holds, and which of them are no names."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from melgraph.ml.recordings import placeholders
from melgraph.ml.recordings.spelling import spelling_key, spelling_keys

_GUEST_WORD = r"(?:feat\b\.?|featuring\b|ft\b\.?|f/|w/)"
_GUEST_IN_BRACKETS = re.compile(
    rf"[(\[]\s*(?:{_GUEST_WORD}|with\b|avec\b|con\b|mit\b)\s*(.+?)\s*[)\]]", re.IGNORECASE
)
_GUEST = re.compile(rf"(?<=[\s,;]){_GUEST_WORD}\s*(.+)", re.IGNORECASE)
_VERSION = (
    r"re-?mix|rmx|mix|re-?edit|edit|dub|re-?work|re-?fix|bootleg|flip|vip|mash-?up|version|cover|live|"
    r"acoustic|instrumental|demo|re-?master(?:ed)?"
)
_VERSION_IN_BRACKETS = re.compile(
    rf"[(\[]\s*(?:([^()\[\]]*?)['’]?s?\s+)?(?:{_VERSION})\b[^()\[\]]*[)\]]", re.IGNORECASE
)
_REMIX_AFTER_DASH = re.compile(r"\s[-–—]\s+(.+?)['’]?s?\s+(?:remix|rmx)\s*$", re.IGNORECASE)
_SEPARATOR = re.compile(r"\s*[;；\0\x1f|、]\s*|\s+/+\s+|\s*／\s*|\s*\\\\\s*")
_POSSIBLE_SEPARATOR = re.compile(
    r"\s*,\s+(?!the\b)|/|\s+(?:vs\b\.?|versus|x|×|meets|with|pres\b\.?|presents|aka|a\.k\.a\.)\s+",
    re.IGNORECASE,
)
_CONNECTION = re.compile(r"\s*[&+]\s*|\s+(?:and|und|et|y|e|och|og|en|и)\s+", re.IGNORECASE)


@dataclass(frozen=True)
class Credits:
    """The artists of one track, as keys of `spelling_keys`.

    Attributes:
        first: keys of the first artist; empty if no artist is known.
        further: keys of its other artists and of its guests.
        possible: keys that are artists only if another track has them as `first` or `further`:
            remixers, and parts of a name that may be a list of names (`A, B`, `A vs. B`, `A/B`).
    """

    first: tuple[str, ...] = ()
    further: tuple[str, ...] = ()
    possible: tuple[str, ...] = ()


def artist_key(name: str | None) -> str | None:
    """The key of an artist's name; None for no name or a placeholder (`Various Artists`).

    >>> artist_key("The  BEATLES"), artist_key("Various Artists"), artist_key("V.A.")
    ('beatles', None, None)
    """
    key = spelling_key(name or "")
    is_name = bool(key) and key not in placeholders.ARTISTS and not set(key) <= set("?-_.*<>/")
    return key if is_name else None


def read_credits(values: Sequence[str], title: str | None = None) -> Credits:
    """The artists that the values of an artist field name, and those that the title adds.

    Artists are separated by `;`, by ` / ` and by several values. Guests follow `feat.` and similar
    words. `&` and "and" separate nothing, because they are part of many names.

    >>> read_credits(["Kettel feat. Secede"])
    Credits(first=('kettel',), further=('secede',), possible=())
    >>> read_credits(["Kettel (Secede Remix)"])
    Credits(first=('kettel',), further=(), possible=('secede',))

    Args:
        values: all values of the field, or one name from another place.
        title: the title of the track, which may name guests and remixers.
    """
    names: list[str] = []
    guests: list[str] = []
    possible: list[str] = []
    for value in values:
        name = _take_versions(_take_guests(value, guests), possible)
        names += [part for part in _SEPARATOR.split(name) if artist_key(part)]
    for name in names:
        possible += _POSSIBLE_SEPARATOR.split(name)
    if title:
        _take_versions(_take_guests(title, guests), possible)
    for guest in tuple(guests):
        possible += [part for one in _POSSIBLE_SEPARATOR.split(guest)
                     for part in _CONNECTION.split(one)]  # fmt: skip
    first = _keys(names[:1])
    further = tuple(key for key in _keys([*names[1:], *guests]) if key not in first)
    others = tuple(key for key in _keys(possible) if key not in first + further)
    return Credits(first, further, others)


def connected_names(name: str) -> list[str]:
    """The parts of a name between `&` or "and"; empty if it has no such word.

    >>> connected_names("Simon & Garfunkel")
    ['Simon', 'Garfunkel']
    """
    parts = [part.strip() for part in _CONNECTION.split(name) if part and part.strip()]
    return parts if len(parts) > 1 else []


def _take_guests(text: str, guests: list[str]) -> str:
    """The text without its guests, which are added to the list."""
    for pattern in (_GUEST_IN_BRACKETS, _GUEST):
        for match in pattern.finditer(text):
            # "A feat. B (C Remix)": the brackets say something else.
            guests += _SEPARATOR.split(re.split(r"\s*[(\[]", match[1].rstrip(")] "))[0])
        text = pattern.sub("", text)
    return text.rstrip(" ,;")


def _take_versions(text: str, remixers: list[str]) -> str:
    """The text without "(X Remix)" and the like; X is added to the list."""
    for pattern in (_VERSION_IN_BRACKETS, _REMIX_AFTER_DASH):
        for match in pattern.finditer(text):
            remixers += [part for one in _SEPARATOR.split(match[1] or "")
                         for part in (one, *connected_names(one))]  # fmt: skip
        text = pattern.sub("", text)
    return text.strip()


def _keys(names: Sequence[str]) -> tuple[str, ...]:
    def keys() -> Iterator[str]:
        for name in names:
            if artist_key(name) is not None:
                yield from spelling_keys(name)

    return tuple(dict.fromkeys(keys()))
