import os
import pickle
import threading
import time

import pytest

from melgraph.storage.bucket import CHUNK_BYTES, Bucket
from melgraph.storage.errors import BucketTrouble, StorageError, UnusableKey
from melgraph.storage.location import tidy_location


@pytest.fixture
def there(bucket) -> Bucket:
    return Bucket(bucket.location)


@pytest.mark.parametrize(
    ("text", "tidy"),
    [("s3://music", "s3://music"), ("s3://music/", "s3://music"), ("s3://a/b/c/", "s3://a/b/c"),
     ("/music/../songs", "/songs"), ("s3://a/ü – 音", "s3://a/ü – 音")],
)  # fmt: skip
def test_locations(text, tidy):
    assert tidy_location(text, where="here") == tidy


@pytest.mark.parametrize(
    "text", ["s3://", "s3:///x", "s3://a//b", "s3://a/../b", "s3://a/b\nc", "gs://a/b", "http://a"]
)
def test_locations_that_are_none(text):
    with pytest.raises(StorageError, match="neither a folder nor s3://") as caught:
        tidy_location(text, where="--library")
    assert caught.value.where == "--library"


def test_what_is_put_is_read_below_the_prefix(there, bucket):
    there.write("a/b.txt", b"one")
    there.write("a/b.txt", b"two")
    assert bucket.snapshot() == {"a/b.txt": b"two"}
    assert there.read("a/b.txt") == b"two"
    (item,) = there.objects()
    assert (item.key, item.bytes) == ("a/b.txt", 3)
    assert abs(item.mtime_ns / 1e9 - time.time()) < 60
    assert there.status("a/b.txt") == item
    there.remove(["a/b.txt", "not there"])
    assert bucket.listing() == []


def test_a_large_file_goes_in_parts_and_comes_back_whole(there, tmp_path):
    data = os.urandom(2 * CHUNK_BYTES + 12345)
    (tmp_path / "large").write_bytes(data)
    there.upload(tmp_path / "large", "large")
    sha256 = there.download("large", tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == data
    assert sha256 == there.sha256("large")
    assert max(map(len, there.chunks("large"))) < 2 * CHUNK_BYTES


def test_an_empty_file(there, tmp_path):
    (tmp_path / "empty").touch()
    there.upload(tmp_path / "empty", "empty")
    there.download("empty", tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == there.read("empty") == b""


def test_of_many_that_create_an_object_one_does(there, bucket):
    won = []
    threads = [
        threading.Thread(target=lambda n=n: there.create("x", b"%d" % n) and won.append(n))
        for n in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 1
    assert bucket.get("x") == b"%d" % won[0]


def test_another_process_opens_its_own(there):
    there.write("x", b"1")
    again = pickle.loads(pickle.dumps(there))
    assert again == there
    assert again.read("x") == b"1"


def test_what_is_not_there(there, tmp_path):
    for ask in (there.read, there.sha256, there.status):
        with pytest.raises(FileNotFoundError) as caught:
            ask("nothing")
        assert caught.value.filename == there.where("nothing")
    with pytest.raises(FileNotFoundError) as caught:  # of this machine, not of the bucket
        there.upload(tmp_path / "nothing", "x")
    assert "there is no such object" not in str(caught.value)


def test_a_bucket_that_is_not_there(bucket, tmp_path):
    wrong = Bucket("s3://no-such-bucket/deep")
    for ask in (wrong.check, lambda: wrong.read("x"), lambda: wrong.write("x", b"")):
        with pytest.raises(BucketTrouble, match=r"'no-such-bucket'.*does not exist") as caught:
            ask()
        assert bucket.endpoint in caught.value.where
        assert "check the name of the bucket" in caught.value.remedy


def test_a_service_that_does_not_answer_is_reported_within_seconds(bucket, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    begun = time.monotonic()
    with pytest.raises(BucketTrouble, match="error sending request") as caught:
        Bucket(bucket.location).check()
    assert time.monotonic() - begun < 30
    assert "AWS_ENDPOINT_URL" in caught.value.remedy
    assert "http://127.0.0.1:9" in caught.value.where


def test_http_must_be_allowed(bucket, monkeypatch):
    monkeypatch.delenv("AWS_ALLOW_HTTP")
    with pytest.raises(BucketTrouble) as caught:
        Bucket(bucket.location).check()
    assert "AWS_ALLOW_HTTP=true" in caught.value.remedy


def test_keys_that_are_no_paths(there, bucket):
    bucket.put("good", b"")
    bucket.put("a//b", b"")
    with pytest.raises(UnusableKey, match="not a valid path"):
        list(there.objects())
    with pytest.raises(UnusableKey):
        there.read("a/../b")


def test_a_forked_child_is_refused_rather_than_left_waiting(there):
    there.write("x", b"1")
    child = os.fork()
    if child == 0:
        try:
            there.read("x")
        except StorageError as error:
            os._exit(7 if "spawn" in error.remedy else 8)
        os._exit(9)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
