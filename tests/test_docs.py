"""What the documents promise about the code is held against the code."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
CODE = re.compile(
    r"""BadAudio\(\s*f?"([a-z-]+)"|\bcode ?= ?"([a-z-]+)"(?: if [^"\n]+ else "([a-z-]+)")?"""
)


def test_every_quarantine_code_is_documented_and_none_besides():
    sources = ("ml/audio.py", "ml/audio_readers.py", "assets/ingest.py")
    found = {
        code
        for source in sources
        for codes in CODE.findall((ROOT / source).read_text(encoding="utf-8"))
        for code in codes
        if code
    }
    table = (ROOT / "docs/error-codes.md").read_text(encoding="utf-8")
    documented = set(re.findall(r"^\| `([a-z-]+)` \|", table, re.M))
    assert {"truncated", "damaged", "vanished"} <= found
    assert documented == found


def test_every_relative_link_of_a_document_leads_somewhere():
    documents = [ROOT / "README.md", *ROOT.glob("*/README.md"), *ROOT.glob("docs/**/*.md")]
    assert len(documents) > 5
    for document in documents:
        for target in re.findall(r"\]\(([^)#:]+)\)", document.read_text(encoding="utf-8")):
            assert (document.parent / target).exists(), f"{document.name}: {target}"
