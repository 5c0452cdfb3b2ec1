"""Guesses from the names of files and folders: which files are parts or versions of one recording.

All rules look at names only, so they can be wrong. They prefer a wrong join to a missing one: a
wrong join restricts the split a little, a missing one is a leak.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from collections.abc import Set as AbstractSet

from melgraph.ml.recordings import placeholders
from melgraph.ml.recordings.spelling import spelling_key

MAX_SERIES_SHARE = 0.4
"""A series of numbered files that has more than this share of its folder is the numbering of a
collection (`meow1` to `meow9`), and not one recording cut into parts: a class of one or two
recordings could not be split..."""

MIN_SERIES, MIN_CLEAR_SERIES = 4, 10
"""...if it has at least so many files. The second number is for names that are clearer: those that
say "part", and those with a number of their own (`00042.0`)."""

_MARK = (
    r"part|pt|chunk|segment|seg|slice|snippet|clip|excerpt|crop|split|section|fragment|frag|teil|partie|"
    r"parte|deel|del|część|часть|パート"
)
_PARTS = (
    # night drive_part1, night drive (Pt. II), mix [chunk 3 of 5]
    re.compile(
        rf"(.+?)[\W_]+(?:{_MARK})[\W_]*(?:\d+|[ivx]+|one|two|three|four)(?:\W*(?:of|von|de|di|av|sur|/)"
        r"\W*\d+)?[\W_]*", re.IGNORECASE,
    ),
    re.compile(r"(.+?)[\W_]+\d+[\W_]*(?:of|von|de|di|av|sur)[\W_]*\d+[\W_]*", re.IGNORECASE),
)  # fmt: skip
# sunrise-01, electronic.00042.0, night drive_0_30; or directly after a word: sunrise01
_NUMBERED = re.compile(r"(.+?)[\W_]+\d{1,3}s?[\W_]*|(.*[^\W\d_]{3})\d{1,3}")
_NUMBER_FIRST = re.compile(r"\d{1,3}[\W_]+(.+)")
_DASH = re.compile(r"\s+[-–—]\s+|_[-–—]_|__+")  # between artist and title
_YEAR = re.compile(r"(?:19|20)\d\d")
_WORDS = re.compile(r"[^\W\d_]+")
_DISC = re.compile(r"(?:cd|dis[ck]|dvd|lp|side|vol(?:ume)?)[\W_]*(?:\d+|[a-d])", re.IGNORECASE)

_NUMBERED_ARTIST = re.compile(r"(?:artist|band|singer|composer|album)[\W_]*\d+", re.IGNORECASE)


def version_keys(paths: Sequence[str]) -> list[str]:
    """A key for each file; files with equal keys seem to be versions of one recording.

    >>> version_keys(["blues/a.wav", "blues/b.wav", "blues/a.crop.wav"])
    ['blues/a', 'blues/b', 'blues/a']

    Two files of one folder have the same key if their stems are equal (`a.wav`, `a.flac`), or if
    one stem continues the other after a separator, which is any character but a letter or digit.
    `blues.00000` and `blues.00000.crop` have the same key, and so do `01 Intro` and
    `01 Intro (live)`. `blues.0000` and `blues.00001` do not, nor do `Track 1` and `Track 10`.
    Letter case and Unicode composition do not matter.

    Args:
        paths: path or URL of each track, with `/` between folders.
    """
    places = [folder_and_stem(path) for path in paths]
    stems = set(places)
    return ["/".join((folder, _shortest(folder, stem, stems))) for folder, stem in places]


def _shortest(folder: str, stem: str, stems: AbstractSet[tuple[str, str]]) -> str:
    """The shortest stem of the folder that this stem continues, or the stem itself."""
    ends = (end for end in range(1, len(stem)) if not stem[end].isalnum())
    return next((stem[:end] for end in ends if (folder, stem[:end]) in stems), stem)


def chunk_keys(
    paths: Sequence[str], ignored: AbstractSet[str] = frozenset()
) -> tuple[list[str | None], list[str]]:
    """Find recordings that were cut into numbered files of one folder.

    `night drive_part1` and `night drive_part2` have the same key, and so have `sunrise-01` and
    `sunrise-02`, and `electronic.00042.0` and `electronic.00042.1`. A number that follows a word
    without meaning (`Track 1`) or a label (`blues.00042`) counts tracks, not parts.

    Args:
        paths: path of each track, with `/` between folders.
        ignored: `spelling_key` of names that name no recording, such as the labels.

    Returns:
        1. The key of each file; None for a file that is no part of a recording.
        2. An example for each series that looks like parts, but is too large a share of its folder.
    """
    places = [folder_and_stem(path) for path in paths]
    bases = [_bases(stem, ignored) for _, stem in places]
    in_folder = Counter(folder for folder, _ in places)
    in_series = Counter(
        (folder, base) for (folder, _), of_file in zip(places, bases, strict=True)
        for base in of_file
    )  # fmt: skip

    def is_collection(folder: str, base: str, is_clear: bool) -> bool:
        n = in_series[folder, base]
        least = MIN_CLEAR_SERIES if is_clear else MIN_SERIES
        return n >= least and n > MAX_SERIES_SHARE * in_folder[folder]

    keys: list[str | None] = []
    collections: dict[tuple[str, str], str] = {}
    for path, (folder, _), of_file in zip(paths, places, bases, strict=True):
        parts = [base for base, clear in of_file.items() if not is_collection(folder, base, clear)]
        keys.append(f"{folder}/{parts[0]}" if parts else None)
        if of_file and not parts:
            base = next(iter(of_file))
            n = in_series[folder, base]
            collections.setdefault((folder, base), f"{path} ({n} files)")
    return keys, list(collections.values())


def _bases(stem: str, ignored: AbstractSet[str]) -> dict[str, bool]:
    """What remains of a stem without its numbers, the shortest first: the recording, if it was cut.

    The values say whether the stem is clearly the name of a part.
    """
    bases: list[tuple[str, bool]] = []
    rest = stem
    while True:
        marked = next((match for part in _PARTS if (match := part.fullmatch(rest))), None)
        match = marked or _NUMBERED.fullmatch(rest)
        base = next(filter(None, match.groups()), "") if match else ""
        if not base or not _names_a_recording(base, ignored, marked=bool(marked)):
            break
        bases.insert(0, (base, bool(marked) or bool(re.search(r"\d", base))))
        rest = base
    if not bases and (first := _NUMBER_FIRST.fullmatch(stem)):
        title = first[1]
        if _names_a_recording(title, ignored, marked=False) and not _DASH.search(title):
            bases.append((f"*{title}", False))
    return dict(bases)


def _names_a_recording(base: str, ignored: AbstractSet[str], *, marked: bool) -> bool:
    """Whether a name is more than a label, or a word without meaning."""
    last = _DASH.split(base)[-1]  # "Artist - Track" says no more than "Track"
    if spelling_key(last) in ignored:
        return False
    if _means_something(last, ignored):
        return True
    # Of `clip 7.0`, `clip 7` is a name; of `CD1-02` and `1-02`, `CD1` and `1` are discs.
    numbers = [number for number in re.findall(r"\d+", last) if not _YEAR.fullmatch(number)]
    is_disc = not _WORDS.search(last) or _DISC.fullmatch(last)
    return any(marked or not is_disc or len(number) > 2 for number in numbers)


def _means_something(name: str, ignored: AbstractSet[str]) -> bool:
    """Whether a name has a word that is neither a label nor without meaning."""
    if (key := spelling_key(name)) in ignored or key in placeholders.WORDS:
        return False
    words = (spelling_key(word) for word in _WORDS.findall(name))
    return any(word and word not in ignored and word not in placeholders.WORDS for word in words)


def _names_an_artist(name: str, ignored: AbstractSet[str]) -> bool:
    """Whether a name means something; `Artist 7` does, other than `Artist` and `fold 7`."""
    return _means_something(name, ignored) or bool(_NUMBERED_ARTIST.fullmatch(name.strip()))


def artist_and_title(path: str, ignored: AbstractSet[str] = frozenset()) -> list[tuple[str, str]]:
    """Artist and title in a file's name, `Artist - Title`, with or without a number in front.

    >>> artist_and_title("rock/01 - The Example - One Song.mp3")
    [('the example', 'one song')]

    Returns:
        The possible pairs; several if it is not clear whether a number is part of the name.
    """
    _, stem = folder_and_stem(path)
    parts = [part.replace("_", " ").strip() for part in _DASH.split(stem)]
    while len(parts) > 1 and _says_nothing(parts[0]):
        parts = parts[1:]
    parts = [part for part in parts if _WORDS.search(part)]
    if len(parts) < 2:
        return []
    names = [parts[0]]
    if numbered := re.fullmatch(r"\d{1,3}[\s.)\]]+(.*\S)", parts[0]):
        # "01. Artist" has a number; "50 Cent" and "2 Unlimited" are names.
        names = [numbered[1]] if re.match(r"\d+[.)\]]", parts[0]) else [*names, numbered[1]]
    return [(name, parts[-1]) for name in names if _names_an_artist(name, ignored)]


def _says_nothing(part: str) -> bool:
    """Whether the first part of a file's name is a number or "Various Artists"."""
    return not _WORDS.search(part) or spelling_key(part) in placeholders.ARTISTS


def folder_guess(
    path: str, level: int | None, ignored: AbstractSet[str] = frozenset()
) -> tuple[str | None, str | None]:
    """The artist and the album that the folders of a file seem to name.

    `Artist/Album/Track` counts only below the label folder. Otherwise the genre in `rock/x.mp3`
    would be an artist.

    >>> folder_guess("rock/The Example/First Album/01.mp3", 1)
    ('The Example', 'rock/The Example/First Album')

    Args:
        path: path of the file below the library.
        level: level of the label folder; None if no folder is a label. Then a single folder may be
            anything and says nothing.
        ignored: `spelling_key` of names that are no artists, such as the labels.

    Returns:
        The name of the artist's folder, which may be that of the album if there is one folder only;
        and the path of the album's folder. None where there is none.
    """
    folders = path.split("/")[:-1]
    start = level or 0
    while len(folders) > start and (_DISC.fullmatch(folders[-1]) or not _WORDS.search(folders[-1])):
        folders.pop()
    below = folders[start:]
    if not below or (level is None and len(below) < 2):
        return None, None
    artist = below[-2] if len(below) > 1 else below[-1]
    if len(below) > 1 and len(spelling_key(artist)) < 2:  # folders by first letter: A/, B/
        artist = below[-1]
    if spelling_key(artist) in placeholders.ARTISTS:
        return None, None
    if len(below) == 1:
        artist = _DASH.split(artist)[0]  # "Artist - Album"
    name = artist if _names_an_artist(artist, ignored) else None
    is_album = _names_an_artist(below[-1], ignored)
    return name, "/".join(folders) if is_album else None


def folder_and_stem(path: str) -> tuple[str, str]:
    """The folder of a file, and its name without suffix, in lower case and composed Unicode."""
    folder, _, name = path.rpartition("/")
    stem, dot, suffix = name.rpartition(".")
    # `.flac` and `.3gp` are extensions; `.00000` (blues.00000) and `. Intro` (01. Intro) are not.
    is_extension = suffix.isalnum() and len(suffix) <= 5 and not suffix.isdecimal()
    key = stem if dot and stem and is_extension else name
    return folder, unicodedata.normalize("NFC", key).casefold()
