"""Artists: the properties that the tracks of one artist share besides their style."""

from dataclasses import dataclass

import numpy as np

from melgraph.ml.sample_library.drums import KITS, DrumKit, vary_kit
from melgraph.ml.sample_library.grammar import Part, Range
from melgraph.ml.sample_library.instruments import INSTRUMENTS
from melgraph.ml.sample_library.names import album_title, artist_name
from melgraph.ml.sample_library.styles import STYLES
from melgraph.ml.sample_library.synthesis import Instrument, vary_instrument

# These numbers separate the random streams of artists, of tracks and of years. Names have 3.
_ARTIST, _TRACK, _YEAR = 1, 2, 4
_YEARS = (1960, 2025)  # of albums; the second is excluded


@dataclass(frozen=True)
class Artist:
    """The properties of one artist, drawn once from the seed."""

    style: str
    number: int  # 0, 1, ... within the style
    name: str
    album: str
    year: int  # of the album
    influence: str  # a neighbouring style that some of its tracks take parts from
    tempo: float  # mean tempo of its tracks, beats per minute
    swing: float
    looseness: float  # standard deviation of note onsets, s
    tonic: int  # favourite key, pitch class 0..11
    register: int  # of its parts above the register of the style, semitones
    kit: DrumKit
    instruments: dict[tuple[str, int], Instrument]  # (style, number of the part) -> instrument
    levels_db: dict[tuple[str, int], float]  # (style, number of the part) -> level in the mix
    drums_db: float
    loudness: float  # dBFS RMS
    tilt: float  # dB per octave
    equalizer: tuple[tuple[float, float, float], ...]  # (Hz, dB, width in octaves)
    bandwidth: float  # highest frequency of its recordings, Hz
    noise_db: float  # noise of its recordings, dBFS RMS
    reverb_s: float
    reverb_mix: float
    stereo: bool


def style_number(style: str) -> int:
    """The number of a style among all ten. It does not depend on the styles that a library has."""
    return list(STYLES).index(style)


def track_rng(style: str, artist: int, track: int, *, seed: int) -> np.random.Generator:
    """The random generator of one track."""
    return np.random.default_rng([_TRACK, seed, style_number(style), artist, track])


def draw_artist(style: str, number: int, *, seed: int) -> Artist:
    """Artist `number` of a style. The same arguments give the same artist."""
    rng = np.random.default_rng([_ARTIST, seed, style_number(style), number])
    grammar = STYLES[style]
    influence = str(rng.choice(grammar.neighbours))
    brightness = 0.35 * rng.standard_normal()
    parts = [(s, i, part) for s in (style, influence) for i, part in enumerate(STYLES[s].parts)]
    return Artist(
        style=style,
        number=number,
        name=artist_name(style, number, rng=np.random.default_rng([3, seed, style_number(style)])),
        album=album_title(number, rng=rng),
        year=int(
            np.random.default_rng([_YEAR, seed, style_number(style), number]).integers(*_YEARS)
        ),
        influence=influence,
        tempo=_draw_within(grammar.tempo, rng),
        swing=_draw_within(grammar.swing, rng),
        looseness=_draw_within(grammar.looseness, rng),
        tonic=int(rng.integers(12)),
        register=int(rng.integers(-4, 5)),
        kit=vary_kit(KITS[str(rng.choice(grammar.kits))], rng=rng),
        instruments={(s, i): _instrument(part, brightness, rng) for s, i, part in parts},
        levels_db={(s, i): part.level_db + 2.0 * rng.standard_normal() for s, i, part in parts},
        drums_db=float(1.5 * rng.standard_normal()),
        loudness=_draw_within(grammar.loudness, rng),
        tilt=_draw_within(grammar.tilt, rng),
        equalizer=tuple(
            (float(hz * 2.0 ** rng.normal(0, 0.5)), float(rng.normal(0, 1.5)), 0.7)
            for hz in (120.0, 400.0, 1300.0, 4200.0)
        ),
        bandwidth=float(np.clip(9500.0 * 2.0 ** rng.normal(0, 0.35), 4500.0, 16000.0)),
        noise_db=float(rng.uniform(-78.0, -67.0)),
        reverb_s=_draw_within(grammar.reverb_s, rng),
        reverb_mix=_draw_within(grammar.reverb_mix, rng),
        stereo=bool(rng.random() < 0.6) or number == 0,
    )


def _draw_within(limits: Range, rng: np.random.Generator) -> float:
    return float(rng.uniform(*limits))


def _instrument(part: Part, brightness: float, rng: np.random.Generator) -> Instrument:
    kind = INSTRUMENTS[str(rng.choice(part.instruments))]
    return vary_instrument(kind, brightness=brightness, rng=rng)
