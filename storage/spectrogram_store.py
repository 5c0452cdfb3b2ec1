"""The spectrogram store: all tracks of a batch in one Zarr v3 group, readable by anyone.

Layout of the group (contiguous ragged array, CF conventions section 9.3.3):

- `values` float16 `[frame, bin]`: the tracks one after another along time. Chunks of
  `(1024, n_bins)`, packed into shard files of about 64 MB that are written whole, once.
- `offsets` int64 `[track + 1]`: track `i` is `values[offsets[i]:offsets[i + 1]]`.
- `track_id` uint8 `[track, 16]`, `frequency` float32 `[bin]` in Hz.
- attributes: the whole transform, so that a stranger can invert it.

Without a codec every shard file is the plain bytes of its chunks followed by Zarr's index, so
training reads it through a memory map: no decoding and no copy.
"""

import re
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from zarr.codecs import ZstdCodec

from storage.errors import ArtifactCorrupt, NewerFormat, StorageError

FORMAT = 1
CHUNK_FRAMES = 1024
SHARD_BYTES = 64 * 2**20
CODECS = ("none", "zstd")
_TRACK_ID = re.compile(r"[0-9a-f]{32}")
_REMEDY = "remove the artifact's folder, then materialize the representation of this batch again"
_INDEX_ENTRY, _INDEX_CHECKSUM = 16, 4  # bytes of Zarr's shard index: (offset, size) each; crc32c


# What zarr raises over damaged metadata: besides its own errors, whatever its parsing runs into.
_UNREADABLE = (OSError, LookupError, ValueError, TypeError, AttributeError, OverflowError)


class SpectrogramWriter:
    """Appends tracks to a new store; holds at most one shard (about 64 MB) in memory.

    Args:
        folder: a folder that does not exist yet.
        frequency: float32 `[bin]`, Hz.
        attributes: the transform, JSON-ready.
        codec: `"none"`, or `"zstd"` for about a fifth less disk and no memory map.
        shard_bytes: size of a shard file.
    """

    def __init__(
        self,
        folder: Path,
        *,
        frequency: np.ndarray,
        attributes: Mapping[str, Any],
        codec: str = "none",
        shard_bytes: int = SHARD_BYTES,
    ) -> None:
        if codec not in CODECS:
            raise StorageError(
                f"{codec!r} is no codec of a spectrogram store",
                where=folder,
                remedy=f"use one of: {', '.join(CODECS)}",
            )
        self.n_bins = len(frequency)
        chunks_per_shard = max(1, shard_bytes // (CHUNK_FRAMES * self.n_bins * 2))
        self.shard_frames = chunks_per_shard * CHUNK_FRAMES
        self.folder = folder
        self.group = zarr.create_group(
            folder, zarr_format=3, attributes={"melgraph_format": FORMAT, **attributes}
        )
        self.values = self.group.create_array(
            "values",
            shape=(0, self.n_bins),
            chunks=(CHUNK_FRAMES, self.n_bins),
            shards=(self.shard_frames, self.n_bins),
            dtype="float16",
            compressors=None if codec == "none" else ZstdCodec(level=3),
            dimension_names=("frame", "bin"),
            # Zarr drops chunks that equal the fill value: silence would shorten the file.
            config={"write_empty_chunks": True},
        )
        self._put("frequency", frequency.astype(np.float32), ("bin",))
        self._buffer = np.empty((self.shard_frames, self.n_bins), np.float16)
        self._buffered = 0
        self._written = 0
        self._offsets = [0]
        self._track_ids: dict[str, None] = {}  # an ordered set

    @property
    def frames_written(self) -> int:
        """Frames appended so far."""
        return self._offsets[-1]

    def append(self, track_id: str, values: np.ndarray) -> None:
        """Add one track: `values` `[frame, bin]`, zero frames allowed; stored as float16.

        Raises:
            StorageError: the shape, a value or the track id does not fit the store.
        """
        if not _TRACK_ID.fullmatch(track_id) or track_id in self._track_ids:
            raise StorageError(
                f"{track_id!r} is no track id, or is in the store already",
                where=self.folder,
                remedy="append each track once, under its 32 lower-case hexadecimal digits",
            )
        if values.ndim != 2 or values.shape[1] != self.n_bins:
            raise StorageError(
                f"a spectrogram of shape {values.shape} does not fit a store of {self.n_bins} bins",
                where=self.folder,
                remedy="append arrays of shape [frame, bin]",
            )
        if not np.isfinite(values).all() or np.abs(values).max(initial=0) > np.finfo("f2").max:
            raise StorageError(
                f"the spectrogram of track {track_id} holds NaN, infinite or too large values",
                where=self.folder,
                remedy="quarantine the track: only finite values are stored",
            )
        self._track_ids[track_id] = None
        self._offsets.append(self._offsets[-1] + len(values))
        while len(values):
            room = self.shard_frames - self._buffered
            head, values = values[:room], values[room:]
            self._buffer[self._buffered : self._buffered + len(head)] = head
            self._buffered += len(head)
            if self._buffered == self.shard_frames:
                self._write_shard()

    def close(self) -> None:
        """Write what is left and check the layout that memory maps rely on."""
        if self._buffered:
            self._write_shard()
        ids = np.frombuffer(bytes.fromhex("".join(self._track_ids)), np.uint8).reshape(-1, 16)
        self._put("track_id", ids, ("track", "byte"))
        self._put("offsets", np.asarray(self._offsets, np.int64), ("track_boundary",))
        SpectrogramStore(self.folder).check_layout()

    def _write_shard(self) -> None:
        end = self._written + self._buffered
        self.values.resize((end, self.n_bins))
        self.values[self._written : end] = self._buffer[: self._buffered]
        self._written, self._buffered = end, 0

    def _put(self, name: str, data: np.ndarray, dimensions: tuple[str, ...]) -> None:
        array = self.group.create_array(
            name,
            shape=data.shape,
            chunks=tuple(max(1, size) for size in data.shape),
            dtype=data.dtype,
            compressors=None,
            dimension_names=dimensions,
            config={"write_empty_chunks": True},
        )
        if data.size:
            array[...] = data


class SpectrogramStore:
    """A committed store, opened for reading.

    Attributes:
        attributes: the transform.
        offsets: int64 `[track + 1]`.
        track_ids: hexadecimal, in order of the rows.
        frequency: float32 `[bin]`, Hz.

    Raises:
        NewerFormat: written by a newer melgraph.
        ArtifactCorrupt: not a spectrogram store.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        try:
            self.group = zarr.open_group(folder, mode="r", zarr_format=3)
            self.attributes = dict(self.group.attrs)
            written_format = int(self.attributes["melgraph_format"])  # type: ignore[arg-type]
        except _UNREADABLE as error:
            raise _not_a_store(folder, repr(error)) from None
        if written_format > FORMAT:
            raise NewerFormat(
                f"the store has format {written_format}, this melgraph reads up to {FORMAT}",
                where=folder,
                remedy="upgrade melgraph, or use another MELGRAPH_HOME",
            )
        try:
            self._values = self.group["values"]
            self.offsets = np.asarray(self.group["offsets"][...], np.int64)  # type: ignore[index]
            ids = np.asarray(self.group["track_id"][...], np.uint8)  # type: ignore[index]
            self.frequency = np.asarray(self.group["frequency"][...])  # type: ignore[index]
            self._shard_frames = self._values.shards[0]  # type: ignore[union-attr,index]
            shape = (int(self.offsets[-1]), len(self.frequency))
            fits = self._values.shape == shape and self._values.dtype == np.float16  # type: ignore[union-attr]
        except _UNREADABLE as error:
            raise _not_a_store(folder, repr(error)) from None
        if not fits or len(self.offsets) != len(ids) + 1 or (np.diff(self.offsets) < 0).any():
            raise _not_a_store(folder, "its arrays do not fit each other")
        self.track_ids = [row.tobytes().hex() for row in ids]
        self._rows = {track_id: row for row, track_id in enumerate(self.track_ids)}
        self._mapped = not self._values.compressors  # type: ignore[union-attr]

    def __len__(self) -> int:
        return len(self.track_ids)

    def __contains__(self, track_id: str) -> bool:
        return track_id in self._rows

    def track(self, track_id: str) -> np.ndarray:
        """float16 `[frame, bin]` of a track: a view of the memory map where the store allows it.

        Raises:
            KeyError: the track is not in this store.
        """
        row = self._rows[track_id]
        return self.frames(int(self.offsets[row]), int(self.offsets[row + 1]))

    def frames(self, start: int, stop: int) -> np.ndarray:
        """float16 `[stop - start, bin]` of the concatenated frames.

        Raises:
            IndexError: the store has no such frames.
            ArtifactCorrupt: a shard file is missing or too short.
        """
        if not 0 <= start <= stop <= self.offsets[-1]:
            raise IndexError(f"frames {start}:{stop} of {self.offsets[-1]}")
        if not self._mapped:
            return np.asarray(self._values[start:stop])  # type: ignore[index]
        if start == stop:
            return np.empty((0, len(self.frequency)), np.float16)
        first, last = start // self._shard_frames, (stop - 1) // self._shard_frames
        pieces = []
        for shard in range(first, last + 1):
            base = shard * self._shard_frames
            pieces.append(self._shard(shard)[max(0, start - base) : stop - base])
        return pieces[0] if len(pieces) == 1 else np.concatenate(pieces)

    @lru_cache(maxsize=64)  # noqa: B019 - a store lives as long as its maps
    def _shard(self, shard: int) -> np.ndarray:
        n_bins = len(self.frequency)
        frames = min(self._shard_frames, int(self.offsets[-1]) - shard * self._shard_frames)
        path = self._shard_path(shard)
        try:
            return np.memmap(path, np.dtype("<f2"), mode="r", shape=(frames, n_bins))
        except (OSError, ValueError) as error:
            raise ArtifactCorrupt(
                f"the shard cannot be mapped ({error})", where=path, remedy=_REMEDY
            ) from None

    def _shard_path(self, shard: int) -> Path:
        return self.folder / "values" / "c" / str(shard) / "0"

    def check_layout(self) -> None:
        """Assert that each shard file is its chunks in order, without gaps, then the index.

        Raises:
            ArtifactCorrupt: a file has another size or order than a memory map expects.
        """
        if not self._mapped:
            return
        chunk_bytes = CHUNK_FRAMES * len(self.frequency) * 2
        slots = self._shard_frames // CHUNK_FRAMES
        index_bytes = slots * _INDEX_ENTRY + _INDEX_CHECKSUM
        total = int(self.offsets[-1])
        for shard in range(-(-total // self._shard_frames)):
            frames = min(self._shard_frames, total - shard * self._shard_frames)
            chunks = -(-frames // CHUNK_FRAMES)
            path = self._shard_path(shard)
            size = path.stat().st_size if path.exists() else 0
            if size != chunks * chunk_bytes + index_bytes:
                raise ArtifactCorrupt(
                    f"the shard has {size} bytes, not those of "
                    f"{chunks} chunks of {chunk_bytes} bytes and their index",
                    where=path,
                    remedy=_REMEDY,
                )
            with path.open("rb") as file:
                file.seek(-index_bytes, 2)
                index = np.frombuffer(file.read(slots * _INDEX_ENTRY), "<u8").reshape(slots, 2)
            starts = np.arange(chunks, dtype=np.uint64) * np.uint64(chunk_bytes)
            if (index[:chunks, 0] != starts).any() or (index[:chunks, 1] != chunk_bytes).any():
                raise ArtifactCorrupt(
                    "the chunks of the shard are not in order, one after another",
                    where=path,
                    remedy="report this with your zarr version; set the codec to 'zstd' meanwhile",
                )


def _not_a_store(folder: Path, why: str) -> ArtifactCorrupt:
    return ArtifactCorrupt(f"this is not a spectrogram store ({why})", where=folder, remedy=_REMEDY)
