"""One writer per (asset, partition): a lock that a crash cannot leave behind."""

import os
from datetime import UTC, datetime

from melgraph.storage.errors import ArtifactLocked
from melgraph.storage.home import Home


class Lock:
    """Advisory lock; the kernel drops it when its holder dies. A note beside it says who."""

    def __init__(self, home: Home, asset: str, partition: str) -> None:
        from filelock import FileLock  # 0.04 s that no reader should pay

        self.name = f"{asset}/{partition}"
        self.path = home.locks / asset / f"{partition}.lock"
        self.holder = self.path.with_suffix(".holder")
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.lock = FileLock(self.path, timeout=0)

    def acquire(self) -> None:
        """Take the lock now.

        Raises:
            ArtifactLocked: another writer, named in the message, holds it.
        """
        from filelock import Timeout

        try:
            self.lock.acquire()
        except Timeout:
            holder = self._note() or "another process"
            raise ArtifactLocked(
                f"{self.name} is being written by {holder}",
                where=self.path,
                remedy="wait until that run ends, or stop it; the lock frees itself",
            ) from None
        since = datetime.now(UTC).isoformat(timespec="seconds")
        try:
            self.holder.write_text(f"process {os.getpid()} on {os.uname().nodename} since {since}")
        except BaseException:
            self.lock.release()
            raise

    def release(self) -> None:
        """Give the lock back; call it once, while holding it."""
        self.holder.unlink(missing_ok=True)  # the next holder's note is never mistaken for ours
        self.lock.release()

    def _note(self) -> str:
        try:
            return self.holder.read_text()
        except FileNotFoundError:  # just acquired, or just released
            return ""
