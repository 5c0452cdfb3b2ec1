"""MTG-Jamendo: `NN/NNNN.mp3` (or `.low.mp3`) and the TSV files of MTG/mtg-jamendo-dataset.

Bogdanov, Won, Tovstogan, Porter, Serra 2019, "The MTG-Jamendo Dataset for Automatic Music
Tagging". A line is `TRACK_ID ARTIST_ID ALBUM_ID PATH DURATION TAGS`, and every further field is
another tag, such as `genre---rock`. Tags keep this spelling, because one word may be the name of
both a genre and a mood.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from melgraph.ml.collections.base import (
    Adaptor,
    Annotations,
    Row,
    Track,
    match,
    read_delimited,
    refuse,
)
from melgraph.ml.specs.base import SPLITS
from melgraph.ml.specs.dataset import DatasetSpec

HEADER = ["TRACK_ID", "ARTIST_ID", "ALBUM_ID", "PATH", "DURATION", "TAGS"]
_FILE = re.compile(r"(?:.*/)?(\d\d/\d+)(?:\.low)?\.\w+\Z")


def recording_of(path: str) -> str | None:
    """`15/215` for `15/215.mp3` or `audio/15/215.low.mp3`; None for other names."""
    name = _FILE.match(path)
    return name[1] if name else None


def read_list(path: Path, split: str | None = None) -> list[Row]:
    """The recordings of one TSV file.

    Raises:
        UserError: the header or a line is invalid; the message has all such lines.
    """
    problems, rows = [], []
    lines = read_delimited(path, "\t")
    header = lines[0][1] if lines else []
    if header != HEADER:
        problems.append(f"line 1: the header must be {' '.join(HEADER)} (got {' '.join(header)})")
    for number, fields in lines[1:] if not problems else ():
        key = recording_of(fields[3]) if len(fields) > len(HEADER) - 1 else None
        tags = [tag for tag in fields[5:] if tag]
        if key is None or not tags or not all("---" in tag for tag in tags):
            problems.append(
                f"line {number}: {' '.join(fields)[:80]!r} is not a recording with tags"
            )
            continue
        labels = tuple(dict.fromkeys(tags))
        place = f"{path.name} line {number}"
        rows.append(Row(key, labels, split, artist=fields[1], album=fields[2], place=place))
    refuse(problems, where=path, remedy=f"download the list again: {MTG_JAMENDO.source}")
    return rows


def annotate(
    tracks: Sequence[Track], metadata: Mapping[str, Path], spec: DatasetSpec
) -> Annotations:
    """Tags, artist and official split of each track, from the three lists of the subset."""
    rows: dict[str, Row] = {}
    for name, split in zip(_files(spec), SPLITS, strict=True):
        problems = []
        for row in read_list(metadata[name], split):
            if row.key in rows:
                problems.append(f"{row.place}: {row.key} is in {rows[row.key].place} already")
            rows[row.key] = row
        refuse(problems, where=metadata[name], remedy=f"download it again: {MTG_JAMENDO.source}")
    return match(tracks, list(rows.values()), lambda track: recording_of(track.path))


def _files(spec: DatasetSpec) -> tuple[str, ...]:
    return tuple(f"{spec.mtg_jamendo.subset}-{split}.tsv" for split in SPLITS)


MTG_JAMENDO = Adaptor(
    annotate,
    files=_files,
    places=("", "split-0", "splits/split-0", "data/splits/split-0"),
    source="the folder data/splits/split-0 of the repository MTG/mtg-jamendo-dataset",
    # Counted in the published split-0; the sizes of the other lists are not known here.
    split_sizes=lambda spec: (
        {"test": 11356} if spec.mtg_jamendo.subset == "autotagging_top50tags" else {}
    ),
)
