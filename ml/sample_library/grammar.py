"""The notation in which styles are written: parts, step patterns, chord symbols and scales."""

import re
from dataclasses import dataclass

STEPS = 16  # steps in one bar of four beats

Range = tuple[float, float]


@dataclass(frozen=True)
class Part:
    """One part of an arrangement. An artist chooses one instrument for it, a track one pattern.

    Patterns have 16 steps for each bar. `-` holds a note, and `.` is silence:
      chords  `x` the chord, `0`-`3` one note of it
      bass    `R` root; `3` `5` `6` `7` `8` that interval above it; `a` leads to the next root
      lead    `x` a note of the melody, which is chosen during composition
    """

    role: str  # "bass", "chords" or "lead"
    instruments: tuple[str, ...]
    patterns: tuple[str, ...]
    register: int  # central MIDI note
    level_db: float  # relative to the drums
    presence: float = 1.0  # share of tracks that have it


@dataclass(frozen=True)
class Style:
    """The common properties of the artists of one style. Ranges are (lowest, highest)."""

    tempo: Range  # beats per minute
    swing: Range  # 0 straight .. 1 triplets
    swing_sixteenths: bool  # whether sixteenths swing, and not eighths
    looseness: Range  # s, standard deviation of note onsets
    progressions: tuple[str, ...]  # one chord symbol for each bar
    scale: str  # of the melody
    kits: tuple[str, ...]
    drums: tuple[dict[str, str], ...]  # drum -> 16 steps: `X` accent, `x` hit, `o` ghost note
    fills: bool  # toms and a crash around every fourth bar
    parts: tuple[Part, ...]
    loudness: Range  # dBFS RMS of the finished track
    tilt: Range  # dB per octave
    reverb_s: Range  # time until -60 dB
    reverb_mix: Range  # wet amplitude relative to dry
    neighbours: tuple[str, ...]  # the styles that its artists may have as their influence


SCALES: dict[str, tuple[int, ...]] = {
    "major": (0, 2, 4, 5, 7, 9, 11),
    "minor": (0, 2, 3, 5, 7, 8, 10),
    "dorian": (0, 2, 3, 5, 7, 9, 10),
    "phrygian": (0, 1, 3, 5, 7, 8, 10),
    "major pentatonic": (0, 2, 4, 7, 9),
    "minor pentatonic": (0, 3, 5, 7, 10),
    "blues": (0, 3, 5, 6, 7, 10),
}

_DEGREES = {"I": 0, "II": 2, "III": 4, "IV": 5, "V": 7, "VI": 9, "VII": 11}
_SYMBOL = re.compile(r"^(b?)([IV]+|[iv]+)(maj7|7|9|5|dim|)$")


@dataclass(frozen=True)
class Chord:
    """Semitones above the tonic: the root, and the notes above that root."""

    root: int
    intervals: tuple[int, ...]


def parse_chord(symbol: str) -> Chord:
    """Parses a chord written as a Roman numeral: `bVII`, `ii7`, `Imaj7`, `V9`, `i5`, `viidim`.

    Capitals are major and small letters minor; `5` is a power chord.

    Raises:
        ValueError: the symbol is not such a numeral.
    """
    match = _SYMBOL.match(symbol)
    if match is None or match[2].upper() not in _DEGREES:
        raise ValueError(
            f"{symbol!r} is no chord symbol; examples: I, bVII, ii7, Imaj7, V9, i5, viidim"
        )
    flat, numeral, kind = match.groups()
    third = 4 if numeral.isupper() else 3
    intervals = {
        "": (0, third, 7),
        "7": (0, third, 7, 10),
        "9": (0, third, 10, 14),
        "maj7": (0, third, 7, 11),
        "5": (0, 7, 12),
        "dim": (0, 3, 6),
    }[kind]
    return Chord((_DEGREES[numeral.upper()] - len(flat)) % 12, intervals)


def parse_steps(pattern: str) -> list[tuple[int, int, str]]:
    """The notes of a step pattern: (step, length in steps, character)."""
    notes = []
    for step, character in enumerate(pattern):
        if character not in ".-":
            rest = pattern[step + 1 :]
            notes.append((step, 1 + len(rest) - len(rest.lstrip("-")), character))
    return notes
