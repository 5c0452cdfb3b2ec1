import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from melgraph.ml.metrics.reconstruction import (
    log_spectral_distance_db,
    si_sdr_db,
    spectral_convergence_db,
)

FIGURES = [spectral_convergence_db, log_spectral_distance_db, si_sdr_db]
AMPLITUDES = arrays(np.float32, (3, 5), elements=st.floats(0.125, 100, width=32))


def test_known_values():
    reference = np.array([[3.0, 4.0]])
    assert spectral_convergence_db(reference, np.array([[3.0, 4.5]])) == pytest.approx(-20.0)
    assert spectral_convergence_db(reference, 0 * reference) == pytest.approx(0.0)
    # the levels of a frame are off by 20 and 0 dB: sqrt(200); those of the other by 0
    reference = np.array([[1.0, 1.0], [1.0, 1.0]])
    estimate = np.array([[10.0, 1.0], [1.0, 1.0]])
    assert log_spectral_distance_db(reference, estimate) == pytest.approx(np.sqrt(200.0) / 2)
    # the estimate is the reference and as much of something orthogonal: 0 dB
    assert si_sdr_db(np.array([1.0, 0.0]), np.array([2.0, 2.0])) == pytest.approx(0.0)
    assert si_sdr_db(np.array([1.0, 0.0]), np.array([-5.0, 0.5])) == pytest.approx(20.0)


def test_levels_below_the_range_do_not_count():
    reference, estimate = np.array([[1.0, 1e-6]]), np.array([[1.0, 1e-5]])
    assert log_spectral_distance_db(reference, estimate) == 0.0
    distance = log_spectral_distance_db(reference, estimate, range_db=120.0)
    assert distance == pytest.approx(20.0 / np.sqrt(2.0))


@given(AMPLITUDES, st.floats(0.25, 4))
def test_equal_arrays_and_scaled_ones(amplitude, factor):
    assert spectral_convergence_db(amplitude, amplitude) == float("-inf")
    assert log_spectral_distance_db(amplitude, amplitude) == 0.0
    scaled = amplitude.astype(np.float64) * factor
    assert si_sdr_db(amplitude, scaled) > 200
    change = abs(20 * np.log10(factor))
    assert log_spectral_distance_db(amplitude, scaled) == pytest.approx(change, abs=1e-6)
    if factor != 1.0:
        convergence = 20 * np.log10(abs(factor - 1))
        assert spectral_convergence_db(amplitude, scaled) == pytest.approx(convergence, abs=1e-6)


def test_silence():
    silence, sound = np.zeros((2, 3)), np.ones((2, 3))
    assert spectral_convergence_db(silence, silence) == float("-inf")
    assert spectral_convergence_db(silence, sound) == float("inf")
    assert log_spectral_distance_db(silence, silence) == 0.0
    assert log_spectral_distance_db(silence, sound) == float("inf")
    assert si_sdr_db(silence, silence) == float("inf")
    assert si_sdr_db(silence, sound) == float("-inf")
    assert si_sdr_db(sound, silence) == float("-inf")


@pytest.mark.parametrize("figure", FIGURES)
def test_other_shapes_are_refused(figure):
    with pytest.raises(ValueError, match="shapes differ"):
        figure(np.zeros((2, 3)), np.zeros((3, 2)))
