"""Drum sounds: swept sines and filtered noise."""

from collections.abc import Callable
from dataclasses import dataclass, fields

import numpy as np

from melgraph.ml.sample_library.synthesis import high_pass, low_pass


@dataclass(frozen=True)
class DrumKit:
    """The parameters of one kit. Decays are time constants in seconds, pitches in Hz."""

    kick_hz: float = 52.0
    kick_decay: float = 0.12
    kick_click: float = 0.3  # beater noise relative to the tone
    snare_hz: float = 185.0
    snare_decay: float = 0.09
    snare_noise: float = 0.8  # wires relative to the shell
    snare_top: float = 6500.0  # low-pass of the wires
    hat_hz: float = 6500.0  # high-pass of hats, shaker and cymbals
    hat_decay: float = 0.03
    cymbal_decay: float = 0.5


KITS: dict[str, DrumKit] = {
    "acoustic": DrumKit(),
    "brushes": DrumKit(48.0, 0.1, 0.1, 170.0, 0.12, 1.6, 4500.0, 5000.0, 0.035, 0.35),
    "tight": DrumKit(58.0, 0.08, 0.4, 200.0, 0.06, 0.7, 7000.0, 7500.0, 0.022, 0.4),
    "machine": DrumKit(46.0, 0.22, 0.15, 190.0, 0.11, 0.9, 8500.0, 7800.0, 0.02, 0.3),
    "dusty": DrumKit(55.0, 0.11, 0.35, 180.0, 0.08, 1.0, 4200.0, 4800.0, 0.03, 0.3),
    "heavy": DrumKit(60.0, 0.07, 1.0, 175.0, 0.13, 1.1, 8000.0, 6000.0, 0.035, 0.8),
}


def vary_kit(kit: DrumKit, *, rng: np.random.Generator) -> DrumKit:
    """A variation of a kit: every parameter is changed by about a sixth."""
    factor = 2.0 ** (0.22 * rng.standard_normal(len(fields(kit))))
    values = {
        field.name: float(getattr(kit, field.name) * f)
        for field, f in zip(fields(kit), factor, strict=True)
    }
    return DrumKit(**values)


def play_drum(name: str, kit: DrumKit, rate: int, *, rng: np.random.Generator) -> np.ndarray:
    """One hit at full velocity: float64 `[sample]`, peak 1."""
    stroke = _DRUMS[name](kit, rate, rng)
    return stroke / max(np.abs(stroke).max(), 1e-9)


def _time(seconds: float, rate: int) -> np.ndarray:
    return np.arange(round(seconds * rate)) / rate


def _kick(kit: DrumKit, rate: int, rng: np.random.Generator) -> np.ndarray:
    t = _time(5 * kit.kick_decay, rate)
    # the pitch falls from five times its rest value within some 20 ms
    cycles = kit.kick_hz * (t + 4.0 * 0.02 * (1.0 - np.exp(-t / 0.02)))
    tone = np.sin(2 * np.pi * cycles) * np.exp(-t / kit.kick_decay)
    click = high_pass(rng.standard_normal(len(t)), 1500.0, rate) * np.exp(-t / 0.004)
    return tone + kit.kick_click * click


def _snare(kit: DrumKit, rate: int, rng: np.random.Generator) -> np.ndarray:
    t = _time(6 * kit.snare_decay, rate)
    shell = np.sin(2 * np.pi * kit.snare_hz * t) + 0.5 * np.sin(2 * np.pi * 1.59 * kit.snare_hz * t)
    wires = low_pass(high_pass(rng.standard_normal(len(t)), 900.0, rate), kit.snare_top, rate)
    return shell * np.exp(-t / (0.5 * kit.snare_decay)) + kit.snare_noise * wires * np.exp(
        -t / kit.snare_decay
    )


def _rim(kit: DrumKit, rate: int, rng: np.random.Generator) -> np.ndarray:
    t = _time(0.08, rate)
    body = np.sin(2 * np.pi * 4.2 * kit.snare_hz * t) + 0.6 * np.sin(
        2 * np.pi * 9.1 * kit.snare_hz * t
    )
    return (body + 0.3 * rng.standard_normal(len(t))) * np.exp(-t / 0.012)


def _clap(kit: DrumKit, rate: int, rng: np.random.Generator) -> np.ndarray:
    t = _time(0.3, rate)
    noise = low_pass(high_pass(rng.standard_normal(len(t)), 800.0, rate), kit.snare_top, rate)
    hands = sum(np.exp(-np.abs(t - d) / 0.004) for d in (0.0, 0.011, 0.023))
    return noise * (hands + 0.8 * np.exp(-t / (0.7 * kit.snare_decay)) * (t > 0.023))


def _metal(kit: DrumKit, rate: int, rng: np.random.Generator, decay: float) -> np.ndarray:
    """Hats and cymbals: noise and six inharmonic square waves, high-passed."""
    t = _time(6 * decay, rate)
    ring = sum(np.sign(np.sin(2 * np.pi * f * t)) for f in (2053, 3037, 3697, 4451, 5227, 6367))
    source = rng.standard_normal(len(t)) + 0.25 * ring
    cut = min(kit.hat_hz, 0.36 * rate)
    return high_pass(source, cut, rate) * np.exp(-t / decay) * np.minimum(1.0, t / 0.001)


def _hat(kit: DrumKit, rate: int, rng: np.random.Generator) -> np.ndarray:
    return _metal(kit, rate, rng, kit.hat_decay)


def _open_hat(kit: DrumKit, rate: int, rng: np.random.Generator) -> np.ndarray:
    return _metal(kit, rate, rng, 5.0 * kit.hat_decay)


def _ride(kit: DrumKit, rate: int, rng: np.random.Generator) -> np.ndarray:
    wash = _metal(kit, rate, rng, 0.5 * kit.cymbal_decay)
    t = np.arange(len(wash)) / rate
    bell = np.sin(2 * np.pi * 3300.0 * t) * np.exp(-t / 0.08)
    return wash / max(np.abs(wash).max(), 1e-9) + 0.3 * bell


def _crash(kit: DrumKit, rate: int, rng: np.random.Generator) -> np.ndarray:
    t = _time(4 * kit.cymbal_decay, rate)
    return high_pass(rng.standard_normal(len(t)), 0.5 * kit.hat_hz, rate) * np.exp(
        -t / kit.cymbal_decay
    )


def _tom(kit: DrumKit, rate: int, rng: np.random.Generator) -> np.ndarray:
    t = _time(0.5, rate)
    cycles = 2.0 * kit.kick_hz * (t + 0.02 * (1.0 - np.exp(-t / 0.04)))
    return np.sin(2 * np.pi * cycles) * np.exp(-t / 0.14) + 0.1 * rng.standard_normal(
        len(t)
    ) * np.exp(-t / 0.01)


def _shaker(kit: DrumKit, rate: int, rng: np.random.Generator) -> np.ndarray:
    t = _time(0.14, rate)
    swell = np.minimum(1.0, t / 0.02) * np.exp(-t / 0.035)
    return high_pass(rng.standard_normal(len(t)), 0.8 * kit.hat_hz, rate) * swell


_DRUMS: dict[str, Callable[[DrumKit, int, np.random.Generator], np.ndarray]] = {
    "kick": _kick,
    "snare": _snare,
    "rim": _rim,
    "clap": _clap,
    "hat": _hat,
    "open": _open_hat,
    "ride": _ride,
    "crash": _crash,
    "tom": _tom,
    "shaker": _shaker,
}

DRUM_LEVELS_DB: dict[str, float] = {
    "kick": 0.0,
    "snare": -2.0,
    "rim": -7.0,
    "clap": -5.0,
    "hat": -13.0,
    "open": -13.0,
    "ride": -13.0,
    "crash": -11.0,
    "tom": -4.0,
    "shaker": -16.0,
}
