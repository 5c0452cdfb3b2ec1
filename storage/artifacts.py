"""The artifact store: begin, write aside, commit; find, verify. Standard library and filelock only.

One mechanism for every kind of artifact. `begin` takes the lock of the (asset, partition) and
hands out a folder aside; `commit` hashes and flushes the files, renames the folder into place and
writes the record last. Whatever happens in between, a reader sees all of an artifact or none.
"""

import hashlib
import os
import re
import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from storage.environment import environment
from storage.errors import ArtifactCorrupt, ArtifactMissing, StorageError
from storage.home import Home, sync_folder, write_aside
from storage.locks import Lock
from storage.records import RECORD_NAME, Record, Recording, Reference, Spec, parse_record

CURRENT = "current"
_VERSION = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True)
class Artifact:
    """A committed artifact: a folder of files and its record."""

    folder: Path
    record: Record

    @property
    def reference(self) -> Reference:
        """`asset/partition/version`."""
        return self.record.spec.reference

    @property
    def facts(self) -> dict[str, Any]:
        """The summary its record holds."""
        return dict(self.record.facts)


@dataclass
class Work:
    """An artifact in the making: write its files into `folder`, its summary into `facts`."""

    spec: Spec
    folder: Path
    facts: dict[str, Any] = field(default_factory=dict)
    recordings: list[Recording] = field(default_factory=list)
    run: dict[str, str | None] = field(default_factory=dict)
    started_at: str = field(default_factory=lambda: _now())


class ArtifactStore:
    """All artifacts of one home."""

    def __init__(self, home: Home) -> None:
        self.home = home

    def folder(self, reference: Reference) -> Path:
        """Where a version is, or would be, kept."""
        return self.home.artifacts / reference.asset / reference.partition / reference.version

    def find(self, reference: Reference) -> Artifact | None:
        """The committed artifact, or None. Reads its record, not its bytes."""
        path = self.folder(reference) / RECORD_NAME
        try:
            data = path.read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None
        record = parse_record(data, where=path)
        if record.spec.reference != reference:
            raise ArtifactCorrupt(
                f"the record is of {record.spec.reference}, not of {reference}",
                where=path,
                remedy="remove this folder and materialize the asset again",
            )
        return Artifact(path.parent, record)

    def get(self, reference: Reference) -> Artifact:
        """The committed artifact.

        Raises:
            ArtifactMissing: it has no record.
        """
        artifact = self.find(reference)
        if artifact is None:
            raise ArtifactMissing(
                f"{reference} does not exist",
                where=self.folder(reference),
                remedy=f"materialize {reference.asset} for {reference.partition}",
            )
        return artifact

    def current(self, asset: str, partition: str) -> Artifact | None:
        """The version last committed or reused for a partition, or None."""
        reference = self.current_reference(asset, partition)
        return self.find(reference) if reference is not None else None

    def current_reference(self, asset: str, partition: str) -> Reference | None:
        """Its name alone: the record, as long as its partition is, is not read."""
        pointer = self.home.artifacts / asset / partition / CURRENT
        try:
            version = pointer.read_bytes().decode(errors="replace").strip()
        except FileNotFoundError:
            return None
        if not _VERSION.fullmatch(version):  # damaged; producing the partition points it anew
            return None
        reference = Reference(asset, partition, version)
        return reference if (self.folder(reference) / RECORD_NAME).is_file() else None

    def need(self, asset: str, partition: str) -> Artifact:
        """The current version of a partition.

        Raises:
            ArtifactMissing: there is none yet.
        """
        artifact = self.current(asset, partition)
        if artifact is None:
            raise ArtifactMissing(
                f"{asset} has not been materialized for {partition!r}",
                where=self.home.artifacts / asset,
                remedy=f"materialize {asset} for {partition!r} first",
            )
        return artifact

    def partitions(self, asset: str) -> list[str]:
        """Partitions that have a current version, sorted."""
        return sorted(p.parent.name for p in (self.home.artifacts / asset).glob(f"*/{CURRENT}"))

    def produce(self, spec: Spec, write: Callable[[Work], None]) -> tuple[Artifact, bool]:
        """The artifact of `spec`, made by `write` unless it is there already.

        Returns:
            The artifact, and whether it was made now.

        Raises:
            ArtifactLocked: another writer is at this (asset, partition).
        """
        with Production(self, [spec]) as production:
            for work in production.missing.values():
                write(work)
        return production.artifacts[spec.asset], spec.asset in production.missing

    def set_current(self, reference: Reference) -> None:
        """Make a committed version the one readers get."""
        pointer = self.folder(reference).parent / CURRENT
        version = reference.version.encode()
        if not pointer.is_file() or pointer.read_bytes() != version:
            write_aside(pointer, version)

    def verify(self, artifact: Artifact) -> list[str]:
        """Compare every byte with the record. Returns the problems, a line each; empty is good."""
        problems = []
        found = set(_files(artifact.folder))
        for name, (sha256, size) in artifact.record.files.items():
            path = artifact.folder / name
            if name not in found:
                problems.append(f"{path}: missing")
                continue
            try:
                if path.stat().st_size != size:
                    problems.append(f"{path}: {path.stat().st_size} bytes, recorded {size}")
                elif file_sha256(path) != sha256:
                    problems.append(f"{path}: content differs from its recorded SHA-256")
            except OSError as error:  # a failing disk, or no permission
                problems.append(f"{path}: cannot be read ({error.strerror})")
        for name in sorted(found - set(artifact.record.files)):
            problems.append(f"{artifact.folder / name}: not in the record")
        return problems


class Production:
    """Artifacts made together, each under its lock; committed in the order given on a clean exit.

    `missing` holds the Work of each asset that does not exist yet; `artifacts`, after the block,
    the committed artifact of every asset. An exception in the block commits nothing, and leaves
    every asset's current version as it was.
    """

    def __init__(self, store: ArtifactStore, specs: Iterable[Spec]) -> None:
        self.store = store
        self.specs = list(specs)
        if len({spec.asset for spec in self.specs}) < len(self.specs):
            raise ValueError("a production makes one partition of each of its assets")
        self.missing: dict[str, Work] = {}
        self.artifacts: dict[str, Artifact] = {}
        self._locks: list[Lock] = []

    def __enter__(self) -> "Production":
        try:
            for spec in self.specs:
                lock = Lock(self.store.home, spec.asset, spec.partition)
                lock.acquire()
                self._locks.append(lock)
                artifact = self.store.find(spec.reference)
                if artifact is None:
                    self.missing[spec.asset] = _begin(self.store.home, spec)
                else:
                    self.artifacts[spec.asset] = artifact
        except BaseException:
            self._clean_up()
            raise
        return self

    def __exit__(self, error_type: type[BaseException] | None, *_: object) -> None:
        try:
            if error_type is None:
                for spec in self.specs:
                    if spec.asset in self.missing:
                        self.artifacts[spec.asset] = _commit(self.store, self.missing[spec.asset])
                    self.store.set_current(spec.reference)
        finally:
            self._clean_up()

    def _clean_up(self) -> None:
        for work in self.missing.values():
            shutil.rmtree(work.folder, ignore_errors=True)
        for lock in self._locks:
            lock.release()
        self._locks.clear()


def _begin(home: Home, spec: Spec) -> Work:
    # The lock is ours, so whatever lies here was left by a writer that died.
    folder = home.pending / spec.asset / spec.partition
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return Work(spec, folder)


def _commit(store: ArtifactStore, work: Work) -> Artifact:
    final = store.folder(work.spec.reference)
    if (work.folder / RECORD_NAME).exists():
        raise StorageError(
            f"an artifact cannot hold a file of its own called {RECORD_NAME}",
            where=work.spec.reference,
            remedy="give the file another name in the asset's code",
        )
    for name in _files(work.folder):
        _flush(work.folder / name)
    record = Record(
        spec=work.spec,
        files=file_digests(work.folder),
        input_digests={str(r): store.get(r).record.digest for r in work.spec.inputs},
        recordings=tuple(work.recordings),
        facts=work.facts,
        run=work.run,
        environment=environment(),
        started_at=work.started_at,
        finished_at=_now(),
    )
    data = record.to_bytes()
    if final.exists():  # a rename without its record: never committed
        shutil.rmtree(final)
    final.parent.mkdir(parents=True, exist_ok=True)
    for written, _, _ in os.walk(work.folder):
        sync_folder(Path(written))
    work.folder.replace(final)
    for folder in (final.parent, final.parent.parent, store.home.artifacts):
        sync_folder(folder)  # the two upper ones may be new
    write_aside(final / RECORD_NAME, data)
    return Artifact(final, record)


def file_sha256(path: Path) -> str:
    """SHA-256 of a file, hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def file_digests(folder: Path) -> dict[str, tuple[str, int]]:
    """(SHA-256, size in bytes) of every file below a folder, by relative path."""
    return {
        name: (file_sha256(folder / name), (folder / name).stat().st_size)
        for name in _files(folder)
    }


def _files(folder: Path) -> list[str]:
    paths = (path for path in folder.rglob("*") if path.is_file())
    names = (path.relative_to(folder).as_posix() for path in paths)
    return sorted(name for name in names if name != RECORD_NAME)


def _flush(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="microseconds")
