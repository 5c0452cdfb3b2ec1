"""Fixtures of the command line's tests."""

from collections.abc import Callable
from pathlib import Path

import pytest

from melgraph.pipelines.cli import main


@pytest.fixture
def library(tmp_path: Path) -> Path:
    """A library of one file that is no audio: nothing here gets as far as reading it."""
    (tmp_path / "songs").mkdir()
    (tmp_path / "songs" / "a.mp3").write_bytes(b"a song")
    return tmp_path / "songs"


def times_and_sizes(folder: Path) -> dict[str, tuple[int, int]]:
    """Path -> modification time in ns and size in bytes, of everything below a folder."""
    pairs = ((path, path.lstat()) for path in sorted(folder.rglob("*")))
    return {str(path): (status.st_mtime_ns, status.st_size) for path, status in pairs}


@pytest.fixture
def refuse(
    tmp_path: Path, library: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> Callable[..., str]:
    """`refuse(command, *arguments)` runs the command line and checks that it refuses.

    It must end with status 2 and one message, and write nothing. Returns the message.
    """
    monkeypatch.chdir(tmp_path)

    def run(command: str, *arguments: str) -> str:
        before = times_and_sizes(tmp_path)
        assert main([command, *arguments]) == 2
        message = capsys.readouterr().err
        assert times_and_sizes(tmp_path) == before, "something was written"
        assert message.startswith("melgraph: ")
        assert message.count("\n  where:  ") == 1
        assert message.count("\n  remedy: ") == 1
        assert "Traceback" not in message
        return message

    return run
