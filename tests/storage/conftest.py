"""A home with an empty library, and the store of its artifacts; in the home, or in a bucket."""

import shutil
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from melgraph.storage.artifacts import Artifact, ArtifactStore
from melgraph.storage.home import Home
from melgraph.storage.records import RECORD_NAME, Reference
from tests.buckets import LoopbackBucket


@pytest.fixture(autouse=True)
def _no_waiting_for_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """SQLite in this process flushes nothing: what outlives a power cut is not tested here."""
    connect = sqlite3.connect

    def unflushed(*args: Any, **options: Any) -> sqlite3.Connection:
        connection = connect(*args, **options)
        connection.execute("PRAGMA synchronous = OFF")
        return connection

    monkeypatch.setattr(sqlite3, "connect", unflushed)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    library = tmp_path / "library"
    library.mkdir()
    return Home(tmp_path / "home", str(library)).create()


@pytest.fixture
def store(home: Home) -> ArtifactStore:
    return ArtifactStore(home)


class InFolders:
    """What a store keeps in the home, looked at and damaged behind its back."""

    def __init__(self, store: ArtifactStore) -> None:
        self.root = store.home.artifacts

    def snapshot(self) -> dict[str, bytes]:
        """Every file, committed or not."""
        files = (path for path in self.root.rglob("*") if path.is_file())
        return {path.relative_to(self.root).as_posix(): path.read_bytes() for path in files}

    def place(self, artifact: Artifact, name: str) -> str:
        return str(self.root / str(artifact.reference) / name)

    def write(self, artifact: Artifact, name: str, data: bytes) -> None:
        Path(self.place(artifact, name)).write_bytes(data)

    def remove(self, artifact: Artifact, name: str) -> None:
        Path(self.place(artifact, name)).unlink()

    def remove_all(self, artifact: Artifact) -> None:
        shutil.rmtree(artifact.local_folder)

    def set_pointer(self, artifact: Artifact, data: bytes) -> None:
        (self.root / str(artifact.reference)).with_name("current").write_bytes(data)

    def leave_half(self, reference: Reference) -> None:
        """What a writer leaves that dies in its commit."""
        folder = self.root / str(reference) / "deep"
        folder.mkdir(parents=True)
        (folder / "leftover.bin").write_bytes(b"half")
        (folder.parent / f".{RECORD_NAME}.1.aside").write_bytes(b'{"format')

    def move(self, artifact: Artifact, to: Reference) -> None:
        (self.root / str(to)).parent.mkdir()
        artifact.local_folder.rename(self.root / str(to))


class InBucket:
    """The same of a store in a bucket. Its read cache is none of this."""

    def __init__(self, bucket: LoopbackBucket) -> None:
        self.bucket = bucket

    def snapshot(self) -> dict[str, bytes]:
        return self.bucket.snapshot()

    def key(self, artifact: Artifact, name: str) -> str:
        inner = "" if name == RECORD_NAME else f"{artifact.record.digest[:32]}/"
        return f"artifacts/{artifact.reference}/{inner}{name}"

    def place(self, artifact: Artifact, name: str) -> str:
        return f"{self.bucket.location}/{self.key(artifact, name)}"

    def write(self, artifact: Artifact, name: str, data: bytes) -> None:
        self.bucket.put(self.key(artifact, name), data)

    def remove(self, artifact: Artifact, name: str) -> None:
        self.bucket.delete(self.key(artifact, name))

    def remove_all(self, artifact: Artifact) -> None:
        for key in self.bucket.listing():
            if key.startswith(f"artifacts/{artifact.reference}/"):
                self.bucket.delete(key)

    def set_pointer(self, artifact: Artifact, data: bytes) -> None:
        reference = artifact.reference
        self.bucket.put(f"current/{reference.asset}/{reference.partition}", data)

    def leave_half(self, reference: Reference) -> None:
        self.bucket.put(f"artifacts/{reference}/{'0' * 32}/deep/leftover.bin", b"half")

    def move(self, artifact: Artifact, to: Reference) -> None:
        data = self.bucket.get(self.key(artifact, RECORD_NAME))
        self.bucket.put(f"artifacts/{to}/{RECORD_NAME}", data)


@pytest.fixture
def bucket_store(home: Home, bucket: LoopbackBucket) -> ArtifactStore:
    """The store of a home that keeps its artifacts in a bucket."""
    apart = Home(home.root.with_name("apart"), home.library, artifact_store=bucket.location)
    return ArtifactStore(apart.create())
