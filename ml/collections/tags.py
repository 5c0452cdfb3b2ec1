"""Labels from the genre in each file's own metadata (`labels = "tag"`), normalised.

These rules apply in this order:

1. ID3v1 numbers are replaced by names: `17`, `(17)` and `(4)Eurodance`, as in the ID3 standard.
2. The field may have several values (Vorbis comments, ID3v2.4, MP4, APEv2), and each value is split
   at the separators: `Rock/Pop` is `rock` and `pop`. A single-label dataset uses the first genre,
   a multi-label dataset uses all.
3. Letter case, Unicode composition and white space do not matter: labels are lower-case.
4. Values without information (`other`, `unknown`, ...) are not genres.
5. `genre_map` renames genres and drops those mapped to an empty string:
   `{ "hip hop" = "hiphop", "podcast" = "" }`. Other spellings are not merged automatically:
   `hip hop` and `hip-hop` are two genres unless the map says otherwise.
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


def genres(values: Sequence[str], options: TagOptions) -> tuple[str, ...]:
    """The genres in the values of a file's genre field, normalised and mapped, each once."""
    names = []
    for text in TCON(encoding=3, text=list(values)).genres:  # replaces ID3v1 numbers by names
        for separator in options.separators:
            text = text.replace(separator, "\0") if separator else text
        names += [normalise(part) for part in text.split("\0")]
    genre_map = {normalise(name): label for name, label in options.genre_map.items()}
    mapped = (genre_map.get(name, name) for name in names if name not in NO_GENRE)
    return tuple(dict.fromkeys(label for label in mapped if label))


def normalise(genre: str) -> str:
    """Normalise a genre: lower-case, composed Unicode, single spaces."""
    return " ".join(unicodedata.normalize("NFC", genre.casefold()).split())


def annotate(
    tracks: Sequence[Track], metadata: Mapping[str, Path], spec: DatasetSpec
) -> Annotations:
    """A row for every file, labelled with the genre in its own metadata."""
    rows = []
    for track in tracks:
        labels = genres(track.genres, spec.tag)
        reason = None
        if not labels:
            value = "; ".join(track.genres)
            reason = f"the genre tag {value!r} says nothing, or is mapped to nothing"
            reason = reason if track.genres else "no genre tag"
        used = labels if spec.multi_label else labels[:1]
        rows.append(Row(track.path, used, reason=reason, unused_labels=labels[len(used) :]))
    return Annotations(tuple(rows))


TAGS = Adaptor(annotate)
