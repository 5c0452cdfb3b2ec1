"""Read the labels and official splits of music collections: one adaptor per layout on disk.

An adaptor takes the files of the library and the collection's lists. For each file it returns a row
with labels, official split, artist, album and title. `read` chooses the adaptor;
`ml.collections.validate` lists the differences between the lists and the library.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

from melgraph.ml.collections.base import Adaptor, Annotations, share_rows
from melgraph.ml.collections.base import Track as Track
from melgraph.ml.collections.fma import FMA
from melgraph.ml.collections.folders import FOLDERS, NONE
from melgraph.ml.collections.gtzan import GTZAN
from melgraph.ml.collections.label_spellings import join_label_spellings
from melgraph.ml.collections.mtg_jamendo import MTG_JAMENDO
from melgraph.ml.collections.table import TABLE
from melgraph.ml.collections.tags import TAGS
from melgraph.ml.errors import UserError
from melgraph.ml.specs.dataset import DatasetSpec

__all__ = ["ADAPTORS", "Adaptor", "Annotations", "Track", "find_metadata", "read"]

ADAPTORS: dict[str, Adaptor] = {
    "folder": FOLDERS,
    "tag": TAGS,
    "none": NONE,
    "gtzan": GTZAN,
    "fma": FMA,
    "mtg_jamendo": MTG_JAMENDO,
    "table": TABLE,
}
"""Adaptors by the value of `labels` in a dataset's TOML."""


def read(tracks: Sequence[Track], metadata: Mapping[str, Path], spec: DatasetSpec) -> Annotations:
    """The row of each track in the collection of `spec`, with one spelling for each label.

    Args:
        tracks: files of the library. Files with equal ids are the same recording.
        metadata: name -> path of each of the collection's lists, as of `find_metadata`.
        spec: the dataset's spec, with a resolved `label_level`.

    Raises:
        UserError: a list is invalid; the message has all its problems.
    """
    annotations = ADAPTORS[spec.labels].annotate(tracks, metadata, spec)
    return share_rows(tracks, join_label_spellings(annotations))


def find_metadata(spec: DatasetSpec, base: Path, *, where: str) -> dict[str, Path]:
    """Name -> path of every list that the dataset needs; empty if it needs none.

    Args:
        spec: the dataset's spec.
        base: the folder that a relative `metadata` is relative to.
        where: the place to name in an error, such as the dataset.

    Raises:
        UserError: a file does not exist. The message says where to get it and where to put it.
    """
    if spec.metadata is None:
        return {}
    adaptor = ADAPTORS[spec.labels]
    root = base / Path(spec.metadata).expanduser()  # an absolute path stays as it is
    if spec.labels == "table":
        if not root.is_file():
            raise UserError(
                f"the table {root} does not exist",
                where=f"{where}, key metadata",
                remedy=f"create it: {adaptor.source}",
            )
        return {f"table{root.suffix.casefold()}": root}
    paths: dict[str, Path] = {}
    for name in adaptor.files(spec):
        places = (root / place / name for place in adaptor.places)
        if path := next((path for path in places if path.is_file()), None):
            paths[name] = path
    missing = [name for name in adaptor.files(spec) if name not in paths]
    if missing:
        raise UserError(
            f"metadata of {spec.labels} is missing: {', '.join(missing)}",
            where=f"{where}, key metadata: {root}",
            remedy=f"download {adaptor.source}, and put the files into this folder",
        )
    return paths
