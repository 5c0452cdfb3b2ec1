"""What all adaptors share: their input and output types, and the matching of rows to files."""

import codecs
import csv
import io
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from melgraph.ml.errors import UserError
from melgraph.ml.specs.dataset import DatasetSpec

MOST_EXAMPLES = 5
"""Number of examples in a finding."""


@dataclass(frozen=True)
class Track:
    """A file of the library.

    Attributes:
        path: relative to the library, with `/` between folders.
        track_id: our id; empty if the file was never read.
        artist, album, title: from the file's own metadata.
        genres: all values of the genre field in the file's own metadata.
        fault: error code of a quarantined file; None if the file can be used.
    """

    path: str
    track_id: str = ""
    artist: str | None = None
    album: str | None = None
    title: str | None = None
    genres: tuple[str, ...] = ()
    fault: str | None = None


@dataclass(frozen=True)
class Row:
    """One recording in the lists of a collection.

    Attributes:
        key: identifies the recording in the lists.
        labels: one or several labels; empty if `reason` says why.
        unused_labels: further labels of the recording, if the dataset uses one for each track.
        split: `train`, `validation` or `test`; None if the collection has no split.
        artist: name or id, unique in the collection. Tracks of one artist stay in one split.
        album: name or id.
        title: title of the recording.
        group: tracks of one group stay in one split, whatever their artists are.
        reason: why the collection leaves the recording out; None if it does not.
        place: position in the lists, such as `tracks.csv line 7`.
    """

    key: str
    labels: tuple[str, ...] = ()
    split: str | None = None
    artist: str | None = None
    album: str | None = None
    title: str | None = None
    group: str | None = None
    reason: str | None = None
    place: str = field(default="", compare=False)
    unused_labels: tuple[str, ...] = ()


@dataclass(frozen=True)
class Finding:
    """A problem of a collection. With an error, the dataset cannot be used."""

    severity: Literal["error", "warning"]
    what: str

    def __str__(self) -> str:
        return f"{self.severity}: {self.what}"


@dataclass(frozen=True)
class Annotations:
    """The rows of a collection, matched to the tracks of the library.

    Attributes:
        rows: the row of each track, in their order; None for a file without a row.
        findings: problems that the adaptor noticed.
        n_rows: number of rows in the lists that this dataset uses; None if there are no lists.
        n_rows_without_file: number of these rows that have no file.
        split_sizes: number of recordings per official split in the lists.
    """

    rows: tuple[Row | None, ...]
    findings: tuple[Finding, ...] = ()
    n_rows: int | None = None
    n_rows_without_file: int = 0
    split_sizes: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Adaptor:
    """A reader of one layout on disk.

    Attributes:
        annotate: (tracks, metadata files by name, spec) -> Annotations.
        files: spec -> names of the metadata files that it needs.
        places: folders below `metadata` that may hold these files, as in the published archives.
        source: what to download, from which project.
        split_sizes: spec -> the published number of recordings per split, if it is known.
        sha256: name of a published list -> its SHA-256, if it is known.
    """

    annotate: Callable[[Sequence[Track], Mapping[str, Path], DatasetSpec], Annotations]
    files: Callable[[DatasetSpec], tuple[str, ...]] = lambda spec: ()
    places: tuple[str, ...] = ("",)
    source: str = ""
    split_sizes: Callable[[DatasetSpec], Mapping[str, int]] = lambda spec: {}
    sha256: Mapping[str, str] = field(default_factory=dict)


def match(
    tracks: Sequence[Track],
    rows: Sequence[Row],
    key_of: Callable[[Track], str | None],
    *,
    in_dataset: Callable[[Row], bool] = lambda row: True,
) -> Annotations:
    """Assign to each track the row of its key; report files without a row and rows without a file.

    Args:
        tracks: files of the library. Several files may have one key, such as a crop and its
            original.
        rows: rows of the collection's lists, with unique keys.
        key_of: track -> its key; None if its name does not belong to this collection.
        in_dataset: whether the dataset uses a row. Only such rows are reported as without a file.
    """
    by_key = {row.key: row for row in rows}
    keys = [key_of(track) for track in tracks]
    matches = tuple(by_key.get(key) if key is not None else None for key in keys)
    present = set(keys)
    dataset_rows = [row for row in rows if in_dataset(row)]
    absent = [row.key for row in dataset_rows if row.key not in present]
    matched_ids = {
        track.track_id for track, row in zip(tracks, matches, strict=True) if row is not None
    }
    unknown = [
        track.path
        for track, row in zip(tracks, matches, strict=True)
        if row is None and (not track.track_id or track.track_id not in matched_ids)
    ]
    findings = []
    if tracks and len(unknown) == len(tracks):
        findings.append(
            Finding(
                "error",
                f"no file of {len(tracks)} matches a row of {len(rows)}: files are called "
                f"{examples([track.path for track in tracks], 2)}; rows "
                f"{examples([row.key for row in rows], 2)}",
            )
        )
    elif unknown:
        findings.append(
            Finding("warning", f"{len(unknown)} file(s) without a row: {examples(unknown)}")
        )
    if absent and len(unknown) < len(tracks):
        what = f"{len(absent)} of {len(dataset_rows)} row(s) without a file: {examples(absent)}"
        findings.append(Finding("warning", what))
    sizes = Counter(row.split for row in dataset_rows if row.split is not None)
    return Annotations(matches, tuple(findings), len(dataset_rows), len(absent), dict(sizes))


def share_rows(tracks: Sequence[Track], annotations: Annotations) -> Annotations:
    """Give all files of the same recording the same row.

    The row of the first file that has one is used. If another file has a row with other labels or
    another split, a finding names both.
    """
    first: dict[str, tuple[str, Row]] = {}
    differing = []
    for track, row in zip(tracks, annotations.rows, strict=True):
        if row is None or not track.track_id:
            continue
        path, shared = first.setdefault(track.track_id, (track.path, row))
        if (row.labels, row.split) != (shared.labels, shared.split):
            differing.append(f"{path} and {track.path}")
    rows = tuple(
        first[track.track_id][1] if track.track_id in first else row
        for track, row in zip(tracks, annotations.rows, strict=True)
    )
    if not differing:
        return replace(annotations, rows=rows)
    what = f"{len(differing)} recording(s) at two paths, labelled or split differently; "
    finding = Finding("warning", f"{what}the first counts: {examples(differing)}")
    return replace(annotations, rows=rows, findings=(*annotations.findings, finding))


def examples(items: Sequence[str], most: int = MOST_EXAMPLES) -> str:
    """The first few items, and the number of further ones."""
    more = f", ... and {len(items) - most} more" if len(items) > most else ""
    return ", ".join(items[:most]) + more


def refuse(problems: Sequence[str], *, where: Path, remedy: str) -> None:
    """Raise an error with all problems of a metadata file, unless there is none.

    Raises:
        UserError: there is at least one.
    """
    if problems:
        raise UserError(
            f"{len(problems)} problem(s) in {where.name}:\n"
            + "\n".join(f"  - {problem}" for problem in problems),
            where=str(where),
            remedy=remedy,
        )


def read_delimited(
    path: Path, delimiter: str = ",", *, header_line: int = 1
) -> list[tuple[int, list[str]]]:
    """The fields of every line of a delimited text file but empty ones, with their line numbers.

    Args:
        path: the file.
        delimiter: what separates the fields of a line.
        header_line: number of the first line to read.

    Raises:
        UserError: the file is not Unicode text, or not delimited text.
    """
    text = io.StringIO(read_text(path), newline="")
    skipped = header_line - 1
    for _ in range(skipped):
        text.readline()
    reader = csv.reader(text, delimiter=delimiter)
    try:
        return [(reader.line_num + skipped, fields) for fields in reader if fields]
    except csv.Error as error:
        raise UserError(
            f"line {reader.line_num + skipped} is not delimited text ({error})",
            where=str(path),
            remedy="save it as CSV again, or download it again",
        ) from None


def read_text(path: Path) -> str:
    """A metadata file as text, without a byte order mark.

    The text is UTF-8, or UTF-16, which spreadsheets call "Unicode text".

    Raises:
        UserError: the file is neither.
    """
    content = path.read_bytes()
    encoding = "utf-8-sig"
    if content[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
        encoding = "utf-16"
    elif b"\0" in content[:2]:  # UTF-16 without a mark: text begins with a letter of ASCII
        encoding = "utf-16-be" if content[:1] == b"\0" else "utf-16-le"
    try:
        return content.decode(encoding)
    except UnicodeDecodeError as error:
        name = "UTF-8" if encoding == "utf-8-sig" else "UTF-16"
        raise UserError(
            f"the file is not {name} text ({error.reason} at byte {error.start})",
            where=str(path),
            remedy="save it as UTF-8 (in Excel: CSV UTF-8), or download it again",
        ) from None
