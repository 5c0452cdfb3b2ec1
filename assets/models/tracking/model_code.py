"""The code that a registered model carries: the modules of `ml` that a prediction needs.

A registered model is loaded into unknown programs. These may have a package `ml` or another version
of melgraph, and may load two models of different versions. Therefore the code of each model is a
package that is named after a hash of its content, so that no two models share a module.
"""

import ast
import hashlib
from collections.abc import Iterator
from pathlib import Path

from melgraph import ml

PREDICTS = Path(__file__).with_name("genre_classifier.py")
ROOM = Path(ml.__file__).parent
_NAME = "melgraph.ml"


def write_model_code(folder: Path, room: Path = ROOM) -> tuple[Path, Path]:
    """Write the module of the model, and the package that it imports.

    Args:
        folder: an empty folder that receives both.
        room: the folder of `ml`.

    Returns:
        The module to log as the model, and the folder of the package, `melgraph_model_<digest>`.
    """
    paths = sorted(needed_modules(room))
    sources = {path.relative_to(room): path.read_text("utf-8") for path in paths}
    content = "".join(f"{path}\n{text}" for path, text in sources.items())
    name = f"melgraph_model_{hashlib.sha256(content.encode()).hexdigest()[:12]}"
    package = folder / name
    for path, text in sources.items():
        (package / path).parent.mkdir(parents=True, exist_ok=True)
        (package / path).write_text(text.replace(_NAME, name), encoding="utf-8")
    module = folder / PREDICTS.name
    module.write_text(PREDICTS.read_text("utf-8").replace(_NAME, name), encoding="utf-8")
    return module, package


def needed_modules(room: Path = ROOM) -> set[Path]:
    """The files of `ml` that the model imports, directly or not, when it is loaded and predicts.

    An import counts wherever it stands, also inside a function. A string that is the name of a
    module counts too, because registries name modules in this way.
    """
    needed: set[Path] = set()
    pending = [PREDICTS]
    while pending:
        imported = set(_imports(pending.pop(), room)) - needed
        needed |= imported
        pending += imported
    return needed


def _imports(source: Path, room: Path) -> Iterator[Path]:
    """The files of `ml` that a file names, and those of the packages that contain them."""
    for node in ast.walk(ast.parse(source.read_text("utf-8"))):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:  # a name may be a module
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            names = [node.value]
        for name in names:
            if name == _NAME or name.startswith(f"{_NAME}."):
                yield from _files(name, room)


def _files(name: str, room: Path) -> Iterator[Path]:
    """The file of a module and those of its packages; none if there is no such module."""
    parts = name.removeprefix(_NAME).split(".")[1:]
    module = room.joinpath(*parts)
    if not module.is_dir() and not module.with_suffix(".py").is_file():
        return
    packages = [room.joinpath(*parts[:depth]) for depth in range(len(parts) + 1)]
    yield from (folder / "__init__.py" for folder in packages if folder.is_dir())
    if not module.is_dir():
        yield module.with_suffix(".py")
