import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from melgraph.storage import read_cache
from melgraph.storage.errors import StorageError
from melgraph.storage.files import file_digests
from melgraph.storage.read_cache import ReadCache, limit_bytes
from melgraph.storage.records import RECORD_NAME, Record, Spec

ROOT = Path(__file__).parents[2]
KB = 1000


def record_of(number: int, content: bytes, folder: Path) -> Record:
    folder.mkdir(parents=True)
    (folder / "values.bin").write_bytes(content)
    spec = Spec("mel", f"batch-{number:06d}", 1)
    return Record(spec, file_digests(folder), {}, (), {}, {}, {}, "then", "now")


@pytest.fixture
def cache(tmp_path, monkeypatch) -> ReadCache:
    monkeypatch.setenv("MELGRAPH_CACHE_GB", "1")
    return ReadCache(tmp_path / "cache")


@pytest.fixture
def records(tmp_path) -> list[Record]:
    """Ten artifacts of 100 kB."""
    return [record_of(n, bytes([n]) * 100 * KB, tmp_path / "made" / f"{n:02d}") for n in range(10)]


def fetch(record: Record):
    number = int(record.spec.partition[-6:])
    return lambda folder: (folder / "values.bin").write_bytes(bytes([number]) * 100 * KB)


def refuse(folder: Path) -> None:
    raise AssertionError("it was fetched again")


def held(cache: ReadCache) -> list[int]:
    records = cache.artifacts.glob(f"*/*/*/{RECORD_NAME}")
    return sorted(int(path.parts[-3][-6:]) for path in records)


def forget_what_is_used(monkeypatch) -> None:
    """As if this process had ended and another begun."""
    for lease in read_cache._leases.values():
        lease.file.close()
    monkeypatch.setattr(read_cache, "_leases", {})


def test_what_is_there_is_not_fetched_again(cache, records):
    cache.hold(records[0], fetch(records[0]))
    cache.hold(records[0], refuse)
    ReadCache(cache.root).hold(records[0], refuse)
    folder = cache.folder(records[0].spec.reference)
    assert (folder / RECORD_NAME).read_bytes() == records[0].to_bytes()
    assert file_digests(folder) == records[0].files
    assert not list((cache.root / "aside").rglob("*.bin"))


def test_a_fetch_that_fails_leaves_nothing(cache, records):
    def fail(folder: Path) -> None:
        (folder / "values.bin").write_bytes(b"half")
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        cache.hold(records[0], fail)
    assert not [path for path in cache.root.rglob("*.bin")]
    cache.hold(records[0], fetch(records[0]))
    assert held(cache) == [0]


@pytest.mark.parametrize("damage", ["shorter", "gone", "another record"])
def test_a_damaged_copy_is_fetched_anew(cache, records, damage, monkeypatch):
    cache.hold(records[0], fetch(records[0]))
    folder = cache.folder(records[0].spec.reference)
    if damage == "shorter":
        (folder / "values.bin").write_bytes(b"x")
    elif damage == "gone":
        (folder / "values.bin").unlink()
    else:
        (folder / RECORD_NAME).write_bytes(records[1].to_bytes())
    forget_what_is_used(monkeypatch)  # a process looks once
    cache.hold(records[0], fetch(records[0]))
    assert file_digests(folder) == records[0].files


def test_what_was_used_longest_ago_makes_room(cache, records, monkeypatch):
    for number, record in enumerate(records[:6]):
        cache.hold(record, fetch(record))
        os.utime(cache.folder(record.spec.reference) / RECORD_NAME, (number, number))
    forget_what_is_used(monkeypatch)
    monkeypatch.setenv("MELGRAPH_CACHE_GB", "0.00035")
    cache.hold(records[0], refuse)  # used again: now it is the latest
    cache.hold(records[6], fetch(records[6]))
    assert held(cache) == [0, 5, 6]


def test_what_is_in_use_stays_however_full(cache, records, monkeypatch):
    monkeypatch.setenv("MELGRAPH_CACHE_GB", "0")
    for record in records:
        cache.hold(record, fetch(record))
    assert held(cache) == list(range(10))
    forget_what_is_used(monkeypatch)
    cache.hold(records[3], refuse)
    cache.make_room()
    assert held(cache) == [3]


HOLD = """
import sys
from pathlib import Path
from melgraph.storage.read_cache import ReadCache
from melgraph.storage.records import parse_record
data = Path(sys.argv[2]).read_bytes()
ReadCache(Path(sys.argv[1])).hold(parse_record(data, where="here"), None)
print("held", flush=True)
sys.stdin.read()
"""


def test_what_another_process_uses_stays_until_it_dies(cache, records, monkeypatch):
    for record in records[:2]:
        cache.hold(record, fetch(record))
    forget_what_is_used(monkeypatch)
    path = cache.folder(records[1].spec.reference) / RECORD_NAME
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, cache.root, path],
        cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    ) as other:  # fmt: skip
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        monkeypatch.setenv("MELGRAPH_CACHE_GB", "0")
        cache.make_room()
        assert held(cache) == [1]
        aside = next((cache.root / "leases").glob(f"{other.pid}-*")).name
        (cache.root / "aside" / aside).mkdir(parents=True, exist_ok=True)
        (cache.root / "aside" / aside / "half.bin").write_bytes(b"half")  # it dies fetching
        other.kill()
    cache.make_room()
    assert held(cache) == []
    assert not list((cache.root / "aside").rglob("half.bin"))
    assert not list((cache.root / "leases").glob(f"{other.pid}-*"))


def test_many_threads_at_once(cache, records):
    fetched = []

    def use() -> None:
        for record in records:
            cache.hold(record, lambda f, r=record: fetched.append(r) or fetch(r)(f))
            assert file_digests(cache.folder(record.spec.reference)) == record.files

    threads = [threading.Thread(target=use) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert held(cache) == list(range(10))
    assert len(fetched) >= 10
    assert not list((cache.root / "aside").rglob("*.bin"))


@pytest.mark.parametrize("text", ["", "much", "-1", "nan", "inf"])
def test_a_size_that_is_none(monkeypatch, text):
    monkeypatch.setenv("MELGRAPH_CACHE_GB", text)
    with pytest.raises(StorageError, match="not a number of gigabytes"):
        limit_bytes()


def test_the_size(monkeypatch):
    assert limit_bytes() == 50 * 10**9
    monkeypatch.setenv("MELGRAPH_CACHE_GB", "0.5")
    assert limit_bytes() == 5 * 10**8
