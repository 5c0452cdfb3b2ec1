"""FMA: `fma_small/000/000002.mp3` and `fma_metadata/tracks.csv`, as mdeff/fma publishes them.

Defferrard, Benzi, Vandergheynst, Bresson 2017, "FMA: A Dataset For Music Analysis". `tracks.csv`
has three header rows: two levels of column names, then a row with `track_id` only. Track 2 is the
file `000/000002.mp3`. Subsets are nested: medium contains small, large contains medium. According
to the paper, each artist is in one official split only.
"""

import csv
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import polars as pl

from melgraph.ml.collections.base import (
    Adaptor,
    Annotations,
    Row,
    Track,
    match,
    read_delimited,
    refuse,
)
from melgraph.ml.errors import UserError
from melgraph.ml.specs.dataset import DatasetSpec

TRACKS, GENRES = "tracks.csv", "genres.csv"
SPLITS = {"training": "train", "validation": "validation", "test": "test"}
SUBSETS = ("small", "medium", "large")
COLUMNS = {
    ("set", "split"): "split",
    ("set", "subset"): "subset",
    ("track", "genre_top"): "genre_top",
    ("track", "genres"): "genres",
    ("artist", "id"): "artist",
    ("album", "id"): "album",
    ("track", "title"): "title",
}
SPLIT_SIZES = {
    "small": {"train": 6400, "validation": 800, "test": 800},
    "medium": {"train": 19922, "validation": 2505, "test": 2573},
}
_FILE = re.compile(r"(?:.*/)?(\d{3})/(\1\d{3})\.\w+\Z")


def track_of(path: str) -> str | None:
    """`2` for a file such as `fma_small/000/000002.mp3`; None for other names."""
    name = _FILE.match(path)
    return str(int(name[2])) if name else None


def read_tracks(path: Path) -> pl.DataFrame:
    """The columns of `tracks.csv` that are used here, as text, with `key` (the track's number).

    Raises:
        UserError: the file lacks the three header rows or a column.
    """
    remedy = f"download the file again: {FMA.source}"
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            head = [next(csv.reader(file), []) for _ in range(3)]
    except (UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"not valid CSV ({error})", where=str(path), remedy=remedy) from None
    if len(head[0]) != len(head[1]) or head[2][:1] != ["track_id"]:
        raise UserError(
            "the first three rows are not an FMA header "
            f"(they start with {[row[:2] for row in head]})",
            where=str(path),
            remedy=remedy,
        )
    columns = {pair: number for number, pair in enumerate(zip(head[0], head[1], strict=True))}
    missing = [f"no column ({a}, {b})" for a, b in COLUMNS if (a, b) not in columns]
    refuse(missing, where=path, remedy=remedy)
    names = {0: "key", **{columns[pair]: name for pair, name in COLUMNS.items()}}
    try:
        table = pl.read_csv(
            path, has_header=False, skip_rows=3, infer_schema=False, columns=sorted(names)
        )
    except pl.exceptions.PolarsError as error:
        raise UserError(f"not valid CSV ({error})", where=str(path), remedy=remedy) from None
    return table.rename(dict(zip(table.columns, (names[n] for n in sorted(names)), strict=True)))


def read_genres(path: Path) -> dict[int, str]:
    """Number -> title of each genre of `genres.csv` (`genre_id,#tracks,parent,title,top_level`)."""
    (_, header), *lines = read_delimited(path) or [(0, [""])]
    remedy = f"download the file again: {FMA.source}"
    missing = [f"no column {name}" for name in ("genre_id", "title") if name not in header]
    refuse(missing, where=path, remedy=remedy)
    number, title = header.index("genre_id"), header.index("title")
    bad = [f"line {line}: not a genre" for line, fields in lines
           if len(fields) != len(header) or not fields[number].isdecimal()]  # fmt: skip
    refuse(bad, where=path, remedy=remedy)
    return {int(fields[number]): fields[title] for _, fields in lines}


def annotate(
    tracks: Sequence[Track], metadata: Mapping[str, Path], spec: DatasetSpec
) -> Annotations:
    """Labels, official split and artist of each track.

    The label is `genre_top`; with `multi_label`, the labels are the titles of all `genres`.
    """
    titles = read_genres(metadata[GENRES]) if spec.multi_label else {}
    problems: list[str] = []
    rows = list(_rows(read_tracks(metadata[TRACKS]), titles, spec, problems))
    refuse(problems, where=metadata[TRACKS], remedy=f"download the files again: {FMA.source}")
    return match(
        tracks, rows, lambda track: track_of(track.path), in_dataset=lambda row: row.reason is None
    )


def _rows(
    table: pl.DataFrame, titles: Mapping[int, str], spec: DatasetSpec, problems: list[str]
) -> Iterator[Row]:
    whole = spec.fma.subset in ("large", "full")
    subsets = set(SUBSETS if whole else SUBSETS[: SUBSETS.index(spec.fma.subset) + 1])
    for number, row in enumerate(table.iter_rows(named=True), start=1):
        place = f"{TRACKS} row {number}"
        if not (row["key"] or "").isdecimal():
            problems.append(f"row {number}: {row['key']!r} is not a track number")
            continue
        if row["split"] not in SPLITS or row["subset"] not in SUBSETS:
            problems.append(f"row {number}: split {row['split']!r}, subset {row['subset']!r}")
            continue
        reason = None
        labels: tuple[str, ...] = (row["genre_top"],) if row["genre_top"] else ()
        if spec.multi_label:
            numbers = [int(number) for number in re.findall(r"\d+", row["genres"] or "")]
            problems += [f"row {number}: genre {n} is not in {GENRES}" for n in numbers
                         if n not in titles]  # fmt: skip
            labels = tuple(titles[n] for n in numbers if n in titles)
        if row["subset"] not in subsets:
            reason = f"not in the subset fma_{spec.fma.subset}"
        elif not labels:
            reason = "no genre" if spec.multi_label else "no single top genre"
        yield Row(
            str(int(row["key"])),
            labels,
            SPLITS[row["split"]],
            artist=f"fma artist {row['artist']}" if row["artist"] else None,
            album=row["album"],
            title=row["title"],
            reason=reason,
            place=place,
        )


FMA = Adaptor(
    annotate,
    files=lambda spec: (TRACKS, GENRES) if spec.multi_label else (TRACKS,),
    places=("", "fma_metadata"),
    source="fma_metadata.zip of the repository mdeff/fma",
    split_sizes=lambda spec: {} if spec.multi_label else SPLIT_SIZES.get(spec.fma.subset, {}),
)
