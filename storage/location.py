"""Locations, as users write them: a local folder, or `s3://bucket/prefix`."""

from pathlib import Path

from melgraph.storage.errors import StorageError

SCHEME = "s3://"


def is_bucket(location: str) -> bool:
    """Whether a location is in a bucket and not a folder."""
    return location.startswith(SCHEME)


def tidy_location(text: str, *, where: str) -> str:
    """Normalize a location.

    A folder becomes its resolved absolute path; `s3://bucket/prefix/` loses the slash at its end.

    Args:
        text: what the user wrote.
        where: the setting that contains it, for the message.

    Raises:
        StorageError: it has another scheme, or names no bucket.
    """
    if "://" not in text:
        return str(Path(text).resolve())
    bucket, *prefix = text.removeprefix(SCHEME).rstrip("/").split("/")
    if not is_bucket(text) or not bucket or not all(_is_segment(part) for part in prefix):
        raise StorageError(
            f"{text!r} is neither a folder nor s3://BUCKET/PREFIX",
            where=where,
            remedy="name a local folder, or a bucket of an S3-compatible service",
        )
    return SCHEME + "/".join([bucket, *prefix])


def _is_segment(part: str) -> bool:
    return part not in ("", ".", "..") and part.isprintable()
