"""One key for all spellings of a name: letter case, accents, punctuation and articles are ignored.

`Motörhead` and `MOTORHEAD`, `AC/DC` and `ACDC`, `The Kinks`, `Kinks` and `Kinks, The` have the same
key. Letters of all scripts stay.
"""

import re
import unicodedata
from functools import lru_cache

_ARTICLES = (
    "the", "a", "an", "die", "der", "das", "les", "le", "la", "los", "las", "el", "il", "gli",
    "os", "as",
)  # fmt: skip
_LEADING_ARTICLE = re.compile(rf"(?:{'|'.join(_ARTICLES)})\s+(?!and\b)(?=\w)")
_TRAILING_ARTICLE = re.compile(rf"(.*\S)\s*,\s*({'|'.join(_ARTICLES)})")
_AND = re.compile(r"\s*(?:&|\s\+\s)\s*")
# Letters that Unicode does not decompose into a letter and an accent.
_LETTERS = str.maketrans(
    {"ø": "o", "ł": "l", "đ": "d", "ð": "d", "þ": "th", "æ": "ae", "œ": "oe", "ı": "i", "ħ": "h"}
)
_UMLAUTS = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue", "å": "aa", "ø": "oe"})
_SYMBOLS = str.maketrans({"$": "s", "!": "i", "@": "a"})
_ACCENTS = range(0x300, 0x370)  # the block of combining marks of Latin, Greek and Cyrillic letters


@lru_cache(maxsize=1 << 16)  # a library names each artist many times
def spelling_key(name: str) -> str:
    """The key of a name: lower-case letters and digits without accents and a leading article.

    >>> spelling_key("The Kinks"), spelling_key("Kinks, The"), spelling_key("AC/DC")
    ('kinks', 'kinks', 'acdc')

    A name without any letter or digit keeps its symbols (`!!!`). The key is empty if the name is.
    """
    text = " ".join(unicodedata.normalize("NFKC", name).casefold().split())
    if swapped := _TRAILING_ARTICLE.fullmatch(text):
        text = f"{swapped[2]} {swapped[1]}"
    text = " ".join(_AND.sub(" and ", text).split()) if text.strip("&+ ") else text
    article = _LEADING_ARTICLE.match(text)
    text = text[article.end() :] if article else text
    return _letters(text) or text.replace(" ", "")


def spelling_keys(name: str) -> tuple[str, ...]:
    """All keys of a name: that of `spelling_key` first, then those of other usual spellings.

    >>> spelling_keys("Björk"), spelling_keys("Davis, Miles")
    (('bjork', 'bjoerk'), ('davismiles', 'milesdavis'))
    """
    composed = unicodedata.normalize("NFKC", name).casefold()
    spellings = [composed, composed.translate(_UMLAUTS)]
    if any(character.isalpha() for character in name):
        spellings.append(composed.translate(_SYMBOLS))
    family, comma, given = composed.partition(",")
    if comma and "," not in given and 0 < len(given.split()) <= 2 and 0 < len(family.split()) <= 2:
        spellings.append(f"{given} {family}")
    keys = map(spelling_key, dict.fromkeys(spellings))
    return tuple(dict.fromkeys(key for key in keys if key))


def _letters(text: str) -> str:
    if text.isascii():
        return "".join(filter(str.isalnum, text))
    decomposed = unicodedata.normalize("NFKD", text.translate(_LETTERS))
    return "".join(
        character
        for character in unicodedata.normalize("NFKC", "".join(
            c for c in decomposed if ord(c) not in _ACCENTS
        )).casefold()
        if character.isalnum() or unicodedata.category(character)[0] == "M"
    )  # fmt: skip
