"""Every odd file of the table in docs/results/files.md ends as the table says."""

from pathlib import Path

import pytest

from melgraph.ml.audio import AUDIO_SUFFIXES, BadAudio, check, decode
from tests.ml.audio.odd_cases import CASES, NOT_LISTED

DOCUMENT = Path(__file__).parents[3] / "docs/results/files.md"


@pytest.mark.parametrize("name", CASES)
def test_an_odd_file(name: str, tmp_path: Path) -> None:
    case = CASES[name]
    path = tmp_path / Path(name).name
    case.write(path)
    if case.outcome == NOT_LISTED:
        assert path.suffix not in AUDIO_SUFFIXES
        return
    assert path.suffix in AUDIO_SUFFIXES
    try:
        decoded = decode(path)
        check(decoded)
        outcome, seconds = "ok", decoded.seconds
    except BadAudio as bad:
        outcome, seconds = bad.code, 0.0
    assert outcome == case.outcome
    assert seconds == pytest.approx(case.seconds, abs=0.06)


def test_the_table_names_every_odd_file() -> None:
    lines = DOCUMENT.read_text(encoding="utf-8").splitlines()
    rows = {line.split(" | ")[0].removeprefix("| "): line for line in lines}
    for name, case in CASES.items():
        assert f"| {case.what} | {case.before} | {case.outcome} |" in rows[name]
