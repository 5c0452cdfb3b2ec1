"""The errors of storage. Each says what is wrong, where, and what to do."""

from typing import Any


class StorageError(Exception):
    """A stored file, or a request to the storage, is wrong.

    Args:
        what: what is wrong, with the value that is wrong.
        where: the file, folder, key or setting.
        remedy: what the user can do about it.
    """

    def __init__(self, what: str, *, where: object, remedy: str) -> None:
        super().__init__(f"{what}\n  where:  {where}\n  remedy: {remedy}")
        self.what, self.where, self.remedy = what, str(where), remedy

    def __reduce__(self) -> tuple[Any, ...]:
        """Lets a worker process send the error to its parent."""
        return _unpickle, (type(self), self.what, self.where, self.remedy)


class ArtifactMissing(StorageError):
    """The artifact has no record, so it does not exist."""


class ArtifactCorrupt(StorageError):
    """The bytes of an artifact, or of its record, differ from the committed ones."""


class ArtifactLocked(StorageError):
    """Another process is writing this (asset, partition)."""


class NewerFormat(StorageError):
    """The files were written by a newer version of melgraph."""


class OlderFormat(StorageError):
    """A home in which a track is identified by the bytes of its file, file metadata included."""

    def __init__(
        self,
        what: str = "an older melgraph made this home, and this one cannot use it: its track ids "
        "change with file metadata",
        *,
        where: object,
        remedy: str = "start a new home in another folder (--home FOLDER, or MELGRAPH_HOME), or "
        "rename this folder and run again; the melgraph that made this home can still read it",
    ) -> None:
        super().__init__(what, where=where, remedy=remedy)


class BucketTrouble(StorageError):
    """A bucket does not exist, cannot be reached, or denies access.

    Attributes:
        refused: True if the service denied access to the bucket or to this object.
    """

    def __init__(self, what: str, *, where: object, remedy: str, refused: bool = False) -> None:
        super().__init__(what, where=where, remedy=remedy)
        self.refused = refused


class UnusableKey(StorageError):
    """An object in a bucket has a key that is not a valid path."""


def _unpickle(kind: type[StorageError], what: str, where: str, remedy: str) -> StorageError:
    return kind(what, where=where, remedy=remedy)
