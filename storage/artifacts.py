"""Artifacts and their store: begin, write aside, commit; find, verify.

Imports the standard library and filelock only, so that `melgraph audit` starts at once.

One mechanism for every kind of artifact. `begin` takes the lock of the (asset, partition) and
gives the writer a pending folder; `commit` hashes the files, and the backend (folders of the home,
or a bucket) moves them into place and writes the record last. Whenever the writer is interrupted,
a reader sees either the whole artifact or nothing.
"""

import re
import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from melgraph.storage.environment import environment
from melgraph.storage.errors import ArtifactCorrupt, ArtifactMissing, StorageError
from melgraph.storage.files import (
    file_digests as file_digests,
)  # re-exported: callers import it here
from melgraph.storage.files import file_sha256 as file_sha256
from melgraph.storage.files import verify_folder
from melgraph.storage.home import Home
from melgraph.storage.licences import LICENCES, Licences, merge_licences, recorded_licences
from melgraph.storage.local_artifacts import CURRENT as CURRENT
from melgraph.storage.local_artifacts import LocalArtifacts
from melgraph.storage.locks import Lock
from melgraph.storage.records import RECORD_NAME, Record, Recording, Reference, Spec, parse_record

if TYPE_CHECKING:
    from melgraph.storage.backend import Backend
    from melgraph.storage.bucket_artifacts import BucketArtifacts

_VERSION = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True)
class Artifact:
    """A committed artifact: a folder of files and its record.

    Attributes:
        local_folder: its folder on this machine. If the artifact is in a bucket, the folder exists
            only after the artifact was fetched.
        record: what it is.
        bucket: where it is fetched from; None if the local folder is the artifact itself.
    """

    local_folder: Path
    record: Record
    bucket: "BucketArtifacts | None" = field(default=None, compare=False, repr=False)

    @property
    def folder(self) -> Path:
        """Its files on this machine. An artifact in a bucket is fetched on first access.

        Raises:
            ArtifactCorrupt: a file in the bucket is missing or differs from the committed one.
        """
        if self.bucket is not None:
            self.bucket.fetch(self.record)
        return self.local_folder

    @property
    def location(self) -> str:
        """Its path or bucket address, for people. Fetches nothing."""
        if self.bucket is not None:
            return self.bucket.where(self.reference)
        return str(self.local_folder)

    @property
    def reference(self) -> Reference:
        """`asset/partition/version`."""
        return self.record.spec.reference

    @property
    def facts(self) -> dict[str, Any]:
        """The summary in its record."""
        return dict(self.record.facts)


@dataclass
class Work:
    """An uncommitted artifact: its files go into `folder`, its summary into `facts`.

    `licences` receives those of the weights that it uses itself; those of its inputs are added when
    it is committed.
    """

    spec: Spec
    folder: Path
    facts: dict[str, Any] = field(default_factory=dict)
    recordings: list[Recording] = field(default_factory=list)
    run: dict[str, str | None] = field(default_factory=dict)
    licences: Licences = field(default_factory=list)
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
        """The local tree `<asset>/<partition>/<version>/`; partial if the store is a bucket."""
        return self.backend.root

    @property
    def location(self) -> str:
        """The path or bucket address of all artifacts, for people."""
        store = self.home.artifact_store
        return f"{store}/artifacts" if store is not None else str(self.home.artifacts)

    def folder(self, reference: Reference) -> Path:
        """The local folder of a version, whether it exists or not."""
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
                f"the record in this folder belongs to {record.spec.reference}, not to {reference}",
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
        """The version that was last committed or reused for a partition, or None."""
        reference = self.current_reference(asset, partition)
        return self.find(reference) if reference is not None else None

    def current_reference(self, asset: str, partition: str) -> Reference | None:
        """The reference of the current version, or None.

        The record is not read: it grows with the partition.
        """
        data = self.backend.read_pointer(asset, partition)
        version = (data or b"").decode(errors="replace").strip()
        if not _VERSION.fullmatch(version):  # damaged; producing the partition repairs it
            return None
        reference = Reference(asset, partition, version)
        return reference if self.backend.has_record(reference) else None

    def pointer_problem(self, reference: Reference) -> str | None:
        """What is wrong with the pointer to the current version of a partition; None if nothing."""
        data = self.backend.read_pointer(reference.asset, reference.partition)
        version = (data or b"").decode(errors="replace").strip()
        where = f"{self.location}/{reference.asset}/{reference.partition}/{CURRENT}"
        if data is None:
            return f"{where}: the pointer to the current version is missing"
        if not _VERSION.fullmatch(version):
            return f"{where}: the pointer to the current version is damaged ({version[:40]!r})"
        if not self.backend.has_record(replace(reference, version=version)):
            return f"{where}: it points to the version {version}, which does not exist"
        return None

    def need(self, asset: str, partition: str) -> Artifact:
        """The current version of a partition, which must exist.

        Raises:
            ArtifactMissing: the partition has not been materialized.
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
        """Partitions of an asset that have a current version, sorted."""
        return self.backend.partitions(asset)

    def assets(self) -> list[str]:
        """Assets of which at least one partition has a current version, sorted."""
        return self.backend.assets()

    def read(self, artifact: Artifact, name: str) -> bytes:
        """The bytes of one small file of an artifact. The other files are not fetched.

        Raises:
            FileNotFoundError: the artifact has no file of this name.
        """
        return self.backend.read(artifact.record, name)

    def produce(self, spec: Spec, write: Callable[[Work], None]) -> tuple[Artifact, bool]:
        """The artifact of `spec`. `write` is called only if the artifact does not exist yet.

        Returns:
            The artifact, and whether this call made it.

        Raises:
            ArtifactLocked: another process is writing this (asset, partition).
        """
        with Production(self, [spec]) as production:
            for work in production.missing.values():
                write(work)
        return production.artifacts[spec.asset], spec.asset in production.missing

    def set_current(self, reference: Reference) -> None:
        """Make a committed version the current one of its partition."""
        version = reference.version.encode()
        if self.backend.read_pointer(reference.asset, reference.partition) != version:
            self.backend.write_pointer(reference.asset, reference.partition, version)

    def licences_of(self, work: Work) -> Licences:
        """The licences that the record of a work names: its own and those of its inputs."""
        inputs = (self.get(reference).record for reference in sorted(work.spec.inputs))
        return merge_licences(*map(recorded_licences, inputs), work.licences)

    def verify(self, artifact: Artifact) -> list[str]:
        """Compare every byte with the record.

        If the artifact is in a bucket, the bucket is read and not the cache.

        Returns:
            One line per problem; empty if the artifact is intact.
        """
        if artifact.bucket is not None:
            return artifact.bucket.verify(artifact.record)
        return verify_folder(artifact.local_folder, artifact.record)


class Production:
    """Several artifacts that are written together, each under its lock.

    A `with` block that ends without an exception commits them in the order of `specs`. If the block
    raises, nothing is committed and every current version stays as it was.

    Attributes:
        missing: asset -> the Work of each artifact that does not exist yet.
        artifacts: asset -> the committed artifact; complete after the block.
    """

    def __init__(self, store: ArtifactStore, specs: Iterable[Spec]) -> None:
        self.store = store
        self.specs = list(specs)
        if len({spec.asset for spec in self.specs}) < len(self.specs):
            raise ValueError("a production writes one partition of each of its assets")
        self.missing: dict[str, Work] = {}
        self.artifacts: dict[str, Artifact] = {}
        self._locks: list[Lock] = []

    def __enter__(self) -> "Production":
        try:
            for spec in self.specs:
                lock = Lock(self.store.home, spec.asset, spec.partition)
                lock.acquire()
                self._locks.append(lock)
                # We hold the lock, so files in this folder were left by a writer that died.
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
    """The committed artifact, and False if another machine committed the version first."""
    if (work.folder / RECORD_NAME).exists():
        raise StorageError(
            f"an artifact cannot contain a file named {RECORD_NAME}",
            where=work.spec.reference,
            remedy="give the file another name in the asset's code",
        )
    licences = store.licences_of(work)
    record = Record(
        spec=work.spec,
        files=file_digests(work.folder),
        input_digests={str(r): store.get(r).record.digest for r in work.spec.inputs},
        recordings=tuple(work.recordings),
        facts=work.facts | ({LICENCES: licences} if licences else {}),
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
