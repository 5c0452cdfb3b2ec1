"""One segment of the vector index: its files.

A segment below `CELLS_FROM` vectors has two files, and is searched exactly:

- `vectors.npy`: float32 `[track, dimension]`, of length 1 (a vector of zeros stays zero);
- `track_id.npy`: uint8 `[track, 16]`.

A larger one has two more, `codes.npy` and `cells.npz`, which `cells.py` describes.

All files are arrays without pickles, so that any program can read them. Arrays that hold numbers of
rows are checked before native code gets them. A wrong byte elsewhere can only give a wrong
similarity, which `melgraph audit` detects.
"""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from melgraph.storage.errors import ArtifactCorrupt, StorageError
from melgraph.storage.records import RECORD_NAME, parse_record
from melgraph.storage.vector_index.cells import CELLS, CODES, Cells, Progress, write_cells
from melgraph.storage.vector_index.nearest import Floats

CELLS_FROM = 16_384  # vectors; smaller segments are searched exactly
_LOT = 4096  # vectors that are scaled at once
_VECTORS, _IDS = "vectors.npy", "track_id.npy"
_REMEDY = "run `melgraph audit` on it, remove its folder, and materialize the index again"


def unit(vectors: NDArray[np.floating[Any]]) -> Floats:
    """Scales vectors to length 1, computed in float64. A vector of zeros stays zero.

    The bytes are those of `ml/similarity/neighbours.py`, which checks its vectors first; the rooms
    `storage` and `ml` do not import each other.

    Args:
        vectors: float `[n, dimension]`, finite.
    """
    wide = np.asarray(vectors, np.float64)
    # Divided by the largest value first: squares of very large or small numbers would overflow.
    largest = np.abs(wide).max(axis=1, keepdims=True, initial=0.0)
    scaled = np.divide(wide, largest, out=np.zeros_like(wide), where=largest > 0)
    length = np.sqrt((scaled * scaled).sum(axis=1, keepdims=True))
    units: Floats = np.divide(scaled, length, out=scaled, where=length > 0).astype(np.float32)
    return units


def write_segment(
    folder: Path,
    track_ids: Sequence[str],
    vectors: NDArray[np.floating[Any]],
    progress: Progress | None = None,
) -> None:
    """Write a segment. Equal vectors give equal bytes, whatever the number of threads.

    Args:
        folder: receives the files.
        track_ids: hexadecimal, one for each vector.
        vectors: float `[track, dimension]`.
        progress: called with the number of vectors in cells and of all vectors.

    Raises:
        StorageError: a vector is not finite, or the numbers of vectors and ids differ.
    """
    lots = [slice(start, start + _LOT) for start in range(0, len(vectors), _LOT)]
    n_wrong = sum(int(np.count_nonzero(~np.isfinite(vectors[lot]))) for lot in lots)
    if len(vectors) != len(track_ids) or n_wrong:
        raise StorageError(
            f"{len(vectors)} vectors for {len(track_ids)} ids, {n_wrong} values are not finite",
            where=folder,
            remedy="index one finite vector per track",
        )
    units = np.empty(vectors.shape, np.float32)
    for lot in lots:
        units[lot] = unit(vectors[lot])
    np.save(folder / _VECTORS, units)
    ids = np.frombuffer(bytes.fromhex("".join(track_ids)), np.uint8).reshape(-1, 16)
    np.save(folder / _IDS, ids)
    if len(units) >= CELLS_FROM:
        write_cells(folder, units, progress)


class Segment:
    """A segment, opened through memory maps. The cells are read at the first search.

    Attributes:
        folder: its files.
        vectors: float32 `[track, dimension]`, mapped.
        ids: uint8 `[track, 16]`, mapped.

    Raises:
        ArtifactCorrupt: a file is missing, has another size than its record says, or cannot be
            read as an array.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        _compare_sizes_with_record(folder)
        self.vectors: Floats = self._map(_VECTORS, np.dtype(np.float32))
        self.ids: NDArray[np.uint8] = self._map(_IDS, np.dtype(np.uint8))
        if self.ids.shape[1:] != (16,) or len(self.ids) != len(self.vectors):
            raise self._unusable(f"{len(self.vectors)} vectors for {len(self.ids)} ids")

    def __len__(self) -> int:
        return len(self.vectors)

    @property
    def dimension(self) -> int:
        """Length of a vector."""
        return int(self.vectors.shape[1])

    @property
    def has_cells(self) -> bool:
        """Whether it is large enough for cells."""
        return len(self) >= CELLS_FROM

    @cached_property
    def cells(self) -> Cells:
        """The cells, from arrays that were checked.

        Raises:
            ArtifactCorrupt: a file is missing, or an array holds an impossible number.
        """
        codes = self._map(CODES, np.dtype(np.uint8))
        try:
            return Cells(self.folder, len(self), self.dimension, codes)
        except Exception as error:  # zipfile has errors of its own, for a wrong byte
            raise self._unusable(f"{CELLS}: {error}") from None

    def _map(self, name: str, dtype: np.dtype[Any]) -> NDArray[Any]:
        try:
            array: NDArray[Any] = np.load(self.folder / name, mmap_mode="r", allow_pickle=False)
        except Exception as error:  # numpy raises a SyntaxError too, for a wrong byte in a header
            raise self._unusable(f"{name}: {error}") from None
        if array.ndim != 2 or array.dtype != dtype or not array.flags.c_contiguous:
            raise self._unusable(f"{name} holds {array.dtype} {array.shape}")
        return array

    def _unusable(self, problem: str) -> ArtifactCorrupt:
        return ArtifactCorrupt(
            f"the index segment cannot be used ({problem})", where=self.folder, remedy=_REMEDY
        )


def _compare_sizes_with_record(folder: Path) -> None:
    """Compare the sizes of the files with the record, if the folder is a committed artifact.

    The bytes are compared by `melgraph audit`. To hash them here would take longer than the search.
    """
    try:
        data = (folder / RECORD_NAME).read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return
    record = parse_record(data, where=folder / RECORD_NAME)
    for name, (_, size) in record.files.items():
        path = folder / name
        if not path.is_file() or path.stat().st_size != size:
            raise ArtifactCorrupt(
                "a file of the index segment is missing or has another size than its record says",
                where=path,
                remedy=_REMEDY,
            )
