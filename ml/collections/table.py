"""A user's own table, CSV or Parquet, with one line for each recording.

| column | meaning |
| --- | --- |
| `path`, `track_id` or `stem` | which file: its path in the library, our id, or its name without folder and suffix; exactly one of them |
| `label` or `labels` | one label, or several: a list in Parquet, separated in CSV; exactly one of them |
| `split` | optional: `train`, `validation`, `test` (`training`, `valid`, `val` are understood) |
| `artist`, `group` | optional: tracks of one artist, or of one group, stay in one split |
| `album`, `title` | optional, for people |

Other columns are ignored. CSV is UTF-8 with a header, separated by commas, semicolons or tabs.
"""  # noqa: E501

import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
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
    kind, rows, repeats = read_rows(path, spec)

    def key_of(track: Track) -> str:
        return _key(kind, {"path": track.path, "stem": track.path}.get(kind, track.track_id))

    annotations = match(tracks, rows, key_of)
    findings = list(annotations.findings)
    if repeats:
        findings.append(Finding("warning", f"{repeats} row(s) say again what another said"))
    if kind == "stem":
        folders: dict[str, set[str]] = {}
        for track, row in zip(tracks, annotations.rows, strict=True):
            if row is not None:
                folders.setdefault(row.key, set()).add(track.path.rpartition("/")[0])
        several = sorted(stem for stem, of in folders.items() if len(of) > 1)
        if several:
            what = f"{len(several)} stem(s) are files of several folders, each of which got the row"
            findings.append(Finding("warning", f"{what}: {examples(several)}"))
    return replace(annotations, findings=tuple(findings))


def read_rows(path: Path, spec: DatasetSpec) -> tuple[str, list[Row], int]:
    """The name of the key column, the rows, and the number of lines that repeat another line.

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
    repeated = sorted({name for name in columns if columns.count(name) > 1})
    if repeated:
        problems.append(f"has more than one column {', '.join(repeated)}")
    if spec.split == "official" and "split" not in columns:
        problems.append("split = 'official' needs the column split")
    refuse(problems, where=path, remedy=REMEDY)
    kind = next(name for name in KEYS if name in columns)
    by_key: dict[str, Row] = {}
    faults: dict[str, list[str]] = {}
    repeats = 0
    for number, line in lines:
        row, fault = _row(kind, line, spec, number)
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
    return kind, list(by_key.values()), repeats


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
            table = pl.read_parquet(path)
        except (OSError, pl.exceptions.PolarsError) as error:
            raise UserError(
                f"not valid Parquet ({error})", where=str(path), remedy=REMEDY
            ) from None
        return table.columns, enumerate(table.iter_rows(named=True), start=1)
    head = read_text(path).partition("\n")[0]
    lines = read_delimited(path, max(",;\t", key=head.count))
    columns = [name.strip() for name in lines[0][1]] if lines else []
    return columns, ((number, _named(columns, fields)) for number, fields in lines[1:])


def _named(columns: Sequence[str], fields: Sequence[str]) -> dict[str, Any]:
    line: dict[str, Any] = dict(zip(columns, fields, strict=False))
    if len(fields) > len(columns):
        line["too many fields"] = fields[len(columns) :]
    return line


TABLE = Adaptor(annotate, source="a CSV or Parquet file of your own; docs/collections.md")
