"""Rendering: from a score to the finished recording."""

from collections import defaultdict

import numpy as np
from scipy.fft import irfft, next_fast_len, rfft
from scipy.ndimage import maximum_filter1d, minimum_filter1d, uniform_filter1d
from scipy.signal import fftconvolve

from melgraph.ml.sample_library.artists import Artist, draw_artist, track_rng
from melgraph.ml.sample_library.composition import Score, Voice, compose
from melgraph.ml.sample_library.drums import DRUM_LEVELS_DB, play_drum
from melgraph.ml.sample_library.synthesis import low_pass, midi_to_hz, play_note

_CEILING = 0.9  # largest absolute value of a sample
_FADE_S = 0.02  # fade at both ends, to avoid clicks


def render_track(
    style: str,
    artist: int,
    track: int,
    *,
    seed: int,
    duration_s: float,
    sample_rate: int = 22050,
) -> np.ndarray:
    """Renders one track of the sample library. The same arguments give the same samples.

    Args:
        style: one of the ten names in `STYLES`.
        artist: number of the artist within the style, 0, 1, ...
        track: number of the track of that artist, 0, 1, ...
        seed: of the library, not negative.
        duration_s: length, seconds.
        sample_rate: Hz.

    Returns:
        float32 `[sample, channel]`, `round(duration_s * sample_rate)` samples; one or two
        channels (a property of the artist; artist 0 is always stereo), peak at most 0.9.

    Raises:
        KeyError: the style is unknown.
    """
    performer = draw_artist(style, artist, seed=seed)
    rng = track_rng(style, artist, track, seed=seed)
    score = compose(performer, duration_s=duration_s, rng=rng)
    length = round(duration_s * sample_rate)
    dry = _mix(score, performer, length, sample_rate, rng)
    wet = _reverberate(dry, performer, sample_rate, rng)
    return _master(wet, performer, sample_rate, rng)


def _gain(level_db: float) -> float:
    return float(10.0 ** (level_db / 20.0))


def _mix(
    score: Score, artist: Artist, length: int, rate: int, rng: np.random.Generator
) -> np.ndarray:
    """The mix of all parts: float64 `[sample, channel]`."""
    n_channels = 2 if artist.stereo else 1
    mix = np.zeros((length, n_channels))
    for voice in score.voices:
        pan = 0.0 if voice.role == "bass" else float(rng.uniform(-0.6, 0.6))
        stem = _play(voice, length, rate)
        mix += _gain(voice.level_db) * stem[:, None] * _pan(pan, n_channels)
    for drum, stem in _play_drums(score, artist, length, rate, rng).items():
        pan = {"hat": 0.3, "open": 0.3, "ride": -0.4, "tom": 0.2}.get(drum, 0.0)
        mix += _gain(artist.drums_db) * stem[:, None] * _pan(pan, n_channels)
    return mix


def _pan(position: float, n_channels: int) -> np.ndarray:
    """Gains of each channel with constant power; position -1 is left, 1 is right."""
    if n_channels == 1:
        return np.ones(1)
    angle = (position + 1.0) * np.pi / 4.0
    return np.sqrt(2.0) * np.array([np.cos(angle), np.sin(angle)])


def _play(voice: Voice, length: int, rate: int) -> np.ndarray:
    """One part: float64 `[sample]`, about -17 dBFS while it sounds."""
    stem = np.zeros(length)
    instrument = voice.instrument
    notes: dict[tuple[int, int], np.ndarray] = {}
    previous, delay = -1.0, 0.0
    for note in voice.notes:
        delay = delay + instrument.strum if note.start - previous < 0.03 else 0.0
        previous = note.start
        key = (note.midi, round(note.seconds * 100))
        if key not in notes:
            notes[key] = play_note(instrument, midi_to_hz(note.midi), key[1] / 100, rate)
        _add(stem, notes[key], note.start + delay, note.velocity, rate)
    if instrument.drive:
        stem = np.tanh(instrument.drive * stem) / np.tanh(instrument.drive)
    if instrument.cabinet:
        stem = low_pass(stem, instrument.cabinet, rate)
    sounding = stem[np.abs(stem) > 1e-3]
    return stem * (_gain(-17.0) / max(np.sqrt(np.mean(sounding**2)), 1e-6) if len(sounding) else 1)


def _play_drums(
    score: Score, artist: Artist, length: int, rate: int, rng: np.random.Generator
) -> dict[str, np.ndarray]:
    """The stem of each drum. Three slightly different hits of a drum alternate."""
    stems: dict[str, np.ndarray] = defaultdict(lambda: np.zeros(length))
    strokes = {
        drum: [play_drum(drum, artist.kit, rate, rng=rng) for _ in range(3)]
        for drum in sorted({hit[0] for hit in score.hits})
    }
    for i, (drum, start, velocity) in enumerate(score.hits):
        level = 0.45 * velocity * _gain(DRUM_LEVELS_DB[drum])
        _add(stems[drum], strokes[drum][i % 3], start, level, rate)
    return stems


def _add(stem: np.ndarray, sound: np.ndarray, start: float, level: float, rate: int) -> None:
    first = round(start * rate)
    n_left = max(0, len(stem) - first)
    stem[first : first + len(sound)] += level * sound[:n_left]


def _reverberate(
    dry: np.ndarray, artist: Artist, rate: int, rng: np.random.Generator
) -> np.ndarray:
    """The mix with reverberation: convolution with decaying noise, drawn for each channel."""
    t = np.arange(round(artist.reverb_s * rate)) / rate
    room = (
        rng.standard_normal((len(t), dry.shape[1])) * 10.0 ** (-3.0 * t / artist.reverb_s)[:, None]
    )
    room = low_pass(room, 5000.0, rate)
    room /= np.sqrt(np.sum(room**2, axis=0))
    wet = fftconvolve(dry, room, axes=0)[: len(dry)]
    return dry + artist.reverb_mix * wet


def _master(mix: np.ndarray, artist: Artist, rate: int, rng: np.random.Generator) -> np.ndarray:
    """Equalizes, sets the loudness, adds the noise of the recording, and limits the peaks."""
    sound = _equalize(mix, artist, rate)
    sound *= _gain(artist.loudness) / max(np.sqrt(np.mean(sound**2)), 1e-9)
    sound += _gain(artist.noise_db) * rng.standard_normal(sound.shape)
    sound = _limit(sound, rate)
    fade = round(min(_FADE_S * rate, len(sound) / 2))
    ramp = np.linspace(0.0, 1.0, fade, endpoint=False)[:, None]
    sound[:fade] *= ramp
    sound[len(sound) - fade :] *= ramp[::-1]
    return sound.astype(np.float32)


def _equalize(sound: np.ndarray, artist: Artist, rate: int) -> np.ndarray:
    """Applies a tilt, four bell filters and both ends of the band as one zero-phase filter."""
    n = next_fast_len(len(sound) + rate // 4, real=True)
    hz = np.fft.rfftfreq(n, 1.0 / rate)
    octaves = np.log2(np.maximum(hz, 20.0) / 1000.0)
    curve_db = artist.tilt * octaves
    for centre, level_db, width in artist.equalizer:
        curve_db += level_db * np.exp(-0.5 * ((octaves - np.log2(centre / 1000.0)) / width) ** 2)
    curve = 10.0 ** (curve_db / 20.0) / np.sqrt(1.0 + (hz / artist.bandwidth) ** 8)
    curve *= hz**2 / (hz**2 + 30.0**2)  # no DC
    return irfft(rfft(sound, n, axis=0) * curve[:, None], n, axis=0)[: len(sound)]


def _limit(sound: np.ndarray, rate: int) -> np.ndarray:
    """A limiter with look-ahead: the gain is smooth, and no sample exceeds `_CEILING`."""
    window = 2 * round(0.004 * rate) + 1
    peak = maximum_filter1d(np.abs(sound).max(axis=1), window)
    needed = np.minimum(1.0, _CEILING / np.maximum(peak, 1e-9))
    # All gains in the averaged window are at most what its centre needs, and so is their mean.
    gain = uniform_filter1d(minimum_filter1d(needed, window), window)
    return sound * np.minimum(gain, needed)[:, None]
