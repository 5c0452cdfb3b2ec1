"""Composition: from the grammar of a style and the properties of an artist to a score."""

from dataclasses import dataclass

import numpy as np

from melgraph.ml.sample_library.artists import Artist
from melgraph.ml.sample_library.grammar import SCALES, STEPS, Chord, Part, parse_chord, parse_steps
from melgraph.ml.sample_library.styles import STYLES
from melgraph.ml.sample_library.synthesis import Instrument

_BORROW = 0.2  # probability that drums or a part come from the artist's influence
_STROKES = {"X": 1.0, "x": 0.72, "o": 0.35}


@dataclass(frozen=True)
class Note:
    """One note: onset and length in seconds, MIDI pitch, velocity 0..1."""

    start: float
    seconds: float
    midi: int
    velocity: float


@dataclass(frozen=True)
class Voice:
    """One part of one track."""

    role: str
    instrument: Instrument
    level_db: float
    notes: tuple[Note, ...]


@dataclass(frozen=True)
class Score:
    """The notes and drum hits of one track."""

    tempo: float  # beats per minute
    chords: tuple[Chord, ...]  # one for each bar
    voices: tuple[Voice, ...]
    hits: tuple[tuple[str, float, float], ...]  # drum, onset in s, velocity


@dataclass(frozen=True)
class _Clock:
    """Converts steps to seconds, by tempo, swing and the looseness of the player."""

    tempo: float
    swing: float
    sixteenths: bool
    looseness: float

    def seconds(self, step: float) -> float:
        """Onset of a step, counted from the start; swing delays the second half of each unit."""
        unit = 2.0 if self.sixteenths else 4.0  # steps
        whole, part = divmod(step / unit, 1.0)
        middle = 0.5 + self.swing / 6.0  # 2/3 of the unit at full swing
        bent = part * 2 * middle if part < 0.5 else middle + (part - 0.5) * 2 * (1 - middle)
        return (whole + bent) * unit * 60.0 / (4.0 * self.tempo)

    def played_seconds(self, step: float, rng: np.random.Generator) -> float:
        """The onset with the random deviation of a player; never before the start."""
        return max(0.0, self.seconds(step) + self.looseness * float(rng.standard_normal()))


def compose(artist: Artist, *, duration_s: float, rng: np.random.Generator) -> Score:
    """Composes one track of an artist.

    Args:
        artist: the artist.
        duration_s: notes start before this; the last ones may end later.
        rng: the random generator of the track.
    """
    style = STYLES[artist.style]
    slow, fast = style.tempo
    tempo = float(np.clip(artist.tempo + 0.08 * (fast - slow) * rng.standard_normal(), slow, fast))
    clock = _Clock(tempo, artist.swing, style.swing_sixteenths, artist.looseness)
    n_bars = int(np.ceil(duration_s / clock.seconds(STEPS)))
    harmony_from = artist.influence if rng.random() < 0.5 * _BORROW else artist.style
    chords = _harmony(harmony_from, n_bars, rng)
    # The key is the artist's own, or a fourth above it.
    tonic = artist.tonic + (5 if rng.random() < 0.4 else 0)
    voices = tuple(
        Voice(
            part.role,
            artist.instruments[key],
            artist.levels_db[key],
            _WRITERS[part.role](part, artist, chords, tonic, clock, rng),
        )
        for key, part in _arrangement(artist, rng)
    )
    return Score(tempo, chords, voices, _drums(artist, n_bars, clock, rng))


def _harmony(style: str, n_bars: int, rng: np.random.Generator) -> tuple[Chord, ...]:
    """A chord progression from its start or its middle, repeated to the end."""
    symbols = str(rng.choice(STYLES[style].progressions)).split()
    entry = int(rng.integers(2)) * (len(symbols) // 2)
    return tuple(parse_chord(symbols[(entry + bar) % len(symbols)]) for bar in range(n_bars))


def _arrangement(artist: Artist, rng: np.random.Generator) -> list[tuple[tuple[str, int], Part]]:
    """The parts of a track: most are those of the style, some those of the influence."""
    parts = []
    for i, part in enumerate(STYLES[artist.style].parts):
        is_present, is_borrowed = rng.random() < part.presence, rng.random() < _BORROW
        others = [
            ((artist.influence, j), other)
            for j, other in enumerate(STYLES[artist.influence].parts)
            if other.role == part.role
        ]
        use_other = is_borrowed and bool(others)
        if is_present:
            parts.append(others[0] if use_other else ((artist.style, i), part))
    return parts


def _drums(
    artist: Artist, n_bars: int, clock: _Clock, rng: np.random.Generator
) -> tuple[tuple[str, float, float], ...]:
    source = artist.influence if rng.random() < _BORROW else artist.style
    kit_parts = STYLES[source].drums[int(rng.integers(len(STYLES[source].drums)))]
    fills = STYLES[source].fills and bool(kit_parts)
    hits = []
    for bar in range(n_bars):
        is_fill = fills and bar % 4 == 3
        pattern = dict(kit_parts)
        if is_fill:
            pattern = {drum: steps[:12] for drum, steps in pattern.items()}
            pattern["tom"] = "............xxxx" if rng.random() < 0.5 else "..........x.x.x."
        if fills and bar % 4 == 0 and rng.random() < 0.6:
            pattern["crash"] = "x..............."
        for drum, steps in pattern.items():
            for step, character in enumerate(steps):
                if character != ".":
                    velocity = _STROKES[character] * float(rng.uniform(0.85, 1.0))
                    hits.append((drum, clock.played_seconds(bar * STEPS + step, rng), velocity))
    return tuple(hits)


def _near(pitch: int, register: int) -> int:
    """The pitch, moved by octaves to be as near as possible to the register."""
    return pitch + 12 * round((register - pitch) / 12)


def _make_note(
    bar: int, step: int, steps: int, midi: int, clock: _Clock, rng: np.random.Generator
) -> Note:
    start = bar * STEPS + step
    seconds = (clock.seconds(start + steps) - clock.seconds(start)) * 0.92
    accent = 1.0 if step % 8 == 0 else 0.88
    return Note(
        clock.played_seconds(start, rng), seconds, midi, accent * float(rng.uniform(0.8, 1.0))
    )


def _write_bass(
    part: Part,
    artist: Artist,
    chords: tuple[Chord, ...],
    tonic: int,
    clock: _Clock,
    rng: np.random.Generator,
) -> tuple[Note, ...]:
    pattern = str(rng.choice(part.patterns))
    register = part.register + min(artist.register, 2)
    notes = []
    for bar, chord in enumerate(chords):
        root = _near(tonic + chord.root, register)
        third = next((i for i in chord.intervals if i in (3, 4)), 7)
        above = {"R": 0, "3": third, "5": 7, "6": 9, "7": 10, "8": 12}
        following = _near(tonic + chords[(bar + 1) % len(chords)].root, register)
        for step, steps, character in parse_steps(pattern):
            midi = following - 1 if character == "a" else root + above[character]
            notes.append(_make_note(bar, step, steps, midi, clock, rng))
    return tuple(notes)


def _write_chords(
    part: Part,
    artist: Artist,
    chords: tuple[Chord, ...],
    tonic: int,
    clock: _Clock,
    rng: np.random.Generator,
) -> tuple[Note, ...]:
    pattern = str(rng.choice(part.patterns))
    register = part.register + artist.register
    notes = []
    for bar, chord in enumerate(chords):
        if 12 in chord.intervals:  # a power chord is not inverted
            root = _near(tonic + chord.root, register)
            pitches = [root + i for i in chord.intervals]
        else:
            pitches = sorted(_near(tonic + chord.root + i, register) for i in chord.intervals)
        for step, steps, character in parse_steps(pattern):
            sounding = pitches if character == "x" else [pitches[int(character) % len(pitches)]]
            notes += [_make_note(bar, step, steps, midi, clock, rng) for midi in sounding]
    return tuple(notes)


def _write_lead(
    part: Part,
    artist: Artist,
    chords: tuple[Chord, ...],
    tonic: int,
    clock: _Clock,
    rng: np.random.Generator,
) -> tuple[Note, ...]:
    """A motif of two bars that repeats rhythm and contour; accents are chord tones."""
    rhythms = [parse_steps(str(rng.choice(part.patterns))) for _ in range(2)]
    contour = [rng.choice((-2, -1, -1, 0, 1, 1, 2), size=len(r)) for r in rhythms]
    register = part.register + artist.register
    scale = _lead_scale(STYLES[artist.style].scale, chords)
    ladder = [p for p in range(register - 10, register + 11) if (p - tonic) % 12 in scale]
    place = len(ladder) // 2
    notes = []
    for bar, chord in enumerate(chords):
        if bar % 4 == 3 and rng.random() < 0.3:
            continue  # a rest
        for (step, steps, _), move in zip(rhythms[bar % 2], contour[bar % 2], strict=True):
            place = int(np.clip(place + move, 0, len(ladder) - 1))
            if step % 8 == 0:
                place = _nearest_chord_tone(ladder, place, tonic, chord)
            notes.append(_make_note(bar, step, steps, ladder[place], clock, rng))
        if rng.random() < 0.25:
            place = len(ladder) // 2
    return tuple(notes)


def _lead_scale(name: str, chords: tuple[Chord, ...]) -> tuple[int, ...]:
    """The scale of the style, adapted to the mode of the tonic chord to avoid dissonance."""
    is_minor = any(c.root == 0 and 3 in c.intervals for c in chords)
    is_major = any(c.root == 0 and 4 in c.intervals for c in chords)
    if is_minor:
        name = {"major": "minor", "major pentatonic": "minor pentatonic"}.get(name, name)
    elif is_major:
        name = {"minor": "major", "dorian": "major", "minor pentatonic": "blues"}.get(name, name)
    return SCALES[name]


def _nearest_chord_tone(ladder: list[int], place: int, tonic: int, chord: Chord) -> int:
    tones = {(tonic + chord.root + i) % 12 for i in chord.intervals}
    candidates = [i for i, pitch in enumerate(ladder) if pitch % 12 in tones]
    return min(candidates, key=lambda i: abs(i - place), default=place)


_WRITERS = {"bass": _write_bass, "chords": _write_chords, "lead": _write_lead}
