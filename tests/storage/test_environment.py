import json
import platform
import re
import shutil
import subprocess

import pytest

from melgraph.storage import environment as module
from melgraph.storage.environment import PACKAGES, environment


def test_the_environment_fits_a_record():
    facts = environment()
    assert facts["python"] == platform.python_version()
    assert set(facts["packages"]) == set(PACKAGES)
    for name in ("numpy", "zarr", "polars", "torch"):
        assert re.match(r"\d+\.\d+", facts["packages"][name])
    assert json.loads(json.dumps(facts)) == facts
    assert set(facts) == {"python", "platform", "packages", "git_commit"}
    assert platform.node() not in json.dumps(facts)  # nothing about this very machine


def test_a_package_that_is_not_there_is_none():
    assert module._package_version("no-such-package-here") is None


@pytest.fixture
def code(tmp_path, monkeypatch):
    """A folder of code in place of ours."""
    if shutil.which("git") is None:
        pytest.skip("needs git")
    (tmp_path / "storage").mkdir()
    (tmp_path / "storage" / "environment.py").write_text("x = 1\n")
    monkeypatch.setattr(module, "__file__", str(tmp_path / "storage" / "environment.py"))
    return tmp_path


def git(folder, *arguments) -> str:
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
    command = ["git", "-C", str(folder), *identity, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def test_the_commit_of_the_code_is_recorded(code):
    assert module._git_commit() is None  # an installed package is in no checkout
    git(code, "init", "--quiet")
    assert module._git_commit() is None  # no commit yet
    git(code, "add", ".")
    git(code, "commit", "--quiet", "-m", "first")
    commit = git(code, "rev-parse", "HEAD")
    assert module._git_commit() == commit
    (code / "storage" / "environment.py").write_text("x = 2\n")
    assert module._git_commit() == f"{commit}-dirty"


def test_without_git_the_commit_is_unknown(code, monkeypatch):
    (code / ".git").mkdir()
    monkeypatch.setenv("PATH", str(code))
    assert module._git_commit() is None
