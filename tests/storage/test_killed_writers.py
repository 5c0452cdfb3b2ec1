"""Writers that are killed: whatever has a record afterwards is whole, and work goes on."""

import random
import signal
import subprocess
import sys
import time
from collections import Counter
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path

import pytest

from melgraph.storage.artifacts import ArtifactStore
from melgraph.storage.records import RECORD_NAME, Spec, parse_reference
from tests.storage.writer_process import BUCKET_FAULTS, FAULTS, write

ROOT = Path(__file__).parents[2]
RANDOM_KILLS = 30


def start(store: ArtifactStore, partition: str, fault: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [
            sys.executable,
            "-m",
            "tests.storage.writer_process",
            store.home.root,
            partition,
            fault,
        ],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )


def state_of_the_last(store: ArtifactStore, printed: list[str]) -> str:
    """How far the writer had come with the artifact it was at."""
    if printed[-1] == "done":
        return "between two artifacts"
    reference = parse_reference(printed[-1])
    folder = store.folder(reference)
    if (folder / RECORD_NAME).is_file():
        current = store.current(reference.asset, reference.partition)
        pointed = current is not None and current.reference == reference
        return "committed and current" if pointed else "committed, not yet current"
    if folder.exists():
        aside = list(folder.glob(f".{RECORD_NAME}.*.aside"))
        return "renamed, record half written" if aside else "renamed, no record"
    is_pending = (store.home.pending / reference.asset / reference.partition).exists()
    return "pending" if is_pending else "not begun"


def assert_whole_and_goes_on(store: ArtifactStore, printed: list[str]) -> None:
    partition = parse_reference(printed[0]).partition
    committed = set()
    for reference in filter(lambda line: line != "done", printed):
        artifact = store.find(parse_reference(reference))
        if artifact is not None:
            assert store.verify(artifact) == []
            committed.add(reference)
    # What it called done is there; besides, at most the one it was at.
    done = {line for line, after in pairwise(printed) if after == "done"}
    assert done <= committed <= set(printed)
    # The same work again succeeds and leaves nothing behind.
    for spec in the_last(printed):
        artifact, _ = store.produce(spec, write)
        assert store.verify(artifact) == []
        assert store.need(spec.asset, partition) == artifact
    assert not [p for p in store.home.pending.glob(f"*/{partition}/**/*") if p.is_file()]


def the_last(printed: list[str]) -> list[Spec]:
    """The specs of the pair of artifacts the writer was at."""
    stage = (sum(line != "done" for line in printed) - 1) // 2
    victim = Spec("victim", parse_reference(printed[0]).partition, stage)
    pair = [victim, Spec("dependant", victim.partition, stage, (victim.reference,))]
    assert str(pair[0].reference) in printed
    return pair


@pytest.mark.parametrize(("fault", "state"), FAULTS.items())
def test_killed_at_a_named_point(store, fault, state):
    with start(store, "p", fault) as writer:
        assert writer.stdout is not None
        printed = writer.stdout.read().split()
    assert writer.returncode == -signal.SIGKILL
    assert len(printed) == 3  # one was done, the second was begun
    assert state_of_the_last(store, printed) == state
    assert_whole_and_goes_on(store, printed)


@pytest.mark.parametrize(("fault", "state"), BUCKET_FAULTS.items())
def test_killed_at_a_named_point_of_an_upload(bucket_store, bucket, fault, state):
    store = bucket_store
    with start(store, "p", fault) as writer:
        assert writer.stdout is not None
        printed = writer.stdout.read().split()
    assert writer.returncode == -signal.SIGKILL
    assert len(printed) == 3  # one was done, the second was begun
    reference = parse_reference(printed[-1])
    keys = [key for key in bucket.listing() if key.startswith(f"artifacts/{reference}/")]
    files = [key for key in keys if not key.endswith(RECORD_NAME)]
    if len(files) == len(keys):
        assert store.find(reference) is None
        has = {0: "pending", 1: "uploaded in part, no record", 3: "uploaded, no record"}
        assert has[len(files)] == state
    else:
        current = store.current(reference.asset, reference.partition)
        pointed = current is not None and current.reference == reference
        assert state == ("committed and current" if pointed else "committed, not yet current")
    assert_whole_and_goes_on(store, printed)


def test_killed_at_random_moments(store):
    """Two writers at a time; each is killed a random while after it began its second artifact."""
    draw = random.Random(20240229)
    points: Counter[str] = Counter()
    for pair in range(RANDOM_KILLS // 2):
        with ExitStack() as stack:
            writers = [stack.enter_context(start(store, f"p{pair}-{n}", "none")) for n in range(2)]
            for writer in writers:
                stack.callback(writer.kill)
            for writer in writers:
                assert writer.stdout is not None
                first = "".join(writer.stdout.readline() for _ in range(3))
                time.sleep(draw.uniform(0.0, 0.02))
                writer.kill()
                printed = (first + writer.stdout.read()).split()
                assert writer.wait() == -signal.SIGKILL
                points[state_of_the_last(store, printed)] += 1
                assert_whole_and_goes_on(store, printed)
    print("random kills fell at:", dict(points))
    assert sum(points.values()) == RANDOM_KILLS
    assert len(points) >= 2  # at different points
