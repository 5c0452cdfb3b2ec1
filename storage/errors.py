"""The errors of the storage room: each names the value, the place and the remedy."""

from typing import Any


class StorageError(Exception):
    """Something kept on disk, or asked of it, is not as it must be.

    Args:
        what: what is wrong, with the value that was found.
        where: the file, folder or key it was found at.
        remedy: what to do about it.
    """

    def __init__(self, what: str, *, where: object, remedy: str) -> None:
        super().__init__(f"{what}\n  where:  {where}\n  remedy: {remedy}")
        self.what, self.where, self.remedy = what, str(where), remedy

    def __reduce__(self) -> tuple[Any, ...]:
        """Survive the way back from a worker process."""
        return _restored, (type(self), self.what, self.where, self.remedy)


class ArtifactMissing(StorageError):
    """An artifact was asked for that has no record: to us it does not exist."""


class ArtifactCorrupt(StorageError):
    """The bytes of an artifact, or of its record, are not those that were committed."""


class ArtifactLocked(StorageError):
    """Another writer holds the (asset, partition)."""


class NewerFormat(StorageError):
    """The files were written by a newer melgraph than this one."""


class BucketTrouble(StorageError):
    """A bucket cannot be reached, is not there, or refuses.

    Attributes:
        refused: it answered, and the keys do not open it (or this object of it).
    """

    def __init__(self, what: str, *, where: object, remedy: str, refused: bool = False) -> None:
        super().__init__(what, where=where, remedy=remedy)
        self.refused = refused


class UnusableKey(StorageError):
    """An object of a bucket has a key that cannot be written as a path."""


def _restored(kind: type[StorageError], what: str, where: str, remedy: str) -> StorageError:
    return kind(what, where=where, remedy=remedy)
