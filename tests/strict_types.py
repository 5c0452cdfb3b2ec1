"""Keeps the list of the modules that do not pass `mypy --strict` yet. It may only become shorter.

pyproject.toml checks all of melgraph with `strict = true`, and excepts the modules between the two
marker comments from the flags of strict. mypy itself reports errors in all other modules. This
program reports what mypy cannot see: modules in the list that pass or do not exist. `make lint`
runs it after mypy.

    python -m tests.strict_types                   check the list
    python -m tests.strict_types --write           remove the modules that pass
    python -m tests.strict_types --write --grow    write the list anew, for example after a merge
"""

import argparse
import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
PYPROJECT = ROOT / "pyproject.toml"
BEGIN, END = "# begin: not strict yet", "# end: not strict yet"
RELAXED_FLAGS = (
    "disallow_any_generics",
    "disallow_incomplete_defs",
    "disallow_subclassing_any",
    "disallow_untyped_calls",
    "disallow_untyped_decorators",
    "disallow_untyped_defs",
    "no_implicit_reexport",  # of what the module exports, not of what it imports
    "strict_equality",
    "warn_return_any",
)


def split(text: str) -> tuple[str, str, str]:
    """pyproject.toml before, between and after the markers."""
    before, rest = text.split(BEGIN, 1)
    section, after = rest.split(END, 1)
    return before, section, after


def listed_modules(text: str) -> list[str]:
    """The modules in the list, in the order of the file."""
    return re.findall(r'"(melgraph[^"]*)"', split(text)[1])


def with_modules(text: str, modules: list[str]) -> str:
    """pyproject.toml with another list."""
    before, _, after = split(text)
    section = "\n"
    if modules:
        names = "".join(f'    "{name}",\n' for name in modules)
        flags = "".join(f"{flag} = false\n" for flag in RELAXED_FLAGS)
        section = f"\n[[tool.mypy.overrides]]\nmodule = [\n{names}]\n{flags}"
    return f"{before}{BEGIN}{section}{END}{after}"


def existing_modules() -> set[str]:
    """The import name of every module of melgraph."""
    rooms = [folder for folder in (ROOT / "melgraph").iterdir() if folder.is_dir()]
    paths = [path for room in rooms for path in room.rglob("*.py")]  # follows no links below rooms
    names = (".".join(path.relative_to(ROOT).with_suffix("").parts) for path in paths)
    return {name.removesuffix(".__init__") for name in names}


def failing_modules(text: str) -> set[str]:
    """The modules that do not pass `mypy --strict`: runs mypy without the exceptions."""
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "pyproject.toml"
        config.write_text(with_modules(text, []), encoding="utf-8")
        # A cache of its own: with it, this run takes seconds after the first time.
        cache = ROOT / ".mypy_cache" / "without_exceptions"
        command = [sys.executable, "-m", "mypy", "--config-file", config, "--cache-dir", cache]
        result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if result.returncode not in (0, 1):
        sys.exit(result.stdout + result.stderr)
    paths = re.findall(r"^(melgraph/\S+?)\.py:\d+: error:", result.stdout, re.MULTILINE)
    return {path.replace("/", ".").removesuffix(".__init__") for path in paths}


def main() -> int:
    """Check or rewrite the list. Returns the exit status."""
    parser = argparse.ArgumentParser(description="The modules that do not pass mypy --strict yet.")
    parser.add_argument("--write", action="store_true", help="remove the modules that pass")
    parser.add_argument("--grow", action="store_true", help="with --write: add modules that fail")
    options = parser.parse_args()
    text = PYPROJECT.read_text(encoding="utf-8")
    listed, failing = set(listed_modules(text)), failing_modules(text)
    if options.write:
        remaining = failing if options.grow else failing & listed
        PYPROJECT.write_text(with_modules(text, sorted(remaining)), encoding="utf-8")
        listed = remaining
    for name in sorted(listed - failing):
        print(f"{name} passes mypy --strict, or does not exist: take it off the list of exceptions")
    for name in sorted(failing - listed):
        print(f"{name} does not pass mypy --strict, and is not in the list: add its types")
    if listed != failing:
        print("The list is in pyproject.toml; `python -m tests.strict_types --write` shortens it.")
    print(f"{len(listed)} modules do not pass mypy --strict yet")
    return int(listed != failing)


if __name__ == "__main__":
    sys.exit(main())
