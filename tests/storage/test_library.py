import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from melgraph.storage import library as library_module
from melgraph.storage.catalogue import LibraryFile
from melgraph.storage.errors import StorageError
from melgraph.storage.library import FolderLibrary

SUFFIXES = {".mp3", ".wav"}


def put(folder: Path, *names: str) -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode(errors="surrogateescape"))


def listed(folder: Path, **options) -> list[str]:
    return [file.path for file in FolderLibrary(str(folder)).list(SUFFIXES, **options)]


def test_files_are_listed_by_path_with_size_and_time(tmp_path):
    put(tmp_path, "b/x.mp3", "a.wav", "b/deep/er/y.WAV", "Z.Mp3")
    os.utime(tmp_path / "a.wav", ns=(1, 1_700_000_000_123_456_789))
    files = FolderLibrary(str(tmp_path)).list(SUFFIXES)
    assert [file.path for file in files] == ["Z.Mp3", "a.wav", "b/deep/er/y.WAV", "b/x.mp3"]
    assert files[1] == LibraryFile("a.wav", 5, 1_700_000_000_123_456_789)


def test_only_audio_counts(tmp_path):
    put(tmp_path, "a.mp3", "cover.jpg", "notes.txt", "mp3", "a.mp3.part", "no_suffix", "x.mp4")
    assert listed(tmp_path) == ["a.mp3"]
    assert FolderLibrary(str(tmp_path)).list([]) == []


def test_hidden_and_appledouble_files_are_skipped(tmp_path):
    put(tmp_path, "a.mp3", "._a.mp3", ".hidden.wav", ".trash/b.mp3", "c/._d.mp3", "c/d.mp3")
    assert listed(tmp_path) == ["a.mp3", "c/d.mp3"]


def test_unicode_names_keep_their_spelling(tmp_path):
    names = ["Björk/Jóga.mp3", "Bjo\u0308rk/x.mp3", "音楽/🎵.wav", "a b\tc\n.mp3", "'\"%.wav"]
    put(tmp_path, *names)
    assert listed(tmp_path) == sorted(names)


def test_names_that_are_not_unicode_are_reported(tmp_path):
    put(tmp_path, "good.mp3")
    try:
        Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.mp3")).write_bytes(b"x")
        folder = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff\xfe"))
        folder.mkdir()
    except OSError:
        pytest.skip("this file system takes only Unicode names")
    (folder / "below.mp3").write_bytes(b"x")
    unreadable: list[str] = []
    assert listed(tmp_path, unreadable=unreadable) == ["good.mp3"]
    assert sorted(unreadable) == ["\\udcff\\udcfe", "caf\\udce9.mp3"]
    assert listed(tmp_path) == ["good.mp3"]


def test_linked_files_are_followed_and_folders_are_not(tmp_path):
    library, elsewhere = tmp_path / "library", tmp_path / "elsewhere"
    put(elsewhere, "far.mp3", "folder/x.mp3")
    put(library, "a/near.mp3")
    (library / "linked.mp3").symlink_to(elsewhere / "far.mp3")
    (library / "renamed.wav").symlink_to("a/near.mp3")
    (library / "dangling.mp3").symlink_to("nowhere.mp3")
    (library / "itself.mp3").symlink_to("itself.mp3")
    (library / "folder").symlink_to(elsewhere / "folder")
    (library / "folder.mp3").symlink_to(elsewhere / "folder")  # a folder, in spite of its name
    (library / "a" / "loop").symlink_to(library)
    assert listed(library) == ["a/near.mp3", "linked.mp3", "renamed.wav"]


def test_a_folder_called_like_a_file_is_entered(tmp_path):
    put(tmp_path, "album.mp3/track.mp3")
    assert listed(tmp_path) == ["album.mp3/track.mp3"]


def test_what_is_not_a_plain_file_is_skipped(tmp_path):
    os.mkfifo(tmp_path / "pipe.mp3")  # reading it would wait for ever
    (tmp_path / "device.wav").symlink_to("/dev/zero")
    put(tmp_path, "a.mp3")
    assert listed(tmp_path) == ["a.mp3"]


def test_an_unreadable_folder_is_reported(tmp_path, monkeypatch):
    put(tmp_path, "a.mp3", "locked/b.mp3", "open/c.mp3", "open/locked/d.mp3")
    scandir = os.scandir

    def refuse(folder):
        if Path(folder).name == "locked":
            raise PermissionError(13, "Permission denied", str(folder))
        return scandir(folder)

    monkeypatch.setattr(library_module.os, "scandir", refuse)
    unreadable: list[str] = []
    assert listed(tmp_path, unreadable=unreadable) == ["a.mp3", "open/c.mp3"]
    assert sorted(unreadable) == ["locked", "open/locked"]
    assert listed(tmp_path) == ["a.mp3", "open/c.mp3"]


UNPRIVILEGED = """
import os, sys
from pathlib import Path
from melgraph.storage.errors import StorageError
from melgraph.storage.library import FolderLibrary
if os.geteuid() == 0:
    os.setgroups([]), os.setgid(65534), os.setuid(65534)  # root may read everything
unreadable = []
print([file.path for file in FolderLibrary(".").list({".mp3"}, unreadable=unreadable)], unreadable)
try:
    FolderLibrary("locked").check()
except StorageError as error:
    print(error.what)
"""


def test_permissions_are_respected(tmp_path):
    put(tmp_path, "a.mp3", "locked/b.mp3")
    (tmp_path / "locked").chmod(0)
    tmp_path.chmod(0o755)
    try:
        ran = subprocess.run(
            [sys.executable, "-c", UNPRIVILEGED], cwd=tmp_path, capture_output=True, text=True,
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}, timeout=60,
        )  # fmt: skip
    finally:
        (tmp_path / "locked").chmod(0o755)
    assert ran.stderr == ""
    assert ran.stdout.splitlines() == [
        "['a.mp3'] ['locked']",
        "the library cannot be listed: permission denied",
    ]


def test_a_library_that_vanished_is_reported(tmp_path):
    unreadable: list[str] = []
    assert listed(tmp_path / "gone", unreadable=unreadable) == []
    assert unreadable == ["."]


def test_a_library_must_be_a_folder(tmp_path, monkeypatch):
    put(tmp_path, "a.mp3")
    FolderLibrary(str(tmp_path)).check()
    (tmp_path / "link").symlink_to(tmp_path)
    FolderLibrary(str(tmp_path / "link")).check()
    for folder, what in [
        (tmp_path / "gone", "does not exist"),
        (tmp_path / "a.mp3", "is not a folder"),
        (tmp_path / "a.mp3" / "below", "is not a folder"),
    ]:
        with pytest.raises(StorageError, match=what) as caught:
            FolderLibrary(str(folder)).check()
        assert caught.value.where == str(folder)
        assert "MELGRAPH_LIBRARY" in caught.value.remedy

    def stale(folder):
        raise OSError(116, "Stale file handle", str(folder))

    monkeypatch.setattr(library_module.os, "scandir", stale)
    with pytest.raises(StorageError, match="Stale file handle") as caught:
        FolderLibrary(str(tmp_path)).check()
    assert "mounted" in caught.value.remedy


def test_what_is_no_audio_by_its_name_is_counted(tmp_path):
    for name in ("a.mp3", "cover.JPG", "b/notes.txt", "b/back.jpg", "README", ".hidden.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("x")
    others = Counter()
    assert listed(tmp_path, others=others) == ["a.mp3"]
    assert others == {".jpg": 2, ".txt": 1, "": 1}
