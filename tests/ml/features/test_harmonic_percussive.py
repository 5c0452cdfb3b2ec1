import numpy as np
import pytest
import torch

from melgraph.ml.features.harmonic_percussive import HarmonicPercussive
from melgraph.ml.spectral import power_of, spectrum_tiles, stft
from melgraph.ml.spectral.framing import TILE

RATE, HOP = 22050, 512


def of(mono: np.ndarray) -> list[float]:
    parts = HarmonicPercussive()
    for tile in spectrum_tiles(stft(mono, n_fft=2048, hop=HOP)):
        parts.add(tile.numpy(), power_of(tile).sqrt().numpy())
    return parts.finish(len(mono))


def tone_and_clicks(samples: int) -> tuple[np.ndarray, np.ndarray]:
    t = np.arange(samples)
    tone = 0.3 * np.sin(2 * np.pi * 440 / RATE * t)
    clicks = np.where(t % 11025 < 20, 0.9, 0.0)
    return tone.astype(np.float32), clicks.astype(np.float32)


@pytest.mark.parametrize(
    "frames", [5, 14, 16, 60, TILE - 1, TILE, TILE + 1, TILE + 14, TILE + 15, 3 * TILE + 7]
)
def test_is_librosas(frames, librosa):
    """At every length, the ends of tiles included."""
    samples = (frames - 1) * HOP + 3
    mono = sum(tone_and_clicks(samples))
    mono += 0.01 * np.random.default_rng(frames).standard_normal(samples).astype(np.float32)
    moments = of(mono)
    spectrum = stft(mono, n_fft=2048, hop=HOP).numpy()
    expected = []
    for part in librosa.decompose.hpss(spectrum):
        samples_of_part = librosa.istft(part, n_fft=2048, hop_length=HOP, length=samples)
        expected += [samples_of_part.mean(dtype=np.float64), samples_of_part.var(dtype=np.float64)]
    scale = float(np.sqrt(mono.var()))
    np.testing.assert_allclose(moments[0::2], expected[0::2], atol=1e-6 * scale)
    np.testing.assert_allclose(moments[1::2], expected[1::2], rtol=1e-4)


def test_a_steady_tone_is_harmonic_and_a_click_is_percussive():
    tone, clicks = tone_and_clicks(4 * RATE)
    _, harmonic, _, percussive = of(tone)
    assert harmonic > 100 * percussive
    _, harmonic, _, percussive = of(clicks)
    assert percussive > 100 * harmonic


def test_silence_is_neither():
    assert of(np.zeros(RATE, np.float32)) == [0.0, 0.0, 0.0, 0.0]


def test_memory_is_that_of_a_few_tiles():
    parts = HarmonicPercussive()
    tile = torch.randn(TILE, 1025, dtype=torch.complex64)
    for _ in range(5):
        parts.add(tile.numpy(), tile.abs().numpy())
        assert len(parts._pending) == 1
        assert all(len(part._signal) <= 3 for part in parts._sums)
