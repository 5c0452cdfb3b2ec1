"""The errors a person can act on."""

from typing import Any


class UserError(Exception):
    """A mistake in what the user gave, told in one message without a traceback.

    Args:
        what: what is wrong, with the value that was received.
        where: the place (file, key, option) it was received at.
        remedy: what to do about it.
    """

    def __init__(self, what: str, *, where: str, remedy: str) -> None:
        super().__init__(f"{what}\n  where:  {where}\n  remedy: {remedy}")
        self.what, self.where, self.remedy = what, where, remedy

    def __reduce__(self) -> tuple[Any, ...]:
        """Survive the way back from a worker process."""
        return _restored, (type(self), self.what, self.where, self.remedy)


def _restored(kind: type[UserError], what: str, where: str, remedy: str) -> UserError:
    return kind(what, where=where, remedy=remedy)
