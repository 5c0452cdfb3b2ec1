import re
import tomllib
from pathlib import Path

import pytest

from melgraph.ml.specs import load_specs
from melgraph.ml.specs.dataset import OPTIONS, DatasetSpec, contradictions

GUIDE = (Path(__file__).parents[3] / "docs" / "collections.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"split": "official"}, "split: labels = 'folder' has no official split"),
        ({"labels": "tag", "split": "official"}, "split: labels = 'tag' has no official split"),
        ({"labels": "fma"}, "metadata: labels = 'fma' needs the folder"),
        ({"labels": "table"}, "metadata: labels = 'table' needs the file"),
        ({"labels": "gtzan", "split": "official"}, "metadata: the official split needs the folder"),
        ({"metadata": "x"}, "metadata: labels = 'folder' reads no metadata"),
        ({"multi_label": True}, "multi_label: labels = 'folder' gives one label"),
        (
            {"labels": "mtg_jamendo", "metadata": "x"},
            "multi_label: the tracks of MTG-Jamendo have several tags: set multi_label = true",
        ),
        (
            {"fma": {"subset": "large"}},
            "fma: these options are for labels = 'fma', but labels is 'folder'",
        ),
        ({"train": 0.9}, "train + validation + test must be 1 (got 1.3)"),
    ],
)
def test_contradictions_are_reported(table, message):
    (problem,) = contradictions(table)
    assert problem.startswith(message)


def test_all_contradictions_at_once_without_values_of_a_wrong_type():
    table = {"labels": "fma", "train": "much", "multi_label": "yes", "tag": 3, "seed": None}
    assert [problem.split(":")[0] for problem in contradictions(table)] == ["metadata", "tag"]


def test_a_file_with_contradictions_is_refused_with_its_name(tmp_path):
    (tmp_path / "datasets").mkdir()
    path = tmp_path / "datasets" / "mine.toml"
    path.write_text('title = "x"\nlabels = "fma"\nsplit = "official"\n[gtzan]\n')
    with pytest.raises(Exception, match="2 problem") as caught:
        load_specs(tmp_path)
    assert f"{path}: gtzan: Extra inputs are not permitted" in caught.value.what
    assert f"{path}: metadata: labels = 'fma' needs the folder" in caught.value.what


def test_the_options_are_named_after_their_adaptors():
    assert OPTIONS == ("tag", "fma", "mtg_jamendo", "table")


def test_every_toml_of_the_guide_is_a_dataset():
    blocks = re.findall(r"```toml\n(.*?)```", GUIDE, re.S)
    blocks = [block for block in blocks if "dataset" not in tomllib.loads(block)]  # an experiment
    specs = [DatasetSpec.model_validate(tomllib.loads(block)) for block in blocks]
    assert {spec.labels for spec in specs} == {
        "folder", "tag", "table", "gtzan", "fma", "mtg_jamendo"
    }  # fmt: skip
    assert [list(contradictions(tomllib.loads(block))) for block in blocks] == [[]] * len(blocks)
