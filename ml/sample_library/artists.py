"""Artists: what one artist's tracks share beyond their style."""

from dataclasses import dataclass

import numpy as np

from melgraph.ml.sample_library.drums import KITS, DrumKit, own_kit
from melgraph.ml.sample_library.grammar import Part, Range
from melgraph.ml.sample_library.instruments import INSTRUMENTS
from melgraph.ml.sample_library.names import album_title, artist_name
from melgraph.ml.sample_library.styles import STYLES
from melgraph.ml.sample_library.synthesis import Instrument, own_version

_ARTIST, _TRACK = 1, 2  # keep the two families of random streams apart


@dataclass(frozen=True)
class Artist:
    """The habits of one artist, drawn once from the seed."""

    style: str
    number: int  # 0, 1, ... within the style
    name: str
    album: str
    influence: str  # a neighbouring style that some of its tracks borrow from
    tempo: float  # beats per minute around which its tracks lie
    swing: float
    looseness: float  # s
    tonic: int  # favourite key, pitch class 0..11
    register: int  # semitones its parts lie above the style's register
    kit: DrumKit
    instruments: dict[tuple[str, int], Instrument]  # (style, number of the part) -> instrument
    levels_db: dict[tuple[str, int], float]  # likewise: its mixing habit
    drums_db: float
    loudness: float  # dBFS RMS
    tilt: float  # dB per octave
    equalizer: tuple[tuple[float, float, float], ...]  # (Hz, dB, width in octaves)
    bandwidth: float  # Hz, the top of its recordings
    noise_db: float  # dBFS RMS of the hiss under its recordings
    reverb_s: float
    reverb_mix: float
    stereo: bool


def style_number(style: str) -> int:
    """The place of `style` among all ten: the same whichever styles a library is limited to."""
    return list(STYLES).index(style)


def track_rng(style: str, artist: int, track: int, *, seed: int) -> np.random.Generator:
    """The random stream of one track."""
    return np.random.default_rng([_TRACK, seed, style_number(style), artist, track])


def draw_artist(style: str, number: int, *, seed: int) -> Artist:
    """Artist `number` of `style`: a pure function of its arguments."""
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
        influence=influence,
        tempo=_within(grammar.tempo, rng),
        swing=_within(grammar.swing, rng),
        looseness=_within(grammar.looseness, rng),
        tonic=int(rng.integers(12)),
        register=int(rng.integers(-4, 5)),
        kit=own_kit(KITS[str(rng.choice(grammar.kits))], rng=rng),
        instruments={(s, i): _instrument(part, brightness, rng) for s, i, part in parts},
        levels_db={(s, i): part.level_db + 2.0 * rng.standard_normal() for s, i, part in parts},
        drums_db=float(1.5 * rng.standard_normal()),
        loudness=_within(grammar.loudness, rng),
        tilt=_within(grammar.tilt, rng),
        equalizer=tuple(
            (float(hz * 2.0 ** rng.normal(0, 0.5)), float(rng.normal(0, 1.5)), 0.7)
            for hz in (120.0, 400.0, 1300.0, 4200.0)
        ),
        bandwidth=float(np.clip(9500.0 * 2.0 ** rng.normal(0, 0.35), 4500.0, 16000.0)),
        noise_db=float(rng.uniform(-78.0, -67.0)),
        reverb_s=_within(grammar.reverb_s, rng),
        reverb_mix=_within(grammar.reverb_mix, rng),
        stereo=bool(rng.random() < 0.6) or number == 0,
    )


def _within(limits: Range, rng: np.random.Generator) -> float:
    return float(rng.uniform(*limits))


def _instrument(part: Part, brightness: float, rng: np.random.Generator) -> Instrument:
    kind = INSTRUMENTS[str(rng.choice(part.instruments))]
    return own_version(kind, brightness=brightness, rng=rng)
