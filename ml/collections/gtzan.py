"""GTZAN: `<genre>/<genre>.<NNNNN>.<suffix>`, below `genres/`, `genres_original/` or the library.

GTZAN has 1000 clips of 30 s, 100 in each of ten genres. Some clips are repeated, distorted or
mislabelled, and many have the same artist (Sturm 2013, "The GTZAN dataset"). The fault-filtered
split (Kereliuk, Sturm, Larsen 2015, "Deep Learning and Music Adversaries") leaves out faulty clips
and has each artist in one split only: 443 clips in train, 197 in validation, 290 in test. In the
common copy `jazz.00054` is not audio and is quarantined like any such file. It is in train, so 442
of the 443 clips remain there.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from melgraph.ml.collections.base import (
    Adaptor,
    Annotations,
    Finding,
    Row,
    Track,
    match,
    read_text,
    refuse,
)
from melgraph.ml.specs.dataset import DatasetSpec

GENRES = (
    "blues", "classical", "country", "disco", "hiphop",
    "jazz", "metal", "pop", "reggae", "rock",
)  # fmt: skip
LISTS = {
    "train_filtered.txt": "train",
    "valid_filtered.txt": "validation",
    "test_filtered.txt": "test",
}
SPLIT_SIZES = {"train": 443, "validation": 197, "test": 290}
LEFT_OUT = "faulty or repeated (fault-filtered split)"
SHA256 = {
    "train_filtered.txt": "2b04966cef1486f1a7767b74271533fa23e220388db804a1937835e1fc4fa3fa",
    "valid_filtered.txt": "f8fbee7c52397a0e0f3a91dc54fedecb2e27f5bdc9a9daeab8cb10d077e26956",
    "test_filtered.txt": "09cafa6a89ce0a27f30ed250d56ecb4d03c22fffb5a693f96c7ae655ee02ac72",
}
_NAME = re.compile(rf"(?:.*/)?(?P<key>(?P<genre>{'|'.join(GENRES)})\.\d{{5}})(?:\.[^/]*)?\Z")


def clip_of(path: str) -> str | None:
    """`blues.00012` for a file such as `genres/blues/blues.00012.wav`; None for other names.

    The number may be followed by more: `jazz.00003.crop.flac` belongs to the clip `jazz.00003`.
    """
    name = _NAME.match(path)
    return name["key"] if name else None


def read_lists(metadata: Mapping[str, Path]) -> dict[str, Row]:
    """Every clip of the three lists, with its split.

    Raises:
        UserError: a line names no clip, or names one again; the message has all such lines.
    """
    rows: dict[str, Row] = {}
    for name, split in LISTS.items():
        problems = []
        for number, line in enumerate(read_text(metadata[name]).splitlines(), start=1):
            if not line.strip():
                continue
            clip, place = clip_of(line.strip()), f"{name} line {number}"
            if clip is None:
                problems.append(f"line {number}: {line.strip()!r} is not the path of a GTZAN clip")
            elif clip in rows:
                problems.append(f"line {number}: {clip} is in {rows[clip].place} already")
            else:
                rows[clip] = Row(clip, (clip.partition(".")[0],), split, place=place)
        refuse(problems, where=metadata[name], remedy=f"download the list again: {GTZAN.source}")
    return rows


def annotate(
    tracks: Sequence[Track], metadata: Mapping[str, Path], spec: DatasetSpec
) -> Annotations:
    """Genres from file names. With the lists: their splits; clips in no list are left out."""
    clips = [clip_of(track.path) for track in tracks]
    rows = read_lists(metadata) if metadata else {}
    for clip in (clip for clip in clips if clip is not None and clip not in rows):
        label = clip.partition(".")[0]
        rows[clip] = Row(clip, (label,), reason=LEFT_OUT if metadata else None)
    annotations = match(
        tracks,
        list(rows.values()),
        lambda t: clip_of(t.path),
        in_dataset=lambda row: bool(row.place),
    )
    misplaced = [
        track.path
        for track, clip in zip(tracks, clips, strict=True)
        if clip and track.path.split("/")[-2:-1] not in ([clip.partition(".")[0]], [])
    ]
    findings = list(annotations.findings)
    if misplaced:
        what = f"{len(misplaced)} file(s) in a folder of another genre; the file's name counts: "
        findings.append(Finding("warning", what + ", ".join(misplaced[:5])))
    n_rows = annotations.n_rows if metadata else None
    return replace(annotations, findings=tuple(findings), n_rows=n_rows)


GTZAN = Adaptor(
    annotate,
    files=lambda spec: tuple(LISTS) if spec.metadata is not None else (),
    places=("", "GTZAN_split"),
    source="the fault-filtered lists of the repository jongpillee/music_dataset_split "
    "(folder GTZAN_split)",
    split_sizes=lambda spec: SPLIT_SIZES,
    sha256=SHA256,
)
