"""Stand-ins for `ingest_pass.examine` whose decoder fails as the file's name says."""

import errno
import os
import signal
import time
from pathlib import Path

from melgraph.assets.library import ingest_pass
from melgraph.assets.library.ingest_pass import Examined, Job


def examine(job: Job) -> Examined:
    """As the original, but for files called crash, hang, slow, changes, disk."""
    name = Path(job.path).stem
    if name == "crash":
        os.kill(os.getpid(), signal.SIGSEGV)
    if name == "hang":
        time.sleep(600)
    if name == "slow":
        time.sleep(0.5)
    if name == "changes":
        return _changing(job)
    if name == "disk":
        ingest_pass.file_sha256 = _broken  # in this process, for good
    return ingest_pass.examine(job)


def _broken(path: Path) -> str:
    raise OSError(errno.EIO, "Input/output error")


def _changing(job: Job) -> Examined:
    path = Path(job.library.location) / job.path
    whole = ingest_pass.file_sha256

    def hash_then_touch(path: Path) -> str:
        found = whole(path)
        with path.open("ab") as file:
            file.write(b"more")
        return found

    ingest_pass.file_sha256 = hash_then_touch
    try:
        return ingest_pass.examine(job)
    finally:
        ingest_pass.file_sha256 = whole
        assert path.exists()


def examine_onto_a_full_disk(job: Job) -> Examined:
    """What is kept aside meets a full disk."""
    whole = ingest_pass._Aside
    ingest_pass._Aside = lambda path: whole("/dev/full")
    try:
        return ingest_pass.examine(job)
    finally:
        ingest_pass._Aside = whole
