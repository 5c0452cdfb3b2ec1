import os
import platform
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import pytest

from melgraph.ml import workers as workers_module
from melgraph.ml.workers import (
    IsolatedFunction,
    NoWorker,
    default_workers,
    isolated_calls,
    isolated_map,
)
from tests.ml import crashing


def run(items, **options):
    options = {"workers": 2, "time_limit": lambda item: 1.0 if item == 5 else 60.0} | options
    return isolated_map(crashing.answer, items, **options)


def test_a_crash_a_hang_and_an_exit_cost_one_item_each_and_order_is_kept():
    found = list(run([0, 1, 3, 4, 5, 6, 9, 8]))
    assert [outcome.item for outcome in found] == [0, 1, 3, 4, 5, 6, 9, 8]
    assert [outcome.value for outcome in found] == [0, 1, None, 16, None, 36, None, 64]
    by_item = {outcome.item: outcome for outcome in found}
    assert by_item[3].lost == "its process ended by SIGSEGV"
    assert not by_item[3].hung
    assert by_item[5].hung
    assert "1 s" in by_item[5].lost
    assert by_item[9].lost == "its process ended with exit status 3"


def test_calls_in_a_process_of_their_own_cost_one_item_each():
    limit = {"time_limit": lambda item: 1.0 if item == 5 else 60.0}
    with isolated_calls(crashing.answer, **limit) as call:
        outcomes = [call(item) for item in (1, 3, 4, 5, 6)]
    assert [outcome.value for outcome in outcomes] == [1, None, 16, None, 36]
    assert outcomes[1].lost == "its process ended by SIGSEGV"
    assert outcomes[3].hung
    with isolated_calls(crashing.answer, **limit):
        pass  # no call, no process


def test_many_threads_call_one_function():
    function = IsolatedFunction(crashing.answer, workers=2, time_limit_s=60.0)
    items = [0, 1, 3, 2, 9, 4, 6, 8] * 3
    with ThreadPoolExecutor(8) as threads:
        outcomes = list(threads.map(function, items))
    assert [outcome.item for outcome in outcomes] == items
    values = {0: 0, 1: 1, 2: 4, 3: None, 4: 16, 6: 36, 8: 64, 9: None}
    assert [outcome.value for outcome in outcomes] == [values[item] for item in items]
    with pytest.raises(TimeoutError, match="own"):
        function(7)
    function.close()
    assert function(2).value == 4  # it can be called again
    function.close()


def test_one_thread_at_a_time_needs_one_process():
    function = IsolatedFunction(crashing.process_id, workers=4, time_limit_s=60.0)
    assert len({function(number).value for number in range(8)}) == 1
    function.close()


def test_a_call_that_hangs_is_stopped():
    function = IsolatedFunction(crashing.answer, workers=1, time_limit_s=1.0)
    assert function(5).hung
    assert function(4).value == 16
    function.close()


def test_a_machine_that_starts_no_process_is_not_the_fault_of_an_item(monkeypatch):
    function = IsolatedFunction(crashing.answer, workers=1, time_limit_s=60.0)
    real = workers_module._start_pool

    class NoPool:
        def schedule(self, *_, **__):
            raise BrokenProcessPool("All workers expired")

        def stop(self):
            pass

        join = stop

    monkeypatch.setattr(workers_module, "_start_pool", lambda *_: NoPool())
    with pytest.raises(NoWorker, match="expired"):
        function(4)
    monkeypatch.setattr(workers_module, "_start_pool", real)
    assert function(4).value == 16
    function.close()


def test_an_exception_of_the_function_is_raised_at_its_turn():
    given = run([1, 2, 7, 8])
    assert [next(given).value, next(given).value] == [1, 4]
    with pytest.raises(TimeoutError, match="own"):
        next(given)


def test_the_victim_of_a_neighbour_is_tried_once_more(tmp_path):
    marker = str(tmp_path / "tried")
    (outcome,) = isolated_map(
        crashing.crash_once, [marker], workers=1, time_limit=lambda item: 60.0
    )
    assert outcome.value == "done"


def test_items_are_taken_only_as_they_are_needed():
    taken = []

    def items():
        for item in range(100):
            taken.append(item)
            yield item * 10

    given = run(items(), ahead=2)
    next(given)
    assert len(taken) <= 2 * 2 + 1
    given.close()


def test_the_work_is_done_elsewhere():
    options = {"workers": 2, "time_limit": lambda item: 60.0}
    ids = {outcome.value for outcome in isolated_map(crashing.process_id, range(8), **options)}
    assert os.getpid() not in ids
    assert 1 <= len(ids) <= 2


def test_nothing_to_do():
    assert list(run([])) == []


def test_processes_end_with_a_caller_that_is_killed(tmp_path):
    script = (
        "import os, signal\n"
        "from melgraph.ml.workers import isolated_map\n"
        "from tests.ml import crashing\n"
        "ids = isolated_map(crashing.process_id, range(1000), workers=2,"
        " time_limit=lambda item: 60.0)\n"
        "print(next(ids).value, next(ids).value, flush=True)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    code = "import sys; sys.path.insert(0, sys.argv[1])\nif __name__ == '__main__':\n" + "".join(
        f"    {line}\n" for line in script.splitlines()
    )
    path = tmp_path / "killed.py"
    path.write_text(code)
    ran = subprocess.run(
        [sys.executable, str(path), str(Path(__file__).parents[2])],
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    ids = [int(word) for word in ran.stdout.split()]
    assert ids, ran.stderr
    end = time.monotonic() + 30
    while any(_runs(process) for process in ids) and time.monotonic() < end:
        time.sleep(0.1)
    assert not any(_runs(process) for process in ids)


def _runs(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="a matter of glibc")
def test_a_worker_keeps_the_memory_it_frees():
    n_bytes = 50_000_000
    (outcome,) = isolated_map(
        crashing.page_faults, [n_bytes], workers=1, time_limit=lambda item: 60.0
    )
    assert outcome.value < n_bytes / 4096 / 10


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


@pytest.fixture
def four_cores(monkeypatch):
    """Four cores by affinity, whatever this machine has."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 2, 3}, raising=False)


@pytest.mark.parametrize(
    ("own", "outer", "expected"),
    [
        ("150000 100000", None, 2),
        ("50000 100000", None, 1),
        ("max 100000", None, 4),
        ("max 100000", "200000 100000", 2),  # the group around it
        ("300000 100000", "200000 100000", 2),
        ("900000 100000", None, 4),
        ("nonsense", None, 4),
    ],
)
def test_workers_follow_the_cpu_quota(tmp_path, monkeypatch, four_cores, own, outer, expected):
    """Version 2 of control groups, as Docker and Kubernetes use it."""
    monkeypatch.setattr(workers_module, "_memberships", lambda: [("0", "", "/pod/container")])
    write(tmp_path / "pod" / "container" / "cpu.max", own)
    if outer:
        write(tmp_path / "pod" / "cpu.max", outer)
    assert default_workers(tmp_path) == expected


@pytest.mark.parametrize(("quota", "expected"), [("150000", 2), ("-1", 4), ("0", 4), ("", 4)])
def test_workers_follow_an_older_cpu_quota(tmp_path, monkeypatch, four_cores, quota, expected):
    memberships = [("3", "memory", "/box"), ("4", "cpu,cpuacct", "/box")]
    monkeypatch.setattr(workers_module, "_memberships", lambda: memberships)
    write(tmp_path / "cpu,cpuacct" / "box" / "cpu.cfs_quota_us", quota)
    write(tmp_path / "cpu,cpuacct" / "box" / "cpu.cfs_period_us", "100000")
    assert default_workers(tmp_path) == expected


def test_workers_without_control_groups(tmp_path, monkeypatch, four_cores):
    """A container sees its own group as the root: the path of `/proc` does not exist there."""
    assert default_workers(tmp_path) == 4
    monkeypatch.setattr(workers_module, "_memberships", lambda: [("0", "", "/docker/abc")])
    write(tmp_path / "cpu.max", "100000 100000")
    assert default_workers(tmp_path) == 1
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert default_workers(tmp_path / "none") == 1
