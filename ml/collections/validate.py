"""What is not as it should be between a collection's lists and the library.

Errors keep the dataset from being of use; warnings are what a person should know: files that are
missing, faulty or in no list, lists that are not the published ones, classes too small to learn.
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
    """What the collection says about each track, and everything that is wrong, errors first.

    Args:
        tracks: files of the library, the faulty among them.
        metadata: the collection's lists, of `find_metadata`.
        spec: the dataset's; `label_level` is resolved.
    """
    findings = list(_lists(metadata, spec))
    try:
        found = read(tracks, metadata, spec)
    except UserError as error:
        nothing = Annotations((None,) * len(tracks))
        return nothing, [Finding("error", f"{error.where}: {error.what}"), *findings]
    findings += found.findings
    findings += _sizes(found, spec)
    findings += _faults(tracks, found)
    findings += _classes(tracks, found, spec)
    findings.sort(key=lambda finding: finding.severity != "error")
    return found, findings


def _lists(metadata: Mapping[str, Path], spec: DatasetSpec) -> Iterator[Finding]:
    for name, published in ADAPTORS[spec.labels].sha256.items():
        if name not in metadata:
            continue
        with metadata[name].open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        if sha256 != published:
            what = f"{name} is not the published list: its SHA-256 is {sha256}, not {published}"
            yield Finding("warning", what)


def _sizes(found: Annotations, spec: DatasetSpec) -> Iterator[Finding]:
    """Recordings per split, as published and as found; a part of a collection is no mistake."""
    published = ADAPTORS[spec.labels].split_sizes(spec)
    if found.listed is None:
        return
    for split, size in published.items():
        listed = found.split_sizes.get(split, 0)
        if listed != size:
            what = f"the lists have {listed} recordings in {split}, the published ones {size}"
            yield Finding("warning", what)
    if spec.split == "official" and not found.split_sizes:
        yield Finding("error", "the lists have no split, and split = 'official' needs one")


def _faults(tracks: Sequence[Track], found: Annotations) -> Iterator[Finding]:
    faulty = [
        f"{track.path} ({track.fault})"
        for track, row in zip(tracks, found.rows, strict=True)
        if track.fault is not None and row is not None
    ]
    if faulty:
        yield Finding("warning", f"{len(faulty)} file(s) cannot be used: {examples(faulty)}")


def _classes(tracks: Sequence[Track], found: Annotations, spec: DatasetSpec) -> Iterator[Finding]:
    rows = _used(tracks, found)
    sizes = Counter(label for row in rows for label in row.labels)
    if spec.labels == "none":
        return
    if len(sizes) < 2:
        known = ", ".join(sizes) or "none"
        yield Finding("error", f"a classifier needs two classes or more; the files have: {known}")
    small = sorted(label for label, n in sizes.items() if n < spec.min_tracks_per_class)
    if small and spec.split != "official":
        what = f"{len(small)} class(es) with fewer than {spec.min_tracks_per_class} tracks"
        yield Finding("warning", f"{what} will be left out: {examples(small)}")
    if spec.split == "official":
        there = {row.split for row in rows}
        if empty := [split for split in SPLITS if split not in there]:
            what = f"of the official split, no file is in {', '.join(empty)}"
            yield Finding("error", what)
        trained = {label for row in rows if row.split == TRAIN for label in row.labels}
        if trained and (strange := sorted(set(sizes) - trained)):
            what = f"train has no file of {', '.join(strange)}: those are left out elsewhere, too"
            yield Finding("warning", what)


def _used(tracks: Sequence[Track], found: Annotations) -> list[Row]:
    """The rows of good recordings, each recording once."""
    good: dict[str, Row] = {}
    for track, row in zip(tracks, found.rows, strict=True):
        if row is not None and row.labels and row.reason is None and track.fault is None:
            good.setdefault(track.track_id or track.path, row)
    return list(good.values())


def describe(tracks: Sequence[Track], found: Annotations, spec: DatasetSpec) -> list[str]:
    """What there is, in lines for people: files, rows, classes, splits."""
    rows = _used(tracks, found)
    faulty = sum(track.fault is not None for track in tracks)
    lines = [f"files    {len(tracks)} in the library, {faulty} of them unusable; {len(rows)} used"]
    if found.listed is not None:
        lines.append(f"rows     {found.listed} in the lists, {found.absent} of them without a file")
    sizes = Counter(label for row in rows for label in row.labels)
    if sizes:
        listed = ", ".join(f"{label} {n}" for label, n in sorted(sizes.items()))
        lines.append(f"classes  {len(sizes)}: {listed}")
    if found.split_sizes:
        here = Counter(row.split for row in rows)
        counts = (f"{split} {here[split]} of {found.split_sizes.get(split, 0)}" for split in SPLITS)
        lines.append(f"splits   {', '.join(counts)} listed")
    reasons = Counter(
        row.reason for row in found.rows if row is not None and row.reason is not None
    )
    for reason, n in sorted(reasons.items())[:8]:
        lines.append(f"left out {n}: {reason}")
    return lines
