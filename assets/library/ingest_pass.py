"""One pass over the files of a batch: each file is identified, decoded once and transformed.

Files are examined in worker processes. If a decoder crashes or hangs, only that file is
quarantined. Workers write arrays into temporary files until the arrays can be appended to the
artifact. Memory therefore depends on the seconds of audio in a block, not on the number of files
or on their length.
"""

import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from melgraph.assets.library.identity import (
    Identity,
    identity_of,
    identity_of_bytes,
    reading_limit_s,
)
from melgraph.assets.settings import block_seconds, worker_count
from melgraph.assets.ui import progress_bar
from melgraph.storage.errors import StorageError
from melgraph.storage.files import file_sha256
from melgraph.storage.library import Library

PRELOAD = (
    "melgraph.ml.audio.payload",
    "melgraph.ml.representations.analysis",
    "melgraph.ml.representations.registry",
    "melgraph.assets.library.ingest_pass",
)
METADATA_PRELOAD = ("melgraph.ml.audio.payload", "melgraph.assets.library.ingest_pass")
_MIN_MAPPED_BYTES = 1 << 24  # a smaller file is read faster than it is mapped


@dataclass(frozen=True)
class Job:
    """The task of a worker: one file.

    Attributes:
        library: the library of the file.
        path: the path of the file, relative to the library.
        bytes: the size of the file when it was registered.
        representations: name of each requested representation -> its transform or options.
        temporary_prefix: how the paths of the temporary files for arrays begin.
        block_s: seconds of audio in memory at once.
    """

    library: Library
    path: str
    bytes: int
    representations: Mapping[str, Any]
    temporary_prefix: str
    block_s: float


@dataclass(frozen=True)
class TemporaryArray:
    """An array in a temporary file: the raw bytes of its rows.

    Attributes:
        path: the file.
        dtype: as numpy writes it.
        row_shape: the shape of one row.
        rows: the number of rows.
    """

    path: str
    dtype: str
    row_shape: tuple[int, ...]
    rows: int

    def open(self) -> np.ndarray:
        """The array, as a memory map if it is large."""
        shape = (self.rows, *self.row_shape)
        if Path(self.path).stat().st_size < _MIN_MAPPED_BYTES:
            return np.fromfile(self.path, self.dtype).reshape(shape)
        return np.memmap(self.path, self.dtype, mode="r", shape=shape)


class _TemporaryArrayWriter:
    """A sink that writes an array into a temporary file."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._file = Path(path).open("wb")  # noqa: SIM115 - `examine` closes it
        self._rows, self._empty = 0, np.empty(0, np.float16)

    def append(self, piece: np.ndarray) -> None:
        """Write the next rows."""
        self._empty = piece[:0]
        self._rows += len(piece)
        try:
            self._file.write(np.ascontiguousarray(piece).data)
        except OSError as error:  # a problem of the disk, not of the audio file
            raise StorageError(
                f"a temporary array cannot be written ({error.strerror or error})",
                where=self._path,
                remedy="free space on the disk of the home, then run again",
            ) from None

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def finish(self) -> TemporaryArray:
        """Close the file and describe its array."""
        self.close()
        return TemporaryArray(self._path, self._empty.dtype.str, self._empty.shape[1:], self._rows)


@dataclass
class Examination:
    """The results of one file.

    Attributes:
        row: the row of `tracks`.
        temporary_arrays: representation -> name -> array; empty if the file is quarantined.
        features: tabular features by name; None if they were not requested.
    """

    row: dict[str, Any]
    temporary_arrays: dict[str, dict[str, TemporaryArray]] = field(default_factory=dict)
    features: dict[str, float] | None = None

    def arrays(self, representation: str) -> dict[str, np.ndarray]:
        """The arrays of a representation, by name."""
        arrays = self.temporary_arrays[representation]
        return {name: array.open() for name, array in arrays.items()}


def examine_all(
    library: Library,
    files: Sequence[tuple[str, int]],
    representations: Mapping[str, Any],
    work_folder: Path,
) -> Iterator[Examination]:
    """Examine files in several processes, and yield the results in the order of the files.

    A result can only be used until the next one is requested, because its temporary files are then
    removed.

    Args:
        library: the library of the files.
        files: path and size of each file.
        representations: name of each requested representation -> its transform or options.
        work_folder: the folder of the artifact. The temporary files are in a folder beside it.
    """
    from melgraph.ml.workers import isolated_map

    temporary = work_folder.with_name(f"{work_folder.name}.aside")
    shutil.rmtree(temporary, ignore_errors=True)  # left by a process that died
    temporary.mkdir(parents=True, exist_ok=True)  # exists if workers of that process still write
    block_s = block_seconds()
    own_folder = tempfile.mkdtemp(dir=temporary)  # a new name, as such workers may still be running
    jobs = (
        Job(library, path, size, representations, f"{own_folder}/{number}.", block_s)
        for number, (path, size) in enumerate(files)
    )
    workers = max(1, min(worker_count(), len(files)))
    try:
        with progress_bar(len(files), "files") as bar:
            for outcome in isolated_map(
                examine, jobs, workers=workers, time_limit=time_limit, preload=PRELOAD
            ):
                yield outcome.value or _quarantine_lost_file(
                    outcome.item, outcome.lost, hung=outcome.hung
                )
                _remove_temporary_arrays(outcome.item)
                bar.update()
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


@dataclass(frozen=True)
class MetadataJob:
    """The task of a worker that reads the metadata of one file again.

    Attributes:
        library: the library of the file.
        path: the path of the file, relative to the library.
        row: the row of the file in an earlier `tracks`.
    """

    library: Library
    path: str
    row: Mapping[str, Any]

    @property
    def bytes(self) -> int:
        """The size of the file when it was ingested."""
        return int(self.row["bytes"])


def read_metadata_again(jobs: Sequence[MetadataJob]) -> Iterator[dict[str, Any]]:
    """The rows with the present size, SHA-256 and metadata of their files. Decodes nothing.

    If a file is gone, cannot be read, or has another sound now, its row stays as it is, without the
    metadata that it lacks. The catalogue says what has happened to the file.

    Args:
        jobs: of the good files of a batch.
    """
    from melgraph.ml.workers import isolated_map

    workers = max(1, min(worker_count(), len(jobs)))
    with progress_bar(len(jobs), "files", "reading metadata") as bar:
        for outcome in isolated_map(
            _read_metadata, jobs, workers=workers, time_limit=time_limit, preload=METADATA_PRELOAD
        ):
            yield {**outcome.item.row, **(outcome.value or {})}
            bar.update()


def _read_metadata(job: MetadataJob) -> dict[str, Any] | None:
    """What a row must say of its file now; None if it is not a file with the sound of the row."""
    from melgraph.ml.audio import read_file_metadata

    try:
        with job.library.local(job.path) as path:
            sha256 = file_sha256(path)
            if sha256 != job.row["sha256"] and identity_of(path, sha256) != _identity_in(job.row):
                return None
            size = path.stat().st_size
            return {"bytes": size, "sha256": sha256, **read_file_metadata(path)}
    except OSError:
        return None


def _identity_in(row: Mapping[str, Any]) -> Identity:
    return Identity(row["track_id"], row["identified_by"])


def time_limit(job: Job | MetadataJob) -> float:
    """The seconds after which a file counts as hung."""
    return reading_limit_s(job.bytes)


def _remove_temporary_arrays(job: Job) -> None:
    folder, _, prefix = job.temporary_prefix.rpartition("/")
    for path in Path(folder).glob(f"{prefix}*"):
        path.unlink()


def _quarantine_lost_file(job: Job, why: str | None, *, hung: bool) -> Examination:
    """The row of a file whose worker process ended without a result."""
    code = "hung" if hung else "crashed"
    row = _quarantined_row(job, code, f"decoding it failed twice: {why}" if not hung else str(why))
    with suppress(OSError), job.library.local(job.path) as path:
        row.update(bytes=path.stat().st_size, sha256=file_sha256(path))
        row.update(identity_of_bytes(row["sha256"])._asdict())  # FFmpeg must not open it here
    return Examination(row)


def _quarantined_row(job: Job, code: str, reason: str) -> dict[str, Any]:
    return {"path": job.path, "status": "quarantined", "code": code, "reason": reason}


def examine(job: Job) -> Examination:
    """Identify a file, decode it once and compute its representations. Runs in a worker."""
    import torch

    from melgraph.ml.audio import BadAudio, read_file_metadata
    from melgraph.ml.recordings.cue_sheets import cue_tracks

    torch.set_num_threads(
        1
    )  # the workers share the cores, and results do not depend on their number
    row: dict[str, Any] = {"path": job.path}
    try:
        with job.library.local(job.path) as path:
            before = path.stat()
            row.update(bytes=before.st_size, sha256=file_sha256(path))
            row.update(identity_of(path, row["sha256"])._asdict())
            analysis = _analyse(path, job)
            after = path.stat()
            if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
                raise BadAudio("changed", "its bytes changed while it was being read")
            row.update(status="ok", **analysis.info, **read_file_metadata(path))
            row["cue_tracks"] = cue_tracks(path)
        return Examination(row, analysis.arrays, analysis.features)
    except BadAudio as bad:
        return Examination(row | _quarantined_row(job, bad.code, bad.reason))
    except FileNotFoundError:
        reason = "the file was registered and is no longer there"
        return Examination(row | _quarantined_row(job, "vanished", reason))
    except OSError as error:
        reason = f"the file cannot be read: {error.strerror or error}"
        return Examination(row | _quarantined_row(job, "unreadable", reason))


def _analyse(path: Path, job: Job) -> Any:
    from melgraph.ml.representations.analysis import analyse

    with ExitStack() as stack:

        def open_sink(name: str) -> _TemporaryArrayWriter:
            return stack.enter_context(closing(_TemporaryArrayWriter(job.temporary_prefix + name)))

        return analyse(path, job.representations, sink=open_sink, block_s=job.block_s)
