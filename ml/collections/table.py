"""A user's own table, CSV or Parquet, with one line for each recording.

| column | meaning |
| --- | --- |
| `path`, `track_id` or `stem` | which file: its path in the library, our id, or its name without folder and suffix; exactly one of them |
| `label` or `labels` | one label, or several: a list in Parquet, separated in CSV; exactly one of them |
| `split` | optional: `train`, `validation`, `test` (`training`, `valid`, `val` are understood) |
| `artist`, `group` | optional: tracks of one artist, or of one group, stay in one split |
| `album`, `title` | optional, for people |

Other columns are ignored. CSV is UTF-8 or UTF-16 with a header, separated by commas, semicolons or
tabs. Tables from spreadsheets are understood: a first line `sep=;`, blank rows, and cells with an
error such as `#N/A`, which count as empty.
"""  # noqa: E501

import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import polars as pl

from melgraph.ml.collections.base import (
    Adaptor,
    Annotations,
    Finding,
    Row,
    Track,
    examples,
    match,
    read_delimited,
    read_text,
    refuse,
)
from melgraph.ml.errors import UserError
from melgraph.ml.specs.dataset import DatasetSpec

KEYS = ("path", "track_id", "stem")
LABELS = ("label", "labels")
SPLITS = {
    "train": "train", "training": "train",
    "validation": "validation", "valid": "validation", "val": "validation",
    "test": "test",
}  # fmt: skip
_COLUMNS = (*KEYS, *LABELS, "split", "artist", "group", "album", "title")
_SEPARATOR_LINE = re.compile(r'"?sep=(.)"?', re.IGNORECASE)  # the first line, as Excel writes it
_ERROR = re.compile(  # #N/A, #REF!, #DIV/0!, #NAME?, and their translations; Err:502
    r"#[¡¿]?[A-ZÀ-Þ]+(?:/0)?[!?]|#N/[ABD]|#N/A N/A|#NV|#GETTING_DATA|#ERR(?:OR)?!?|Err:\d{3}"
)
MOST_PROBLEMS = 20  # largest number of problems of one kind in a message
REMEDY = "correct the table; docs/collections.md says which columns it has"


def annotate(
    tracks: Sequence[Track], metadata: Mapping[str, Path], spec: DatasetSpec
) -> Annotations:
    """The rows of the table, matched to files.

    Raises:
        UserError: the table is invalid; the message has all its problems.
    """
    (path,) = metadata.values()  # a table is one file, whose name depends on its format
    table = read_rows(path, spec)

    def key_of(track: Track) -> str:
        place = track.path if table.kind in ("path", "stem") else track.track_id
        return _key(table.kind, place)

    annotations = match(tracks, table.rows, key_of)
    findings = list(annotations.findings)
    if table.repeats:
        findings.append(Finding("warning", f"{table.repeats} row(s) repeat another row"))
    if table.error_cells:
        what = f"{len(table.error_cells)} cell(s) with an error of the spreadsheet count as empty: "
        findings.append(Finding("warning", what + examples(table.error_cells)))
    findings += _lost_zeros(table, set(map(key_of, tracks)))
    if table.kind == "stem":
        findings += _stems_in_several_folders(tracks, annotations)
    return replace(annotations, findings=tuple(findings))


@dataclass(frozen=True)
class Table:
    """The content of a table.

    Attributes:
        kind: the name of the key column.
        rows: the rows, with unique keys.
        repeats: the number of lines that repeat another line.
        error_cells: place and content of the cells with an error of the spreadsheet.
    """

    kind: str
    rows: list[Row]
    repeats: int = 0
    error_cells: tuple[str, ...] = ()


def read_rows(path: Path, spec: DatasetSpec) -> Table:
    """The rows of a table.

    Raises:
        UserError: columns are missing, a line has no key or an unknown split, or two lines
            contradict each other. The message has all problems with their line numbers.
    """
    columns, lines = _read(path)
    problems = [
        f"needs exactly one of the columns {', '.join(choices)} (found "
        f"{', '.join(name for name in choices if name in columns) or 'none of them'}; "
        f"the table has {', '.join(columns)})"
        for choices in (KEYS, LABELS)
        if sum(name in columns for name in choices) != 1
    ]
    repeated = sorted({name for name in columns if name and columns.count(name) > 1})
    if repeated:
        problems.append(f"has more than one column {', '.join(repeated)}")
    if spec.split == "official" and "split" not in columns:
        problems.append("split = 'official' needs the column split")
    refuse(problems, where=path, remedy=REMEDY)
    kind = next(name for name in KEYS if name in columns)
    by_key: dict[str, Row] = {}
    faults: dict[str, list[str]] = {}
    repeats = 0
    error_cells: list[str] = []
    for number, line in lines:
        row, fault = _row(kind, _without_errors(line, f"row {number}", error_cells), spec, number)
        if fault is None and row.key in by_key:
            if row == by_key[row.key]:
                repeats += 1
                continue
            places = f"{by_key[row.key].place} and {row.place}"
            fault = "contradicts another row", f"{places}: {row.key}"
        if fault is not None:
            faults.setdefault(fault[0], []).append(fault[1])
        else:
            by_key[row.key] = row
    summaries = [
        f"{len(rows)} row(s): {what}: {examples(rows, MOST_PROBLEMS)}"
        for what, rows in faults.items()
    ]
    refuse(summaries, where=path, remedy=REMEDY)
    return Table(kind, list(by_key.values()), repeats, tuple(error_cells))


def _row(
    kind: str, line: Mapping[str, Any], spec: DatasetSpec, number: int
) -> tuple[Row, tuple[str, str] | None]:
    """The row of a line, and its fault: (what is wrong, where); None if nothing is wrong."""
    place = f"row {number}"
    labels = _labels(line, spec)
    text = {name: _text(line.get(name)) for name in ("split", "artist", "album", "title", "group")}
    split = SPLITS.get((text["split"] or "").casefold())
    key = _key(kind, _text(line.get(kind)) or "")
    fault = None
    reason = None if labels else "no label in the table"
    if line.get("too many fields") is not None:
        fault = "more fields than columns", place
    elif not key:
        fault = f"no {kind}", place
    elif len(labels) > 1 and not spec.multi_label:
        fault = "several labels (multi_label is false)", f"{place} ({', '.join(labels)})"
    elif text["split"] is not None and split is None:
        fault = f"unknown split (known: {', '.join(SPLITS)})", f"{place} ({text['split']})"
    row = Row(
        key, labels, split, text["artist"], text["album"], text["title"], text["group"], reason,
        place,
    )  # fmt: skip
    return row, fault


def _labels(line: Mapping[str, Any], spec: DatasetSpec) -> tuple[str, ...]:
    value = line.get("labels", line.get("label"))
    if isinstance(value, str) and "labels" in line:
        value = value.split(spec.table.separator)
    parts = value if isinstance(value, list) else [value]
    return tuple(dict.fromkeys(text for part in parts if (text := _text(part)) is not None))


def _text(value: Any) -> str | None:
    return (unicodedata.normalize("NFC", str(value)).strip() or None) if value is not None else None


def _key(kind: str, value: str) -> str:
    """Normalise a key: composed Unicode; `/` between folders; no leading `./`; lower-case ids."""
    value = unicodedata.normalize("NFC", value)
    if kind == "track_id":
        return value.casefold()
    value = value.replace("\\", "/").removeprefix("./")
    return value if kind == "path" else _stem(value)


def _stem(value: str) -> str:
    from melgraph.ml.audio import AUDIO_SUFFIXES

    name = value.rpartition("/")[2]
    stem, dot, suffix = name.rpartition(".")
    return stem if dot and stem and f".{suffix.casefold()}" in AUDIO_SUFFIXES else name


def _read(path: Path) -> tuple[list[str], Iterator[tuple[int, dict[str, Any]]]]:
    """Names of the columns, and (number, line) of every line; the header of a CSV is line 1."""
    if path.suffix.casefold() == ".parquet":
        try:
            table = pl.read_parquet(path, glob=False)
        except (OSError, pl.exceptions.PolarsError) as error:
            raise UserError(
                f"not valid Parquet ({error})", where=str(path), remedy=REMEDY
            ) from None
        return table.columns, enumerate(table.iter_rows(named=True), start=1)
    first, _, rest = read_text(path).partition("\n")
    named = _SEPARATOR_LINE.fullmatch(first.rstrip("\r"))
    head = rest.partition("\n")[0] if named else first
    delimiter = named[1] if named else max(",;\t", key=head.count)
    lines = read_delimited(path, delimiter, header_line=2 if named else 1)
    lines = [(number, fields) for number, fields in lines if any(map(str.strip, fields))]
    columns = [name.strip() for name in lines[0][1]] if lines else []
    return columns, ((number, _named(columns, fields)) for number, fields in lines[1:])


def _named(columns: Sequence[str], fields: Sequence[str]) -> dict[str, Any]:
    line: dict[str, Any] = dict(zip(columns, fields, strict=False))
    if any(field.strip() for field in fields[len(columns) :]):
        line["too many fields"] = fields[len(columns) :]
    return line


def _without_errors(
    line: Mapping[str, Any], place: str, error_cells: list[str]
) -> Mapping[str, Any]:
    """The line without cells that hold an error of a spreadsheet; these are added to a list."""
    errors = {
        name: value.strip()
        for name, value in line.items()
        if name in _COLUMNS and isinstance(value, str) and _ERROR.fullmatch(value.strip())
    }
    error_cells += [f"{place}, {name} ({value})" for name, value in errors.items()]
    return {**line, **dict.fromkeys(errors)} if errors else line


def _lost_zeros(table: Table, file_keys: set[str]) -> Iterator[Finding]:
    """A warning if keys would match files with leading zeros, which spreadsheets remove."""
    if table.kind == "track_id":
        return
    files: dict[str, list[str]] = {}
    for key in file_keys:
        files.setdefault(_without_zeros(key), []).append(key)
    lost = [
        (row.key, of_number[0])
        for row in table.rows
        if row.key not in file_keys
        and len(of_number := files.get(_without_zeros(row.key), [])) == 1
    ]
    if lost:
        one, other = lost[0]
        what = (
            f"{len(lost)} of {len(table.rows)} row(s) would match with leading zeros, {one} as "
            f"{other}: a spreadsheet has removed them; format the column {table.kind} as text there"
        )
        yield Finding("warning", what)


def _without_zeros(key: str) -> str:
    """A key as a spreadsheet writes it that takes the file's name for a number."""
    folder, slash, name = key.rpartition("/")
    number = re.fullmatch(r"0*(\d+?)(?:\.0)?(\.[^\W\d]\w*)?", name)
    return f"{folder}{slash}{number[1]}{number[2] or ''}" if number else key


def _stems_in_several_folders(
    tracks: Sequence[Track], annotations: Annotations
) -> Iterator[Finding]:
    folders: dict[str, set[str]] = {}
    for track, row in zip(tracks, annotations.rows, strict=True):
        if row is not None:
            folders.setdefault(row.key, set()).add(track.path.rpartition("/")[0])
    several = sorted(stem for stem, of in folders.items() if len(of) > 1)
    if several:
        what = f"{len(several)} stem(s) are files of several folders, each of which got the row"
        yield Finding("warning", f"{what}: {examples(several)}")


TABLE = Adaptor(annotate, source="a CSV or Parquet file of your own; docs/collections.md")
