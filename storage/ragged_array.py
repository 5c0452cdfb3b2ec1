"""One ragged array: tracks of any length, concatenated along the first axis, in shard files.

Without a codec, a shard file holds the plain bytes of its chunks and then the index of Zarr. It is
a valid Zarr v3 array and can also be mapped into memory. Each file is written once, as a whole.
"""

from functools import lru_cache
from pathlib import Path
from typing import Any

import google_crc32c
import numpy as np
import zarr
from zarr.codecs import ZstdCodec

from melgraph.storage.errors import ArtifactCorrupt

CODECS = ("none", "zstd")
REMEDY = "remove the artifact's folder, then materialize the representation of this batch again"
_INDEX_ENTRY, _INDEX_CHECKSUM = 16, 4  # bytes of Zarr's shard index: (offset, size) each; crc32c


class RaggedWriter:
    """Appends to a new array of a group. At most one shard is in memory.

    Args:
        group: the Zarr group.
        folder: the folder of the group.
        name: name of the array in the group.
        dtype: name of its numpy dtype.
        width: values per row; 0 for a one-dimensional array.
        chunk_rows: rows per chunk.
        shard_bytes: size of a shard file, bytes; at least one chunk.
        codec: one of `CODECS`.
        dimensions: names of the axes.
    """

    def __init__(
        self,
        group: zarr.Group,
        folder: Path,
        name: str,
        *,
        dtype: str,
        width: int,
        chunk_rows: int,
        shard_bytes: int,
        codec: str,
        dimensions: tuple[str, ...],
    ) -> None:
        self._row = (width,) if width else ()
        row_bytes = max(1, width) * np.dtype(dtype).itemsize
        shard_rows = max(1, shard_bytes // (chunk_rows * row_bytes)) * chunk_rows
        self.array = group.create_array(
            name,
            shape=(0, *self._row),
            chunks=(chunk_rows, *self._row),
            shards=(shard_rows, *self._row),
            dtype=dtype,
            compressors=None if codec == "none" else ZstdCodec(level=3),
            dimension_names=dimensions,
            # Zarr would omit chunks that equal the fill value: silence would shorten the file.
            config={"write_empty_chunks": True},
        )
        self._plain = codec == "none"
        self._folder = folder / name
        self._chunk_rows = chunk_rows
        self._buffer = np.empty((shard_rows, *self._row), dtype)
        self._buffered = self._written = 0

    def append(self, values: np.ndarray) -> None:
        """Add rows, `[row, width]` or `[row]`. They may be a memory map larger than the memory."""
        while len(values):
            room = len(self._buffer) - self._buffered
            head, values = values[:room], values[room:]
            self._buffer[self._buffered : self._buffered + len(head)] = head
            self._buffered += len(head)
            if self._buffered == len(self._buffer):
                self._write_shard()

    def close(self) -> None:
        """Write the last, incomplete shard."""
        if self._buffered:
            self._write_shard()

    def _write_shard(self) -> None:
        start, end = self._written, self._written + self._buffered
        self.array.resize((end, *self._row))
        if self._plain:
            self._write_plain(start // len(self._buffer))
        else:
            self.array[start:end] = self._buffer[: self._buffered]
        self._written, self._buffered = end, 0

    def _write_plain(self, shard: int) -> None:
        """Write the same file as Zarr, in a tenth of the time: 256 chunks are one array here.

        The file holds the chunks in order, the last one padded with zeros, then the index of Zarr's
        sharding codec (version 1.0): offset and size of each chunk (2^64 - 1 for a missing chunk),
        and a crc32c checksum.
        """
        chunks = -(-self._buffered // self._chunk_rows)
        self._buffer[self._buffered : chunks * self._chunk_rows] = 0
        chunk_bytes = self._buffer[: self._chunk_rows].nbytes
        slots = len(self._buffer) // self._chunk_rows
        index = np.full((slots, 2), 2**64 - 1, "<u8")
        index[:chunks, 0] = np.arange(chunks, dtype="<u8") * chunk_bytes
        index[:chunks, 1] = chunk_bytes
        path = shard_path(self._folder, shard, dimensions=1 + len(self._row))
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as file:
            file.write(self._buffer[: chunks * self._chunk_rows].data)
            file.write(index.data)
            file.write(google_crc32c.value(index.tobytes()).to_bytes(4, "little"))


class RaggedReader:
    """Reads rows of an array: from memory maps if it has no codec, else through Zarr.

    Args:
        array: the array, opened by zarr.
        folder: the folder of the array.

    Attributes:
        shape: of the whole array.
        dtype: of its values.
    """

    def __init__(self, array: Any, folder: Path) -> None:
        self._array, self._folder = array, folder
        self.shape: tuple[int, ...] = tuple(array.shape)
        self.dtype: np.dtype = np.dtype(array.dtype)
        self._chunk_rows, self._shard_rows = int(array.chunks[0]), int(array.shards[0])
        self._mapped = not array.compressors

    def rows(self, start: int, stop: int) -> np.ndarray:
        """`[stop - start, ...]`; a view of a memory map if all rows are in one shard.

        Raises:
            IndexError: the rows are out of range.
            ArtifactCorrupt: a shard file is missing or too short.
        """
        if not 0 <= start <= stop <= self.shape[0]:
            raise IndexError(f"frames {start}:{stop} of {self.shape[0]}")
        if not self._mapped:
            return np.asarray(self._array[start:stop])
        if start == stop:
            return np.empty((0, *self.shape[1:]), self.dtype)
        first, last = start // self._shard_rows, (stop - 1) // self._shard_rows
        pieces = []
        for shard in range(first, last + 1):
            base = shard * self._shard_rows
            pieces.append(self._shard(shard)[max(0, start - base) : stop - base])
        return pieces[0] if len(pieces) == 1 else np.concatenate(pieces)

    @lru_cache(maxsize=64)  # noqa: B019 - a reader lives as long as its maps
    def _shard(self, shard: int) -> np.ndarray:
        rows = min(self._shard_rows, self.shape[0] - shard * self._shard_rows)
        path = self._shard_path(shard)
        try:
            dtype = self.dtype.newbyteorder("<")
            mapped = np.memmap(path, dtype, mode="r", shape=(rows, *self.shape[1:]))
            return np.asarray(mapped)  # each slice of a np.memmap itself costs five times as much
        except (OSError, ValueError) as error:
            raise ArtifactCorrupt(
                f"the shard cannot be mapped ({error})", where=path, remedy=REMEDY
            ) from None

    def _shard_path(self, shard: int) -> Path:
        return shard_path(self._folder, shard, dimensions=len(self.shape))

    def check_layout(self) -> None:
        """Check that each shard file holds its chunks in order, without gaps, and then the index.

        Raises:
            ArtifactCorrupt: a file has another size or order than a memory map expects.
        """
        if not self._mapped:
            return
        row_bytes = int(np.prod(self.shape[1:], dtype=np.int64)) * self.dtype.itemsize
        chunk_bytes = self._chunk_rows * row_bytes
        slots = self._shard_rows // self._chunk_rows
        index_bytes = slots * _INDEX_ENTRY + _INDEX_CHECKSUM
        for shard in range(-(-self.shape[0] // self._shard_rows)):
            rows = min(self._shard_rows, self.shape[0] - shard * self._shard_rows)
            chunks = -(-rows // self._chunk_rows)
            path = self._shard_path(shard)
            size = path.stat().st_size if path.exists() else 0
            if size != chunks * chunk_bytes + index_bytes:
                raise ArtifactCorrupt(
                    f"the shard has {size} bytes instead of "
                    f"{chunks} chunks of {chunk_bytes} bytes and their index",
                    where=path,
                    remedy=REMEDY,
                )
            with path.open("rb") as file:
                file.seek(-index_bytes, 2)
                index = np.frombuffer(file.read(slots * _INDEX_ENTRY), "<u8").reshape(slots, 2)
            starts = np.arange(chunks, dtype=np.uint64) * np.uint64(chunk_bytes)
            if (index[:chunks, 0] != starts).any() or (index[:chunks, 1] != chunk_bytes).any():
                raise ArtifactCorrupt(
                    "the chunks of the shard are not in order, one after another",
                    where=path,
                    remedy="report this with your zarr version; meanwhile set the codec to 'zstd'",
                )


def shard_path(folder: Path, shard: int, *, dimensions: int) -> Path:
    """The file of a shard, as Zarr v3 names it."""
    return folder.joinpath("c", str(shard), *["0"] * (dimensions - 1))
