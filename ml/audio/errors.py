"""The one way in which a file of audio disappoints."""


class BadAudio(Exception):
    """A file that cannot be used.

    Args:
        code: stable, short, kebab-case; docs/error-codes.md lists them all.
        reason: a sentence with the values.
    """

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(f"{code}: {reason}")
        self.code, self.reason = code, reason

    def __reduce__(self) -> tuple[type["BadAudio"], tuple[str, str]]:
        """Survive the way back from a child process."""
        return type(self), (self.code, self.reason)
