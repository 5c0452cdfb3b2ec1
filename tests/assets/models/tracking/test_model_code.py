"""A registered model in a foreign program: its code does not collide, and is what it needs.

The programs run in processes of their own, in a folder with modules that have the names of ours.
"""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from melgraph.assets.library.live import live_tracks
from melgraph.assets.library.tracks import Tracks
from melgraph.assets.models.tracking.model_code import ROOM, needed_modules, write_model_code
from tests.conftest import MadeHome

# The user's own modules, and a melgraph that cannot be imported: it may not be installed there.
OWN = {
    "ml/__init__.py": "MINE = True\n",
    "ml/models.py": "MINE = True\n",
    "storage.py": "MINE = True\n",
    "assets.py": "MINE = True\n",
    "melgraph.py": "raise ImportError('there is no melgraph in this program')\n",
}
PROGRAM = """
import json, sys
import ml.models, storage, assets
import mlflow

song, *folders = sys.argv[1:]
loaded = [mlflow.pyfunc.load_model(folder) for folder in folders]
rows = [model.predict([song]).to_dict("records")[0] for model in [*loaded, loaded[0]]]
own = all(module.MINE for module in (ml, ml.models, storage, assets))
print(json.dumps([rows, own, sorted(name for name in sys.modules if name.startswith("melgraph"))]))
"""
SAVE = """
import sys
import mlflow

module, package, checkpoint, folder = sys.argv[1:]
mlflow.pyfunc.save_model(
    folder, python_model=module, code_paths=[package], artifacts={"checkpoint": checkpoint},
    pip_requirements=["mlflow"],
)
"""


def run(program: str, *arguments: object, folder: Path) -> str:
    ran = subprocess.run(
        [sys.executable, "-c", program, *map(str, arguments)], cwd=folder, capture_output=True,
        text=True, timeout=300,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


@pytest.fixture(scope="module")
def answer(made_home: MadeHome, tmp_path_factory) -> list:
    """What a program gets from the registered model, and from one of another melgraph."""
    folder = tmp_path_factory.mktemp("program")
    for name, text in OWN.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text)
    tracks = live_tracks([Tracks.current(made_home.store, "batch-000001")])
    song = made_home.library / tracks["path"][0]
    (registered,) = (made_home.home.mlflow / "artifacts" / "models").glob("*/artifacts")
    other = _model_of_another_version(made_home, tmp_path_factory.mktemp("other"))
    return json.loads(run(PROGRAM, song, registered, other, folder=folder).splitlines()[-1])


def _model_of_another_version(made_home: MadeHome, folder: Path) -> Path:
    """The same checkpoint, with code in which every prediction is the last class."""
    shutil.copytree(ROOM, folder / "ml")
    predicts = folder / "ml" / "inference" / "tracks.py"
    predicts.write_text(
        predicts.read_text()
        + "\n\ndef predict_tracks(model, arrays, **_):\n"
        + "    return np.eye(model.n_classes)[[-1] * len(arrays)]\n"
    )
    (folder / "code").mkdir()
    module, package = write_model_code(folder / "code", folder / "ml")
    checkpoint = made_home.store.need("trained_models", "small-cnn").folder / "checkpoint"
    run(SAVE, module, package, checkpoint, folder / "model", folder=folder)
    return folder / "model"


def test_a_program_with_modules_of_the_same_names_and_without_melgraph(answer, made_home):
    (first, *_), own, modules = answer
    assert first["problem"] is None
    assert (
        first["prediction"] in made_home.store.need("trained_models", "small-cnn").facts["classes"]
    )
    assert own  # the modules of the program are still its own
    assert "melgraph" not in modules


def test_two_models_in_one_process_have_their_own_code(answer, made_home):
    (first, other, first_again), _, modules = answer
    assert len({name for name in modules if "." not in name}) == 2
    *_, last = made_home.store.need("trained_models", "small-cnn").facts["classes"]
    assert other["prediction"] == last
    assert other["probability"] == 1.0
    assert first["probability"] < 1.0
    assert first_again == first


def test_the_model_carries_only_what_predicting_needs(tmp_path):
    _, package = write_model_code(tmp_path)
    files = [path.relative_to(package) for path in package.rglob("*") if path.is_file()]
    assert {path.suffix for path in files} == {".py"}
    wings = {path.parts[0] for path in files if len(path.parts) > 1}
    needed = {"audio", "inference", "models", "representations", "spectral", "weights"}
    assert needed <= wings
    unneeded = {"sample_library", "training", "evaluation", "generation", "plots", "collections",
                "recordings", "splits", "embeddings", "similarity"}  # fmt: skip
    assert not unneeded & wings


def test_a_module_that_only_a_registry_names_is_needed(tmp_path):
    (tmp_path / "ml" / "models").mkdir(parents=True)
    files = {
        "__init__.py": "",
        "models/__init__.py": "NAMES = ('melgraph.ml.models.tiny', 'melgraph.ml.nothing')",
        "models/tiny.py": "def build():\n    from melgraph.ml import errors",
        "errors.py": "",
        "plots.py": "",
        "audio.py": "from melgraph.ml import models",
    }
    for name, text in files.items():
        (tmp_path / "ml" / name).write_text(text)
    names = {
        path.relative_to(tmp_path / "ml").as_posix() for path in needed_modules(tmp_path / "ml")
    }
    assert names == files.keys() - {"plots.py"}
