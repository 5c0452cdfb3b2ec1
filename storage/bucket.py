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

CHUNK_BYTES = 8 << 20  # of an upload in parts, and of a download: what bounds the memory
PARTS_AT_ONCE = 4
# A few seconds: long enough for a hiccup, short enough that a wrong endpoint is told at once.
_RETRIES = {
    "max_retries": 4,
    "retry_timeout": timedelta(seconds=10),
    "backoff": {
        "init_backoff": timedelta(milliseconds=100),
        "max_backoff": timedelta(seconds=2),
        "base": 2,
    },
}
# A request may take as long as its bytes keep coming.
_TIMEOUTS = {"connect_timeout": "5s", "read_timeout": "30s", "timeout": "1h"}


_spoke: dict[str, int] = {}  # the process that speaks to buckets, once one does


@dataclass(frozen=True)
class StoredObject:
    """An object as a listing shows it.

    Attributes:
        key: below the prefix, with `/`.
        bytes: its size.
        mtime_ns: when it was put, nanoseconds since the epoch (services tell whole seconds).
    """

    key: str
    bytes: int
    mtime_ns: int


@dataclass(frozen=True)
class Bucket:
    """Objects below `s3://bucket/prefix`. Picklable: another process opens its own connection.

    Every method raises BucketTrouble where the service cannot be reached, or refuses; reading
    raises FileNotFoundError where there is no such object.
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
        """What every key begins with, without slashes around it; empty for the whole bucket."""
        return self.location.removeprefix(SCHEME)[len(self.name) + 1 :]

    @property
    def endpoint(self) -> str:
        """Where the service is, for people."""
        names = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT")
        return next((os.environ[n] for n in names if os.environ.get(n)), "Amazon S3")

    def where(self, key: str = "") -> str:
        """The address of an object, for people."""
        return f"{self.location}/{key}" if key else self.location

    @cached_property
    def store(self) -> "S3Store":
        """obstore's own store, below the prefix."""
        from obstore.store import S3Store

        options = {**_TIMEOUTS, "allow_http": _http_is_allowed()}
        with self._speaking("opening the bucket"):
            return S3Store(
                self.name,
                prefix=self.prefix or None,
                retry_config=_RETRIES,  # type: ignore[arg-type]
                client_options=options,  # type: ignore[arg-type]
            )

    def check(self) -> None:
        """Ask for a page of the listing: BucketTrouble unless it is there and may be read."""
        with self._speaking("listing it"):
            import obstore

            next(iter(obstore.list(self.store, chunk_size=1)), None)

    def objects(self, folder: str = "") -> Iterator[StoredObject]:
        """Every object below a folder, in order of key, page by page.

        Raises:
            UnusableKey: one of them is named as no path can be.
        """
        import obstore

        with self._speaking("listing it", folder):
            for page in obstore.list(self.store, folder or None, chunk_size=1000):
                yield from map(_stored, page)

    def level(self, folder: str = "") -> tuple[list[str], list[StoredObject]]:
        """The folders and the objects directly below a folder, as keys; raises as `objects`."""
        import obstore

        with self._speaking("listing it", folder):
            found = obstore.list_with_delimiter(self.store, folder or None)
        return sorted(found["common_prefixes"]), [_stored(item) for item in found["objects"]]

    def status(self, key: str) -> StoredObject:
        """Size and time of one object."""
        import obstore

        with self._speaking("asking for", key):
            return _stored(obstore.head(self.store, key))

    def read(self, key: str) -> bytes:
        """A whole object, for small ones."""
        import obstore

        with self._speaking("reading", key):
            return bytes(obstore.get(self.store, key).bytes())

    def chunks(self, key: str) -> Iterator[bytes]:
        """An object chunk by chunk, however large it is."""
        import obstore

        with self._speaking("reading", key):
            for chunk in obstore.get(self.store, key).stream(CHUNK_BYTES):
                yield bytes(chunk)

    def download(self, key: str, path: Path) -> str:
        """Write an object to a file. Returns the SHA-256 of what was written, hexadecimal."""
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
        """Put a small object, over what was there."""
        import obstore

        with self._speaking("writing", key):
            obstore.put(self.store, key, data, use_multipart=False)

    def create(self, key: str, data: bytes) -> bool:
        """Put a small object unless there is one: of two writers, one gets True."""
        import obstore
        from obstore.exceptions import AlreadyExistsError

        with self._speaking("writing", key):
            try:
                obstore.put(self.store, key, data, mode="create", use_multipart=False)
            except AlreadyExistsError:
                return False
            return True

    def upload(self, path: Path, key: str) -> None:
        """Put a file, a large one in parts, over what was there."""
        import obstore

        path.stat()  # what is missing here is not missing there
        with self._speaking("writing", key):
            obstore.put(
                self.store, key, path, chunk_size=CHUNK_BYTES, max_concurrency=PARTS_AT_ONCE
            )

    def remove(self, keys: Iterable[str]) -> None:
        """Delete objects; one that is not there is no error."""
        import obstore

        if keys := list(keys):
            with self._speaking("deleting from it"):
                obstore.delete(self.store, keys)

    @contextmanager
    def _speaking(self, doing: str, key: str = "") -> Iterator[None]:
        """What obstore raises, in the terms of this room."""
        self._refuse_fork()
        try:
            yield
        except FileNotFoundError as error:
            if error.errno is not None:  # of a local file
                raise
            if "NoSuchBucket" in str(error):
                raise self._trouble(doing, key, error) from None
            text = "there is no such object"
            raise FileNotFoundError(errno.ENOENT, text, self.where(key)) from None
        except (OSError, StorageError):  # of a local file, or told already
            raise
        except Exception as error:
            if not type(error).__module__.startswith("obstore") and not isinstance(
                error, ValueError
            ):
                raise
            raise self._trouble(doing, key, error) from None

    def _refuse_fork(self) -> None:
        # obstore's threads do not survive a fork: a forked child would wait for ever.
        if _spoke.setdefault("process", os.getpid()) != os.getpid():
            raise StorageError(
                "a forked process cannot speak to a bucket its parent has spoken to",
                where=self.location,
                remedy="start worker processes with the method `spawn`",
            )

    def _trouble(self, doing: str, key: str, error: Exception) -> StorageError:
        said, kind = str(error), type(error).__name__
        reason = " ".join(said.split("\n\nDebug source", 1)[0].split())[:400]
        where = f"{self.where(key)} (endpoint: {self.endpoint})"
        if kind == "InvalidPathError" or (kind == "ValueError" and "parse path" in said):
            return UnusableKey(
                f"a key of the bucket is no path: {reason}",
                where=where,
                remedy="rename the object: no empty, '.' or '..' part, no control character",
            )
        what = f"the bucket {self.name!r} does not do as asked ({doing}): {reason}"
        if "NoSuchBucket" in said:
            remedy = "check the bucket's name, and that AWS_ENDPOINT_URL and AWS_REGION are its own"
        elif refused := _is_refusal(kind, said):
            remedy = (
                "check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY and what they may do here; "
                "AWS_SKIP_SIGNATURE=true reads a public bucket without keys"
            )
            return BucketTrouble(what, where=where, remedy=remedy, refused=refused)
        else:
            remedy = (
                "check the network and AWS_ENDPOINT_URL (AWS_ALLOW_HTTP=true where it begins with "
                "http:), then run it again: what was committed stays"
            )
        return BucketTrouble(what, where=where, remedy=remedy)


def _http_is_allowed() -> bool:
    # obstore reads this variable only where it is given no options of its own.
    return os.environ.get("AWS_ALLOW_HTTP", "").lower() in ("1", "true", "yes", "on")


def _is_refusal(kind: str, said: str) -> bool:
    # Without any keys the client asks the machine's own metadata service for them.
    signs = ("169.254.169.254", "InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken")
    return kind in ("PermissionDeniedError", "UnauthenticatedError") or any(
        s in said for s in signs
    )


def _stored(meta: Any) -> StoredObject:
    return StoredObject(meta["path"], meta["size"], int(meta["last_modified"].timestamp()) * 10**9)
