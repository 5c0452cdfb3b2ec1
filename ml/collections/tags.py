"""File tags alone: the genre tag, spelled one way.

The rules, in this order:

1. ID3v1 numbers are spelled out: `17`, `(17)` and `(4)Eurodance` as the ID3 standard reads them.
2. The separators cut a tag into genres: `Rock/Pop` is `rock` and `pop`. A single-label dataset
   takes the first, a multi-label one takes all.
3. Letter case, Unicode composition and white space do not matter: labels are lower-case.
4. What says nothing (`other`, `unknown`, ...) is no genre.
5. `genre_map` then says what stays apart: `{ "hip hop" = "hiphop", "podcast" = "" }`. No spelling
   is guessed: `hip hop` and `hip-hop` are two genres until the map joins them.
"""

import unicodedata
from collections.abc import Mapping, Sequence
from pathlib import Path

from mutagen.id3 import TCON

from melgraph.ml.collections.base import Adaptor, Annotations, Row, Track
from melgraph.ml.specs.dataset import DatasetSpec, TagOptions

NO_GENRE = frozenset(
    {"", "other", "unknown", "unknown genre", "none", "misc", "miscellaneous", "genre", "n/a"}
)


def genres(tag: str | None, options: TagOptions) -> tuple[str, ...]:
    """The genres of a tag, normalised and mapped, in order and each once."""
    found = []
    for spelled in TCON(encoding=3, text=[tag or ""]).genres:  # spells ID3v1 numbers out
        for separator in options.separators:
            spelled = spelled.replace(separator, "\0") if separator else spelled
        found += [normalise(part) for part in spelled.split("\0")]
    known = {normalise(name): label for name, label in options.genre_map.items()}
    mapped = (known.get(genre, genre) for genre in found if genre not in NO_GENRE)
    return tuple(dict.fromkeys(label for label in mapped if label))


def normalise(genre: str) -> str:
    """One spelling of a genre: lower-case, composed, single blanks."""
    return " ".join(unicodedata.normalize("NFC", genre.casefold()).split())


def annotate(
    tracks: Sequence[Track], metadata: Mapping[str, Path], spec: DatasetSpec
) -> Annotations:
    """A row for every file, from its genre tag."""
    rows = []
    for track in tracks:
        labels = genres(track.genre, spec.tag)
        reason = None
        if not labels:
            reason = "no genre tag" if not track.genre else f"the genre tag {track.genre!r} says"
            reason += "" if not track.genre else " nothing, or is mapped to nothing"
        kept = labels if spec.multi_label else labels[:1]
        rows.append(Row(track.path, kept, reason=reason))
    return Annotations(tuple(rows))


TAGS = Adaptor(annotate)
