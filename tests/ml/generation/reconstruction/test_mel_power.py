import numpy as np
import pytest

from melgraph.ml.generation.reconstruction.mel_power import bin_power
from melgraph.ml.spectral import MelTransform, mel_filterbank

TRANSFORM = MelTransform()
FILTERS = mel_filterbank(TRANSFORM).numpy()  # [mel, bin]


def spectra(frames: int = 600) -> np.ndarray:
    """Power of peaks at many levels, over more than one block of frames."""
    generator = np.random.default_rng(0)
    return np.exp(generator.normal(0.0, 3.0, (frames, 1025))).astype(np.float32)


@pytest.mark.parametrize(
    ("inverse", "limit_db"), [("multiplicative", 1.0), ("pseudo-inverse", 8.0)]
)
def test_the_spectrum_has_the_bands_that_were_given(inverse, limit_db):
    bands = spectra() @ FILTERS.T
    power = bin_power(bands, TRANSFORM, inverse=inverse)
    assert power.shape == (600, 1025)
    assert power.dtype == np.float32
    assert power.min() >= 0.0
    difference = 10 * np.log10(np.maximum(power @ FILTERS.T, 1e-20) / bands)
    assert np.sqrt(np.mean(difference**2)) < limit_db


def test_silence_and_a_single_band():
    bands = np.zeros((2, 128), np.float32)
    bands[1, 60] = 1.0
    power = bin_power(bands, TRANSFORM)
    assert not power[0].any()
    loud = power[1] > 1e-3 * power[1].max()
    assert loud.any()
    assert (FILTERS[60][loud] > 0).all()  # only bins of this band


def test_more_updates_fit_the_bands_better():
    bands = spectra(20) @ FILTERS.T
    errors = [
        np.abs(np.log(bin_power(bands, TRANSFORM, updates=n) @ FILTERS.T / bands)).mean()
        for n in (0, 4, 32)
    ]
    assert errors == sorted(errors, reverse=True)
