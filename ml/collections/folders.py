"""Labels from folder names, as in a folder of genres; and no labels at all."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from melgraph.ml.collections.base import Adaptor, Annotations, Row, Track
from melgraph.ml.specs.dataset import DatasetSpec


def folder_label(path: str, level: int | None) -> str | None:
    """The name of the folder at `level` (1 = directly below the library); None if there is none."""
    folders = path.split("/")[:-1]
    return folders[level - 1] if level is not None and len(folders) >= level else None


def annotate(
    tracks: Sequence[Track], metadata: Mapping[str, Path], spec: DatasetSpec
) -> Annotations:
    """A row for every file, labelled with its folder at `spec.label_level`."""
    labels = (folder_label(track.path, spec.label_level) for track in tracks)
    return Annotations(
        tuple(
            Row(track.path, (label,) if label is not None else ())
            for track, label in zip(tracks, labels, strict=True)
        )
    )


def unlabelled(
    tracks: Sequence[Track], metadata: Mapping[str, Path], spec: DatasetSpec
) -> Annotations:
    """`labels = "none"`: a row without a label for every file."""
    return Annotations(tuple(Row(track.path) for track in tracks))


FOLDERS = Adaptor(annotate)
NONE = Adaptor(unlabelled)
