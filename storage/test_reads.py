"""The register of test reads: an append-only file that counts uses of the test labels.

Every time the labels of a test split are read, results on it become less reliable. Code that reads
them first adds a line here, so that the read is counted even if the process then crashes. Results
state how often their test split was read. The register is in the home even if the artifacts are in
a bucket, because it counts the reads of this home.
"""

import hashlib
import json
import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime

from filelock import FileLock

from melgraph.storage.errors import StorageError
from melgraph.storage.home import Home, write_aside
from melgraph.storage.records import Reference

FORMAT = 1
FILE = "test_reads.jsonl"


@dataclass(frozen=True)
class TestRead:
    """One read of the labels of a test split.

    Attributes:
        dataset: the snapshot, `datasets/name/version`.
        tracks: digest of the ids of its test tracks; snapshots may share a test split.
        reader: the artifact that was made with the labels.
        kind: `evaluation`, `cross-validation`, `clusters`, `study` or `generative
            model`.
        run: id of the Dagster run, if known.
        at: time, UTC, ISO 8601.
    """

    dataset: str
    tracks: str
    reader: str
    kind: str
    run: str | None
    at: str


def register_read(
    home: Home,
    dataset: Reference,
    test_ids: Iterable[str],
    reader: Reference,
    kind: str,
    run: str | None,
) -> None:
    """Register a read of test labels.

    A version of a reader is registered once per snapshot: making it again reveals nothing new.

    Args:
        home: the home of the register.
        dataset: the snapshot whose test labels are read.
        test_ids: track ids of its test split.
        reader: the artifact that is made with the labels.
        kind: see `TestRead.kind`.
        run: id of the Dagster run, if known.
    """
    at = datetime.now(UTC).isoformat(timespec="seconds")
    read = TestRead(str(dataset), part_digest(test_ids), str(reader), kind, run, at)
    path = home.root / FILE
    with _locked(home):
        registered = {(each.dataset, each.reader) for each in list_test_reads(home)}
        if (read.dataset, read.reader) in registered:
            return
        is_torn = path.is_file() and not path.read_bytes().endswith(b"\n")
        with path.open("ab") as file:
            file.write((b"\n" if is_torn and path.stat().st_size else b"") + _line(read))
            file.flush()
            os.fsync(file.fileno())


def is_lost(home: Home) -> bool:
    """Whether there is no register."""
    return not (home.root / FILE).is_file()


def restore_register(home: Home, reads: Iterable[TestRead]) -> None:
    """Write a register that was lost. An existing register stays as it is.

    Args:
        home: the home of the register.
        reads: the reads that are still known, from the artifacts that were made with the labels.
    """
    with _locked(home):
        if is_lost(home):
            write_aside(home.root / FILE, b"".join(map(_line, reads)))


def _locked(home: Home) -> FileLock:
    home.locks.mkdir(parents=True, exist_ok=True)
    return FileLock(home.locks / "test_reads.lock")


def _line(read: TestRead) -> bytes:
    return (json.dumps({"format": FORMAT, **asdict(read)}) + "\n").encode()


def part_digest(test_ids: Iterable[str]) -> str:
    """Digest of the tracks of a test split, independent of their order."""
    return hashlib.sha256("\n".join(sorted(test_ids)).encode()).hexdigest()[:32]


def list_test_reads(home: Home) -> list[TestRead]:
    """All registered reads, in order. A line that a crash has truncated is skipped.

    Raises:
        StorageError: a line was written by a newer version of melgraph.
    """
    path = home.root / FILE
    if not path.is_file():
        return []
    reads = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        try:
            body = json.loads(line)
            written_format = int(body.pop("format"))
            read = TestRead(**body) if written_format <= FORMAT else None
        except (ValueError, KeyError, TypeError):
            continue  # truncated
        if read is None:
            raise StorageError(
                f"line {number} has format {written_format}, this melgraph reads up to {FORMAT}",
                where=path,
                remedy="upgrade melgraph, or use another MELGRAPH_HOME",
            )
        reads.append(read)
    return reads
