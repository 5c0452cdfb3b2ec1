"""Styles of electric guitars: metal, rock."""

from melgraph.ml.sample_library.grammar import Part, Style
from melgraph.ml.sample_library.styles.patterns import (
    BACKBEAT,
    BUSY_LEAD,
    EIGHTHS_LEAD,
    HALVES,
    HATS_8,
    SLOW_LEAD,
    WHOLE,
)

_ROCK_DRUMS = (
    {"kick": "X.......X.x.....", "snare": BACKBEAT, "hat": HATS_8},
    {"kick": "X.....x.X.......", "snare": BACKBEAT, "hat": HATS_8},
    {"kick": "X.x.....x.X.....", "snare": BACKBEAT, "ride": HATS_8},
)

GUITARS: dict[str, Style] = {
    "metal": Style(
        tempo=(120, 192),
        swing=(0.0, 0.0),
        swing_sixteenths=False,
        looseness=(0.001, 0.004),
        progressions=("i5 i5 bVI5 bVII5", "i5 bII5 i5 bVII5", "i5 bIII5 bVI5 V5", "i5 i5 i5 bII5"),
        scale="phrygian",
        kits=("heavy", "tight"),
        drums=(
            {"kick": "XxxxXxxxXxxxXxxx", "snare": BACKBEAT, "crash": "x...x...x...x..."},
            {"kick": "X.X.X.X.X.X.X.X.", "snare": ".x.x.x.x.x.x.x.x", "ride": HATS_8},
            {"kick": "X.xxX.xxX.xxX.xx", "snare": BACKBEAT, "open": "x...x...x...x..."},
        ),
        fills=True,
        parts=(
            Part(
                "bass",
                ("drive bass", "pick bass"),
                ("R.RRR.RRR.RRR.RR", "R-R-R-R-R-R-R-R-"),
                33,
                -4,
            ),
            Part(
                "chords",
                ("distorted guitar",),
                ("x.xxx.xxx.xxx.xx", "x---x.x.x---x.x.", "x-xxx-xxx---xx--", HALVES),
                45,
                -3,
            ),
            Part(
                "lead",
                ("lead guitar", "distorted guitar"),
                (*BUSY_LEAD, *SLOW_LEAD),
                70,
                -6,
                0.6,
            ),
        ),
        loudness=(-17, -13),
        tilt=(-1.0, 1.5),
        reverb_s=(0.3, 0.9),
        reverb_mix=(0.02, 0.12),
        neighbours=("rock",),
    ),
    "rock": Style(
        tempo=(102, 156),
        swing=(0.0, 0.1),
        swing_sixteenths=False,
        looseness=(0.003, 0.009),
        progressions=(
            "I5 bVII5 IV5 I5",
            "i5 bVI5 bVII5 i5",
            "I V IV IV",
            "i bVII bVI V",
            "I IV V IV",
        ),
        scale="minor pentatonic",
        kits=("acoustic", "heavy", "tight"),
        drums=_ROCK_DRUMS,
        fills=True,
        parts=(
            Part(
                "bass",
                ("pick bass", "finger bass", "drive bass"),
                ("R-R-R-R-R-R-R-R-", "R-R-..R-R-R-..5-", "R---R-R-5---R-7-"),
                36,
                -3,
            ),
            Part(
                "chords",
                ("crunch guitar", "distorted guitar", "clean guitar"),
                ("x-x-x-x-x-x-x-x-", "x---..x-x---..x-", "x-----x-x-----x-", "x-.xx-.xx-x-x-.x"),
                50,
                -5,
            ),
            Part("chords", ("organ", "piano", "clean guitar"), (WHOLE, HALVES), 60, -11, 0.4),
            Part(
                "lead",
                ("lead guitar", "crunch guitar", "synth lead"),
                (*EIGHTHS_LEAD, *SLOW_LEAD),
                68,
                -5,
                0.75,
            ),
        ),
        loudness=(-18, -13.5),
        tilt=(-1.8, 1.2),
        reverb_s=(0.3, 1.0),
        reverb_mix=(0.03, 0.14),
        neighbours=("metal", "blues", "pop", "country"),
    ),
}
