"""The rules of the repository that a program can check: imports, sizes, packages, absolute paths.

python -m tests.test_architecture     print the present content of `NOT_YET`
"""

import ast
import io
import re
import subprocess
import sys
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.strict_types import PYPROJECT, existing_modules, listed_modules

ROOT = Path(__file__).parents[1]
ROOMS = ("pipelines", "assets", "ml", "storage")
MOST_LINES = 400  # of a module
MOST_CODE_LINES = 60  # of a function, without docstring, comments and blank lines
MOST_MODULES = 12  # of a folder, without __init__.py
LARGE_FOLDERS = ("ml/models", "storage")  # one module per architecture; one concept per module
# What is larger than its cap at present, with its size. The set may only become smaller.
NOT_YET: dict[str, int] = {}
# Fragments of paths that mean something on one machine only.
MACHINE_PATHS = re.compile(r"(?<![\w.\-])/(?:work|root|home|Users|mnt)/[\w.\-]+")
_NO_CODE = (
    tokenize.COMMENT,
    tokenize.DEDENT,
    tokenize.ENDMARKER,
    tokenize.INDENT,
    tokenize.NEWLINE,
    tokenize.NL,
)


def tracked(*suffixes: str) -> list[Path]:
    """Files of the repository, by suffix, including those that are not committed yet."""
    listing = subprocess.run(
        ["git", "-C", ROOT, "ls-files", "--cached", "--others", "--exclude-standard"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if listing.returncode:  # not a checkout: an unpacked archive
        names = (path for path in ROOT.rglob("*") if not {".venv", ".git"} & set(path.parts))
    else:
        names = (ROOT / name for name in listing.stdout.splitlines())
    return sorted(path for path in names if path.suffix in suffixes and path.is_file())


def name_of(path: Path) -> str:
    """A path relative to the repository, with `/`."""
    return path.relative_to(ROOT).as_posix()


MODULES = [path for path in tracked(".py") if path.relative_to(ROOT).parts[0] in ROOMS]


def code_lines(source: str) -> set[int]:
    """Numbers of the lines that hold code, and not only a comment or nothing."""
    lines: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type not in _NO_CODE:
            lines.update(range(token.start[0], token.end[0] + 1))
    return lines


def function_sizes(source: str) -> Iterator[tuple[str, int]]:
    """Name and number of code lines of every function, without its docstring."""
    lines = code_lines(source)
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            own = set(range(node.lineno, (node.end_lineno or node.lineno) + 1))
            if ast.get_docstring(node) is not None:
                docstring = node.body[0]
                own -= set(range(docstring.lineno, (docstring.end_lineno or 0) + 1))
            yield node.name, len(own & lines)


def oversized() -> dict[str, int]:
    """Everything that is larger than its cap, with its size."""
    sizes = {name_of(path): len(path.read_text().splitlines()) for path in MODULES}
    large = {name: size for name, size in sizes.items() if size > MOST_LINES}
    for path in MODULES:
        for function, size in function_sizes(path.read_text()):
            if size > MOST_CODE_LINES:
                large[f"{name_of(path)}: {function}"] = size
    for folder in sorted({path.parent for path in MODULES}):
        modules = [path for path in MODULES if path.parent == folder and path.stem != "__init__"]
        if len(modules) > MOST_MODULES and name_of(folder) not in LARGE_FOLDERS:
            large[name_of(folder)] = len(modules)
    return large


def test_imports_follow_the_contracts():
    """`pipelines -> assets -> ml, storage`, and the other contracts in pyproject.toml."""
    command = Path(sys.executable).with_name("lint-imports")
    result = subprocess.run([command], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert result.returncode == 0, result.stdout
    assert re.search(r"Contracts: [1-9]\d* kept, 0 broken", result.stdout)


def test_the_package_holds_the_four_rooms_and_nothing_else():
    """`melgraph/` is `__init__.py` and a link to each room. Code belongs into the rooms."""
    package = ROOT / "melgraph"
    names = {path.name for path in package.iterdir()} - {"__pycache__"}
    assert names == {"__init__.py", *ROOMS}
    for room in ROOMS:
        link = package / room
        assert link.is_symlink(), f"melgraph/{room} must be a link to ../{room}"
        assert link.readlink() == Path("..", room), f"melgraph/{room} links to {link.readlink()}"
    code = ast.parse((package / "__init__.py").read_text()).body
    assert len(code) == 1, "melgraph/__init__.py holds a docstring only: importing it must be fast"


def test_every_room_has_modules():
    """The other tests of this file see each room."""
    assert {path.relative_to(ROOT).parts[0] for path in MODULES} == set(ROOMS)


def test_every_folder_of_modules_is_a_package():
    """Without `__init__.py`, pytest would import `tests/assets` as a top-level package `assets`."""
    folders = {path.parent for path in tracked(".py") if path.relative_to(ROOT).parts[0] in
               (*ROOMS, "tests")}  # fmt: skip
    assert sorted(folder for folder in folders if not (folder / "__init__.py").is_file()) == []


def test_modules_functions_and_folders_are_small():
    """A reader can take in a module, a function and a folder at once."""
    large = oversized()
    problems = [
        f"{name} has {size}: the cap is {MOST_LINES} lines a module, {MOST_CODE_LINES} code lines "
        f"a function, {MOST_MODULES} modules a folder; split it by concept"
        for name, size in large.items()
        if size > NOT_YET.get(name, 0)
    ]
    problems += [
        f"{name} has {large.get(name, 'become small enough')}: "
        "correct or remove its entry in NOT_YET in tests/test_architecture.py"
        for name, size in NOT_YET.items()
        if large.get(name, 0) < size
    ]
    assert problems == []


def test_the_size_of_a_function_counts_code_only():
    lines = ["def f(", "    a,", "):", '    """Two', '    lines."""', "", "    # why"]
    lines += ['    b = """x', "", '    y"""', "    return a, b", ""]
    source = "\n".join(lines)
    assert dict(function_sizes(source)) == {"f": 7}


def test_the_list_of_modules_that_are_not_strict_names_existing_modules():
    """`make lint` also reports modules in the list that pass: python -m tests.strict_types."""
    modules = listed_modules(PYPROJECT.read_text(encoding="utf-8"))
    assert modules == sorted(set(modules)), "sort the list in pyproject.toml, name each once"
    assert set(modules) - existing_modules() == set(), "take deleted modules off the list"
    assert not [name for name in modules if name.startswith("melgraph.storage")], (
        "all of storage passes mypy --strict: add the types instead of an exception"
    )


def test_tests_mirror_the_rooms():
    """The tests of a room are in the folder of its name."""
    parts = [path.relative_to(ROOT).parts for path in tracked(".py")]
    folders = {names[1] for names in parts if names[0] == "tests" and len(names) > 2}
    assert folders <= set(ROOMS)


@pytest.mark.parametrize("room", ROOMS)
def test_every_module_has_a_docstring(room):
    undocumented = [
        name_of(path)
        for path in MODULES
        if path.relative_to(ROOT).parts[0] == room
        and not ast.get_docstring(ast.parse(path.read_text()))
    ]
    assert undocumented == []


def test_heavy_libraries_are_imported_where_they_are_needed():
    """`melgraph audit` and `import dagster` do not import torch, mlflow or sklearn."""
    program = (
        "import json, sys, melgraph.pipelines.definitions; print(json.dumps(sorted(sys.modules)))"
    )
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=True
    )
    for name in ("torch", "torchaudio", "mlflow", "sklearn", "matplotlib"):
        assert f'"{name}"' not in result.stdout, f"pipelines.definitions imports {name}"


def test_no_file_names_a_path_of_one_machine():
    problems = []
    for path in tracked(".py", ".md", ".toml", ".yaml", ".json", ".html", ".js", ".css", ".lock"):
        for number, line in enumerate(path.read_text().splitlines(), start=1):
            if match := MACHINE_PATHS.search(line):
                problems.append(f"{name_of(path)}:{number}: {match.group()}")
    assert problems == []


if __name__ == "__main__":
    print("\n".join(f'    "{name}": {size},' for name, size in sorted(oversized().items())))
