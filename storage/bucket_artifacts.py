"""Artifacts in a bucket, read through the cache of the home.

    <prefix>/artifacts/<asset>/<partition>/<version>/record.json       written last, is the commit
    <prefix>/artifacts/<asset>/<partition>/<version>/<digest>/<file>
    <prefix>/current/<asset>/<partition>                               the current version

Object storage has no atomic rename, and no lock that is released when a process dies. Therefore
the files lie below the digest of their content, where only the same bytes can be written, and the
record is created with a conditional put. Of two concurrent writers one commits all of its files,
and the other uses the committed artifact. Files of a writer that died are removed after the next
commit.
"""

from pathlib import Path

from melgraph.storage.bucket import Bucket
from melgraph.storage.errors import ArtifactCorrupt, StorageError
from melgraph.storage.home import Home
from melgraph.storage.read_cache import ReadCache
from melgraph.storage.records import RECORD_NAME, Record, Reference, parse_record

ARTIFACTS, POINTERS = "artifacts", "current"


class BucketArtifacts:
    """The backend of a home whose artifacts are in a bucket."""

    def __init__(self, bucket: Bucket, cache: ReadCache) -> None:
        self.bucket = bucket
        self.cache = cache

    @property
    def root(self) -> Path:
        """The tree of the fetched artifacts; it has the layout of a local home."""
        return self.cache.artifacts

    def folder(self, reference: Reference) -> Path:
        """The local folder of a version after it was fetched."""
        return self.cache.folder(reference)

    def where(self, reference: Reference) -> str:
        """The address of a version, for people."""
        return self.bucket.where(_base(reference))

    def read_record(self, reference: Reference) -> bytes | None:
        """The bytes of a record, or None if the version is not committed."""
        try:
            return self.bucket.read(f"{_base(reference)}/{RECORD_NAME}")
        except FileNotFoundError:
            return None

    def has_record(self, reference: Reference) -> bool:
        """Whether a version is committed."""
        return self.read_record(reference) is not None

    def read(self, record: Record, name: str) -> bytes:
        """The bytes of one small file of an artifact."""
        return self.bucket.read(f"{_files(record)}/{name}")

    def read_pointer(self, asset: str, partition: str) -> bytes | None:
        """The content of a partition's pointer, or None."""
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
        """Download the artifact into its local folder, and check every byte.

        Raises:
            ArtifactCorrupt: an object is missing or differs from the committed file.
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
                        "the object is missing, or differs from the committed file",
                        where=self.bucket.where(key),
                        remedy=f"delete {self.where(record.spec.reference)} from the bucket, then "
                        "materialize the asset again",
                    )

        self.cache.hold(record, download)

    def commit(self, record: Record, work: Path) -> bool:
        """Upload the files, then the record.

        Returns:
            False if another writer created the record first.
        """
        for name in record.files:
            self.bucket.upload(work / name, f"{_files(record)}/{name}")
        self._check_sizes(record)
        base = _base(record.spec.reference)
        is_ours = self.bucket.create(f"{base}/{RECORD_NAME}", record.to_bytes())
        if is_ours:
            self.cache.put(record, work)
        self._remove_leftovers(record.spec.reference)
        return is_ours

    def _check_sizes(self, record: Record) -> None:
        sizes = self._object_sizes(record)
        for name, (_, size) in record.files.items():
            if sizes.get(name) != size:
                raise StorageError(
                    f"the bucket holds {sizes.get(name, 0)} of {size} uploaded bytes",
                    where=self.bucket.where(f"{_files(record)}/{name}"),
                    remedy="check the quota of the bucket, then run the command again",
                )

    def _remove_leftovers(self, reference: Reference) -> None:
        """Delete the objects below a committed version that its record does not name."""
        data = self.read_record(reference)
        if data is None:  # deleted in the meantime, by hand
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
        """Compare every byte in the bucket with the record. Returns one line per problem."""
        problems = []
        sizes = self._object_sizes(record)
        for name, (sha256, size) in record.files.items():
            key = f"{_files(record)}/{name}"
            place = self.bucket.where(key)
            if name not in sizes:
                problems.append(f"{place}: missing")
            elif sizes[name] != size:
                problems.append(f"{place}: {sizes[name]} bytes, recorded {size}")
            elif self.bucket.sha256(key) != sha256:
                problems.append(f"{place}: content differs from its recorded SHA-256")
        problems += [
            f"{self.bucket.where(_files(record))}/{name}: not in the record"
            for name in sorted(set(sizes) - set(record.files))
        ]
        return problems

    def _object_sizes(self, record: Record) -> dict[str, int]:
        """Relative path -> size in bytes of every object in the folder of an artifact."""
        folder = _files(record)
        objects = self.bucket.objects(folder)
        return {item.key.removeprefix(f"{folder}/"): item.bytes for item in objects}


def _base(reference: Reference) -> str:
    return f"{ARTIFACTS}/{reference}"


def _files(record: Record) -> str:
    return f"{_base(record.spec.reference)}/{record.digest[:32]}"


def open_artifacts(home: Home) -> BucketArtifacts:
    """The artifacts of a home whose store is a bucket. Sends no request."""
    return BucketArtifacts(Bucket(str(home.artifact_store)), ReadCache(home.cache))
