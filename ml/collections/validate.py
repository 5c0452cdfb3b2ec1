"""Compare a collection's lists with the library, and list all problems.

With an error, the dataset cannot be used. Warnings inform a person: files that are missing, faulty
or in no list; lists that differ from the published ones; classes that are too small to learn.
"""

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from melgraph.ml.collections import ADAPTORS, read
from melgraph.ml.collections.base import Annotations, Finding, Row, Track, examples
from melgraph.ml.errors import UserError
from melgraph.ml.specs.base import SPLITS
from melgraph.ml.specs.dataset import DatasetSpec
from melgraph.ml.splits.assignment import TRAIN


def validate(
    tracks: Sequence[Track], metadata: Mapping[str, Path], spec: DatasetSpec
) -> tuple[Annotations, list[Finding]]:
    """The rows of each track, and all problems of the collection, errors first.

    Args:
        tracks: files of the library, including faulty ones.
        metadata: name -> path of each of the collection's lists, as of `find_metadata`.
        spec: the dataset's spec, with a resolved `label_level`.
    """
    findings = list(_lists(metadata, spec))
    try:
        annotations = read(tracks, metadata, spec)
    except UserError as error:
        no_rows = Annotations((None,) * len(tracks))
        return no_rows, [Finding("error", f"{error.where}: {error.what}"), *findings]
    findings += annotations.findings
    findings += _sizes(annotations, spec)
    findings += _faults(tracks, annotations)
    findings += _classes(tracks, annotations, spec)
    findings.sort(key=lambda finding: finding.severity != "error")
    return annotations, findings


def _lists(metadata: Mapping[str, Path], spec: DatasetSpec) -> Iterator[Finding]:
    for name, published in ADAPTORS[spec.labels].sha256.items():
        if name not in metadata:
            continue
        with metadata[name].open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        if sha256 != published:
            what = f"{name} is not the published list: its SHA-256 is {sha256}, not {published}"
            yield Finding("warning", what)


def _sizes(annotations: Annotations, spec: DatasetSpec) -> Iterator[Finding]:
    """Compare the sizes of splits with the published ones; an incomplete list is no error."""
    published = ADAPTORS[spec.labels].split_sizes(spec)
    if annotations.n_rows is None:
        return
    for split, size in published.items():
        n_rows = annotations.split_sizes.get(split, 0)
        if n_rows != size:
            what = f"the lists have {n_rows} recordings in {split}, the published ones have {size}"
            yield Finding("warning", what)
    if spec.split == "official" and not annotations.split_sizes:
        yield Finding("error", "the lists have no split, but split = 'official' needs one")


def _faults(tracks: Sequence[Track], annotations: Annotations) -> Iterator[Finding]:
    faulty = [
        f"{track.path} ({track.fault})"
        for track, row in zip(tracks, annotations.rows, strict=True)
        if track.fault is not None and row is not None
    ]
    if faulty:
        yield Finding("warning", f"{len(faulty)} file(s) cannot be used: {examples(faulty)}")


def _classes(
    tracks: Sequence[Track], annotations: Annotations, spec: DatasetSpec
) -> Iterator[Finding]:
    rows = _used(tracks, annotations)
    sizes = Counter(label for row in rows for label in row.labels)
    if spec.labels == "none":
        return
    if len(sizes) < 2:
        classes = ", ".join(sizes) or "none"
        yield Finding("error", f"a classifier needs two classes or more; the files have: {classes}")
    small = sorted(label for label, n in sizes.items() if n < spec.min_tracks_per_class)
    if small and spec.split != "official":
        what = f"{len(small)} class(es) with fewer than {spec.min_tracks_per_class} tracks"
        yield Finding("warning", f"{what} will be left out: {examples(small)}")
    if spec.split == "official":
        filled = {row.split for row in rows}
        if empty := [split for split in SPLITS if split not in filled]:
            what = f"the official split has no file in {', '.join(empty)}"
            yield Finding("error", what)
        trained = {label for row in rows if row.split == TRAIN for label in row.labels}
        if trained and (unknown := sorted(set(sizes) - trained)):
            what = f"train has no file of {', '.join(unknown)}: other splits leave these out, too"
            yield Finding("warning", what)


def _used(tracks: Sequence[Track], annotations: Annotations) -> list[Row]:
    """The rows that the dataset can use, one for each recording."""
    usable: dict[str, Row] = {}
    for track, row in zip(tracks, annotations.rows, strict=True):
        if row is not None and row.labels and row.reason is None and track.fault is None:
            usable.setdefault(track.track_id or track.path, row)
    return list(usable.values())


def describe(tracks: Sequence[Track], annotations: Annotations, spec: DatasetSpec) -> list[str]:
    """Summarise a collection in lines for people: files, rows, classes, splits."""
    rows = _used(tracks, annotations)
    faulty = sum(track.fault is not None for track in tracks)
    lines = [f"files    {len(tracks)} in the library, {faulty} of them unusable; {len(rows)} used"]
    if annotations.n_rows is not None:
        n_rows, absent = annotations.n_rows, annotations.n_rows_without_file
        lines.append(f"rows     {n_rows} in the lists, {absent} of them without a file")
    sizes = Counter(label for row in rows for label in row.labels)
    if sizes:
        counts = (f"{label} {n}" for label, n in sorted(sizes.items()))
        lines.append(f"classes  {len(sizes)}: {', '.join(counts)}")
    if annotations.split_sizes:
        here = Counter(row.split for row in rows)
        sizes_of = annotations.split_sizes
        counts = (f"{split} {here[split]} of {sizes_of.get(split, 0)}" for split in SPLITS)
        lines.append(f"splits   {', '.join(counts)} listed")
    reasons = Counter(
        row.reason for row in annotations.rows if row is not None and row.reason is not None
    )
    for reason, n in sorted(reasons.items())[:8]:
        lines.append(f"left out {n}: {reason}")
    return lines
