import errno
import hashlib
import pickle
import time

import pytest

from melgraph.storage.bucket import Bucket
from melgraph.storage.bucket_library import BucketLibrary
from melgraph.storage.errors import BucketTrouble, StorageError
from melgraph.storage.library import FolderLibrary, open_library
from melgraph.storage.listing import Omissions

SUFFIXES = {".mp3", ".wav"}


@pytest.fixture
def library(bucket) -> BucketLibrary:
    return BucketLibrary(bucket.location)


def listed(library, **options) -> list[str]:
    return [file.path for file in library.list(SUFFIXES, **options)]


def test_a_location_opens_its_kind(tmp_path, bucket):
    assert open_library(str(tmp_path)) == FolderLibrary(str(tmp_path))
    assert open_library(bucket.location) == BucketLibrary(bucket.location)
    assert open_library(bucket.location).name == "prefix"
    assert open_library("s3://songs").name == "songs"


def test_audio_is_listed_by_path_with_size_and_time(library, bucket):
    for name in ("b/x.mp3", "a.wav", "Z.Mp3", "cover.jpg", "mp3", "b/deep/er/y.WAV"):
        bucket.put(name, name.encode())
    files = library.list(SUFFIXES)
    assert [file.path for file in files] == ["Z.Mp3", "a.wav", "b/deep/er/y.WAV", "b/x.mp3"]
    assert [file.bytes for file in files] == [5, 5, 15, 7]
    assert all(abs(file.mtime_ns / 1e9 - time.time()) < 60 for file in files)
    omissions = Omissions()
    assert library.list(SUFFIXES, omissions=omissions) == files
    assert omissions.others == {".jpg": 1, "": 1}


def test_a_listing_has_many_pages(library, bucket):
    from moto.s3.models import s3_backends

    served = s3_backends["123456789012"]["aws"]  # past its HTTP: eleven hundred puts take 10 s
    for number in range(1105):  # a page holds a thousand
        served.put_object(bucket.name, f"deep/prefix/{number:05d}.mp3", b"")
    assert listed(library) == [f"{number:05d}.mp3" for number in range(1105)]


def test_hidden_files_and_markers_of_folders_are_skipped(library, bucket):
    for name in ("._a.mp3", ".trash/b.mp3", "c/.d.mp3", "c/d.mp3", "album.mp3/", "album.mp3/e.wav"):
        bucket.put(name, b"")
    assert listed(library) == ["album.mp3/e.wav", "c/d.mp3"]


def test_names_keep_their_spelling(library, bucket):
    names = ["Björk/Jóga.mp3", "Bjo\u0308rk/x.mp3", "音楽/🎵.wav", "'\"%.wav", "a%20b+c #1?.mp3"]
    for name in names:
        bucket.put(name, name.encode())
    assert listed(library) == sorted(names)
    for name in names:
        with library.local(name) as path:
            assert path.read_bytes() == name.encode()


def test_a_key_that_is_no_path_costs_its_level_only(library, bucket):
    for name in ("a.mp3", "jazz/b.mp3", "jazz//c.mp3", "rock/d.mp3", "rock/deep/e.wav"):
        bucket.put(name, b"")
    omissions = Omissions()
    assert listed(library, omissions=omissions) == ["a.mp3", "rock/d.mp3", "rock/deep/e.wav"]
    assert omissions.unreadable == ["jazz"]
    assert listed(library) == ["a.mp3", "rock/d.mp3", "rock/deep/e.wav"]


def test_system_folders_marked_folders_and_patterns_are_left_out(library, bucket):
    for name in ("a.mp3", "@eaDir/b.mp3", "x/#recycle/c.mp3", "Podcasts/d.mp3", "x/e.tmp.wav",
                 "private/.nomelgraph", "private/deep/f.mp3", "x/Samples"):  # fmt: skip
        bucket.put(name, b"sound")
    omissions = Omissions()
    exclude = ("Podcasts", "*/Samples", "*.tmp.wav")
    assert listed(library, omissions=omissions, exclude=exclude) == ["a.mp3"]
    assert sorted(omissions.excluded) == [
        "@eaDir", "Podcasts", "private", "x/#recycle", "x/Samples", "x/e.tmp.wav",
    ]  # fmt: skip
    assert omissions.excludes("private/deep/f.mp3")


def test_a_file_is_local_for_as_long_as_it_is_needed(library, bucket):
    bucket.put("a/b.Flac", b"sound" * 1000)
    with library.local("a/b.Flac") as path:
        assert path.suffix == ".Flac"  # decoders go by it
        assert path.read_bytes() == b"sound" * 1000
    assert not path.exists()
    assert not path.parent.exists()
    assert library.sha256("a/b.Flac") == hashlib.sha256(b"sound" * 1000).hexdigest()
    assert library.exists("a/b.Flac")
    assert not library.exists("a")
    assert library.where("a/b.Flac") == f"{bucket.location}/a/b.Flac"


def test_both_kinds_can_be_sent_to_a_worker(library, bucket, tmp_path):
    bucket.put("x.mp3", b"1")
    (tmp_path / "x.mp3").write_bytes(b"1")
    for kind in (library, FolderLibrary(str(tmp_path))):
        with kind.local("x.mp3"), pickle.loads(pickle.dumps(kind)).local("x.mp3") as path:
            assert path.read_bytes() == b"1"


def open_it(library, path: str) -> None:
    with library.local(path):
        raise AssertionError("it was opened")


def test_a_file_that_vanished(library, tmp_path):
    with pytest.raises(FileNotFoundError):
        open_it(library, "gone.mp3")
    with pytest.raises(FileNotFoundError):
        library.sha256("gone.mp3")


@pytest.mark.parametrize(("refused", "number"), [(True, errno.EACCES), (False, errno.EIO)])
def test_trouble_with_one_file_is_that_files(library, bucket, monkeypatch, refused, number):
    def trouble(*_: object) -> str:
        raise BucketTrouble("no", where="there", remedy="none", refused=refused)

    bucket.put("a.mp3", b"")
    monkeypatch.setattr(Bucket, "download", trouble)
    with pytest.raises(OSError, match="no") as caught:
        open_it(library, "a.mp3")
    assert caught.value.errno == number
    assert isinstance(caught.value, PermissionError) == refused


def test_trouble_with_the_bucket_is_no_fault_of_a_file(bucket, monkeypatch):
    """An outage in the middle of a run stops it; it does not quarantine what is left."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    library = BucketLibrary("s3://another/one")
    for ask in (library.check, lambda: open_it(library, "a.mp3"), lambda: listed(library)):
        with pytest.raises(StorageError, match="'another'"):
            ask()
