import pytest

from melgraph.ml.sample_library.drums import DRUM_LEVELS_DB, KITS
from melgraph.ml.sample_library.grammar import SCALES, STEPS, Chord, parse_chord, parse_steps
from melgraph.ml.sample_library.instruments import INSTRUMENTS
from melgraph.ml.sample_library.styles import STYLES


@pytest.mark.parametrize(
    ("symbol", "root", "intervals"),
    [
        ("I", 0, (0, 4, 7)),
        ("ii7", 2, (0, 3, 7, 10)),
        ("bVII", 10, (0, 4, 7)),
        ("Imaj7", 0, (0, 4, 7, 11)),
        ("V9", 7, (0, 4, 10, 14)),
        ("i5", 0, (0, 7, 12)),
        ("viidim", 11, (0, 3, 6)),
    ],
)
def test_chord_symbols(symbol: str, root: int, intervals: tuple[int, ...]) -> None:
    assert parse_chord(symbol) == Chord(root, intervals)


@pytest.mark.parametrize("symbol", ["", "IIII", "H", "I77", "#IV", "iV"])
def test_an_invalid_chord_symbol_is_refused(symbol: str) -> None:
    with pytest.raises(ValueError, match="no chord symbol"):
        parse_chord(symbol)


def test_parse_steps() -> None:
    assert parse_steps("R--.5-3-........") == [(0, 3, "R"), (4, 2, "5"), (6, 2, "3")]


@pytest.mark.parametrize("name", STYLES)
def test_a_style_is_written_in_words_that_exist(name: str) -> None:
    style = STYLES[name]
    for progression in style.progressions:
        assert [parse_chord(symbol) for symbol in progression.split()]
    assert style.scale in SCALES
    assert set(style.kits) <= set(KITS)
    assert set(style.neighbours) <= set(STYLES) - {name}
    allowed = {"bass": "R35678a-.", "chords": "x0123-.", "lead": "x-."}
    for part in style.parts:
        assert set(part.instruments) <= set(INSTRUMENTS)
        assert 0.0 < part.presence <= 1.0
        for pattern in part.patterns:
            assert len(pattern) == STEPS
            assert set(pattern) <= set(allowed[part.role])
            assert parse_steps(pattern)
    for pattern in (p for kit in style.drums for p in kit.items()):
        assert pattern[0] in DRUM_LEVELS_DB
        assert len(pattern[1]) == STEPS
        assert set(pattern[1]) <= set("Xxo.")
    for low, high in (style.tempo, style.swing, style.looseness, style.loudness, style.tilt):
        assert low <= high
