"""What the documents promise about the code is held against the code."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
CODE = re.compile(
    r"""BadAudio\(\s*f?"([a-z-]+)"|\bcode ?= ?"([a-z-]+)"(?: if [^"\n]+ else "([a-z-]+)")?"""
)


# What becomes of the process that decodes: string literals of the ingest or of its workers.
OF_THE_PROCESS = ("crashed", "hung", "changed")


def test_every_quarantine_code_is_documented_and_none_besides():
    places = ("ml/audio*.py", "ml/workers.py", "assets/ingest*.py")
    texts = {path: path.read_text("utf-8") for place in places for path in ROOT.glob(place)}
    found = {
        code for text in texts.values() for codes in CODE.findall(text) for code in codes if code
    }
    ingest = "".join(text for path, text in texts.items() if not path.stem.startswith("audio"))
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
