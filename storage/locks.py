"""One writer per (asset, partition): a lock that is released when its process dies."""

import os
from datetime import UTC, datetime

from melgraph.storage.errors import ArtifactLocked
from melgraph.storage.home import Home


class Lock:
    """An advisory file lock. The kernel releases it when its process dies.

    A text file beside it describes the process that holds it.
    """

    def __init__(self, home: Home, asset: str, partition: str) -> None:
        from filelock import FileLock  # takes 0.04 s, and readers do not need it

        self.name = f"{asset}/{partition}"
        self.path = home.locks / asset / f"{partition}.lock"
        self.holder = self.path.with_suffix(".holder")
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.lock = FileLock(self.path, timeout=0)

    def acquire(self) -> None:
        """Take the lock without waiting.

        Raises:
            ArtifactLocked: another process holds it; the message names the process.
        """
        from filelock import Timeout

        try:
            self.lock.acquire()
        except Timeout:
            holder = self.holder_note() or "another process"
            raise ArtifactLocked(
                f"{self.name} is being written by {holder}",
                where=self.path,
                remedy="wait until that run ends, or stop it; the lock is then released by itself",
            ) from None
        since = datetime.now(UTC).isoformat(timespec="seconds")
        try:
            self.holder.write_text(f"process {os.getpid()} on {os.uname().nodename} since {since}")
        except BaseException:
            self.lock.release()
            raise

    def release(self) -> None:
        """Release the lock. Call it once, while holding it."""
        self.holder.unlink(
            missing_ok=True
        )  # before the release, so that no later holder's note is deleted
        self.lock.release()

    def discard(self) -> None:
        """Release the lock and remove its file, for a name that no process will lock again."""
        self.path.unlink(missing_ok=True)
        self.release()

    def holder_note(self) -> str:
        """The process that holds the lock, or that died while it held it; empty if unknown."""
        try:
            return self.holder.read_text()
        except FileNotFoundError:  # just acquired, or just released
            return ""
