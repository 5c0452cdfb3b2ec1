"""The register of looks at test splits: nothing is forgotten, nothing is counted twice."""

import json
from concurrent.futures import ThreadPoolExecutor

import pytest

from melgraph.storage.errors import StorageError
from melgraph.storage.home import Home
from melgraph.storage.records import Reference
from melgraph.storage.test_reads import FILE, list_test_reads, part_digest, register_read

SNAPSHOT = Reference("datasets", "genres", "a" * 32)
IDS = ["t1", "t2"]


@pytest.fixture
def home(tmp_path):
    (tmp_path / "library").mkdir()
    return Home(tmp_path / "home", str(tmp_path / "library")).create()


def look(home, reader="small-cnn", version="b", kind="evaluation", ids=IDS):
    register_read(home, SNAPSHOT, ids, Reference("evaluations", reader, version * 32), kind, "run")


def test_a_look_is_there_before_it_is_taken(home):
    assert list_test_reads(home) == []
    look(home)
    (read,) = list_test_reads(home)
    assert read.dataset == str(SNAPSHOT)
    assert read.reader.startswith("evaluations/small-cnn/")
    assert (read.kind, read.run) == ("evaluation", "run")
    assert read.tracks == part_digest(reversed(IDS))
    assert read.at.endswith("+00:00")


def test_the_same_version_again_is_no_new_look(home):
    look(home)
    look(home)
    assert len(list_test_reads(home)) == 1
    look(home, version="c")
    look(home, reader="other")
    assert len(list_test_reads(home)) == 3


def test_other_test_tracks_have_another_name():
    assert part_digest(["a", "b"]) != part_digest(["a"])
    assert part_digest(["a", "b"]) == part_digest(["b", "a"])


def test_a_line_that_a_crash_cut_short_costs_only_itself(home):
    look(home)
    path = home.root / FILE
    whole = path.read_bytes()
    path.write_bytes(whole + whole[:40])
    assert len(list_test_reads(home)) == 1
    look(home, version="c")
    assert len(list_test_reads(home)) == 2


def test_many_at_once(home):
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda i: look(home, reader=f"experiment-{i % 20}"), range(60)))
    assert len(list_test_reads(home)) == 20
    assert all(json.loads(line) for line in (home.root / FILE).read_text().splitlines())


def test_a_newer_register_is_refused(home):
    look(home)
    path = home.root / FILE
    path.write_text(path.read_text().replace('"format": 1', '"format": 2'))
    with pytest.raises(StorageError, match="format 2"):
        list_test_reads(home)
