"""What every adaptor takes and gives: tracks in, one row for each out, and findings on the way."""

import csv
import io
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from melgraph.ml.errors import UserError
from melgraph.ml.specs.dataset import DatasetSpec

SHOWN = 5
"""Examples that a finding names."""


@dataclass(frozen=True)
class Track:
    """A file as the library knows it.

    Attributes:
        path: relative to the library, with `/`.
        track_id: our id; empty where the file was never read.
        artist: of the file's tags, as are `album`, `title` and `genre`.
        fault: quarantine code of a file that cannot be used; None for a good one.
    """

    path: str
    track_id: str = ""
    artist: str | None = None
    album: str | None = None
    title: str | None = None
    genre: str | None = None
    fault: str | None = None


@dataclass(frozen=True)
class Row:
    """What a collection says about one recording.

    Attributes:
        key: what it is called by in the collection's lists.
        labels: one or several; none where `reason` says why.
        split: `train`, `validation` or `test`, where the collection has a split.
        artist: name or id, unique in the collection; tracks of one artist belong together.
        album: name or id.
        title: of the recording.
        group: tracks of one group belong together, whatever their artists.
        reason: why the collection leaves the recording out, where it does.
        place: where it stands, such as `tracks.csv line 7`.
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


@dataclass(frozen=True)
class Finding:
    """One thing that is not as it should be: an error keeps the dataset from being of use."""

    severity: Literal["error", "warning"]
    what: str

    def __str__(self) -> str:
        return f"{self.severity}: {self.what}"


@dataclass(frozen=True)
class Annotations:
    """What the collection says about each track, in the order of the tracks.

    Attributes:
        rows: a row for each track; None for a file that the collection does not know.
        findings: what an adaptor noticed.
        listed: rows of the collection's lists (that this dataset asks for); None where there
            are no lists.
        absent: how many of them have no file.
        split_sizes: recordings per official split in the lists.
    """

    rows: tuple[Row | None, ...]
    findings: tuple[Finding, ...] = ()
    listed: int | None = None
    absent: int = 0
    split_sizes: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Adaptor:
    """A reader of one layout on disk.

    Attributes:
        annotate: (tracks, metadata files by name, spec) -> Annotations.
        files: names of the metadata files that a spec needs.
        places: folders below `metadata` in which they may lie, as the collection is packed.
        source: what to get, from which project.
        split_sizes: spec -> the published number of recordings per split, where it is known.
        sha256: of published lists, by name, where it is known.
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
    wanted: Callable[[Row], bool] = lambda row: True,
) -> Annotations:
    """Give each track the row of its key, and say what has no counterpart.

    Args:
        tracks: files of the library; several may have one key (a crop follows its original).
        rows: of the collection's lists, no two of one key.
        key_of: the key of a file; None where its name is not of this collection.
        wanted: rows that the dataset asks for: only their files are missed.
    """
    by_key = {row.key: row for row in rows}
    keys = [key_of(track) for track in tracks]
    found = tuple(by_key.get(key) if key is not None else None for key in keys)
    present = set(keys)
    listed = [row for row in rows if wanted(row)]
    absent = [row.key for row in listed if row.key not in present]
    known = {track.track_id for track, row in zip(tracks, found, strict=True) if row is not None}
    unknown = [
        track.path
        for track, row in zip(tracks, found, strict=True)
        if row is None and (not track.track_id or track.track_id not in known)
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
        what = f"{len(absent)} of {len(listed)} row(s) without a file: {examples(absent)}"
        findings.append(Finding("warning", what))
    sizes = Counter(row.split for row in listed if row.split is not None)
    return Annotations(found, tuple(findings), len(listed), len(absent), dict(sizes))


def share_rows(tracks: Sequence[Track], found: Annotations) -> Annotations:
    """Where one recording lies at several paths, the row of one is that of all.

    The first path that has a row counts; others that say something else are told.
    """
    first: dict[str, tuple[str, Row]] = {}
    differing = []
    for track, row in zip(tracks, found.rows, strict=True):
        if row is None or not track.track_id:
            continue
        path, known = first.setdefault(track.track_id, (track.path, row))
        if (row.labels, row.split) != (known.labels, known.split):
            differing.append(f"{path} and {track.path}")
    rows = tuple(
        first[track.track_id][1] if track.track_id in first else row
        for track, row in zip(tracks, found.rows, strict=True)
    )
    if not differing:
        return replace(found, rows=rows)
    what = f"{len(differing)} recording(s) at two paths, labelled or split differently; "
    told = Finding("warning", f"{what}the first counts: {examples(differing)}")
    return replace(found, rows=rows, findings=(*found.findings, told))


def examples(items: Sequence[str], most: int = SHOWN) -> str:
    """The first few, and how many more there are."""
    more = f", ... and {len(items) - most} more" if len(items) > most else ""
    return ", ".join(items[:most]) + more


def refuse(problems: Sequence[str], *, where: Path, remedy: str) -> None:
    """Raise every problem of a metadata file at once, if there is one.

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


def read_delimited(path: Path, delimiter: str = ",") -> list[tuple[int, list[str]]]:
    """Every line of a delimited text file, with the number it ends at; the empty ones left out.

    Raises:
        UserError: it is not UTF-8, or no delimited text.
    """
    reader = csv.reader(io.StringIO(read_text(path), newline=""), delimiter=delimiter)
    try:
        return [(reader.line_num, fields) for fields in reader if fields]
    except csv.Error as error:
        raise UserError(
            f"line {reader.line_num} is no delimited text ({error})",
            where=str(path),
            remedy="save it as CSV again, or get it again",
        ) from None


def read_text(path: Path) -> str:
    """A metadata file as text, without a byte order mark.

    Raises:
        UserError: it is not UTF-8.
    """
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(
            f"the file is not UTF-8 text ({error.reason} at byte {error.start})",
            where=str(path),
            remedy="save it as UTF-8, or get it again",
        ) from None
