"""The errors of the service: their codes, and what people read."""

import re
from pathlib import Path

from starlette.testclient import TestClient

from melgraph.assets.service.app import build_app
from melgraph.assets.service.problems import CODES, OF_AUDIO, code_text
from melgraph.storage.home import Home

ROOT = Path(__file__).parents[3]
SOURCES = (ROOT / "assets" / "service").rglob("*.py")
ALL_CODES = {code for codes in CODES.values() for code in codes} - {OF_AUDIO}


def test_each_code_of_the_sources_is_described():
    patterns = (r'Refusal\(\s*\d+,\s*"([a-z-]+)"', r'\bcode(?:=|: str = )"([a-z-]+)"')
    text = "\n".join(source.read_text() for source in SOURCES)
    used = {code for pattern in patterns for code in re.findall(pattern, text)}
    assert {"unknown-tag", "busy", "no-page"} <= used
    assert used <= ALL_CODES


def test_the_document_lists_each_code():
    document = (ROOT / "docs" / "service.md").read_text()
    for status, codes in CODES.items():
        for code, meaning in codes.items():
            name = code_text(code)
            if code == OF_AUDIO:
                name = "those of [error-codes.md](error-codes.md)"
            assert f"\n| {status} | {name} | {meaning} |\n" in document


def test_a_page_that_is_missing_says_what_to_do(tmp_path):
    app = build_app(Home(tmp_path, str(tmp_path / "library")))
    with TestClient(app, base_url="http://127.0.0.1:3003") as client:
        answer = client.get("/pages/index.html")
        assert answer.status_code == 404
        assert "There are no pages yet. Run the command “melgraph run”" in answer.text
        elsewhere = client.get("/nothing", headers={"accept": "text/html"})
        assert elsewhere.status_code == 404
        assert "no page or file at this address. /openapi.json describes" in elsewhere.text
