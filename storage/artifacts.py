"""The artifact store: begin, write aside, commit; find, verify. Standard library and filelock only.

One mechanism for every kind of artifact. `begin` takes the lock of the (asset, partition) and
hands out a folder aside; `commit` hashes the files, and the backend (folders of the home, or a
bucket) puts them into place and writes the record last. Whatever happens in between, a reader sees
all of an artifact or none.
"""

import re
import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from melgraph.storage.artifact import Artifact
from melgraph.storage.environment import environment
from melgraph.storage.errors import ArtifactCorrupt, ArtifactMissing, StorageError
from melgraph.storage.files import file_digests, verify_folder
from melgraph.storage.files import file_sha256 as file_sha256  # where callers look for it
from melgraph.storage.home import Home
from melgraph.storage.local_artifacts import CURRENT as CURRENT
from melgraph.storage.local_artifacts import LocalArtifacts
from melgraph.storage.locks import Lock
from melgraph.storage.records import RECORD_NAME, Record, Recording, Reference, Spec, parse_record

if TYPE_CHECKING:
    from melgraph.storage.backend import Backend
    from melgraph.storage.bucket_artifacts import BucketArtifacts

_VERSION = re.compile(r"[0-9a-f]{32}")


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
    """All artifacts of one home, wherever it keeps them."""

    def __init__(self, home: Home) -> None:
        self.home = home
        self.bucket: BucketArtifacts | None = None
        if home.artifact_store is not None:
            from melgraph.storage.bucket_artifacts import open_artifacts

            self.bucket = open_artifacts(home)
        self.backend: Backend = self.bucket or LocalArtifacts(home.artifacts)

    @property
    def root(self) -> Path:
        """`<asset>/<partition>/<version>/`, as far as it is on this machine."""
        return self.backend.root

    @property
    def location(self) -> str:
        """Where the artifacts are kept, for people."""
        kept_in = self.home.artifact_store
        return f"{kept_in}/artifacts" if kept_in is not None else str(self.home.artifacts)

    def folder(self, reference: Reference) -> Path:
        """Where a version is, or would be, on this machine."""
        return self.backend.folder(reference)

    def find(self, reference: Reference) -> Artifact | None:
        """The committed artifact, or None. Reads its record, not its bytes."""
        data = self.backend.read_record(reference)
        if data is None:
            return None
        where = f"{self.backend.where(reference)}/{RECORD_NAME}"
        record = parse_record(data, where=where)
        if record.spec.reference != reference:
            raise ArtifactCorrupt(
                f"the record is of {record.spec.reference}, not of {reference}",
                where=where,
                remedy="remove this folder and materialize the asset again",
            )
        return Artifact(self.folder(reference), record, self.bucket)

    def get(self, reference: Reference) -> Artifact:
        """The committed artifact.

        Raises:
            ArtifactMissing: it has no record.
        """
        artifact = self.find(reference)
        if artifact is None:
            raise ArtifactMissing(
                f"{reference} does not exist",
                where=self.backend.where(reference),
                remedy=f"materialize {reference.asset} for {reference.partition}",
            )
        return artifact

    def current(self, asset: str, partition: str) -> Artifact | None:
        """The version last committed or reused for a partition, or None."""
        reference = self.current_reference(asset, partition)
        return self.find(reference) if reference is not None else None

    def current_reference(self, asset: str, partition: str) -> Reference | None:
        """Its name alone: the record, as long as its partition is, is not read."""
        data = self.backend.read_pointer(asset, partition)
        version = (data or b"").decode(errors="replace").strip()
        if not _VERSION.fullmatch(version):  # damaged; producing the partition points it anew
            return None
        reference = Reference(asset, partition, version)
        return reference if self.backend.has_record(reference) else None

    def need(self, asset: str, partition: str) -> Artifact:
        """The current version of a partition.

        Raises:
            ArtifactMissing: there is none yet.
        """
        artifact = self.current(asset, partition)
        if artifact is None:
            raise ArtifactMissing(
                f"{asset} has not been materialized for {partition!r}",
                where=f"{self.location}/{asset}",
                remedy=f"materialize {asset} for {partition!r} first",
            )
        return artifact

    def partitions(self, asset: str) -> list[str]:
        """Partitions that have a current version, sorted."""
        return self.backend.partitions(asset)

    def assets(self) -> list[str]:
        """Assets that have a current version of anything, sorted."""
        return self.backend.assets()

    def read(self, artifact: Artifact, name: str) -> bytes:
        """One small file of an artifact, without fetching the others.

        Raises:
            FileNotFoundError: it holds none of this name.
        """
        return self.backend.read(artifact.record, name)

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
        version = reference.version.encode()
        if self.backend.read_pointer(reference.asset, reference.partition) != version:
            self.backend.write_pointer(reference.asset, reference.partition, version)

    def verify(self, artifact: Artifact) -> list[str]:
        """Compare every byte with the record. Returns the problems, a line each; empty is good.

        Of a bucket's artifact it is the bucket that is read, whatever the cache holds.
        """
        if artifact.bucket is not None:
            return artifact.bucket.verify(artifact.record)
        return verify_folder(artifact.kept, artifact.record)


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
                # The lock is ours, so whatever lies here was left by a writer that died.
                shutil.rmtree(_pending(self.store.home, spec), ignore_errors=True)
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
                        artifact, is_ours = _commit(self.store, self.missing[spec.asset])
                        self.artifacts[spec.asset] = artifact
                        if not is_ours:
                            self._discard(self.missing.pop(spec.asset))
                    self.store.set_current(spec.reference)
        finally:
            self._clean_up()

    def _clean_up(self) -> None:
        for work in self.missing.values():
            self._discard(work)
        for lock in self._locks:
            lock.release()
        self._locks.clear()

    @staticmethod
    def _discard(work: Work) -> None:
        shutil.rmtree(work.folder, ignore_errors=True)


def _pending(home: Home, spec: Spec) -> Path:
    return home.pending / spec.asset / spec.partition


def _begin(home: Home, spec: Spec) -> Work:
    folder = _pending(home, spec)
    folder.mkdir(parents=True)
    return Work(spec, folder)


def _commit(store: ArtifactStore, work: Work) -> tuple[Artifact, bool]:
    """The committed artifact, and whether it is ours: another machine may have been faster."""
    if (work.folder / RECORD_NAME).exists():
        raise StorageError(
            f"an artifact cannot hold a file of its own called {RECORD_NAME}",
            where=work.spec.reference,
            remedy="give the file another name in the asset's code",
        )
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
    if store.backend.commit(record, work.folder):
        return Artifact(store.folder(work.spec.reference), record, store.bucket), True
    return store.get(work.spec.reference), False


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="microseconds")
