import json
from dataclasses import asdict

import numpy as np
import pytest
import torch

from melgraph.ml.generation.resynthesis import snr_db
from melgraph.ml.spectral import StftStream, stft
from melgraph.ml.spectral.framing import TILE
from melgraph.ml.spectral.stft_values import StftTransform, amplitude_and_phase, waveform_from_stft

TRANSFORM = StftTransform()


def music(samples: int, *, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    t = np.arange(samples) / TRANSFORM.sample_rate
    notes = sum(np.sin(2 * np.pi * f * t) / i for i, f in enumerate((220, 440, 659, 880), 1))
    return (0.2 * notes * np.exp(-(t % 0.5)) + 0.01 * rng.standard_normal(samples)).astype(
        np.float32
    )


def values(mono: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    spectrum = stft(mono, n_fft=TRANSFORM.n_fft, hop=TRANSFORM.hop)
    return amplitude_and_phase(spectrum, TRANSFORM)


def test_ten_seconds_are_862_frames_of_1025_bins():
    amplitude, phase = values(music(441000))
    assert amplitude.shape == phase.shape == (862, 1025)
    assert amplitude.dtype == phase.dtype == np.float16


@pytest.mark.parametrize("samples", [1, 1024, 1025, 5000, 100_000])
def test_there_and_back(samples):
    mono = music(samples)
    back = waveform_from_stft(*values(mono), TRANSFORM, length=samples)
    assert back.dtype == np.float32
    assert snr_db(mono, back) > 50.0


def test_the_reference_is_the_one_the_attributes_state():
    """A sine of full scale in the middle of a bin has n_fft / 4."""
    hertz = 100 * TRANSFORM.sample_rate / TRANSFORM.n_fft
    sine = np.sin(2 * np.pi * hertz * np.arange(44100) / TRANSFORM.sample_rate)
    amplitude, _ = values(sine.astype(np.float32))
    assert amplitude[20].argmax() == 100
    assert float(amplitude[20].max()) == pytest.approx(20 * np.log10(2048 / 4), abs=0.02)
    assert "n_fft / 4" in TRANSFORM.attributes()["amplitude_unit"]


def test_silence_is_the_floor_and_comes_back_as_silence():
    amplitude, phase = values(np.zeros(10_000, np.float32))
    assert (amplitude == -100.0).all()
    assert not waveform_from_stft(amplitude, phase, TRANSFORM, length=10_000).any()


def test_blocks_give_the_bits_of_the_whole():
    mono = music(2 * TILE * 512 + 3000)
    stream = StftStream(TRANSFORM.n_fft, TRANSFORM.hop)
    blocks = [*(stream.push(part) for part in np.array_split(mono, 7)), stream.finish()]
    amplitudes, phases = zip(*(amplitude_and_phase(b, TRANSFORM) for b in blocks), strict=True)
    amplitude, phase = values(mono)
    np.testing.assert_array_equal(np.concatenate(amplitudes), amplitude)
    np.testing.assert_array_equal(np.concatenate(phases), phase)


def test_phases_are_within_a_turn():
    _, phase = values(music(50_000))
    assert np.abs(phase.astype(np.float64)).max() <= np.pi


def test_the_attributes_bring_it_back():
    transform = StftTransform(sample_rate=22050, hop=256, floor_db=-80.0)
    stored = json.loads(json.dumps(transform.attributes()))
    assert StftTransform(**{name: stored[name] for name in asdict(transform)}) == transform


def test_shapes_that_do_not_belong_together_are_refused():
    amplitude, phase = values(music(5000))
    with pytest.raises(ValueError, match=r"\(10, 1025\) and phase \(9, 1025\)"):
        waveform_from_stft(amplitude[:10], phase[:9], TRANSFORM, length=5000)
    with pytest.raises(ValueError, match=r"\[frame, 513\]"):
        waveform_from_stft(amplitude, phase, StftTransform(n_fft=1024), length=5000)


def test_the_input_spectrum_is_not_changed():
    spectrum = stft(music(5000), n_fft=2048, hop=512)
    before = spectrum.clone()
    amplitude_and_phase(spectrum, TRANSFORM)
    assert torch.equal(spectrum, before)
