"""Synthesis of single notes: additive, subtractive, FM and plucked strings."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from scipy.signal import butter, sosfilt

_TABLE = 2048  # samples in one period of a wavetable


@dataclass(frozen=True)
class Instrument:
    """The parameters of one instrument. Times are in seconds, frequencies in Hz.

    `method` chooses the synthesis. Fields of the other methods are then unused.
    """

    method: str  # "additive", "subtractive", "fm" or "pluck"
    attack: float = 0.005  # linear rise
    decay: float = 1e9  # time constant of the fall towards `sustain`
    sustain: float = 1.0  # level while the note is held, 0..1
    release: float = 0.06  # length of the fall after the note ends
    partials: tuple[float, ...] = (1.0,)  # additive: amplitude of harmonic 1, 2, 3 ...
    cutoff: float = 2000.0  # subtractive: low-pass while the note is held
    sweep: float = 1.0  # subtractive: the filter falls from cutoff * sweep to cutoff
    sweep_time: float = 0.15  # subtractive: time constant of that fall
    odd_only: bool = False  # subtractive: square wave instead of sawtooth
    voices: int = 1  # additive, subtractive: number of copies, slightly detuned
    detune: float = 8.0  # cents between the outermost copies
    ratio: float = 1.0  # FM: modulator frequency / carrier frequency
    index: float = 1.0  # FM: modulation index at the onset
    index_decay: float = 0.4  # FM: time constant of the index
    damping: float = 0.5  # pluck: 0 bright .. 1 dull
    ring: float = 1.5  # pluck: time until -60 dB at 220 Hz
    vibrato: float = 0.0  # cents
    vibrato_hz: float = 5.5
    breath: float = 0.0  # noise, relative to the tone
    drive: float = 0.0  # distortion of the whole part, 0 = none
    cabinet: float = 0.0  # low-pass after the distortion, Hz, 0 = none
    strum: float = 0.0  # delay between the notes of a chord


def low_pass(x: np.ndarray, cutoff: float, rate: int, *, order: int = 2) -> np.ndarray:
    """Butterworth low-pass along axis 0; a cutoff above 0.49 of the rate changes nothing."""
    return x if cutoff >= 0.49 * rate else sosfilt(_filter("low", cutoff, rate, order), x, axis=0)


def high_pass(x: np.ndarray, cutoff: float, rate: int, *, order: int = 2) -> np.ndarray:
    """Butterworth high-pass along axis 0."""
    return sosfilt(_filter("high", min(cutoff, 0.45 * rate), rate, order), x, axis=0)


@lru_cache(maxsize=512)
def _filter(kind: str, cutoff: float, rate: int, order: int) -> np.ndarray:
    return butter(order, cutoff, btype=kind, fs=rate, output="sos")


def midi_to_hz(midi: float) -> float:
    """Equal temperament, A4 = MIDI 69 = 440 Hz."""
    return 440.0 * 2.0 ** ((midi - 69.0) / 12.0)


def play_note(instrument: Instrument, frequency: float, seconds: float, rate: int) -> np.ndarray:
    """One note at full velocity.

    The noise in it (breath, pluck) depends only on the pitch, so that the same note of an
    instrument always gives the same samples.

    Args:
        instrument: the instrument.
        frequency: fundamental, Hz.
        seconds: how long the note is held; the release follows.
        rate: sample rate, Hz.

    Returns:
        float64 `[sample]`, peak about 1, `(seconds + release) * rate` samples.
    """
    n_held = max(1, round(seconds * rate))
    length = n_held + max(1, round(instrument.release * rate))
    rng = np.random.default_rng([5, round(frequency * 100)])
    tone = _METHODS[instrument.method](instrument, frequency, length, rate, rng)
    if instrument.breath:
        noise = rng.standard_normal(length)
        tone = tone + instrument.breath * low_pass(noise, min(6.0 * frequency, 9000.0), rate)
    return tone * _envelope(instrument, n_held, length, rate)


def _envelope(instrument: Instrument, n_held: int, length: int, rate: int) -> np.ndarray:
    t = np.arange(length) / rate
    fall = instrument.sustain + (1.0 - instrument.sustain) * np.exp(-t / instrument.decay)
    rise = np.minimum(1.0, t / max(instrument.attack, 0.001))
    release = np.minimum(1.0, (length - np.arange(length)) / (length - n_held))
    return fall * rise * release**2


def _phase(frequency: float, length: int, rate: int, instrument: Instrument) -> np.ndarray:
    """Phase in periods, with a vibrato that fades in over the first 0.3 s."""
    t = np.arange(length) / rate
    phase = frequency * t
    if instrument.vibrato:
        swing = frequency * (2.0 ** (instrument.vibrato / 1200.0) - 1.0)
        bend = np.minimum(1.0, t / 0.3) * np.sin(2 * np.pi * instrument.vibrato_hz * t)
        phase = phase + np.cumsum(swing * bend) / rate
    return phase


def _periodic(partials: np.ndarray, phase: np.ndarray, *, rng: np.random.Generator) -> np.ndarray:
    """A sum of harmonics, read from a table of one period with linear interpolation."""
    spectrum = np.zeros(_TABLE // 2 + 1, dtype=complex)
    spectrum[1 : len(partials) + 1] = partials * -0.5j * _TABLE
    table = np.fft.irfft(spectrum)
    position = (phase + rng.random()) % 1.0 * _TABLE
    low = position.astype(np.int64)
    fraction = position - low
    low %= _TABLE
    return table[low] * (1.0 - fraction) + table[(low + 1) % _TABLE] * fraction


def _ensemble(
    instrument: Instrument,
    frequency: float,
    length: int,
    rate: int,
    rng: np.random.Generator,
    amplitudes: np.ndarray,
) -> np.ndarray:
    """Copies of one tone, spread over `detune` cents, without harmonics above 0.45 of the rate."""
    partials = amplitudes[: max(1, int(0.45 * rate / frequency))]
    phase = _phase(frequency, length, rate, instrument)
    spread = np.linspace(-0.5, 0.5, instrument.voices) if instrument.voices > 1 else np.zeros(1)
    copies = (
        _periodic(partials, phase * 2.0 ** (s * instrument.detune / 1200.0), rng=rng)
        for s in spread
    )
    total = sum(copies, start=np.zeros(length))
    return total / (np.sqrt(instrument.voices) * max(np.sqrt(np.sum(partials**2)), 1e-9) * 1.5)


def _additive(
    instrument: Instrument, frequency: float, length: int, rate: int, rng: np.random.Generator
) -> np.ndarray:
    partials = np.asarray(instrument.partials)
    bright = _ensemble(instrument, frequency, length, rate, rng, partials)
    if instrument.decay > 1e6:
        return bright
    # Struck and plucked instruments lose high harmonics first: fade to a darker spectrum.
    dull = partials / np.arange(1, len(partials) + 1)
    mellow = _ensemble(instrument, frequency, length, rate, rng, dull)
    fade = np.exp(-np.arange(length) / (0.35 * instrument.decay * rate))
    return bright * fade + mellow * (1.0 - fade)


def _subtractive(
    instrument: Instrument, frequency: float, length: int, rate: int, rng: np.random.Generator
) -> np.ndarray:
    k = np.arange(1, 257)
    saw = np.where(instrument.odd_only & (k % 2 == 0), 0.0, 1.0 / k)
    source = _ensemble(instrument, frequency, length, rate, rng, saw)
    closed = low_pass(source, max(instrument.cutoff, 1.2 * frequency), rate)
    if instrument.sweep <= 1.0:
        return closed
    opened = low_pass(source, max(instrument.cutoff, 1.2 * frequency) * instrument.sweep, rate)
    fade = np.exp(-np.arange(length) / (instrument.sweep_time * rate))
    return opened * fade + closed * (1.0 - fade)


def _fm(
    instrument: Instrument, frequency: float, length: int, rate: int, rng: np.random.Generator
) -> np.ndarray:
    """FM with two operators (Chowning 1973), with an index that falls during the note."""
    phase = 2 * np.pi * _phase(frequency, length, rate, instrument)
    # Carson's rule: sidebands reach f * (1 + ratio * (index + 1)); keep them below 0.45 rate
    room = (0.45 * rate / frequency - 1.0) / instrument.ratio - 1.0
    index = max(0.0, min(instrument.index, room))
    falling = index * np.exp(-np.arange(length) / (instrument.index_decay * rate))
    return 0.8 * np.sin(phase + falling * np.sin(instrument.ratio * phase))


def _pluck(
    instrument: Instrument, frequency: float, length: int, rate: int, rng: np.random.Generator
) -> np.ndarray:
    """Karplus and Strong 1983: a burst of noise in a delay line with an averaging filter.

    The length of the line is a whole number of samples. The string is computed one period at a
    time, and then resampled to the exact pitch.
    """
    period = int(np.ceil(rate / frequency - 0.5))
    burst = low_pass(rng.standard_normal(period), 9000.0 * (1.0 - 0.85 * instrument.damping), rate)
    burst -= burst.mean()
    # Higher strings decay faster. The loss per period gives -60 dB after `ring` seconds at 220 Hz.
    ring = instrument.ring * (220.0 / frequency) ** 0.5
    loss = 10.0 ** (-3.0 / (ring * frequency))
    blend = 0.5 * instrument.damping
    speed = (period + blend) * frequency / rate  # the averaging delays by `blend` samples
    n_periods = int(np.ceil((length * speed + 2) / period))
    string = np.zeros((n_periods, period))
    string[0] = burst
    for i in range(1, n_periods):
        last = string[i - 1]
        string[i, 1:] = loss * ((1.0 - blend) * last[1:] + blend * last[:-1])
        string[i, 0] = loss * ((1.0 - blend) * last[0] + blend * string[i - 2, -1] * (i > 1))
    line = string.ravel()
    tone = np.interp(np.arange(length) * speed, np.arange(len(line)), line)
    return tone / max(np.abs(tone).max(), 1e-9)


_Method = Callable[[Instrument, float, int, int, np.random.Generator], np.ndarray]
_METHODS: dict[str, _Method] = {
    "additive": _additive,
    "subtractive": _subtractive,
    "fm": _fm,
    "pluck": _pluck,
}


def vary_instrument(
    instrument: Instrument, *, brightness: float, rng: np.random.Generator
) -> Instrument:
    """A variation of an instrument.

    Args:
        instrument: the instrument to vary.
        brightness: change of the filters, octaves; positive values are brighter.
        rng: source of the random differences.
    """
    factor = 2.0 ** (brightness + 0.3 * rng.standard_normal(7))
    k = np.arange(1, len(instrument.partials) + 1)
    tint = np.exp(0.3 * rng.standard_normal(len(k))) * k ** (0.5 * brightness)
    tint[0] = 1.0
    return replace(
        instrument,
        attack=instrument.attack * 2.0 ** (0.5 * rng.standard_normal()),
        partials=tuple(float(p) for p in np.asarray(instrument.partials) * tint),
        cutoff=instrument.cutoff * factor[0],
        sweep=1.0 + (instrument.sweep - 1.0) * factor[1],
        detune=instrument.detune * factor[2],
        index=instrument.index * factor[3],
        damping=float(np.clip(instrument.damping - 0.15 * brightness, 0.05, 0.95)),
        ring=instrument.ring * factor[4],
        vibrato=instrument.vibrato * factor[5],
        drive=instrument.drive * factor[6],
        cabinet=instrument.cabinet * 2.0 ** (0.5 * brightness),
    )
