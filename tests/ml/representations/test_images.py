import json
import math
from dataclasses import asdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from melgraph.ml.representations.images import (
    ImageMapping,
    amplitude_from_image,
    amplitude_image,
    apply_amplitude_edit,
    apply_phase_edit,
    clipped_share,
    phase_from_image,
    phase_image,
)

MAPPING = ImageMapping(size=64)
SHAPE = (110, 129)  # frames, bins


def amplitudes(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-80, 60, SHAPE).astype(np.float16)


def phases(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-math.pi, math.pi, SHAPE).astype(np.float16)


def test_the_default_is_the_image_of_the_source():
    image = amplitude_image(np.zeros((862, 1025), np.float16), ImageMapping())
    assert image.shape == (512, 512)
    assert image.dtype == np.float32


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 99))
def test_images_lie_between_0_and_1(seed):
    for image in (amplitude_image(amplitudes(seed), MAPPING), phase_image(phases(seed), MAPPING)):
        assert image.shape == (64, 64)
        assert 0.0 <= image.min() <= image.max() <= 1.0


@pytest.mark.parametrize(
    ("decibels", "pixel"), [(-100, 0.0), (-50, 0.0), (2.5, 0.5), (55, 1.0), (70, 1.0)]
)
def test_the_stated_mapping(decibels, pixel):
    image = amplitude_image(np.full(SHAPE, decibels, np.float16), MAPPING)
    np.testing.assert_allclose(image, pixel, atol=1e-6)
    back = amplitude_from_image(image, MAPPING, n_frames=SHAPE[0], n_bins=SHAPE[1])
    assert back.shape == SHAPE
    np.testing.assert_allclose(back, np.clip(decibels, -50, 55), atol=1e-4)


def test_phase_there_and_back():
    slow = np.repeat(np.linspace(-3, 3, SHAPE[0])[:, None], SHAPE[1], axis=1)
    back = phase_from_image(phase_image(slow, MAPPING), n_frames=SHAPE[0], n_bins=SHAPE[1])
    np.testing.assert_allclose(back, slow, atol=0.05)


def test_rows_are_bins_and_columns_are_frames():
    amplitude = np.full(SHAPE, -50.0, np.float16)
    amplitude[:, :30] = 55.0  # low bins, all the time
    image = amplitude_image(amplitude, MAPPING)
    np.testing.assert_allclose(image[:10], 1.0, atol=1e-6)
    np.testing.assert_allclose(image[-30:], 0.0, atol=1e-6)


def test_the_clipped_share_is_counted():
    amplitude = np.array([[-60.0, -50.0, 0.0, 56.0]])
    assert clipped_share(amplitude, MAPPING) == (0.25, 0.25)


def test_no_edit_changes_nothing():
    amplitude, phase = amplitudes(), phases()
    image = amplitude_image(amplitude, MAPPING)
    np.testing.assert_array_equal(
        apply_amplitude_edit(amplitude, image, image, MAPPING), amplitude.astype(np.float32)
    )
    image = phase_image(phase, MAPPING)
    np.testing.assert_array_equal(apply_phase_edit(phase, image, image), phase.astype(np.float32))


def test_an_edit_arrives_where_it_was_made():
    """A brighter square raises the level there and nowhere else, and the detail stays."""
    amplitude = amplitudes()
    before = amplitude_image(amplitude, MAPPING)
    after = before.copy()
    after[16:32, 32:48] += 0.1
    change = apply_amplitude_edit(amplitude, before, after, MAPPING) - amplitude
    frames, bins = (np.arange(n) * 64 / n for n in SHAPE)
    inside = np.outer((frames > 34) & (frames < 46), (bins > 18) & (bins < 30))
    outside = np.outer((frames < 30) | (frames > 50), (bins < 14) | (bins > 34))
    np.testing.assert_allclose(change[inside], 10.5, atol=1e-3)
    np.testing.assert_allclose(change[outside], 0.0, atol=1e-3)


def test_a_phase_edit_turns_the_phase():
    phase = phases()
    before = phase_image(phase, MAPPING)
    turned = apply_phase_edit(phase, before, before + 0.25)
    np.testing.assert_allclose(turned - phase, math.pi / 2, atol=1e-5)


def test_images_of_two_sizes_are_refused():
    image = amplitude_image(amplitudes(), MAPPING)
    with pytest.raises(ValueError, match=r"\(64, 64\) and \(63, 64\)"):
        apply_amplitude_edit(amplitudes(), image, image[1:], MAPPING)


def test_the_attributes_bring_it_back():
    stored = json.loads(json.dumps(MAPPING.attributes()))
    assert ImageMapping(**{name: stored[name] for name in asdict(MAPPING)}) == MAPPING
