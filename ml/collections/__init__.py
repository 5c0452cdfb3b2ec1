"""Collections people have: one adaptor for each real layout on disk, all of one shape.

An adaptor takes the files of the library and the collection's lists, and gives one row for each
file: labels, official split, artist, album, title. `read` is the one way in; `validate` says what
is not as it should be.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

from melgraph.ml.collections.base import Adaptor, Annotations, Track, share_rows
from melgraph.ml.collections.fma import FMA
from melgraph.ml.collections.folders import FOLDERS, NONE
from melgraph.ml.collections.gtzan import GTZAN
from melgraph.ml.collections.mtg_jamendo import MTG_JAMENDO
from melgraph.ml.collections.table import TABLE
from melgraph.ml.collections.tags import TAGS
from melgraph.ml.errors import UserError
from melgraph.ml.specs.dataset import DatasetSpec

ADAPTORS: dict[str, Adaptor] = {
    "folder": FOLDERS,
    "tag": TAGS,
    "none": NONE,
    "gtzan": GTZAN,
    "fma": FMA,
    "mtg_jamendo": MTG_JAMENDO,
    "table": TABLE,
}
"""By the name that `labels` gives in a dataset's TOML."""


def read(tracks: Sequence[Track], metadata: Mapping[str, Path], spec: DatasetSpec) -> Annotations:
    """What the collection of `spec` says about each track.

    Args:
        tracks: files of the library; those of one id are one recording, whatever its path.
        metadata: name -> place of each of the collection's lists, of `find_metadata`.
        spec: the dataset's; `label_level` is resolved.

    Raises:
        UserError: a list cannot be understood; every problem of it is told.
    """
    return share_rows(tracks, ADAPTORS[spec.labels].annotate(tracks, metadata, spec))


def find_metadata(spec: DatasetSpec, base: Path, *, where: str) -> dict[str, Path]:
    """Name -> place of every list that the dataset is made from; empty where there is none.

    Args:
        spec: the dataset's.
        base: the folder that a relative `metadata` is relative to.
        where: the place to name in an error: the dataset.

    Raises:
        UserError: a file is not there; the message says what to get from where, and where it
            belongs.
    """
    if spec.metadata is None:
        return {}
    adaptor = ADAPTORS[spec.labels]
    root = base / Path(spec.metadata).expanduser()  # an absolute path stays as it is
    if spec.labels == "table":
        if not root.is_file():
            raise UserError(
                f"there is no table {root}",
                where=f"{where}, key metadata",
                remedy=f"write it there: {adaptor.source}",
            )
        return {f"table{root.suffix.casefold()}": root}
    found: dict[str, Path] = {}
    for name in adaptor.files(spec):
        places = (root / place / name for place in adaptor.places)
        if path := next((path for path in places if path.is_file()), None):
            found[name] = path
    missing = [name for name in adaptor.files(spec) if name not in found]
    if missing:
        raise UserError(
            f"metadata of {spec.labels} that is not there: {', '.join(missing)}",
            where=f"{where}, key metadata: {root}",
            remedy=f"get {adaptor.source}, and put the files into this folder",
        )
    return found
