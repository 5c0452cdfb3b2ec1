"""The house rules that a program can check: arrows, sizes, packages, no place of one machine."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ROOMS = ("pipelines", "assets", "ml", "storage")
MOST_LINES = 400
# Fragments of paths that mean something on one machine only.
MACHINE_PATHS = re.compile(r"(?<![\w.\-])/(?:work|root|home|Users|mnt)/[\w.\-]+")


def tracked(*suffixes: str) -> list[Path]:
    """Files of the repository, by suffix; those not yet committed too."""
    listed = subprocess.run(
        ["git", "-C", ROOT, "ls-files", "--cached", "--others", "--exclude-standard"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if listed.returncode:  # not a checkout: an unpacked archive
        names = (path for path in ROOT.rglob("*") if not {".venv", ".git"} & set(path.parts))
    else:
        names = (ROOT / name for name in listed.stdout.splitlines())
    return sorted(path for path in names if path.suffix in suffixes and path.is_file())


MODULES = [path for path in tracked(".py") if path.relative_to(ROOT).parts[0] in ROOMS]


def test_the_arrows_run_one_way():
    command = Path(sys.executable).with_name("lint-imports")
    ran = subprocess.run([command], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert ran.returncode == 0, ran.stdout
    assert re.search(r"Contracts: [1-9]\d* kept, 0 broken", ran.stdout)


def test_the_check_of_arrows_sees_every_room():
    assert {path.relative_to(ROOT).parts[0] for path in MODULES} == set(ROOMS)


def test_every_folder_of_modules_is_a_package():
    """Without `__init__.py`, `tests/assets` would stand in front of `assets`."""
    folders = {path.parent for path in tracked(".py") if path.relative_to(ROOT).parts[0] in
               (*ROOMS, "tests")}  # fmt: skip
    assert sorted(folder for folder in folders if not (folder / "__init__.py").is_file()) == []


def test_modules_are_short():
    lengths = {str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for path in MODULES}
    assert {name: length for name, length in lengths.items() if length > MOST_LINES} == {}


def test_tests_mirror_the_rooms():
    """A room's tests lie in the folder of its name."""
    below = [path.relative_to(ROOT).parts for path in tracked(".py")]
    folders = {parts[1] for parts in below if parts[0] == "tests" and len(parts) > 2}
    assert folders <= set(ROOMS)


@pytest.mark.parametrize("room", ROOMS)
def test_every_module_says_what_it_is(room):
    silent = [
        str(path.relative_to(ROOT))
        for path in MODULES
        if path.relative_to(ROOT).parts[0] == room
        and not ast.get_docstring(ast.parse(path.read_text()))
    ]
    assert silent == []


def test_heavy_libraries_are_imported_where_they_are_needed():
    """`melgraph audit` and `import dagster` pay for no torch, mlflow or sklearn."""
    program = (
        "import json, sys, melgraph.pipelines.definitions; print(json.dumps(sorted(sys.modules)))"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=True
    )
    for name in ("torch", "torchaudio", "mlflow", "sklearn", "matplotlib"):
        assert f'"{name}"' not in ran.stdout, f"pipelines.definitions imports {name}"


def test_no_file_names_a_place_of_one_machine():
    found = []
    for path in tracked(".py", ".md", ".toml", ".yaml", ".json", ".html", ".js", ".css", ".lock"):
        for number, line in enumerate(path.read_text().splitlines(), start=1):
            if match := MACHINE_PATHS.search(line):
                found.append(f"{path.relative_to(ROOT)}:{number}: {match.group()}")
    assert found == []
