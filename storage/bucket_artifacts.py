"""Artifacts in a bucket, read through the cache of the home.

    <prefix>/artifacts/<asset>/<partition>/<version>/record.json       written last: the commit
    <prefix>/artifacts/<asset>/<partition>/<version>/<digest>/<file>
    <prefix>/current/<asset>/<partition>                               the version readers get

A bucket has no rename, and no lock that a dead writer lets go of. So the files of a writer lie
below the digest of their content, where only the same bytes can ever be put, and the record is
created only if there is none: of two writers at once one wins with all of its files, and the other
takes what the winner made. What a dead writer left is removed after the next commit.
"""

from pathlib import Path

from melgraph.storage.bucket import Bucket
from melgraph.storage.errors import ArtifactCorrupt, StorageError
from melgraph.storage.home import Home
from melgraph.storage.read_cache import ReadCache
from melgraph.storage.records import RECORD_NAME, Record, Reference, parse_record

ARTIFACTS, POINTERS = "artifacts", "current"


class BucketArtifacts:
    """The backend of a home whose artifacts are kept in a bucket."""

    def __init__(self, bucket: Bucket, cache: ReadCache) -> None:
        self.bucket = bucket
        self.cache = cache

    @property
    def root(self) -> Path:
        """What lies below it on this machine is in the tree of a local home."""
        return self.cache.artifacts

    def folder(self, reference: Reference) -> Path:
        """Where a version is on this machine once it was fetched."""
        return self.cache.folder(reference)

    def where(self, reference: Reference) -> str:
        """Its address, for people."""
        return self.bucket.where(_base(reference))

    def read_record(self, reference: Reference) -> bytes | None:
        """The bytes of a record, or None where nothing is committed."""
        try:
            return self.bucket.read(f"{_base(reference)}/{RECORD_NAME}")
        except FileNotFoundError:
            return None

    def has_record(self, reference: Reference) -> bool:
        """Whether a version is committed; its record is kept, for it will be wanted."""
        return self.read_record(reference) is not None

    def read(self, record: Record, name: str) -> bytes:
        """One small file of an artifact."""
        return self.bucket.read(f"{_files(record)}/{name}")

    def read_pointer(self, asset: str, partition: str) -> bytes | None:
        """What the pointer of a partition holds, or None."""
        try:
            return self.bucket.read(f"{POINTERS}/{asset}/{partition}")
        except FileNotFoundError:
            return None

    def write_pointer(self, asset: str, partition: str, data: bytes) -> None:
        """Point a partition at a version."""
        self.bucket.write(f"{POINTERS}/{asset}/{partition}", data)

    def assets(self) -> list[str]:
        """Assets that have a pointer."""
        folders, _ = self.bucket.level(POINTERS)
        return sorted(folder.split("/")[-1] for folder in folders)

    def partitions(self, asset: str) -> list[str]:
        """Partitions of an asset that have a pointer."""
        _, pointers = self.bucket.level(f"{POINTERS}/{asset}")
        return sorted(pointer.key.split("/")[-1] for pointer in pointers)

    def fetch(self, record: Record) -> None:
        """Have the artifact in its folder on this machine, every byte checked.

        Raises:
            ArtifactCorrupt: what the bucket holds is not what was committed.
        """

        def download(folder: Path) -> None:
            for name, (sha256, _) in record.files.items():
                path, key = folder / name, f"{_files(record)}/{name}"
                path.parent.mkdir(parents=True, exist_ok=True)
                try:
                    is_good = self.bucket.download(key, path) == sha256
                except FileNotFoundError:
                    is_good = False
                if not is_good:
                    raise ArtifactCorrupt(
                        "the object is gone, or is not the one that was committed",
                        where=self.bucket.where(key),
                        remedy=f"delete {self.where(record.spec.reference)} from the bucket, and "
                        "materialize the asset again",
                    )

        self.cache.hold(record, download)

    def commit(self, record: Record, work: Path) -> bool:
        """Put the files, then the record. False: another writer's record was there first."""
        for name in record.files:
            self.bucket.upload(work / name, f"{_files(record)}/{name}")
        self._check_sizes(record)
        base = _base(record.spec.reference)
        won = self.bucket.create(f"{base}/{RECORD_NAME}", record.to_bytes())
        if won:
            self.cache.put(record, work)
        self._remove_leftovers(record.spec.reference)
        return won

    def _check_sizes(self, record: Record) -> None:
        kept = self._kept(record)
        for name, (_, size) in record.files.items():
            if kept.get(name) != size:
                raise StorageError(
                    f"of {size} bytes that were put, the bucket holds {kept.get(name, 0)}",
                    where=self.bucket.where(f"{_files(record)}/{name}"),
                    remedy="look at the health and the quota of the bucket, then run it again",
                )

    def _remove_leftovers(self, reference: Reference) -> None:
        """Remove what is below a committed version and is not of its record."""
        data = self.read_record(reference)
        if data is None:  # removed since, by hand
            return
        record = parse_record(data, where=self.where(reference))
        base, files = _base(reference), _files(record)
        self.bucket.remove(
            [
                item.key
                for item in self.bucket.objects(base)
                if item.key != f"{base}/{RECORD_NAME}" and not item.key.startswith(f"{files}/")
            ]
        )

    def verify(self, record: Record) -> list[str]:
        """Compare every byte in the bucket with the record: a line for each problem."""
        problems = []
        kept = self._kept(record)
        for name, (sha256, size) in record.files.items():
            key = f"{_files(record)}/{name}"
            place = self.bucket.where(key)
            if name not in kept:
                problems.append(f"{place}: missing")
            elif kept[name] != size:
                problems.append(f"{place}: {kept[name]} bytes, recorded {size}")
            elif self.bucket.sha256(key) != sha256:
                problems.append(f"{place}: content differs from its recorded SHA-256")
        problems += [
            f"{self.bucket.where(_files(record))}/{name}: not in the record"
            for name in sorted(set(kept) - set(record.files))
        ]
        return problems

    def _kept(self, record: Record) -> dict[str, int]:
        """Size in bytes of every object beside an artifact's files, by relative path."""
        folder = _files(record)
        found = self.bucket.objects(folder)
        return {item.key.removeprefix(f"{folder}/"): item.bytes for item in found}


def _base(reference: Reference) -> str:
    return f"{ARTIFACTS}/{reference}"


def _files(record: Record) -> str:
    return f"{_base(record.spec.reference)}/{record.digest[:32]}"


def open_artifacts(home: Home) -> BucketArtifacts:
    """The artifacts of a home that keeps them in a bucket. Asks the bucket for nothing yet."""
    return BucketArtifacts(Bucket(str(home.artifact_store)), ReadCache(home.cache))
