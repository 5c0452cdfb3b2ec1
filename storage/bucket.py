"""A bucket: S3, or anything that speaks its protocol, through obstore (imported when first used).

Keys, endpoint and region come from the environment that every S3 tool reads: `AWS_ACCESS_KEY_ID`,
`AWS_SECRET_ACCESS_KEY`, `AWS_SESSION_TOKEN`, `AWS_REGION`, `AWS_ENDPOINT_URL`, `AWS_ALLOW_HTTP`
for an endpoint without TLS, `AWS_SKIP_SIGNATURE` for a public bucket. Every put is atomic: a
reader sees the whole object or none.
"""

import errno
import hashlib
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from melgraph.storage.errors import BucketTrouble, StorageError, UnusableKey
from melgraph.storage.location import SCHEME

if TYPE_CHECKING:
    from obstore.store import S3Store

CHUNK_BYTES = 8 << 20  # of a multipart upload and of a download: bounds the memory
PARTS_AT_ONCE = 4
# Long enough for a short interruption, short enough to report a wrong endpoint within seconds.
_RETRIES = {
    "max_retries": 4,
    "retry_timeout": timedelta(seconds=10),
    "backoff": {
        "init_backoff": timedelta(milliseconds=100),
        "max_backoff": timedelta(seconds=2),
        "base": 2,
    },
}
# A request may take long, as long as bytes arrive.
_TIMEOUTS = {"connect_timeout": "5s", "read_timeout": "30s", "timeout": "1h"}

_connected: dict[str, int] = {}  # "process": id of the process that used a bucket first


@dataclass(frozen=True)
class StoredObject:
    """An object, as a listing describes it.

    Attributes:
        key: relative to the prefix, with `/`.
        bytes: its size.
        mtime_ns: when it was written, in nanoseconds since the epoch (with a resolution of 1 s).
    """

    key: str
    bytes: int
    mtime_ns: int


@dataclass(frozen=True)
class Bucket:
    """Objects below `s3://bucket/prefix`. Picklable: another process opens its own connection.

    Every method raises BucketTrouble if the service cannot be reached or denies access. Reading
    raises FileNotFoundError if the object does not exist.
    """

    location: str

    def __reduce__(self) -> tuple[type["Bucket"], tuple[str]]:
        return Bucket, (self.location,)

    @property
    def name(self) -> str:
        """The bucket's own name."""
        return self.location.removeprefix(SCHEME).split("/")[0]

    @property
    def prefix(self) -> str:
        """The prefix of all keys, without slashes at its ends; empty for the whole bucket."""
        return self.location.removeprefix(SCHEME)[len(self.name) + 1 :]

    @property
    def endpoint(self) -> str:
        """The address of the service, for people."""
        names = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT")
        return next((os.environ[n] for n in names if os.environ.get(n)), "Amazon S3")

    def where(self, key: str = "") -> str:
        """The address of an object, for people."""
        return f"{self.location}/{key}" if key else self.location

    @cached_property
    def store(self) -> "S3Store":
        """The obstore client, restricted to the prefix."""
        from obstore.store import S3Store

        options = {**_TIMEOUTS, "allow_http": _http_is_allowed()}
        with self._translating_errors("opening the bucket"):
            return S3Store(
                self.name,
                prefix=self.prefix or None,
                retry_config=_RETRIES,  # type: ignore[arg-type]
                client_options=options,  # type: ignore[arg-type]
            )

    def check(self) -> None:
        """Request one page of the listing.

        Raises:
            BucketTrouble: the bucket does not exist, cannot be reached or may not be listed.
        """
        with self._translating_errors("listing it"):
            import obstore

            next(iter(obstore.list(self.store, chunk_size=1)), None)

    def objects(self, folder: str = "") -> Iterator[StoredObject]:
        """Every object below a folder, sorted by key. The listing is read page by page.

        Raises:
            UnusableKey: a key is not a valid path.
        """
        import obstore

        with self._translating_errors("listing it", folder):
            for page in obstore.list(self.store, folder or None, chunk_size=1000):
                yield from map(_stored, page)

    def level(self, folder: str = "") -> tuple[list[str], list[StoredObject]]:
        """Keys of the folders, and the objects, directly below a folder.

        Raises:
            UnusableKey: a key is not a valid path.
        """
        import obstore

        with self._translating_errors("listing it", folder):
            listing = obstore.list_with_delimiter(self.store, folder or None)
        return sorted(listing["common_prefixes"]), [_stored(item) for item in listing["objects"]]

    def status(self, key: str) -> StoredObject:
        """Size and time of one object."""
        import obstore

        with self._translating_errors("asking for", key):
            return _stored(obstore.head(self.store, key))

    def read(self, key: str) -> bytes:
        """The bytes of a small object."""
        import obstore

        with self._translating_errors("reading", key):
            return bytes(obstore.get(self.store, key).bytes())

    def chunks(self, key: str) -> Iterator[bytes]:
        """The bytes of an object of any size, in chunks of `CHUNK_BYTES`."""
        import obstore

        with self._translating_errors("reading", key):
            for chunk in obstore.get(self.store, key).stream(CHUNK_BYTES):
                yield bytes(chunk)

    def download(self, key: str, path: Path) -> str:
        """Write an object to a file. Returns the SHA-256 of the written bytes, hexadecimal."""
        digest = hashlib.sha256()
        with path.open("wb") as file:
            for chunk in self.chunks(key):
                digest.update(chunk)
                file.write(chunk)
        return digest.hexdigest()

    def sha256(self, key: str) -> str:
        """SHA-256 of an object, hexadecimal."""
        digest = hashlib.sha256()
        for chunk in self.chunks(key):
            digest.update(chunk)
        return digest.hexdigest()

    def write(self, key: str, data: bytes) -> None:
        """Write a small object. An existing object is replaced."""
        import obstore

        with self._translating_errors("writing", key):
            obstore.put(self.store, key, data, use_multipart=False)

    def create(self, key: str, data: bytes) -> bool:
        """Write a small object if it does not exist. Of two concurrent writers, one gets True."""
        import obstore
        from obstore.exceptions import AlreadyExistsError

        with self._translating_errors("writing", key):
            try:
                obstore.put(self.store, key, data, mode="create", use_multipart=False)
            except AlreadyExistsError:
                return False
            return True

    def upload(self, path: Path, key: str) -> None:
        """Upload a file, in parts if it is large. An existing object is replaced."""
        import obstore

        path.stat()  # a missing local file raises here, not as a missing object
        with self._translating_errors("writing", key):
            obstore.put(
                self.store, key, path, chunk_size=CHUNK_BYTES, max_concurrency=PARTS_AT_ONCE
            )

    def remove(self, keys: Iterable[str]) -> None:
        """Delete objects. Missing objects are ignored."""
        import obstore

        if keys := list(keys):
            with self._translating_errors("deleting from it"):
                obstore.delete(self.store, keys)

    @contextmanager
    def _translating_errors(self, action: str, key: str = "") -> Iterator[None]:
        """Translate the exceptions of obstore into those of melgraph."""
        self._refuse_fork()
        try:
            yield
        except FileNotFoundError as error:
            if error.errno is not None:  # of a local file
                raise
            if "NoSuchBucket" in str(error):
                raise self._trouble(action, key, error) from None
            text = "there is no such object"
            raise FileNotFoundError(errno.ENOENT, text, self.where(key)) from None
        except (OSError, StorageError):  # of a local file, or translated already
            raise
        except Exception as error:
            if not type(error).__module__.startswith("obstore") and not isinstance(
                error, ValueError
            ):
                raise
            raise self._trouble(action, key, error) from None

    def _refuse_fork(self) -> None:
        # obstore's threads do not survive a fork: a forked child would wait for ever.
        if _connected.setdefault("process", os.getpid()) != os.getpid():
            raise StorageError(
                "a forked process cannot use a bucket after its parent process has used one",
                where=self.location,
                remedy="start worker processes with the start method `spawn`",
            )

    def _trouble(self, action: str, key: str, error: Exception) -> StorageError:
        text, kind = str(error), type(error).__name__
        reason = " ".join(text.split("\n\nDebug source", 1)[0].split())[:400]
        where = f"{self.where(key)} (endpoint: {self.endpoint})"
        if kind == "InvalidPathError" or (kind == "ValueError" and "parse path" in text):
            return UnusableKey(
                f"a key in the bucket is not a valid path: {reason}",
                where=where,
                remedy="rename the object: a key must not contain an empty part, '.', '..' or a "
                "control character",
            )
        what = f"an operation on the bucket {self.name!r} failed ({action}): {reason}"
        if "NoSuchBucket" in text:
            remedy = "check the name of the bucket, AWS_ENDPOINT_URL and AWS_REGION"
        elif refused := _is_refusal(kind, text):
            remedy = (
                "check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY and their permissions; "
                "for a public bucket without keys set AWS_SKIP_SIGNATURE=true"
            )
            return BucketTrouble(what, where=where, remedy=remedy, refused=refused)
        else:
            remedy = (
                "check the network and AWS_ENDPOINT_URL (set AWS_ALLOW_HTTP=true if it begins with "
                "http:), then run the command again: committed artifacts stay"
            )
        return BucketTrouble(what, where=where, remedy=remedy)


def _http_is_allowed() -> bool:
    # obstore reads this variable only if it gets no client options.
    return os.environ.get("AWS_ALLOW_HTTP", "").lower() in ("1", "true", "yes", "on")


def _is_refusal(kind: str, text: str) -> bool:
    # Without keys the client asks the metadata service of a cloud machine for them.
    signs = ("169.254.169.254", "InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken")
    return kind in ("PermissionDeniedError", "UnauthenticatedError") or any(
        sign in text for sign in signs
    )


def _stored(meta: Any) -> StoredObject:
    return StoredObject(meta["path"], meta["size"], int(meta["last_modified"].timestamp()) * 10**9)
