"""A writer in a process of its own, for the tests that kill it.

Usage: python -m tests.storage.writer_process HOME PARTITION FAULT

Makes one version after the other of `victim` for the partition, and of `dependant` from each,
until it is killed. FAULT names the point at which it kills itself with the 2nd artifact, or is
`none`. It prints the reference of each artifact before, and `done` after it is committed.
"""

import os
import signal
import sys
from itertools import count
from pathlib import Path

from melgraph.storage import artifacts, home, local_artifacts
from melgraph.storage.artifacts import ArtifactStore, Work
from melgraph.storage.bucket import Bucket
from melgraph.storage.home import open_home
from melgraph.storage.records import RECORD_NAME, Spec

FAULTS = {  # the point: the state the 2nd artifact is left in
    "while writing": "pending",
    "before the rename": "pending",
    "after the rename": "renamed, no record",
    "in the record": "renamed, record half written",
    "after the record": "committed, not yet current",
    "in the pointer": "committed, not yet current",
}


BUCKET_FAULTS = {
    "while writing": "pending",
    "before the uploads": "pending",
    "between two uploads": "uploaded in part, no record",
    "before the record": "uploaded, no record",
    "after the record": "committed, not yet current",
    "after the pointer": "committed and current",
}


def write(work: Work) -> None:
    """Three files, one in a folder, told by the version."""
    (work.folder / "deep").mkdir()
    for name in ("a.bin", "deep/b.bin", "c.bin"):
        (work.folder / name).write_bytes(name.encode() * 500 + work.spec.version.encode())
    work.facts["stage"] = work.spec.stage


def die() -> None:
    """The end: no clean-up, no flush, no atexit."""
    os.kill(os.getpid(), signal.SIGKILL)


def plan(fault: str) -> None:
    """Arrange for the process to end at a point of the 2nd artifact."""
    replace, write_aside, records = Path.replace, home.write_aside, count(1)

    def faulty_replace(path: Path, target: Path) -> Path:
        is_folder = path.is_dir()
        if fault == "before the rename" and is_folder and next(records) == 2:
            die()
        moved = replace(path, target)
        if fault == "after the rename" and is_folder and next(records) == 2:
            die()
        return moved

    def faulty_write_aside(path: Path, data: bytes) -> None:
        is_record = path.name == RECORD_NAME
        point = {"in the record": is_record, "in the pointer": not is_record}.get(fault, False)
        if point and next(records) == 2:
            path.with_name(f".{path.name}.{os.getpid()}.aside").write_bytes(data[: len(data) // 2])
            die()
        write_aside(path, data)
        if fault == "after the record" and is_record and next(records) == 2:
            die()

    Path.replace = faulty_replace  # type: ignore[method-assign, assignment]
    local_artifacts.write_aside = faulty_write_aside
    artifacts.environment = dict  # it takes longer than all the rest


def plan_in_bucket(fault: str) -> None:
    """The same for the requests of a bucket; three files, then the record, then the pointer."""
    artifacts.environment = dict
    requests = {"upload": count(1), "create": count(1), "write": count(1)}
    points = {
        "before the uploads": ("upload", 4, "before"),
        "between two uploads": ("upload", 5, "before"),
        "before the record": ("create", 2, "before"),
        "after the record": ("create", 2, "after"),
        "after the pointer": ("write", 2, "after"),
    }
    name, number, when = points.get(fault, ("", 0, ""))

    def faulty(request: str) -> None:
        original = getattr(Bucket, request)

        def wrapped(*arguments: object) -> object:
            is_now = request == name and next(requests[request]) == number
            if is_now and when == "before":
                die()
            answer = original(*arguments)
            if is_now:
                die()
            return answer

        setattr(Bucket, request, wrapped)

    for request in requests:
        faulty(request)


def main() -> None:
    """Write until killed."""
    root, partition, fault = sys.argv[1:]
    store = ArtifactStore(open_home(Path(root)))
    plan(fault) if store.bucket is None else plan_in_bucket(fault)
    written = count(1)

    def faulty_write(work: Work) -> None:
        write(work)
        if fault == "while writing" and next(written) == 2:
            die()

    for stage in count() if fault == "none" else range(3):
        victim = Spec("victim", partition, stage)
        for spec in (victim, Spec("dependant", partition, stage, (victim.reference,))):
            print(spec.reference, flush=True)
            store.produce(spec, faulty_write)
            print("done", flush=True)


if __name__ == "__main__":
    main()
