"""The wheel that users install holds all of melgraph, and nothing else."""

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.test_architecture import ROOMS, ROOT

INSTALLED_SUFFIXES = {".css", ".html", ".js", ".py", ".svg", ".toml"}


@pytest.fixture(scope="module")
def checkout(tmp_path_factory) -> Path:
    """A copy of what a build reads: without caches, and with the links to the rooms."""
    folder = tmp_path_factory.mktemp("checkout")
    for name in ("pyproject.toml", "README.md", "LICENSE", "CHANGELOG.md"):
        shutil.copy(ROOT / name, folder)
    for name in ("melgraph", *ROOMS):
        shutil.copytree(
            ROOT / name, folder / name, symlinks=True, ignore=shutil.ignore_patterns("__pycache__")
        )
    return folder


def build(checkout: Path, folder: Path, *options: str) -> list[str]:
    """The files of the wheel that `uv build` makes, sorted. Uses no network."""
    uv = Path(sys.executable).with_name("uv")
    if not uv.exists():
        pytest.skip("uv is not installed beside Python; `make env` installs it")
    result = subprocess.run(
        [uv, "build", "--offline", "--python", sys.executable, *options,
         "--out-dir", folder, checkout],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    if "network was disabled" in result.stderr:
        pytest.skip("hatchling is not in the cache of uv; `make env` fills it")
    assert result.returncode == 0, result.stderr
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        return sorted(archive.namelist())


def test_the_wheel_holds_the_rooms_below_melgraph(checkout, tmp_path):
    files = build(checkout, tmp_path, "--wheel")
    packages = {name.split("/")[0] for name in files if ".dist-info/" not in name}
    assert packages == {"melgraph"}
    expected = {"melgraph/__init__.py"}
    for room in ROOMS:
        expected |= {
            f"melgraph/{path.relative_to(ROOT).as_posix()}"
            for path in (ROOT / room).rglob("*")
            if path.suffix in INSTALLED_SUFFIXES
        }
    assert expected - set(files) == set()
    assert any(name.startswith("melgraph/ml/specs/experiments/") for name in files)
    assert "melgraph/assets/pages/templates/base.html" in files
    assert "melgraph/assets/pages/static/style.css" in files


def test_a_wheel_built_from_the_sdist_has_the_same_files(checkout, tmp_path):
    direct = build(checkout, tmp_path / "direct", "--wheel")
    assert build(checkout, tmp_path / "sdist") == direct
