"""The register of looks at test splits: append-only, in the home, written before each look.

A test split is worth what it is worth once. Whoever reads its labels says so here first, so that a
crash after the look still counts; results show how often their test split was looked at. It lies in
the home also where artifacts lie in a bucket: it tells of the looks of this home.
"""

import hashlib
import json
import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime

from filelock import FileLock

from melgraph.storage.errors import StorageError
from melgraph.storage.home import Home
from melgraph.storage.records import Reference

FORMAT = 1
FILE = "test_reads.jsonl"


@dataclass(frozen=True)
class TestRead:
    """One look.

    Attributes:
        dataset: the snapshot, `datasets/name/version`.
        tracks: digest of the ids of its test tracks: the same part may be in several snapshots.
        reader: the artifact it was for.
        kind: `evaluation`, `cross-validation`, `clusters` or `study`.
        run: the Dagster run, if known.
        at: UTC.
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
    """Note a look, unless this very version of this reader is noted already: it learns nothing new
    by being made again.

    Args:
        home: of the register.
        dataset: the snapshot whose test labels are looked at.
        test_ids: track ids of its test part.
        reader: the artifact that is made.
        kind: what for.
        run: the Dagster run, if known.
    """
    read = TestRead(
        dataset=str(dataset),
        tracks=part_digest(test_ids),
        reader=str(reader),
        kind=kind,
        run=run,
        at=datetime.now(UTC).isoformat(timespec="seconds"),
    )
    path = home.root / FILE
    home.locks.mkdir(parents=True, exist_ok=True)
    with FileLock(home.locks / "test_reads.lock"):
        known = {(each.dataset, each.reader) for each in known_reads(home)}
        if (read.dataset, read.reader) in known:
            return
        line = json.dumps({"format": FORMAT, **asdict(read)}) + "\n"
        torn = path.is_file() and not path.read_bytes().endswith(b"\n")
        with path.open("ab") as file:
            file.write((b"\n" if torn and path.stat().st_size else b"") + line.encode())
            file.flush()
            os.fsync(file.fileno())


def part_digest(test_ids: Iterable[str]) -> str:
    """Names a test part by its tracks."""
    return hashlib.sha256("\n".join(sorted(test_ids)).encode()).hexdigest()[:32]


def known_reads(home: Home) -> list[TestRead]:
    """Every look that is noted, in order. A line that a crash cut short is passed over.

    Raises:
        StorageError: a line was written by a newer melgraph.
    """
    path = home.root / FILE
    if not path.is_file():
        return []
    found = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        try:
            body = json.loads(line)
            written_format = int(body.pop("format"))
            read = TestRead(**body) if written_format <= FORMAT else None
        except (ValueError, KeyError, TypeError):
            continue  # torn
        if read is None:
            raise StorageError(
                f"line {number} has format {written_format}, this melgraph reads up to {FORMAT}",
                where=path,
                remedy="upgrade melgraph, or use another MELGRAPH_HOME",
            )
        found.append(read)
    return found
