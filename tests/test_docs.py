"""The documents are compared with the code."""

import re
import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from melgraph.ml.specs import load_specs
from melgraph.ml.specs.experiment import for_tags

ROOT = Path(__file__).parents[1]
CODE = re.compile(
    r"""BadAudio\(\s*f?"([a-z-]+)"|\bcode ?= ?"([a-z-]+)"(?: if [^"\n]+ else "([a-z-]+)")?"""
)


# Codes about the decoding process: string literals of the ingest or of its workers.
OF_THE_PROCESS = ("crashed", "hung", "changed")
ROOMS = ("assets", "ml", "pipelines", "storage")
# Rooms whose README is being rewritten. The tuple must become empty.
NOT_YET: tuple[str, ...] = ()


def test_every_quarantine_code_is_documented_and_none_besides():
    places = ("ml/audio/*.py", "ml/workers.py", "assets/library/ingest*.py")
    texts = {path: path.read_text("utf-8") for place in places for path in ROOT.glob(place)}
    codes_in_code = {
        code for text in texts.values() for codes in CODE.findall(text) for code in codes if code
    }
    ingest = "".join(text for path, text in texts.items() if path.parent.name != "audio")
    codes_in_code |= {code for code in OF_THE_PROCESS if f'"{code}"' in ingest}
    table = (ROOT / "docs/error-codes.md").read_text(encoding="utf-8")
    documented = set(re.findall(r"^\| `([a-z-]+)` \|", table, re.M))
    assert {"truncated", "damaged", "vanished", "too-long", "silent"} <= codes_in_code
    assert documented == codes_in_code


def test_every_relative_link_of_a_document_leads_somewhere():
    documents = [ROOT / "README.md", *ROOT.glob("*/README.md"), *ROOT.glob("docs/**/*.md")]
    assert len(documents) > 5
    for document in documents:
        for target in re.findall(r"\]\(([^)#:]+)\)", document.read_text(encoding="utf-8")):
            assert (document.parent / target).exists(), f"{document.name}: {target}"


def modules_in_tables(readme: Path) -> set[str]:
    """Modules named in the tables of a README, relative to its folder.

    A row may begin with a folder (`audio/`, or `./` for the folder of the README); then the modules
    in the row are in that folder. In all other rows they are in the folder of the README.
    """
    modules: set[str] = set()
    for row in re.findall(r"^\|.*\|$", readme.read_text(encoding="utf-8"), re.M):
        folder = re.match(r"\| *`([\w/.]+/)` *\|", row)
        prefix = folder.group(1).removeprefix("./") if folder else ""
        modules |= {prefix + name for name in re.findall(r"`([\w/]+\.py)`", row)}
    return modules


@pytest.mark.parametrize("room", ROOMS)
def test_the_readme_of_a_room_names_its_modules(room):
    if room in NOT_YET:
        pytest.skip(f"{room}/README.md is being rewritten")
    folder = ROOT / room
    existing = {path.relative_to(folder).as_posix() for path in folder.rglob("*.py")}
    existing = {name for name in existing if not name.endswith("__init__.py")}
    named = modules_in_tables(folder / "README.md")
    assert existing - named == set(), f"name these modules in a table of {room}/README.md"
    assert named - existing == set(), f"{room}/README.md names modules that do not exist"


def test_every_module_named_in_a_document_exists():
    """A path in a document may begin at the document, its room or the repository.

    CONTRIBUTING.md is no part of this: its examples name modules that a reader adds.
    """
    documents = [ROOT / "README.md", *ROOT.glob("docs/**/*.md")]
    documents += [
        path for room in ROOMS if room not in NOT_YET for path in (ROOT / room).rglob("*.md")
    ]
    paths = [path.relative_to(ROOT).as_posix() for room in (*ROOMS, "tests", "benchmarks", "docs")
             for path in (ROOT / room).rglob("*.py")]  # fmt: skip
    missing = [
        f"{document.relative_to(ROOT)}: {name}"
        for document in documents
        for name in re.findall(r"`([\w/]+\.py)`", document.read_text(encoding="utf-8"))
        if not any(f"/{path}".endswith(f"/{name}") for path in paths)
    ]
    assert missing == []


def test_examples_import_melgraph_by_its_name():
    """Readers copy code blocks, so these must not import `ml` or `assets` as top-level packages."""
    documents = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")]
    documents += [path for room in ROOMS for path in (ROOT / room).rglob("*.md")]
    for document in documents:
        text = document.read_text(encoding="utf-8")
        assert not re.search(rf"^(?:from|import) (?:{'|'.join(ROOMS)})\b", text, re.M), document


def test_the_model_of_the_contributing_guide_works():
    import torch

    from melgraph.ml.models.base import InputShape

    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"```python\n(.*?)```", text, re.S)
    names: dict[str, Any] = {}
    exec(textwrap.dedent(block), names)
    model = names["TinyCNN"](InputShape(1, 128, 129), 5)
    model.set_normalisation(np.zeros((1, 128)), np.ones((1, 128)))
    x = torch.zeros(2, 1, 128, 129)
    assert model(x).shape == (2, 5)
    assert model.embed(x).shape == (2, model.embedding_dim)
    assert set(model.layers()) == {"conv1"}


def test_the_commit_hooks_run_what_make_lint_runs():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    (recipe,) = re.findall(r"^lint: env\n((?:\t.*\n)+)", makefile, re.M)
    commands = [line.strip().replace("$(BIN)", ".venv/bin") for line in recipe.splitlines()]
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))
    (repository,) = hooks["repos"]
    entries = [hook["entry"] for hook in repository["hooks"]]
    # A hook gets the changed files, where `make lint` names the whole repository.
    assert entries == [command.removesuffix(" .") for command in commands]


def test_the_experiment_on_tags_of_the_documents_is_one(tmp_path):
    """The TOML files of a section, put where it says, are loaded."""
    text = (ROOT / "docs/collections.md").read_text(encoding="utf-8")
    section = text.split("## MTG-Jamendo", 1)[1].split("\n## ", 1)[0]
    dataset, experiment = re.findall(r"```toml\n(.*?)```", section, re.S)
    for kind, name, toml in (
        ("datasets", "jamendo", dataset),
        ("experiments", "jamendo-cnn", experiment),
    ):
        assert f"specs/{kind}/{name}.toml" in section
        (tmp_path / kind).mkdir()
        (tmp_path / kind / f"{name}.toml").write_text(toml, encoding="utf-8")
    specs = load_specs(tmp_path)
    assert specs.datasets["jamendo"].multi_label
    training = for_tags(specs.experiments["jamendo-cnn"], "jamendo-cnn").training
    assert (training.label_smoothing, training.class_balance) == (0, 0)
