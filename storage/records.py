"""Specs, versions and records: what an artifact is made from.

A *version* is input-addressed: it is the hash of everything that determines the bytes, and is known
before the work starts. A *record* is written last and is the commit: an artifact without a record
does not exist. Imports the standard library only, so that `melgraph audit` starts at once.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from melgraph.storage.errors import ArtifactCorrupt, NewerFormat, StorageError

FORMAT = 1  # of record.json; a reader refuses a larger one
RECORD_NAME = "record.json"
_NAME = re.compile(r"[a-z0-9][a-z0-9._+-]*")


def canonical_json(value: object) -> bytes:
    """The canonical encoding of a JSON value: sorted keys, no spaces, UTF-8, no NaN."""
    return json.dumps(
        _as_read_back(value), sort_keys=True, separators=(",", ":"), ensure_ascii=False
    ).encode()


def _as_read_back(value: object) -> Any:
    # Keys in JSON are strings: 2 and 10 must have the same order before and after a round trip.
    return json.loads(json.dumps(value, allow_nan=False))


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@dataclass(frozen=True, order=True)
class Reference:
    """One version of one artifact: `asset/partition/version`."""

    asset: str
    partition: str
    version: str

    def __str__(self) -> str:
        return f"{self.asset}/{self.partition}/{self.version}"


@dataclass(frozen=True)
class Spec:
    """Everything that determines the bytes of an artifact, before the work starts.

    Attributes:
        asset: name of the asset.
        partition: its partition key, as `partition_name` spells it.
        stage: integer that a developer increments when the code of the asset computes other bytes.
        inputs: the artifacts it is made from.
        config: the resolved configuration, JSON-ready.
        seed: random seed; None if nothing is random.
    """

    asset: str
    partition: str
    stage: int
    inputs: tuple[Reference, ...] = ()
    config: Mapping[str, Any] = field(default_factory=dict)
    seed: int | None = None

    def __post_init__(self) -> None:
        for name in (self.asset, self.partition):
            if not _NAME.fullmatch(name):
                raise StorageError(
                    f"{name!r} cannot name an artifact",
                    where=f"{self.asset}/{self.partition}",
                    remedy="use lower-case letters, digits, '.', '_', '-' and '+'",
                )

    @property
    def version(self) -> str:
        """The input-addressed version, 32 hexadecimal digits. It is the same on every machine."""
        identity = {
            "asset": self.asset,
            "partition": self.partition,
            "stage": self.stage,
            "inputs": sorted(str(reference) for reference in self.inputs),
            "config": self.config,
            "seed": self.seed,
        }
        return _sha256(canonical_json(identity))[:32]

    @property
    def reference(self) -> Reference:
        """The artifact that this spec describes."""
        return Reference(self.asset, self.partition, self.version)


@dataclass(frozen=True)
class Recording:
    """A source recording of an artifact.

    Attributes:
        track_id: identifies the sound, whatever the file metadata: 32 hexadecimal digits.
        sha256: of the whole file; None if the file could not be read.
        path: relative to the library, with `/`.
        files: the files of the artifact that were made from this recording, if that is known.
    """

    track_id: str | None
    sha256: str | None
    path: str
    files: tuple[str, ...] = ()


@dataclass(frozen=True)
class Record:
    """What an artifact is, what it was made from, and how to make it again.

    Attributes:
        spec: what determines the bytes.
        files: relative path -> (SHA-256, size in bytes) of every file of the artifact.
        input_digests: content digest of every input at the time of the work.
        recordings: the source recordings, if this artifact (and not one of its inputs) lists them.
        facts: a summary of the content, JSON-ready.
        run: ids of the Dagster and MLflow runs. Not part of the version.
        environment: package versions, git commit, device. Not part of the version.
        started_at: ISO 8601, UTC.
        finished_at: ISO 8601, UTC.
    """

    spec: Spec
    files: Mapping[str, tuple[str, int]]
    input_digests: Mapping[str, str]
    recordings: tuple[Recording, ...]
    facts: Mapping[str, Any]
    run: Mapping[str, str | None]
    environment: Mapping[str, Any]
    started_at: str
    finished_at: str

    @property
    def digest(self) -> str:
        """Content digest of the artifact: SHA-256 over names, digests and sizes of its files."""
        return _sha256(canonical_json({name: list(entry) for name, entry in self.files.items()}))

    def to_bytes(self) -> bytes:
        """The record as it is written: in a canonical encoding, with a digest of itself."""
        spec = asdict(self.spec)
        spec["inputs"] = [str(reference) for reference in self.spec.inputs]
        body = {
            "format": FORMAT,
            "version": self.spec.version,
            "digest": self.digest,
            "spec": spec,
            "files": {name: list(entry) for name, entry in self.files.items()},
            "input_digests": dict(self.input_digests),
            "recordings": [asdict(recording) for recording in self.recordings],
            "facts": dict(self.facts),
            "run": dict(self.run),
            "environment": dict(self.environment),
            "started_at": self.started_at,
            "finished_at": self.finished_at,
        }
        body["record_digest"] = _sha256(canonical_json(body))
        text = json.dumps(_as_read_back(body), sort_keys=True, indent=1, ensure_ascii=False)
        return text.encode() + b"\n"


def parse_reference(text: str) -> Reference:
    """Parse `asset/partition/version`.

    Raises:
        ValueError: the text has another form.
    """
    asset, partition, version = text.split("/")
    return Reference(asset, partition, version)


def parse_record(data: bytes, *, where: object) -> Record:
    """Parse a record and verify its digest of itself.

    Raises:
        NewerFormat: the record was written by a newer version of melgraph.
        ArtifactCorrupt: the record is not JSON, or differs from the committed bytes.
    """
    remedy = "remove this artifact's folder and materialize the asset again"
    try:
        body = json.loads(data)
        written_format = int(body["format"])
    except (ValueError, KeyError, TypeError, OverflowError) as error:
        raise ArtifactCorrupt(
            f"the record cannot be read ({error})", where=where, remedy=remedy
        ) from None
    if written_format > FORMAT:
        raise NewerFormat(
            f"the record has format {written_format}, this melgraph reads up to {FORMAT}",
            where=where,
            remedy="upgrade melgraph, or use another MELGRAPH_HOME",
        )
    try:
        record = _from_body(body)
        unchanged = record.to_bytes() == data
    except (ValueError, LookupError, TypeError, AttributeError, StorageError) as error:
        raise ArtifactCorrupt(
            f"the record is incomplete ({error!r})", where=where, remedy=remedy
        ) from None
    if not unchanged:
        raise ArtifactCorrupt(
            "the record differs from the committed one: its digest does not match",
            where=where,
            remedy=remedy,
        )
    return record


def _from_body(body: Mapping[str, Any]) -> Record:
    spec = dict(body["spec"])
    spec["inputs"] = tuple(parse_reference(text) for text in spec["inputs"])
    recordings = (
        Recording(**{**item, "files": tuple(item["files"])}) for item in body["recordings"]
    )
    return Record(
        spec=Spec(**spec),
        files={name: (entry[0], entry[1]) for name, entry in body["files"].items()},
        input_digests=body["input_digests"],
        recordings=tuple(recordings),
        facts=body["facts"],
        run=body["run"],
        environment=body["environment"],
        started_at=body["started_at"],
        finished_at=body["finished_at"],
    )


def partition_name(partition: Mapping[str, str] | str) -> str:
    """The folder name of a partition: `key`, or `value+value` sorted by dimension name."""
    if isinstance(partition, str):
        return partition
    return "+".join(partition[name] for name in sorted(partition))
