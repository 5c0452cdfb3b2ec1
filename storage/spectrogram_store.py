"""The spectrogram store: all tracks of a batch in one Zarr v3 group.

Layout of the group (contiguous ragged array, CF conventions section 9.3.3):

- `values` `[frame, bin]` (float16 for spectrograms; `[sample]`, int16, for waveforms): all
  tracks, concatenated along time. Chunks have 1024 frames and are packed into shard files of about
  64 MB, each of which is written once, as a whole. A representation may have further arrays of the
  same shape (`phase`).
- `offsets` int64 `[track + 1]`: track `i` is `values[offsets[i]:offsets[i + 1]]`.
- `track_id` uint8 `[track, 16]`, `frequency` float32 `[bin]` in Hz, if the bins have frequencies.
- attributes: the complete transform, so that other programs can invert it.
"""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import zarr

from melgraph.storage.errors import ArtifactCorrupt, NewerFormat, StorageError
from melgraph.storage.ragged_array import CODECS, REMEDY, RaggedReader, RaggedWriter

FORMAT = 1
CHUNK_FRAMES = 1024
CHUNK_SAMPLES = 2**20
SHARD_BYTES = 64 * 2**20
_TRACK_ID = re.compile(r"[0-9a-f]{32}")
_CHECKED_AT_ONCE = 2**22  # values; bounds the memory of a check

# What zarr raises for damaged metadata: besides its own errors, whatever its parser raises.
_UNREADABLE = (OSError, LookupError, ValueError, TypeError, AttributeError, OverflowError)


class SpectrogramWriter:
    """Appends tracks to a new store. At most one shard of each array is in memory.

    Args:
        folder: a folder that does not exist yet.
        frequency: float32 `[bin]`, Hz; None if the bins have no frequencies.
        bins: number of bins, 0 for an array of samples. Default: the number of frequencies.
        attributes: the transform, JSON-ready.
        arrays: name -> dtype of each array; `values` first.
        codec: `"none"`, or `"zstd"`, which saves about 20 % of the disk but prevents memory maps.
        shard_bytes: size of a shard file, bytes.

    Raises:
        StorageError: the codec does not exist.
        ValueError: neither `frequency` nor `bins` is given.
    """

    def __init__(
        self,
        folder: Path,
        *,
        frequency: np.ndarray | None = None,
        bins: int | None = None,
        attributes: Mapping[str, Any],
        arrays: Mapping[str, str] | None = None,
        codec: str = "none",
        shard_bytes: int = SHARD_BYTES,
    ) -> None:
        if codec not in CODECS:
            raise StorageError(
                f"{codec!r} is not a codec of a spectrogram store",
                where=folder,
                remedy=f"use one of: {', '.join(CODECS)}",
            )
        if bins is None:
            if frequency is None:
                raise ValueError("give either the frequencies of the bins or their number")
            bins = len(frequency)
        arrays = arrays or {"values": "float16"}
        self.folder, self.bins = folder, bins
        self.group = zarr.create_group(
            folder,
            zarr_format=3,
            attributes={
                "melgraph_format": FORMAT,
                "arrays": list(arrays),
                "bins": "index" if frequency is None else "frequency",
                **attributes,
            },
        )
        self._arrays = {
            name: RaggedWriter(
                self.group,
                folder,
                name,
                dtype=dtype,
                width=bins,
                chunk_rows=CHUNK_FRAMES if bins else CHUNK_SAMPLES,
                shard_bytes=shard_bytes,
                codec=codec,
                dimensions=("frame", "bin") if bins else ("sample",),
            )
            for name, dtype in arrays.items()
        }
        if frequency is not None:
            self._put("frequency", frequency.astype(np.float32), ("bin",))
        self._offsets = [0]
        self._track_ids: dict[str, None] = {}  # an ordered set

    @property
    def frames_written(self) -> int:
        """Number of frames (or samples) appended so far."""
        return self._offsets[-1]

    def append(self, track_id: str, values: np.ndarray, **others: np.ndarray) -> None:
        """Add one track: `[frame, bin]` (or `[sample]`) per array. Zero frames are allowed.

        The arrays may be memory maps: they are copied in pieces.

        Raises:
            StorageError: a shape, a value or the track id is invalid.
            ValueError: the names of the arrays are not those of the store.
        """
        if not _TRACK_ID.fullmatch(track_id) or track_id in self._track_ids:
            raise StorageError(
                f"{track_id!r} is not a track id, or is already in the store",
                where=self.folder,
                remedy="append each track once; its id has 32 lower-case hexadecimal digits",
            )
        track = {"values": values, **others}
        if track.keys() != self._arrays.keys():
            raise ValueError(f"the store has {list(self._arrays)}, the track has {list(track)}")
        for array in track.values():
            self._check(track_id, array, len(values))
        for name, array in track.items():
            self._arrays[name].append(array)
        self._track_ids[track_id] = None
        self._offsets.append(self._offsets[-1] + len(values))

    def _check(self, track_id: str, array: np.ndarray, length: int) -> None:
        if array.shape != ((length, self.bins) if self.bins else (length,)):
            raise StorageError(
                f"an array of shape {array.shape} does not fit a store of {self.bins} bins",
                where=self.folder,
                remedy="append arrays of shape [frame, bin] with equal numbers of frames",
            )
        if array.dtype.kind == "f" and not all(map(_fits_float16, _pieces(array))):
            raise StorageError(
                f"the spectrogram of track {track_id} has NaN, infinite or too large values",
                where=self.folder,
                remedy="quarantine the track: only finite values can be stored",
            )

    def close(self) -> None:
        """Write the remaining data, and check the layout that memory maps rely on."""
        for array in self._arrays.values():
            array.close()
        ids = np.frombuffer(bytes.fromhex("".join(self._track_ids)), np.uint8).reshape(-1, 16)
        self._put("track_id", ids, ("track", "byte"))
        self._put("offsets", np.asarray(self._offsets, np.int64), ("track_boundary",))
        SpectrogramStore(self.folder).check_layout()

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


def _pieces(array: np.ndarray) -> Iterator[np.ndarray]:
    rows = max(1, _CHECKED_AT_ONCE // max(1, int(np.prod(array.shape[1:]))))
    return (array[start : start + rows] for start in range(0, len(array), rows))


def _fits_float16(values: np.ndarray) -> bool:
    if values.dtype == np.float16:  # compare the bits: numpy has no fast arithmetic for this type
        bits = np.bitwise_and(values.view(np.uint16), 0x7FFF)
        return int(bits.max(initial=0)) < 0x7C00
    return bool(np.isfinite(values).all() and np.abs(values).max(initial=0) <= np.finfo("f2").max)


class SpectrogramStore:
    """A committed store, opened for reading.

    Attributes:
        attributes: the transform.
        arrays: names of its arrays; `values` first.
        offsets: int64 `[track + 1]`.
        track_ids: hexadecimal, in the order of the tracks.
        frequency: float32 `[bin]`, Hz; None if the bins have no frequencies.

    Raises:
        NewerFormat: it was written by a newer version of melgraph.
        ArtifactCorrupt: it is not a spectrogram store.
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
            self.arrays = [str(name) for name in self.attributes.get("arrays", ["values"])]  # type: ignore[union-attr]
            self._arrays = {
                name: RaggedReader(self.group[name], folder / name) for name in self.arrays
            }
            self.offsets = np.asarray(self.group["offsets"][...], np.int64)  # type: ignore[index]
            ids = np.asarray(self.group["track_id"][...], np.uint8)  # type: ignore[index]
            self.frequency = self._frequency()
            fits = self._fits()
        except _UNREADABLE as error:
            raise _not_a_store(folder, repr(error)) from None
        if not fits or len(self.offsets) != len(ids) + 1 or (np.diff(self.offsets) < 0).any():
            raise _not_a_store(folder, "the shapes of its arrays do not match")
        self.track_ids = [row.tobytes().hex() for row in ids]
        self._rows = {track_id: row for row, track_id in enumerate(self.track_ids)}

    def _frequency(self) -> np.ndarray | None:
        if self.attributes.get("bins") == "index":
            return None
        return np.asarray(self.group["frequency"][...])  # type: ignore[index]

    def _fits(self) -> bool:
        shapes = {reader.shape for reader in self._arrays.values()}
        shape = self._arrays["values"].shape
        bins = shape[1:] if self.frequency is None else (len(self.frequency),)
        dtypes = {reader.dtype.str for reader in self._arrays.values()}
        dtypes_are_valid = dtypes <= ({"<f2"} if len(shape) == 2 else {"<i2"})
        return dtypes_are_valid and shapes == {(int(self.offsets[-1]), *bins)}

    def __len__(self) -> int:
        return len(self.track_ids)

    def __contains__(self, track_id: str) -> bool:
        return track_id in self._rows

    def track(self, track_id: str, array: str = "values") -> np.ndarray:
        """`[frame, bin]` (or `[sample]`) of a track; a view of a memory map if possible.

        Raises:
            KeyError: the track or the array is not in this store.
        """
        row = self._rows[track_id]
        return self.frames(int(self.offsets[row]), int(self.offsets[row + 1]), array)

    def frames(self, start: int, stop: int, array: str = "values") -> np.ndarray:
        """`[stop - start, ...]` of the concatenated frames.

        Raises:
            IndexError: the frames are out of range.
            ArtifactCorrupt: a shard file is missing or too short.
        """
        return self._arrays[array].rows(start, stop)

    def check_layout(self) -> None:
        """Check that the files have the layout that the memory maps rely on.

        Raises:
            ArtifactCorrupt: a file has another size or order.
        """
        for reader in self._arrays.values():
            reader.check_layout()


def _not_a_store(folder: Path, why: str) -> ArtifactCorrupt:
    return ArtifactCorrupt(f"this is not a spectrogram store ({why})", where=folder, remedy=REMEDY)
