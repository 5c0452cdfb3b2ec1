"""The code that a registered model carries: the modules of `ml` that a prediction needs.

A registered model is loaded into unknown programs. These may have a package `ml` or another version
of melgraph, and may load two models of different versions. Therefore the code of each model is a
package that is named after a hash of its content, so that no two models share a module.
"""

import hashlib
from pathlib import Path

from melgraph import ml

PREDICTS = Path(__file__).with_name("genre_classifier.py")
NOT_NEEDED = ("sample_library", "plots", "collections", "generation")  # folders of `ml` left out
_ROOM = "melgraph.ml"


def write_model_code(folder: Path) -> tuple[Path, Path]:
    """Write the module of the model, and the package that it imports.

    Args:
        folder: an empty folder that receives both.

    Returns:
        The module to log as the model, and the folder of the package, `melgraph_model_<digest>`.
    """
    room = Path(ml.__file__).parent
    sources = {path.relative_to(room): path.read_text("utf-8") for path in sorted(_needed(room))}
    content = "".join(f"{path}\n{text}" for path, text in sources.items())
    name = f"melgraph_model_{hashlib.sha256(content.encode()).hexdigest()[:12]}"
    package = folder / name
    for path, text in sources.items():
        (package / path).parent.mkdir(parents=True, exist_ok=True)
        (package / path).write_text(text.replace(_ROOM, name), encoding="utf-8")
    module = folder / PREDICTS.name
    module.write_text(PREDICTS.read_text("utf-8").replace(_ROOM, name), encoding="utf-8")
    return module, package


def _needed(room: Path) -> list[Path]:
    paths = [path for path in room.rglob("*.py") if "__pycache__" not in path.parts]
    return [path for path in paths if path.relative_to(room).parts[0] not in NOT_NEEDED]
