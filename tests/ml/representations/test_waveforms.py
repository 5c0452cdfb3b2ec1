import json
from dataclasses import asdict

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from melgraph.ml.representations.waveforms import WaveformTransform, dequantise, quantise


@given(st.lists(st.integers(-32768, 32767)))
def test_sixteen_bit_audio_is_lossless(values):
    samples = np.array(values, dtype=np.int16)
    quantised, clipped = quantise(dequantise(samples))
    assert clipped == 0
    assert quantised.dtype == np.int16
    np.testing.assert_array_equal(quantised, samples)


@given(st.lists(st.floats(-1, 32767 / 32768, width=32)))
def test_within_full_scale_it_is_off_by_half_a_step_at_most(values):
    mono = np.array(values, dtype=np.float32)
    quantised, clipped = quantise(mono)
    assert clipped == 0
    assert dequantise(quantised).dtype == np.float32
    np.testing.assert_allclose(dequantise(quantised), mono, atol=0.5 / 32768)


def test_overshoots_are_clipped_and_counted():
    quantised, clipped = quantise(np.array([-8.0, -1.0, 0.0, 0.9999, 1.0, 1.5], dtype=np.float32))
    assert quantised.tolist() == [-32768, -32768, 0, 32765, 32767, 32767]
    assert clipped == 3


def test_the_attributes_bring_it_back():
    transform = WaveformTransform(sample_rate=8000)
    stored = json.loads(json.dumps(transform.attributes()))
    assert WaveformTransform(**{name: stored[name] for name in asdict(transform)}) == transform
