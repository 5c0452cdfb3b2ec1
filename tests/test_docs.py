"""What the documents promise about the code is held against the code."""

import re
from pathlib import Path

from melgraph.ml.specs import load_specs
from melgraph.ml.specs.experiment import for_tags

ROOT = Path(__file__).parents[1]
CODE = re.compile(
    r"""BadAudio\(\s*f?"([a-z-]+)"|\bcode ?= ?"([a-z-]+)"(?: if [^"\n]+ else "([a-z-]+)")?"""
)


# What becomes of the process that decodes: string literals of the ingest or of its workers.
OF_THE_PROCESS = ("crashed", "hung", "changed")


def test_every_quarantine_code_is_documented_and_none_besides():
    places = ("ml/audio/*.py", "ml/workers.py", "assets/library/ingest*.py")
    texts = {path: path.read_text("utf-8") for place in places for path in ROOT.glob(place)}
    found = {
        code for text in texts.values() for codes in CODE.findall(text) for code in codes if code
    }
    ingest = "".join(text for path, text in texts.items() if path.parent.name != "audio")
    found |= {code for code in OF_THE_PROCESS if f'"{code}"' in ingest}
    table = (ROOT / "docs/error-codes.md").read_text(encoding="utf-8")
    documented = set(re.findall(r"^\| `([a-z-]+)` \|", table, re.M))
    assert {"truncated", "damaged", "vanished", "too-long", "silent"} <= found
    assert documented == found


def test_every_relative_link_of_a_document_leads_somewhere():
    documents = [ROOT / "README.md", *ROOT.glob("*/README.md"), *ROOT.glob("docs/**/*.md")]
    assert len(documents) > 5
    for document in documents:
        for target in re.findall(r"\]\(([^)#:]+)\)", document.read_text(encoding="utf-8")):
            assert (document.parent / target).exists(), f"{document.name}: {target}"


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
