"""One key for all versions of one song: studio, live, remix, remaster, best-of.

The key is the artist together with the title, without what stands in brackets, without guests
(`feat. X`) and without a version after a dash (`- Live at Wembley`, `- Remastered 2009`). Letter
case, accents and punctuation are ignored. Only names are compared, so a key can be wrong. A wrong
join hides a song, while a missing join shows one song twice: in doubt, two titles stay apart.
Numbers of parts and of works stay in the key even if they stand in brackets (`(Part 2)`,
`(BWV 846)`), because these are different pieces.
"""

import re
import unicodedata
from collections.abc import Callable
from functools import lru_cache

from melgraph.ml.recordings.artists import read_credits
from melgraph.ml.recordings.spelling import spelling_key

_MAX_LENGTH = 1000  # characters of a title; what follows in a damaged field is ignored
_OPENING, _CLOSING = "([{", ")]}"
_ROMAN_NAMES = ("i", "ii", "iii", "iv", "v", "vi", "vii", "viii", "ix", "x")
_ROMAN = {name: at for at, name in enumerate(_ROMAN_NAMES, start=1)}
_SMALL = rf"\d{{1,2}}|{'|'.join(sorted(_ROMAN, key=len, reverse=True))}|one|two|three|four|five|six"
_NUMBER = rf"(?:\d+|{_SMALL})"
# What tells two pieces apart, although it stands in brackets. A year alone says when a version was
# recorded.
_PIECE = re.compile(
    r"\b(?:part|pt|teil|partie|parte|chapter|act|scene|movement|mvt|book|volume|vol|no|nr|nº|n°|№)"
    rf"(?:\b\W*)?{_NUMBER}\b"
    rf"|#\s*{_NUMBER}\b"
    rf"|^\W*(?:{_SMALL})(?:\W*$|\s*[.:]\s)"
    r"|\b(?:op|bwv|kv?|hob|d|rv|hwv|woo)\b\W*[\divx:]*\d"
    r"|\b[a-h](?:[#♯♭]|[- ]?(?:flat|sharp|is|es))?[- ](?:major|minor|dur|moll)\b"
)
_VERSION = """
    live remaster remastered remastering remasterizado remasterizada remasterisé remix remixed rmx
    mix version versión edit mono stereo acoustic acústico instrumental demo take outtake unplugged
    karaoke session sessions rehearsal rework reworked bootleg dub reissue rerecorded bonus
    acapella cappella
"""
_FURTHER = """
    the a an in of from at on and digital digitally re single album radio original extended track
    alternate alternative club vocal vocals long short clean explicit edition deluxe recorded
    recording orchestral piano studio early rough anniversary st nd rd th full length video audio
    official hd hq new uk us usa bbc mtv peel master tape
"""
_VERSION_WORDS, _FURTHER_WORDS = frozenset(_VERSION.split()), frozenset(_FURTHER.split())
_LIVE = re.compile(
    r"(?:(?:recorded|acoustic|unplugged)\s+)?(?:live|en vivo|en directo|ao vivo|en public)"
    r"(?:\W+(?:at|from|in|on|@|im|aus|am|à|au|en|no|na)\b.*|\W*(?:19|20)\d\d.*|\s*[/,;:@].*)?"
)
# "David Guetta Remix", "From the Vault Version", "Someone Else Remastered 2011"
_LAST_WORD = re.compile(
    r"(?:\S+\s+){0,6}(?:re-?mix|rmx|re-?work|version|edit|re-?master(?:ed)?|re-?recorded)"
    r"(?:\s+(?:in\s+)?(?:19|20)\d\d)?"
)
_FROM_A_FILM = re.compile(r"(?:(?:love |main )?theme )?from\s+[\"“”«„'‘].*")
_DASH = re.compile(r"\s+[-‐‑‒–—―]+\s+")
_GUEST = re.compile(r"(?<=\S)\s+(?:feat\.|feat\s+(?!of\b)|(?<!\d\s)ft\.|featuring\s).*?(?=\s-\s|$)")
_APOSTROPHES = str.maketrans("", "", "'’‘ʼ`´′")
_SHARP = re.compile(r"\b([a-h])(?:#|♯)")
_PART = re.compile(rf"\b(?:part|pt)\b ({_NUMBER})\b")
_PLACEHOLDERS = """
    track; trk; untitled; unnamed; unknown; unknown title; unknown track; title; no title; titel;
    audio track; unbekannt; ohne titel; piste; sans titre; pista; sin título; traccia; faixa;
    senza titolo; sem título; spår; spor; utwór; трек; дорожка; без названия; トラック; 无题; 無題;
    曲目; 音轨; 트랙
"""
_NO_TITLE = frozenset(map(spelling_key, _PLACEHOLDERS.split(";")))


@lru_cache(maxsize=1 << 16)  # each query asks for the songs of the same tracks
def song_of(artist: str | None, title: str | None) -> str | None:
    """The key of a song: equal for tracks that seem to be versions of the same song.

    >>> song_of("Queen", "Innuendo (2011 Mix)") == song_of("QUEEN", "Innuendo - Remastered 2011")
    True
    >>> song_of("Pink Floyd", "Shine On (Part 1)") == song_of("Pink Floyd", "Shine On (Part 2)")
    False

    A title that stands in brackets as a whole stays a title (`(Intro)`).

    Args:
        artist: as the file metadata or a list names it. Only the first artist counts, without
            guests.
        title: of the track.

    Returns:
        The key. None if the artist or the title is missing, or is a placeholder (`Various Artists`,
        `Track 1`): such names say nothing about the song.
    """
    first = read_credits([artist]).first if artist else ()
    if not first or not title:
        return None
    name = _title_key(unicodedata.normalize("NFKC", title[:_MAX_LENGTH]).casefold(), first[0])
    return f"{first[0]}\t{name}" if name else None


def _title_key(field: str, artist: str) -> str | None:
    """The words of a title without its version; None for a placeholder."""
    text = " ".join(field.split())
    outside = _without_brackets(text, lambda content: not _PIECE.search(content))
    if not _words(outside) or _is_placeholder(_words(outside)):
        # Everything stands in brackets, or what says which piece it is does: `(Intro) [Live]`.
        outside = _without_brackets(text, _is_version)
    title = _without_suffixes(outside, artist) or text  # `(Live)` can be a title, too
    name = _words(title)
    if not name:
        return "".join(title.split()) or None  # symbols alone, such as `???`
    return None if _is_placeholder(name) else name


def _without_brackets(text: str, is_cut: Callable[[str], bool]) -> str:
    """The text without brackets; their content stays if `is_cut` says no.

    The content of a bracket that is never closed is cut only if it names a version: a field of 30
    characters ends anywhere.
    """
    levels = [""]  # the text outside, and inside of each open bracket
    for character in text:
        if character in _OPENING:
            levels.append("")
        elif character in _CLOSING:
            if len(levels) > 1:
                content = levels.pop()
                levels[-1] += " " if is_cut(content) else f" {content} "
        else:
            levels[-1] += character
    while len(levels) > 1:
        content = levels.pop()
        levels[-1] += " " if _is_version(content) else f" {content} "
    return " ".join(levels[0].split())


def _without_suffixes(text: str, artist: str) -> str:
    """The text without versions after a dash, without guests, and without the artist before it."""
    parts = _DASH.split(_GUEST.sub("", text))
    while len(parts) > 1 and _is_version(parts[-1]):
        parts.pop()
    if len(parts) > 1 and spelling_key(parts[0]) == artist:
        parts = parts[1:]  # "Queen - Innuendo"
    return " - ".join(parts)


def _is_version(text: str) -> bool:
    """Whether a text only says which version of a song this is."""
    text = text.strip(" .,;:!")
    if _PIECE.search(text):
        return False
    words = re.findall(r"[^\W_]+", text)
    of_versions = [word in _VERSION_WORDS for word in words]
    if any(of_versions) and all(
        known or word in _FURTHER_WORDS or word.isdigit()
        for known, word in zip(of_versions, words, strict=True)
    ):
        return True
    return any(one.fullmatch(text) for one in (_LIVE, _LAST_WORD, _FROM_A_FILM))


def _words(text: str) -> str:
    """The words of a text with one blank between them, without accents and punctuation."""
    text = _SHARP.sub(r"\1 sharp", text).replace("♭", " flat ").replace("&", " and ")
    letters = "".join(
        one if one.isalnum() or unicodedata.category(one)[0] == "M" else " "
        for one in text.translate(_APOSTROPHES)
    )
    words = " ".join(filter(None, map(spelling_key, letters.split())))
    return _PART.sub(lambda match: f"part {_ROMAN.get(match[1], match[1])}", words)


def _is_placeholder(name: str) -> bool:
    """Whether words are no title: `untitled`, `track 1`, or a number such as `01`."""
    word = spelling_key(name.rstrip("0123456789 "))
    return word in _NO_TITLE or bool(re.fullmatch(r"0\d*", name))
