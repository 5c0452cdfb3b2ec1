"""The instruments that styles choose from, by name."""

from melgraph.ml.sample_library.synthesis import Instrument

_PIANO = (1.0, 0.6, 0.35, 0.25, 0.18, 0.12, 0.08, 0.06, 0.04, 0.03, 0.02, 0.02)
_ORGAN = (1.0, 0.7, 0.5, 0.5, 0.0, 0.3, 0.0, 0.35)  # drawbars at octaves and fifths
_REED = (1.0, 0.8, 0.9, 0.5, 0.6, 0.35, 0.3, 0.2, 0.2, 0.12, 0.1, 0.08)
_CLARINET = (1.0, 0.05, 0.6, 0.05, 0.35, 0.05, 0.2, 0.04, 0.1, 0.02, 0.06)
_FLUTE = (1.0, 0.35, 0.12, 0.05, 0.02)

INSTRUMENTS: dict[str, Instrument] = {
    # strings that are plucked or picked
    "acoustic guitar": Instrument("pluck", damping=0.3, ring=2.0, release=0.15, strum=0.012),
    "nylon guitar": Instrument("pluck", damping=0.6, ring=1.6, release=0.15, strum=0.015),
    "banjo": Instrument("pluck", damping=0.1, ring=0.8, release=0.1, strum=0.008),
    "harpsichord": Instrument("pluck", damping=0.05, ring=1.8, release=0.1, strum=0.01),
    "clean guitar": Instrument(
        "pluck", damping=0.4, ring=2.2, release=0.1, drive=0.6, cabinet=4500.0, strum=0.008
    ),
    "crunch guitar": Instrument(
        "subtractive", decay=1.2, sustain=0.4, cutoff=2200.0, sweep=1.8, drive=4.0, cabinet=4200.0
    ),
    "distorted guitar": Instrument(
        "subtractive", sustain=0.8, decay=1.5, cutoff=3200.0, sweep=1.5, drive=14.0, cabinet=5200.0
    ),
    "lead guitar": Instrument(
        "subtractive",
        sustain=0.7,
        decay=0.8,
        cutoff=2600.0,
        vibrato=22.0,
        drive=5.0,
        cabinet=4800.0,
    ),
    "steel guitar": Instrument(
        "subtractive", attack=0.04, cutoff=1600.0, vibrato=25.0, vibrato_hz=6.0, release=0.2
    ),
    # keys
    "piano": Instrument("additive", decay=0.9, sustain=0.0, partials=_PIANO, release=0.12),
    "electric piano": Instrument(
        "fm", decay=1.1, sustain=0.0, ratio=1.0, index=1.6, index_decay=0.35, release=0.12
    ),
    "clavinet": Instrument("pluck", damping=0.15, ring=0.9, release=0.04, cabinet=5000.0),
    "organ": Instrument(
        "additive", attack=0.01, partials=_ORGAN, vibrato=8.0, vibrato_hz=6.5, release=0.04
    ),
    "bell": Instrument("fm", decay=0.8, sustain=0.0, ratio=3.5, index=1.8, release=0.3),
    # winds
    "harmonica": Instrument("additive", attack=0.05, partials=_REED, vibrato=18.0, breath=0.06),
    "saxophone": Instrument(
        "additive", attack=0.04, partials=_REED, vibrato=15.0, breath=0.09, release=0.08
    ),
    "clarinet": Instrument("additive", attack=0.04, partials=_CLARINET, vibrato=6.0, breath=0.03),
    "flute": Instrument("additive", attack=0.06, partials=_FLUTE, vibrato=12.0, breath=0.1),
    "brass": Instrument(
        "subtractive", attack=0.04, cutoff=1400.0, sweep=2.0, sweep_time=0.25, voices=2
    ),
    "trumpet": Instrument("subtractive", attack=0.03, cutoff=2400.0, sweep=1.5, vibrato=10.0),
    # bowed strings and synthesizers
    "strings": Instrument(
        "subtractive", attack=0.14, cutoff=2600.0, voices=4, detune=22.0, vibrato=9.0, release=0.25
    ),
    "violin": Instrument("subtractive", attack=0.07, cutoff=3400.0, vibrato=20.0, release=0.12),
    "cello": Instrument("subtractive", attack=0.08, cutoff=900.0, vibrato=12.0, release=0.15),
    "pad": Instrument("subtractive", attack=0.2, cutoff=1300.0, voices=3, detune=18.0, release=0.3),
    "synth lead": Instrument(
        "subtractive", cutoff=3200.0, sweep=1.8, voices=2, detune=14.0, vibrato=8.0
    ),
    "synth pluck": Instrument(
        "subtractive", decay=0.18, sustain=0.1, cutoff=900.0, sweep=5.0, sweep_time=0.08
    ),
    "chip lead": Instrument("subtractive", cutoff=4200.0, odd_only=True, decay=0.5, sustain=0.5),
    # basses
    "upright bass": Instrument("pluck", damping=0.9, ring=0.9, release=0.06),
    "finger bass": Instrument("pluck", damping=0.75, ring=1.6, release=0.05),
    "pick bass": Instrument(
        "pluck", damping=0.45, ring=1.6, release=0.05, drive=1.0, cabinet=3500.0
    ),
    "synth bass": Instrument(
        "subtractive", decay=0.25, sustain=0.6, cutoff=350.0, sweep=4.0, sweep_time=0.1
    ),
    "sub bass": Instrument("additive", decay=0.7, sustain=0.3, partials=(1.0, 0.12, 0.05)),
    "drive bass": Instrument("subtractive", cutoff=900.0, drive=5.0, cabinet=3200.0),
}
