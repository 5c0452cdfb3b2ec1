"""Replacements of `ingest_pass.examine` that fail in the way the name of the file says."""

import errno
import os
import signal
import time
from pathlib import Path

from melgraph.assets.library import ingest_pass
from melgraph.assets.library.ingest_pass import Examination, Job


def examine(job: Job) -> Examination:
    """Examine a file, except that files named crash, hang, slow, changes and disk misbehave."""
    name = Path(job.path).stem
    if name == "crash":
        os.kill(os.getpid(), signal.SIGSEGV)
    if name == "hang":
        time.sleep(600)
    if name == "slow":
        time.sleep(0.5)
    if name == "changes":
        return _examine_while_it_changes(job)
    if name == "disk":
        ingest_pass.file_sha256 = _raise_disk_error  # for the rest of this process
    return ingest_pass.examine(job)


def _raise_disk_error(path: Path) -> str:
    raise OSError(errno.EIO, "Input/output error")


def _examine_while_it_changes(job: Job) -> Examination:
    path = Path(job.library.location) / job.path
    original = ingest_pass.file_sha256

    def hash_then_touch(path: Path) -> str:
        digest = original(path)
        with path.open("ab") as file:
            file.write(b"more")
        return digest

    ingest_pass.file_sha256 = hash_then_touch
    try:
        return ingest_pass.examine(job)
    finally:
        ingest_pass.file_sha256 = original
        assert path.exists()


def examine_onto_a_full_disk(job: Job) -> Examination:
    """The temporary arrays are written to a full disk."""
    original = ingest_pass._TemporaryArrayWriter
    ingest_pass._TemporaryArrayWriter = lambda path: original("/dev/full")
    try:
        return ingest_pass.examine(job)
    finally:
        ingest_pass._TemporaryArrayWriter = original
