import os
import subprocess
import sys
from pathlib import Path

import pytest

from melgraph.storage import library as library_module
from melgraph.storage.catalogue import LibraryFile
from melgraph.storage.errors import StorageError
from melgraph.storage.library import FolderLibrary
from melgraph.storage.listing import Omissions

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
    omissions = Omissions()
    assert listed(tmp_path, omissions=omissions) == ["good.mp3"]
    assert sorted(omissions.unreadable) == ["\\udcff\\udcfe", "caf\\udce9.mp3"]
    assert listed(tmp_path) == ["good.mp3"]


def test_links_are_followed_and_no_folder_is_listed_twice(tmp_path):
    library, elsewhere = tmp_path / "library", tmp_path / "elsewhere"
    put(elsewhere, "far.mp3", "folder/x.mp3", "folder/deep/y.mp3", "second/z.mp3")
    put(library, "a/near.mp3", "b/own.mp3")
    (library / "linked.mp3").symlink_to(elsewhere / "far.mp3")
    (library / "renamed.wav").symlink_to("a/near.mp3")
    (library / "folder").symlink_to(elsewhere / "folder")
    (library / "folder.mp3").symlink_to(elsewhere / "second")  # a folder, in spite of its name
    (library / "twice").symlink_to(elsewhere / "folder")
    (elsewhere / "folder" / "home").symlink_to(library)
    (library / "a" / "loop").symlink_to(library)
    (library / "0").symlink_to(library / "b")  # sorts before the folder itself
    omissions = Omissions()
    assert listed(library, omissions=omissions) == [
        "a/near.mp3", "b/own.mp3", "folder.mp3/z.mp3", "folder/deep/y.mp3", "folder/x.mp3",
        "linked.mp3", "renamed.wav",
    ]  # fmt: skip
    assert sorted(omissions.repeated) == ["0", "a/loop", "folder/home", "twice"]
    assert (omissions.dangling, omissions.unreadable) == ([], [])


def test_a_link_to_the_folder_around_the_library_lists_nothing_twice(tmp_path):
    library = tmp_path / "library"
    put(library, "a.mp3")
    put(tmp_path, "beside.mp3")
    (library / "up").symlink_to(tmp_path)
    omissions = Omissions()
    assert listed(library, omissions=omissions) == ["a.mp3", "up/beside.mp3"]
    assert omissions.repeated == ["up/library"]


def test_dangling_links_and_links_to_themselves_are_named(tmp_path):
    put(tmp_path, "a.mp3", "b.txt")
    (tmp_path / "annex.mp3").symlink_to(".git/annex/objects/xy.mp3")  # its content was dropped
    (tmp_path / "itself.mp3").symlink_to("itself.mp3")
    (tmp_path / "Vol. 2").symlink_to("/nowhere/at/all")
    omissions = Omissions()
    assert listed(tmp_path, omissions=omissions) == ["a.mp3"]
    assert sorted(omissions.dangling) == ["Vol. 2", "annex.mp3", "itself.mp3"]
    assert omissions.others == {".txt": 1}
    assert omissions.hides("Vol. 2/x.mp3")
    assert not omissions.hides("Vol. 20/x.mp3")
    assert omissions.parts() == ["3 dangling links: Vol. 2, annex.mp3, itself.mp3"]


@pytest.mark.parametrize("name", [
    "$RECYCLE.BIN", "#recycle", "@eaDir", "@Recycle", "lost+found", "System Volume Information",
])  # fmt: skip
def test_folders_of_the_system_are_left_out(tmp_path, name):
    put(tmp_path, "rock/a.mp3", f"{name}/b.mp3", f"rock/{name}/c.mp3", f"rock/{name.lower()}/d.mp3")
    omissions = Omissions()
    assert listed(tmp_path, omissions=omissions) == ["rock/a.mp3"]
    assert set(omissions.excluded) >= {name, f"rock/{name}"}


def test_a_marker_file_and_patterns_leave_folders_out(tmp_path):
    put(tmp_path, "a.mp3", "Podcasts/b.mp3", "x/Podcasts/c.mp3", "x/Samples/deep/d.mp3",
        "x/e.tmp.wav", "private/f.mp3", "private/deep/g.mp3")  # fmt: skip
    (tmp_path / "private" / ".nomelgraph").touch()
    omissions = Omissions()
    exclude = ("Podcasts/", "*/Samples", "*.tmp.wav")
    assert listed(tmp_path, omissions=omissions, exclude=exclude) == ["a.mp3", "x/Podcasts/c.mp3"]
    assert sorted(omissions.excluded) == ["Podcasts", "private", "x/Samples", "x/e.tmp.wav"]
    assert omissions.excludes("private/deep/g.mp3")
    assert not omissions.excludes("privately.mp3")
    (tmp_path / ".nomelgraph").touch()
    omissions = Omissions()
    assert listed(tmp_path, omissions=omissions) == []
    assert omissions.excludes("anything.mp3")


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

    omissions = Omissions()
    with monkeypatch.context() as patch:  # pytest removes the folder, too
        patch.setattr(library_module.os, "scandir", refuse)
        assert listed(tmp_path, omissions=omissions) == ["a.mp3", "open/c.mp3"]
        assert listed(tmp_path) == ["a.mp3", "open/c.mp3"]
    assert sorted(omissions.unreadable) == ["locked", "open/locked"]


UNPRIVILEGED = """
import os, sys
from pathlib import Path
from melgraph.storage.errors import StorageError
from melgraph.storage.library import FolderLibrary
from melgraph.storage.listing import Omissions
if os.geteuid() == 0:
    os.setgroups([]), os.setgid(65534), os.setuid(65534)  # root may read everything
omissions = Omissions()
files = FolderLibrary(".").list({".mp3"}, omissions=omissions)
print([file.path for file in files], omissions.unreadable)
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
    omissions = Omissions()
    assert listed(tmp_path / "gone", omissions=omissions) == []
    assert omissions.unreadable == ["."]
    assert omissions.hides("any.mp3")


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
    omissions = Omissions()
    assert listed(tmp_path, omissions=omissions) == ["a.mp3"]
    assert omissions.others == {".jpg": 2, ".txt": 1, "": 1}
