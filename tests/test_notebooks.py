"""The notebooks of the docs run from top to bottom, on `ml` alone."""

import ast
import os
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOKS = sorted((Path(__file__).parents[1] / "docs" / "notebooks").glob("*.ipynb"))


def code_of(path: Path) -> str:
    notebook = nbformat.read(path, as_version=4)
    return "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "code")


def test_there_are_some():
    assert NOTEBOOKS


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_needs_nothing_but_ml(path):
    imported = set()
    for node in ast.walk(ast.parse(code_of(path))):
        if isinstance(node, ast.Import):
            imported |= {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom):
            imported |= {f"{node.module}.{name.name}" for name in node.names}
    assert {name.split(".")[1] for name in imported if name.startswith("melgraph")} == {"ml"}
    assert not any(name.startswith("dagster") for name in imported)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_carries_no_output(path):
    """Outputs would be megabytes of pictures, of whoever ran it last."""
    assert not any(cell.get("outputs") for cell in nbformat.read(path, as_version=4).cells)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_runs(path, tmp_path):
    notebook = nbformat.read(path, as_version=4)
    environment = {**os.environ, "EPOCHS": "3", "IPYTHONDIR": str(tmp_path / "ipython")}
    environment.pop("GTZAN", None)
    client = NotebookClient(notebook, timeout=300, kernel_name="python3",
                            resources={"metadata": {"path": str(tmp_path)}})  # fmt: skip
    client.execute(env=environment)
    outputs = [out for cell in notebook.cells for out in cell.get("outputs", [])]
    text = "".join(out.get("text", "") for out in outputs)
    assert "synthetic sample library" in text
    assert "accuracy" in text
    assert "held out" in text
    pictures = [out for out in outputs if "image/png" in out.get("data", {})]
    assert len(pictures) >= 4
    assert any("audio" in out.get("data", {}).get("text/html", "") for out in outputs)
