"""Errors that a person can act on."""

from typing import Any


class UserError(Exception):
    """A mistake in the input of the user, shown as one message without a traceback.

    Args:
        what: what is wrong, with the value.
        where: the file, key or option that holds the value.
        remedy: what to do next.
    """

    def __init__(self, what: str, *, where: str, remedy: str) -> None:
        super().__init__(f"{what}\n  where:  {where}\n  remedy: {remedy}")
        self.what, self.where, self.remedy = what, where, remedy

    def __reduce__(self) -> tuple[Any, ...]:
        """How pickle carries it back from a worker process."""
        return _restored, (type(self), self.what, self.where, self.remedy)


def _restored(kind: type[UserError], what: str, where: str, remedy: str) -> UserError:
    return kind(what, where=where, remedy=remedy)
