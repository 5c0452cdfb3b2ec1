"""The pass over the files of a batch: identify, decode once, compute; each file apart.

Every file is examined in another process: what crashes or hangs a decoder costs that one file.
Arrays are kept aside on disk until their turn to be written comes, so memory is bounded by seconds
of audio, not by files or their length.
"""

import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from melgraph.assets.progress import progress_bar
from melgraph.assets.settings import block_seconds, worker_count
from melgraph.storage.errors import StorageError
from melgraph.storage.files import file_sha256
from melgraph.storage.library import Library

PRELOAD = (
    "melgraph.ml.representations.analysis",
    "melgraph.ml.representations.registry",
    "melgraph.assets.library.ingest_pass",
)
_LEAST_RATE = 50_000  # bytes per second: slower than this, a file hangs
_SMALL = 1 << 24  # bytes: a map of less costs more than reading it
_PATIENCE_S = 120.0  # ... besides what it may take to start


@dataclass(frozen=True)
class Job:
    """What a worker is to do with one file.

    Attributes:
        library: where the file is.
        path: of the file, relative to the library.
        bytes: its size when it was registered.
        wanted: representation -> its transform or options.
        aside: prefix of the files that receive the arrays.
        block_s: seconds of audio in memory at once.
    """

    library: Library
    path: str
    bytes: int
    wanted: Mapping[str, Any]
    aside: str
    block_s: float


@dataclass(frozen=True)
class Kept:
    """An array kept aside: the raw bytes of its rows."""

    path: str
    dtype: str
    row: tuple[int, ...]  # shape of one row
    rows: int

    def open(self) -> np.ndarray:
        """In memory, or as a memory map where it is large."""
        shape = (self.rows, *self.row)
        if Path(self.path).stat().st_size < _SMALL:
            return np.fromfile(self.path, self.dtype).reshape(shape)
        return np.memmap(self.path, self.dtype, mode="r", shape=shape)


class _Aside:
    """A sink that keeps an array aside."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._file = Path(path).open("wb")  # noqa: SIM115 - closed by whoever made this sink
        self._rows, self._like = 0, np.empty(0, np.float16)

    def append(self, piece: np.ndarray) -> None:
        """Take the next rows."""
        self._like = piece[:0]
        self._rows += len(piece)
        try:
            self._file.write(np.ascontiguousarray(piece).data)
        except OSError as error:  # our disk, not the user's file: that must not be blamed
            raise StorageError(
                f"what was computed cannot be kept ({error.strerror or error})",
                where=self._path,
                remedy="make room on the disk of the home, then run again",
            ) from None

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def finish(self) -> Kept:
        """Where it is."""
        self.close()
        return Kept(self._path, self._like.dtype.str, self._like.shape[1:], self._rows)


@dataclass
class Examined:
    """One file after its one decode.

    Attributes:
        row: of `tracks`.
        kept: the arrays of each representation; none where the file is quarantined.
        features: tabular features, where they were wanted.
    """

    row: dict[str, Any]
    kept: dict[str, dict[str, Kept]] = field(default_factory=dict)
    features: dict[str, float] | None = None

    def arrays(self, representation: str) -> dict[str, np.ndarray]:
        """The arrays of a representation, as memory maps."""
        return {name: kept.open() for name, kept in self.kept[representation].items()}


def examine_all(
    library: Library,
    files: Sequence[tuple[str, int]],
    wanted: Mapping[str, Any],
    work_folder: Path,
) -> Iterator[Examined]:
    """Examine files by several processes, in order; each result is good until the next is taken.

    Args:
        library: where the files are.
        files: path and size of each.
        wanted: representation -> its transform or options.
        work_folder: what is kept aside lies beside it.
    """
    from melgraph.ml.workers import isolated_map

    aside = work_folder.with_name(f"{work_folder.name}.aside")
    shutil.rmtree(aside, ignore_errors=True)  # of a writer that died
    aside.mkdir(parents=True, exist_ok=True)  # there still, where its workers are writing yet
    block_s = block_seconds()
    # a name of its own: a process of a writer that died may still be at work in the old one
    own = tempfile.mkdtemp(dir=aside)
    jobs = (
        Job(library, path, size, wanted, f"{own}/{number}.", block_s)
        for number, (path, size) in enumerate(files)
    )
    workers = max(1, min(worker_count(), len(files)))
    try:
        with progress_bar(len(files), "files") as bar:
            for outcome in isolated_map(
                examine, jobs, workers=workers, time_limit=time_limit, preload=PRELOAD
            ):
                yield outcome.value or _lost(outcome.item, outcome.lost, outcome.hung)
                _clear(outcome.item)
                bar.update()
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def time_limit(job: Job) -> float:
    """Seconds after which a file counts as hung."""
    return _PATIENCE_S + job.bytes / _LEAST_RATE


def _clear(job: Job) -> None:
    folder, _, prefix = job.aside.rpartition("/")
    for path in Path(folder).glob(f"{prefix}*"):
        path.unlink()


def _lost(job: Job, why: str | None, hung: bool) -> Examined:
    code = "hung" if hung else "crashed"
    row = _quarantined(job, code, f"decoding it failed twice: {why}" if not hung else str(why))
    with suppress(OSError), job.library.local(job.path) as path:
        row.update(bytes=path.stat().st_size, sha256=file_sha256(path))
        row["track_id"] = row["sha256"][:32]
    return Examined(row)


def _quarantined(job: Job, code: str, reason: str) -> dict[str, Any]:
    return {"path": job.path, "status": "quarantined", "code": code, "reason": reason}


def examine(job: Job) -> Examined:
    """Identify a file, decode it once, compute what is wanted. Runs in a worker."""
    import torch

    from melgraph.ml.audio import BadAudio, read_tags
    from melgraph.ml.workers import keep_freed_memory

    keep_freed_memory()
    torch.set_num_threads(1)  # the workers share the cores; and the bits are the same for any
    row: dict[str, Any] = {"path": job.path}
    try:
        with job.library.local(job.path) as path:
            before = path.stat()
            row.update(bytes=before.st_size, sha256=file_sha256(path))
            row["track_id"] = row["sha256"][:32]
            analysis = _analyse(path, job)
            after = path.stat()
            if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
                raise BadAudio("changed", "its bytes changed while it was being read")
            row.update(status="ok", **analysis.info, **read_tags(path))
        return Examined(row, analysis.arrays, analysis.features)
    except BadAudio as bad:
        return Examined(row | _quarantined(job, bad.code, bad.reason))
    except FileNotFoundError:
        reason = "the file was registered and is no longer there"
        return Examined(row | _quarantined(job, "vanished", reason))
    except OSError as error:
        reason = f"the file cannot be read: {error.strerror or error}"
        return Examined(row | _quarantined(job, "unreadable", reason))


def _analyse(path: Path, job: Job) -> Any:
    from melgraph.ml.representations.analysis import analyse

    with ExitStack() as stack:

        def aside(name: str) -> _Aside:
            return stack.enter_context(closing(_Aside(job.aside + name)))

        return analyse(path, job.wanted, sink=aside, block_s=job.block_s)
